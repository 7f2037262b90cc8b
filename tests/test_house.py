"""The import rules: which package may import which, which packages are pure, and which file holds which library."""

import ast
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "flyasync"

# What the packages and files at the top may import, besides themselves.
TOP: dict[str, set[str]] = {
    "safe_text": set(),
    "garbage": set(),
    "json_text": {"garbage"},
    "cancellation": set(),
    "errors": {"safe_text"},
    "models": {"errors", "safe_text", "garbage", "json_text"},
    "transport": {"errors", "safe_text", "json_text"},
    "api": {"errors", "safe_text", "json_text", "cancellation", "models", "transport"},
    "deploy": {"errors", "safe_text", "garbage", "cancellation", "models", "api"},
    "pool": {"errors", "safe_text", "cancellation", "models", "api"},
    "web": {"errors", "models", "api", "deploy"},
    "emulator": set(),
    "testing": {"models", "api", "pool", "emulator", ""},  # "": the public names, as users import them
    "otel": {"errors", "transport", "pool"},
    "cli": {"errors", "safe_text", "models", "api", "deploy", "pool", "web", "emulator", "testing"},
}
# In a folder that has packages of its own, from the bottom to the top; "." is every file that is not named. A file
# or package may import what is in its own layer's files and in the layers before. A folder that is not listed here
# has only files, which are free to import one another.
LAYERS: dict[str, list[set[str]]] = {
    "models": [{"."}, {"json"}, {"lint"}, {"fly_toml"}],
    "transport": [{"validators", "request", "events", "credentials"}, {"ratelimit"}, {"."}],
    "api": [{"resource", "pagination", "spans"}, {"machines"}, {"."}],
    "deploy": [
        {"markup"},
        {"plan"},
        {"reporting"},
        {"observe", "list_lag", "timings", "estimate"},
        {"undo"},
        {"run"},
        {"planner", "from_fly_toml", "builder"},
        {"many"},
    ],
    "deploy/plan": [{"."}, {"strategies"}, {"image_digest"}],
    "emulator": [{"core"}, {"world"}, {"state"}, {"replay"}, {"http"}, {"world_options"}, {"world_source"}, {"server"}],
    "emulator/http": [{"."}, {"views"}, {"graphql"}, {"routes"}],
    "cli": [{"shared"}, {"github"}, {"deploy"}, {"bulk", "machines"}, {"oncall"}, {"."}],
}
# A pure package decides: it may not reach for a loop, a socket, a clock or the disk.
PURE = {
    "safe_text",
    "json_text",
    "errors",
    "models",
    "deploy/markup",
    "deploy/plan",
    "emulator/core",
    "emulator/world",
    "emulator/state/codec",
    "emulator/state/document",
    "emulator/http/views",
}
IMPURE_MODULES = {"asyncio", "socket", "time", "subprocess", "threading", "pathlib", "os"}
EVERYWHERE = {"attrs"}
THIRD_PARTY: dict[str, set[str]] = {
    "json_text": {"orjson"},
    "models/json/codec": {"cattrs"},
    "transport/ratelimit/buckets": {"aiolimiter"},
    "transport/ratelimit/redis": {"redis"},
    "transport/retries": {"backoff"},
    "transport/session": {"aiohttp", "yarl"},
    "deploy/many/dask_worker": {"distributed"},
    "deploy/many/dask_executor": {"distributed"},
    "deploy/many/trace_context": {"opentelemetry"},
    "web/server": {"aiohttp"},
    "emulator": {"aiohttp"},
    "emulator/http/certificate_authority": {"trustme"},
    "emulator/http/graphql/engine": {"graphql"},
    "emulator/state/codec": {"cattrs"},
    "cli": {"click", "rich"},
    "testing/plugin": {"pytest", "pytest_asyncio"},
    "otel": {"opentelemetry"},
}
# Names are loaded on first use by these alone: the public names, and the command's subcommands.
LAZY = {"__init__", "__main__", "testing/__init__", "cli/main"}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix().removesuffix(".py")


def within(where: str, packages: set[str]) -> bool:
    return any(where == package or where.startswith(f"{package}/") for package in packages)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its package"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" if is_module(module, alias.name) else module for alias in node.names}
    return found


def is_module(package: str, name: str) -> bool:
    parts = package.split(".")
    folder = PACKAGE.joinpath(*parts[1:], name)
    return parts[0] == "flyasync" and (folder.with_suffix(".py").exists() or folder.is_dir())


def forbidden(where: str, target: str) -> str | None:
    """Return the rule that an import of `target` by `where` breaks, both written as paths within the package."""
    ours, theirs = where.split("/"), target.split("/")
    if ours[0] != theirs[0]:
        return None if theirs[0] in TOP[ours[0]] else f"{ours[0]} may not import {theirs[0] or 'the public names'}"
    while len(ours) > 1 and len(theirs) > 1 and ours[0] == theirs[0]:
        folder, ours, theirs = ours[0], ours[1:], theirs[1:]
        if folder in LAYERS and ours[0] != theirs[0]:
            mine, its = layer(folder, ours), layer(folder, theirs)
            both_files = len(ours) == len(theirs) == 1
            return None if its < mine or (its == mine and both_files) else f"in {folder}, {theirs[0]} is not below"
        if len(ours) > 1:
            ours = [f"{folder}/{ours[0]}", *ours[1:]]
            theirs = [f"{folder}/{theirs[0]}", *theirs[1:]]
    return None


def layer(folder: str, rest: list[str]) -> int:
    if rest[0] == "__init__":  # it collects the names of the whole package
        return len(LAYERS[folder])
    named = [number for number, names in enumerate(LAYERS[folder]) if rest[0] in names]
    if not named:
        assert len(rest) == 1, f"{folder}/{rest[0]} has no layer"
        named = [number for number, names in enumerate(LAYERS[folder]) if "." in names]
    assert named, f"{folder}/{rest[0]} has no layer"
    return named[0]


@pytest.mark.parametrize("path", files(), ids=place)
def test_imports_follow_the_rules(path: Path) -> None:
    where = place(path)
    if where in {"__init__", "__main__"}:
        return
    for module in imports(path):
        top, *rest = module.split(".")
        if top == "flyasync":
            broken = forbidden(where, "/".join(rest))
            assert broken is None, f"{where} may not import {module}: {broken}"
        elif top not in sys.stdlib_module_names:
            allowed = EVERYWHERE.union(*(names for home, names in THIRD_PARTY.items() if within(where, {home})))
            assert top in allowed, f"{where} may not import {module}"
        elif within(where, PURE):
            assert top not in IMPURE_MODULES, f"{where} is pure and may not import {module}"


@pytest.mark.parametrize("path", files(), ids=place)
def test_nothing_is_imported_by_a_name_that_no_rule_sees(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    hidden = [ast.unparse(call) for call in calls if ast.unparse(call.func).endswith(("import_module", "__import__"))]
    assert not hidden or place(path) in LAZY, f"{place(path)} hides imports: {hidden}"


def test_every_package_has_rules() -> None:
    assert {place(path).split("/")[0] for path in files()} - {"__init__", "__main__"} == TOP.keys()
    folders = {place(path.parent) for path in files()}
    for folder, layers in LAYERS.items():
        assert folder in folders
        named = set().union(*layers) - {"."}
        assert {name for name in named if not (PACKAGE / folder / name).exists()} <= {
            path.stem for path in (PACKAGE / folder).glob("*.py")
        }


def test_every_folder_can_be_read_at_a_glance() -> None:
    crowded = {place(path.parent): len(list(path.parent.glob("*.py"))) for path in files()}
    assert {folder: count for folder, count in crowded.items() if count > 25} == {}


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ("models/app", "api/client"),
        ("models/app", "models/json/codec"),
        ("models/json/codec", "models/lint/linter"),
        ("transport/ratelimit/buckets", "transport/sender"),
        ("deploy/plan/plan", "deploy/plan/strategies/rolling"),
        ("deploy/run/executor", "deploy/builder"),
        ("emulator/core/ids", "emulator/world/world"),
        ("emulator/server", "models/app"),
        ("cli/main", "transport/session"),
        ("cli/shared/tables", "cli/deploy/live"),
    ],
)
def test_the_rules_refuse(where: str, target: str) -> None:
    assert forbidden(where, target)


def test_every_path_in_the_contributors_guide_exists() -> None:
    root = PACKAGE.parent
    quoted = re.findall(r"`([^`\n]+)`", (root / "CONTRIBUTING.md").read_text())
    paths = [text for text in quoted if re.fullmatch(r"\.?[a-z]\w*(/[\w.]+)+/?", text)]
    # The folders that the map names within a package are written without it.
    parents = [root, PACKAGE, PACKAGE / "models", PACKAGE / "api", PACKAGE / "deploy/plan", PACKAGE / "emulator"]
    assert len(paths) > 40
    assert [path for path in paths if not any((parent / path).exists() for parent in parents)] == []


def test_the_contributors_guide_maps_every_package() -> None:
    guide = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert [package for package in sorted(packages) if f"`flyasync/{package}/`" not in guide] == []
