"""What is published: the wheel in an empty environment, and what the sdist contains."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import flyasync
import flyasync.testing

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.docs


def run(*words: str | Path, where: Path) -> str:
    done = subprocess.run(list(map(str, words)), cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, where=ROOT)
    return folder


@pytest.fixture(scope="module")
def environment(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an environment in which only the wheel and the extra `cli` are installed."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv", where=folder)
    (wheel,) = dist.glob("*.whl")
    run(folder / "venv/bin/pip", "install", "-q", f"{wheel}[cli]", where=folder)
    return folder


def test_what_is_published_is_described_well(dist: Path) -> None:
    assert run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir(), where=dist).count("PASSED") == 2


def test_the_sdist_has_all_that_its_tests_need(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {
        path.relative_to(ROOT).as_posix()
        for folder in ("flyasync", "tests", "benchmarks", "examples", "docs/pages", ".ci", ".github")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    others = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "pyproject.toml"}
    assert tracked | others | {"docs/zensical.toml", "docs/extension.py"} <= names
    assert not any(name.startswith("docs/site") for name in names)


def test_the_wheel_deploys_in_an_empty_environment(environment: Path) -> None:
    command = environment / "venv/bin/flyasync"
    arguments = ("deploy", "hello", "--image", "nginx", "--region", "iad,lhr", "--local")
    assert "2 of 2 machines up to date" in run(command, *arguments, where=environment)
    assert run(command, "--version", where=environment).strip().endswith(version(environment))


def version(environment: Path) -> str:
    program = "import flyasync; print(flyasync.__version__)"
    return run(environment / "venv/bin/python", "-c", program, where=environment).strip()


def test_every_public_type_is_known(environment: Path) -> None:
    # The package is looked for in the environment of the python that is found first.
    search = {**os.environ, "PATH": f"{environment / 'venv/bin'}:{os.environ['PATH']}"}
    search.pop("PYTHONPATH", None)
    words = (sys.executable, "-m", "pyright", "--verifytypes", "flyasync", "--ignoreexternal", "--outputjson")
    done = subprocess.run(words, cwd=environment, env=search, capture_output=True, text=True, check=False)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    assert len(symbols) > 500
    unknown = {
        each["name"]
        for each in symbols
        if each["isExported"] and not each["isTypeKnown"] and not each["isTypeAmbiguous"]
    }
    assert {name for name in unknown if name.startswith(PUBLIC)} <= NOT_OURS


PUBLIC = tuple(f"{module}." for module in {*flyasync._HOMES.values(), *flyasync.testing._HOMES.values()})
# Without the extra, what it takes is unknown.
NOT_OURS = {
    "flyasync.deploy.many.dask_executor.DaskExecutor",
    "flyasync.deploy.many.dask_executor.DaskExecutor.__init__",
}
