"""The public surface: what can be imported, and what README and the reference say of it."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import pytest

import flyasync
from flyasync import Emulator, FlyClient, FlyError
from flyasync.testing import run_virtual

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
RESOURCES = dict(
    re.findall(
        r"^\| `fly\.(\w+)` \| (.*) \|$",
        (ROOT / "docs/pages/reference/resources.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


def test_every_name_is_listed_once_for_type_checkers_and_once_for_python() -> None:
    tree = ast.parse((ROOT / "flyasync/__init__.py").read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (alias.name, statement.module)
        for statement in checked.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert typed == set(flyasync._HOMES.items())
    assert {*flyasync.__all__, *flyasync._EXTRA} == flyasync._HOMES.keys()


@pytest.mark.parametrize("name", flyasync._HOMES)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(flyasync, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__
        assert value.__module__ == flyasync._HOMES[name]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Machin'"):
        flyasync.Machin  # noqa: B018 - the look is the point
    assert {"FlyClient", "DeployBuilder"} <= set(dir(flyasync))


WITHOUT_EXTRAS = """
import sys
MISSING = {"dask", "distributed", "redis", "opentelemetry", "graphql", "click", "rich", "trustme"}
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def run_without_extras(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS + program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "program",
    ["import flyasync; help(flyasync)", "import pydoc; sys.argv = ['pydoc', 'flyasync']; pydoc.cli()"],
)
def test_help_needs_no_extra(program: str) -> None:
    shown = run_without_extras(program)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "class DeployBuilder" in shown.stdout
    assert "No module named" not in shown.stdout
    assert "class DaskExecutor" not in shown.stdout


def test_a_name_whose_extra_is_missing_names_the_extra() -> None:
    program = """
from flyasync import Emulator
try:
    Emulator(tls=True)
except ImportError as error:
    print(error)
from flyasync import DaskExecutor
"""
    shown = run_without_extras(program)
    assert shown.returncode == 1
    assert shown.stdout == "TLS needs the package trustme: pip install 'flyasync[tls]'\n"
    assert shown.stderr.endswith(
        "ModuleNotFoundError: flyasync.DaskExecutor needs the package distributed: pip install 'flyasync[dask]'\n"
    )


def test_the_version_is_the_one_installed() -> None:
    assert flyasync.__version__ == version("flyasync")


def test_importing_flyasync_loads_no_network_library() -> None:
    program = "import sys, flyasync; print(*sorted({'aiohttp', 'cattrs', 'attrs'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "\n"


def public_functions() -> Iterator[tuple[str, Any, str]]:
    """Yield the public functions and methods, each with its name and its docstring."""
    fly = FlyClient("fm2_x")
    resources = {f"fly.{name}": type(getattr(fly, name)) for name in RESOURCES}
    for name, value in ({name: getattr(flyasync, name) for name in flyasync._HOMES} | resources).items():
        if inspect.isfunction(value):
            yield name, value, value.__doc__ or ""
        # The fields of an attrs class and the details of an error are explained one by one.
        elif inspect.isclass(value):
            for member, method in vars(value).items():
                if inspect.isfunction(method) and not member.startswith("_"):
                    yield f"{name}.{member}", method, method.__doc__ or ""
            if "__init__" in vars(value) and not attrs.has(value) and not issubclass(value, FlyError):
                yield name, value.__init__, value.__doc__ or ""


def test_a_function_of_six_parameters_describes_each() -> None:
    seen, missing = 0, []
    for name, function, text in public_functions():
        parameters = inspect.signature(function).parameters.keys() - {"self"}
        if len(parameters) >= 6:
            seen += 1
            described = set(re.findall(r"^ +\**(\w+): ", inspect.cleandoc(text).partition("Args:\n")[2], re.MULTILINE))
            missing += [f"{name}: {parameter}" for parameter in sorted(parameters - described)]
    assert not missing
    assert seen > 10


async def test_the_reference_lists_exactly_the_operations_that_there_are() -> None:
    fly = FlyClient("fm2_x")
    for resource, operations in RESOURCES.items():
        public = {
            name
            for name, method in inspect.getmembers(getattr(fly, resource), inspect.ismethod)
            if not name.startswith("_")
        }
        assert set(re.findall(r"`(\w+)`", operations)) == public
    assert RESOURCES.keys() == {
        name
        for name, value in vars(FlyClient).items()
        if isinstance(value, cached_property) and not name.startswith("_")
    }


@pytest.mark.parametrize("block", BLOCKS)
def test_every_python_block_of_readme_compiles(block: str) -> None:
    compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for module, names in re.findall(r"^from (flyasync\S*) import (.+)$", block, re.MULTILINE):
        for name in names.split(", "):
            assert hasattr(import_module(module), name)


def test_the_first_program_of_readme_does_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program: dict[str, Any] = {}
    exec(BLOCKS[0].removesuffix("asyncio.run(main())\n"), program)

    async def main() -> None:
        async with Emulator(seed=1) as emulator:
            for name, value in emulator.environment().items():
                monkeypatch.setenv(name, value)
            async with FlyClient() as fly:
                await fly.apps.create("web", org_slug="personal")
            await program["main"]()

    run_virtual(main())
    assert "3 of 3 machines run" in capsys.readouterr().out


def test_the_two_commands_stand_at_the_top_each_on_one_line() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert "flyasync deploy" in commands[0]
    assert "--local" in commands[0]
    assert "pytest" in commands[1]
    assert README.index(commands[1]) < 1000


def test_readme_is_a_front_page() -> None:
    assert len(README.splitlines()) <= 150
