"""What `flyasync deploy` exits with: one command line for each row of the table, and a dry run with changes."""

from pathlib import Path

import pytest

from flyasync import Fault, FlyClient, Status
from flyasync.cli.deploy.command import EXIT_STATUS
from tests.cli.driver import Shop, deploy, events
from tests.docs.pages import PAGES

REGIONS = ("--region", "iad,lhr")
FULL = ("--capacity", "iad=0,lhr=0")
CRASH = ("--smoke-check", "5", "--fault", '{"does": "crash", "region": "lhr", "seconds": 0.1, "exit_code": 3}')
CRASHES = ("--smoke-check", "5", "--fault", '{"does": "crash", "seconds": 0.1, "exit_code": 3}')


@pytest.mark.parametrize(
    ("args", "status", "exit_code"),
    [
        ((), "ok", 0),
        (("--add", *CRASH), "degraded", 7),
        (("--add", "--capacity", "lhr=0"), "degraded", 7),
        (CRASH, "requirement missed", 3),
        ((*CRASH, "--require", "1"), "degraded", 0),
        ((*CRASH, "--require", "all"), "requirement missed", 3),
        ((*CRASH, "--strategy", "rolling"), "requirement missed", 3),
        ((*CRASH, "--require", "all", "--roll-back"), "rolled back", 4),
        ((*CRASH, "--strategy", "rolling", "--roll-back"), "rolled back", 4),
        (CRASHES, "failed", 1),
        (FULL, "no capacity", 5),
        ((*FULL, "--strategy", "rolling"), "no capacity", 5),
    ],
)
def test_the_exit_status_is_that_of_the_status(args: tuple[str, ...], status: str, exit_code: int) -> None:
    result = deploy(*REGIONS, "--local", "--json", *args)
    report = events(result.stdout)[-1]["report"]
    assert (report["status"], report["ok"], result.exit_code) == (status, exit_code == 0, exit_code)


def test_a_degraded_deploy_shows_first_what_failed_and_how_to_go_on(shop: Shop) -> None:
    shop.emulator.set_capacity("iad", 0)
    result = shop.ask("deploy", "web", "--image", "nginx", *REGIONS, "--launch", "v1", "--add")
    assert result.exit_code == 7
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("  iad", "  lhr"))] == ["iad", "lhr"]
    assert lines[-2:] == [
        "to continue: the same command with --launch v1, which keeps what runs and creates what is missing",
        "to accept missing regions: state how many are required, such as --require 1",
    ]


ROLLING = ("deploy", "web", "--region", "iad", "--strategy", "rolling", "--smoke-check", "0", "--image")


@pytest.fixture
def running(shop: Shop) -> Shop:
    assert shop.ask(*ROLLING, "nginx:1").exit_code == 0
    return shop


async def hold(machine_id: str) -> None:
    async with FlyClient() as fly:
        await fly.leases.acquire("web", machine_id, ttl=3000, description="another client")


def test_a_lock_of_another_deploy_has_an_exit_code_for_every_way_to_deploy(running: Shop) -> None:
    assert running.ask(*ROLLING, "nginx:2", "--launch", "v2").exit_code == 0
    (machine,) = running.json("machines", "list", "web")
    running.drive(hold(machine["id"]))
    for args in ((*ROLLING, "nginx:3"), ("deploy", "web", "--undo")):
        result = running.ask(*args, "--json")
        assert (result.exit_code, events(result.stdout)[-1]["exit"]) == (6, 6), result.output
    assert running.json("machines", "list", "web")[0]["instance_id"] == machine["instance_id"]


@pytest.mark.parametrize(
    ("region", "status", "exit_code"), [("lhr", "requirement missed", 3), ("*", "failed", 1), ("ord", "ok", 0)]
)
def test_an_undo_exits_by_the_same_table(shop: Shop, region: str, status: str, exit_code: int) -> None:
    base = ("deploy", "web", *REGIONS, "--strategy", "rolling", "--smoke-check", "0")
    rolling = (*base, "--port", "8080", "--check", "/health", "--image")
    assert shop.ask(*rolling, "nginx:1").exit_code == 0
    assert shop.ask(*rolling, "nginx:2", "--launch", "v2").exit_code == 0
    shop.emulator.faults.add(Fault(does="crash", image="*nginx:1*", region=region, seconds=0.1, exit_code=3))
    result = shop.ask("deploy", "web", "--undo", "--json")
    report = events(result.stdout)[-1]["report"]
    assert (report["status"], result.exit_code) == (status, exit_code)


# The terms of the command.


@pytest.mark.parametrize("output", [(), ("--json",)])
def test_failures_of_a_deploy_and_of_an_undo_name_commands(shop: Shop, tmp_path: Path, output: tuple[str, ...]) -> None:
    page = tmp_path / "page.html"
    base = ("deploy", "web", *REGIONS, "--strategy", "rolling", "--port", "8080", "--check", "/health", *output)
    assert shop.ask(*base, "--image", "nginx:1").exit_code == 0
    assert shop.ask(*base, "--image", "nginx:2", "--launch", "v2").exit_code == 0
    for image, args in (
        ("*nginx:3*", (*base, "--image", "nginx:3", "--html", str(page))),
        ("*nginx:2*", ("deploy", "web", "--undo", *output)),
    ):
        shop.emulator.faults.add(Fault(does="crash", image=image, seconds=0.1, exit_code=3))
        text = shop.ask(*args).stdout
        # The event, the machine, and the failure that ended a deploy; an undo continues after failures.
        places = 2 if "--undo" in args else 3
        assert text.count("flyasync machines events web") >= places, text
        assert "fly.machines" not in text
    assert "flyasync machines events web" in page.read_text()
    assert "fly.machines" not in page.read_text()


# A dry run.


def test_a_dry_run_has_an_exit_code_for_changes_if_asked_for(running: Shop) -> None:
    for image, exit_code in (("nginx:1", 0), ("nginx:2", 10)):
        assert running.ask(*ROLLING, image, "--dry-run").exit_code == 0
        assert running.ask(*ROLLING, image, "--dry-run", "--detailed-exitcode").exit_code == exit_code
    assert running.ask(*ROLLING, "nginx:2", "--launch", "v2").exit_code == 0
    assert running.ask("deploy", "web", "--undo", "--dry-run", "--detailed-exitcode").exit_code == 10


def test_a_launch_that_finds_its_machines_has_nothing_to_do(shop: Shop) -> None:
    launch = ("deploy", "web", "--image", "nginx", *REGIONS, "--launch", "v1", "--add")
    dry = ("--dry-run", "--detailed-exitcode")
    assert shop.ask(*launch, *dry).exit_code == 10
    assert shop.ask(*launch).exit_code == 0
    assert shop.ask(*launch, *dry).exit_code == 0


def test_the_exit_code_of_changes_is_for_a_dry_run() -> None:
    result = deploy("--region", "iad", "--local", "--detailed-exitcode")
    assert result.exit_code == 2
    assert "--detailed-exitcode needs --dry-run" in result.stderr


def test_the_help_has_the_table() -> None:
    text = deploy("--help").stdout
    rows = {int(line.split()[0]): line for line in EXIT_STATUS.splitlines() if line.split()[0].isdigit()}
    assert sorted(rows) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130]
    assert all(row.strip() in text for row in rows.values())
    for status in set(Status) - {Status.CANCELLED}:
        assert str(status) in rows[status.exit_code]


def test_the_documentation_has_the_table() -> None:
    page = PAGES["docs/pages/json-events.md"].read_text(encoding="utf-8")
    for status in set(Status) - {Status.CANCELLED}:
        assert f"| {status.exit_code} | `{status}` | {status.meaning} |" in page
    assert f"| 130, 143, 129 | `{Status.CANCELLED}` | {Status.CANCELLED.meaning}: " in page
