"""A user's program over the public surface has a type everywhere, for mypy and for pyright at their strictest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import blocks_of

PROGRAM = Path(__file__).parent / "api.py"


def run(*words: str, where: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *words], cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy_is_content(tmp_path: Path) -> None:
    # The documented program for Temporal is checked as well, but Temporal is too large to be installed for that.
    temporal = next(each for each in blocks_of("docs/pages/guides/orchestrator.md", "python") if each.title)
    (tmp_path / "temporal_worker.py").write_text(temporal.text)
    untyped = ("--disable-error-code", "import-not-found", "--allow-untyped-decorators")
    sources = (str(PROGRAM), "temporal_worker.py")
    # From a folder without a configuration, as another project would run it.
    done = run("mypy", "--strict", *untyped, "--cache-dir", str(tmp_path), *sources, where=tmp_path)
    assert "no issues found in 2 source files" in done


@pytest.mark.docs
def test_pyright_finds_nothing_unknown(tmp_path: Path) -> None:
    (tmp_path / "api.py").write_text(PROGRAM.read_text(encoding="utf-8"))
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"include": ["api.py"], "typeCheckingMode": "strict"}))
    assert "0 errors, 0 warnings" in run("pyright", "--pythonpath", sys.executable, where=tmp_path)
