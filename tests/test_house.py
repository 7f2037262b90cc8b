"""The law of the house: which room may import what, and which file holds which third party."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "flyasync"

# A file may import the files listed above it in its own room, and the rooms, or files of rooms, named here.
ROOMS: dict[str, set[str]] = {
    "text": set(),
    "errors": {"text"},
    "models": {"errors", "text"},
    "wire": {"errors", "text"},
    "api": {"errors", "text", "models", "wire"},
    "deploy": {"errors", "text", "models", "api"},
    "emulator": set(),
    "testing": {"models", "api", "emulator"},
    "pytest_plugin": {""},  # the public names, as its users import them
    "otel": {"errors", "wire.events"},
    "cli": {"errors", "text", "models", "api", "deploy", "emulator", "testing"},
}
ORDER: dict[str, list[str]] = {
    "models": [
        "scalars", "record", "kinds", "quick", "guest", "service", "container", "config", "image", "app", "lease",
        "machine",
        "action", "volume", "region", "secret", "secret_key", "certificate", "address", "token", "postgres", "log",
        "hosts", "secrecy", "compare", "finding", "lint_guest", "refusals", "unwise", "lint", "convert",
        "shell_words", "toml_section", "toml_services", "toml_equipment", "toml_deploy", "fly_toml",
    ],
    "wire": [
        "validators", "request", "events", "rates", "judge", "gcra", "limits", "limits_shared", "limits_file",
        "limits_redis", "credentials", "limits_backing", "retries", "session", "tracebacks", "sender",
    ],
    "api": [
        "call", "spans", "paging", "prospects", "watch", "waits", "once", "leases", "claims", "changes", "fly_toml",
        "apps", "actions", "waiting", "metadata", "processes", "machines", "volumes", "secrets", "secret_keys",
        "certificates", "ip_assignments", "tokens", "graphql", "orgs", "images", "logs", "platform",
        "postgres_databases", "postgres", "client",
    ],
    "deploy": [
        "strategy", "merge", "release", "roles", "deployment", "fleet", "siblings", "duration", "plan", "group",
        "remarks", "moves", "strategies", "decide", "placement", "outcome", "undo", "timings", "estimate", "gate",
        "verdict", "report", "html", "events", "onlookers", "freshness", "observe", "addresses", "planning", "story",
        "journal", "history", "lock", "places", "door", "volumes", "stamp", "creating", "hedge", "watching",
        "rechecks", "steps", "spans", "execute", "carry_out", "settings", "builder", "executors", "dask_worker",
        "executor_dask", "many",
    ],
    "emulator": [
        "errors", "operations", "regions", "ids", "gojson", "images", "course", "holdings", "files", "guest", "config",
        "lifecycle", "faults", "rates", "paging", "loglines", "processes", "shell", "records", "world", "checks",
        "timeline", "leases",
        "secrets", "secret_keys", "snapshots", "volumes", "machines", "actions", "memory", "apps", "orgs",
        "certificates", "ip_assignments", "postgres", "waiting", "views", "views_holdings", "views_postgres", "ask",
        "tokens", "sight", "routing", "journal", "pulse", "gate", "graphql",
        "routes_apps", "routes_machines", "routes_actions", "routes_processes", "routes_volumes", "routes_orgs",
        "routes_secrets", "routes_secret_keys", "routes_certificates", "routes_ip_assignments", "routes_tokens",
        "routes_postgres", "routes_databases", "routes_logs", "routes_graphql", "routes_wait", "routes_control",
        "sites", "routes", "server",
    ],
    "cli": [
        "exits", "streams", "painting", "fault", "options", "signals", "watching", "app_making",
        "order", "outline", "stages", "wording", "event_json", "display", "tables",
        "answers", "asking", "groups", "organizations", "offers", "suggest", "params", "rollout", "rows", "live",
        "sections", "deploy_options", "together", "wanted", "deploy_begin", "deploy",
        "bulk_options", "bulk_rows", "bulk_builders", "bulk_journal", "bulk_tally", "bulk_summary", "bulk_display",
        "bulk_live", "bulk_executor", "bulk_order", "bulk_work", "bulk_run", "bulk_begin", "bulk",
        "destroy", "apps", "machine_config",
        "machine_actions", "machine_views", "machine_changes", "machine_metadata", "machine_lease", "machines",
        "volumes", "env_file", "secrets_deploy", "secrets", "certificates", "ips", "regions", "tokens", "lint",
        "emulator", "completion",
        "notes", "main",
    ],
}  # fmt: skip
THIRD_PARTY: dict[str, set[str]] = {
    "models/convert": {"cattrs"},
    "wire/limits": {"aiolimiter"},
    "wire/limits_redis": {"redis"},
    "wire/retries": {"backoff"},
    "wire/session": {"aiohttp", "yarl"},
    "deploy/dask_worker": {"distributed"},
    "deploy/executor_dask": {"distributed"},
    "emulator/*": {"aiohttp"},
    "cli/*": {"click", "rich"},
    "pytest_plugin": {"pytest", "pytest_asyncio"},
    "otel": {"opentelemetry"},
    "__main__": set(),
}
EVERYWHERE = {"attrs"}
# Pure rooms and files decide; they may not reach for a loop, a socket, a clock or the disk.
PURE = {
    "text", "errors", "models/*", "wire/validators", "wire/request", "wire/events", "wire/judge", "wire/rates",
    "wire/gcra",
    "deploy/strategy", "deploy/merge", "deploy/release", "deploy/roles", "deploy/deployment", "deploy/fleet",
    "deploy/siblings", "deploy/plan", "deploy/remarks",
    "deploy/group", "deploy/moves", "deploy/strategies", "deploy/decide", "deploy/placement", "deploy/outcome",
    "deploy/undo",
    "deploy/duration", "deploy/timings", "deploy/estimate", "deploy/gate", "deploy/verdict", "deploy/report",
    "deploy/html", "deploy/events",
    "emulator/errors", "emulator/regions", "emulator/ids", "emulator/gojson", "emulator/guest", "emulator/config",
    "emulator/lifecycle", "emulator/faults", "emulator/rates", "emulator/course", "emulator/paging",
    "emulator/loglines", "emulator/processes", "emulator/holdings", "emulator/records", "emulator/world",
    "emulator/checks", "emulator/timeline", "emulator/leases", "emulator/secrets", "emulator/secret_keys",
    "emulator/snapshots", "emulator/volumes", "emulator/machines", "emulator/actions", "emulator/memory",
    "emulator/apps", "emulator/orgs", "emulator/certificates", "emulator/ip_assignments", "emulator/postgres",
    "emulator/waiting", "emulator/views", "emulator/views_holdings", "emulator/views_postgres", "emulator/operations",
    "emulator/ask", "emulator/tokens", "emulator/sight", "emulator/journal", "emulator/graphql",
}  # fmt: skip
IMPURE_MODULES = {"asyncio", "socket", "time", "subprocess", "threading", "pathlib", "os"}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its room"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" if submodule(module, alias.name) else module for alias in node.names}
    return found


def submodule(module: str, name: str) -> bool:
    parts = module.split(".")
    return parts[0] == "flyasync" and PACKAGE.joinpath(*parts[1:], name).with_suffix(".py").exists()


def allowed(named: dict[str, set[str]], where: str) -> set[str]:
    return named.get(where, named.get(where.split("/", maxsplit=1)[0] + "/*", set()))


@pytest.mark.parametrize("path", files(), ids=place)
def test_imports_keep_to_the_law(path: Path) -> None:
    where = place(path)
    room, _, name = where.partition("/")
    if where in {"__init__", "__main__"}:
        return
    for module in imports(path):
        top, *rest = module.split(".")
        if top == "flyasync":
            target = rest[0] if rest else ""
            if target == room and name and name != "__init__":
                check_order(room, name, rest[1] if len(rest) > 1 else "__init__")
            elif target != room:
                assert {target, ".".join(rest)} & ROOMS[room], f"{where} may not import {module}"
        elif top not in sys.stdlib_module_names:
            assert top in EVERYWHERE | allowed(THIRD_PARTY, where), f"{where} may not import {module}"
        elif where in PURE or f"{room}/*" in PURE:
            assert top not in IMPURE_MODULES, f"{where} is pure and may not import {module}"


def check_order(room: str, name: str, target: str) -> None:
    order = ORDER[room]
    if not order:
        return
    assert name in order, f"{room}/{name}.py is not on the plan of the house"
    assert target in order[: order.index(name)], f"{room}/{name} may not import {room}/{target}, listed below it"


def test_every_room_is_on_the_plan() -> None:
    rooms = {place(path).split("/")[0] for path in files()} - {"__init__", "__main__"}
    assert rooms <= ROOMS.keys()
