"""What runs is brought to what is wanted, and back, by whole command lines."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from flyasync.api.client import FlyClient
from flyasync.deploy.reporting.report import DeployReport
from flyasync.emulator import Fault
from flyasync.models.machine import GONE
from tests.cli.driver import Shop, events, tags

CHECKED = ("--port", "8080", "--check", "/health")
QUICK = ("--smoke-check", "0")


def converge(shop: Shop, image: str, *args: str, strategy: str = "rolling", regions: str = "iad,lhr") -> Result:
    where = ("--region", regions) if regions else ()
    return shop.ask("deploy", "web", "--image", image, *where, "--strategy", strategy, *QUICK, *args)


def set_up(shop: Shop, *args: str) -> None:
    result = converge(shop, "nginx:1", *args)
    assert result.exit_code == 0, result.output


def images(shop: Shop) -> dict[str, str]:
    machines = shop.json("machines", "list", "web")
    return {each["name"]: tags(each["config"]["image"]) for each in machines if each["state"] not in GONE}


def changes(shop: Shop) -> list[Any]:
    return [entry for entry in shop.emulator.log if entry.method != "GET" and entry.action != "graphql"]


@pytest.mark.parametrize(
    ("strategy", "args", "left"),
    [
        ("rolling", ("--max-unavailable", "2"), {"app-iad-1", "app-iad-2", "app-lhr-1", "app-lhr-2"}),
        ("canary", ("--canaries", "50%", "--soak", "5"), {"app-iad-1", "app-iad-2", "app-lhr-1", "app-lhr-2"}),
        ("bluegreen", ("--drain", "2"), {"app-iad-3", "app-iad-4", "app-lhr-3", "app-lhr-4"}),
        ("immediate", (), {"app-iad-1", "app-iad-2", "app-lhr-1", "app-lhr-2"}),
    ],
)
def test_each_strategy_brings_all_to_the_new_image(
    shop: Shop, strategy: str, args: tuple[str, ...], left: set[str]
) -> None:
    set_up(shop, "--count", "2", *CHECKED)
    result = converge(shop, "nginx:2", "--count", "2", *CHECKED, *args, strategy=strategy)
    assert result.exit_code == 0, result.output
    assert f"{strategy}, launch " in result.stdout
    assert images(shop) == dict.fromkeys(left, "nginx:2")


def test_lines_tell_each_stage_what_is_kept_and_what_retires(shop: Shop) -> None:
    set_up(shop, "--count", "iad=2,lhr=3")
    said = converge(shop, "nginx:2", "--count", "2", "--launch", "v2", "--waves", "iad/lhr").stdout
    lines = [line.partition(" s  ")[2] for line in said.splitlines()]
    assert tags(lines[0]).startswith("web converges, rolling to nginx:2, launch v2: update 4, destroy 1; takes about ")
    assert lines[1:3] == [
        "before: 5 machines, 5 shared CPUs, 1280 MB of memory",
        "after: 4 machines, 4 shared CPUs, 1024 MB of memory",
    ]
    assert lines[3].startswith("stage 1 of 4: one machine first, wave 1 of 2, about ")
    assert [line.split(",")[0] for line in lines if line.startswith("stage")] == [
        "stage 1 of 4: one machine first",
        "stage 2 of 4: remaining machines",
        "stage 3 of 4: all machines",
        "stage 4 of 4: destroy surplus machines",
    ]
    for phase in ("updating", "updated", "starting", "started", "cordoned", "stopping", "stopped", "retired"):
        assert any(phase in line.split() for line in lines), phase
    assert "destroyed" not in said
    again = converge(shop, "nginx:2", "--count", "3,iad=2").stdout
    assert "create 1, keep 4" in again


def test_a_count_of_nothing_retires_a_region_and_one_left_out_stays(shop: Shop) -> None:
    set_up(shop)
    assert "lhr is not listed, so its 1 machine" in converge(shop, "nginx:2", regions="iad").stdout
    assert converge(shop, "nginx:2", "--count", "lhr=0").exit_code == 0
    assert images(shop) == {"app-iad-1": "nginx:2"}


def test_groups_are_changed_apart_and_retired(shop: Shop) -> None:
    set_up(shop)
    set_up(shop, "--group", "worker", "--visible-to-flyctl")
    assert set(images(shop)) == {"app-iad-1", "app-lhr-1", "worker-iad-1", "worker-lhr-1"}
    result = converge(shop, "nginx:2", "--retire-group", "worker")
    assert "retire group worker" in result.stdout
    assert images(shop) == {"app-iad-1": "nginx:2", "app-lhr-1": "nginx:2"}


def test_region_by_region_is_a_wave_for_each(shop: Shop) -> None:
    assert "all machines, wave 2 of 2" in converge(shop, "nginx:1", "--region-by-region").stdout


def test_each_machine_has_its_volume(shop: Shop) -> None:
    set_up(shop, "--volume", "data:/data:2", "--if-volume-lost", "new")
    volumes = shop.json("volumes", "list", "web")
    assert {(each["name"], each["size_gb"], each["region"]) for each in volumes} == {
        ("data", 2, "iad"),
        ("data", 2, "lhr"),
    }


def test_the_release_command_goes_first(shop: Shop) -> None:
    said = converge(shop, "nginx:1", "--launch", "v1", "--release-command", "bin/migrate --all").stdout
    assert "stage 1 of 2: release command" in said
    assert said.index("release-app  running") < said.index("release-app  ended") < said.index("app-iad-1  creating")
    assert set(images(shop)) == {"app-iad-1", "app-lhr-1"}


def test_a_release_command_that_takes_too_long_changes_nothing(shop: Shop) -> None:
    result = converge(shop, "nginx:1", "--release-command", "sleep 99", "--release-timeout", "1")
    assert result.exit_code == 1
    assert "the release command did not exit within 1 s" in result.stdout
    assert images(shop) == {}


def test_a_straggler_gets_a_rival(shop: Shop) -> None:
    shop.emulator.faults.add(Fault(does="stay_starting", region="lhr", times=1))
    result = converge(shop, "nginx:1", "--count", "4", "--hedge=2", "--timeout", "60")
    assert result.exit_code == 0, result.output
    assert "hedging" in result.stdout


# A look before


def test_a_dry_run_shows_every_change_and_makes_none(shop: Shop) -> None:
    set_up(shop)
    before = len(changes(shop))
    result = converge(shop, "nginx:2", "--env", "PASSWORD=hunter2", "--dry-run")
    assert result.exit_code == 0
    assert '~ image: "nginx:1" → "nginx:2"' in tags(result.stdout)
    assert "+ env.PASSWORD added" in result.stdout
    assert "hunter2" not in result.stdout
    assert "each new machine" not in result.stdout, "none is made"
    assert result.stdout.endswith("dry run: nothing was changed\n")
    assert len(changes(shop)) == before


def test_a_dry_run_that_makes_machines_shows_what_they_would_be(shop: Shop) -> None:
    result = converge(shop, "nginx:2", "--dry-run", "--volume", "data:/data")
    run_until_signalled = result.stdout.split("each new machine:")[1]
    assert "volume    name=data, path=/data, size_gb=1\n" in run_until_signalled
    assert "metadata  fly_process_group=app, flyasync_launch=" in run_until_signalled


@pytest.mark.parametrize("args", [(), ("--dry-run",)])
def test_where_there_is_nothing_to_do_nothing_is_changed(shop: Shop, args: tuple[str, ...]) -> None:
    set_up(shop)
    before = len(changes(shop))
    result = converge(shop, "nginx:1", *args)
    assert result.exit_code == 0
    assert "web converges, rolling to nginx:1: nothing to do, all 2 up to date" in tags(result.stdout)
    assert len(changes(shop)) == before


def test_json_shows_the_volume_that_a_machine_takes(shop: Shop) -> None:
    result = converge(shop, "nginx:1", "--volume", "data:/data:2", "--dry-run", "--json", regions="iad")
    (planned,) = events(result.stdout)
    assert planned["plan"]["machines"][0]["steps"][0] == {
        "step": "take_volume",
        "cause": "no unattached volume data in the region",
        "volume": {"name": "data", "path": "/data", "size_gb": 2},
    }


def test_json_tells_the_strategy_the_stages_and_the_seconds_and_no_secret(shop: Shop) -> None:
    set_up(shop, "--env", "PASSWORD=hunter1")
    result = converge(shop, "nginx:2", "--env", "PASSWORD=hunter2", "--launch", "v2", "--count", "2,lhr=1", "--json")
    told = events(result.stdout)
    plan = told[0]["plan"]
    assert (plan["strategy"], plan["group"], plan["launch"]) == ("rolling", "app", "v2")
    assert plan["seconds"] > 1
    assert [stage["title"] for stage in plan["stages"]] == ["one machine first", "remaining machines"]
    assert plan["stages"][0] == {
        "stage": 1,
        "title": "one machine first",
        "point_of_no_return": False,
        "regions": [{"region": "iad", "machines": 1, "width": 1}],
    }
    first = plan["machines"][0]
    assert (first["stage"], first["name"], first["steps"][0]["step"]) == (1, "app-iad-1", "update")
    assert [tags(change) for change in first["steps"][0]["changes"]] == [
        "~ env.PASSWORD changed",
        '~ image: "nginx:1" → "nginx:2"',
    ]
    assert "hunter" not in json.dumps(told)
    left = [event["left"] for event in told if event["event"] == "progress"]
    assert left[0] > left[-1] >= 0
    assert DeployReport.from_dict(told[-1]["report"]).strategy == "rolling"


# Failure, and the way on or back

CRASH = Fault(does="crash", image="*nginx:2*", seconds=0.1, exit_code=3)


def test_what_has_failed_says_how_to_go_on_and_back(shop: Shop, tmp_path: Path) -> None:
    set_up(shop)
    shop.emulator.faults.add(CRASH)
    result = converge(shop, "nginx:2", "--launch", "v2", "--smoke-check", "5", "--group", "app")
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-2:] == [
        "to continue: the same command again",
        "to restore the previous release: flyasync deploy web --undo --group app --launch v2",
    ]
    journal = tmp_path / "the journal"
    result = converge(shop, "nginx:2", "--smoke-check", "5", "--journal", str(journal))
    assert result.stdout.splitlines()[-2:] == [
        f"to continue: the same command again, or flyasync deploy --resume '{journal}'",
        f"to restore the previous release: flyasync deploy --resume '{journal}' --undo",
    ]


def test_a_rollback_is_told_as_a_second_plan(shop: Shop) -> None:
    set_up(shop)
    shop.emulator.faults.add(CRASH)
    result = converge(shop, "nginx:2", "--launch", "v2", "--smoke-check", "5", "--roll-back")
    assert result.exit_code == 4
    assert " s  rolling back: web, undo " in result.stdout
    assert "stage 1 of 1: restore machines" in result.stdout
    assert "rolled back:" in result.stdout
    assert result.stdout.splitlines()[-1] == "once the cause is fixed: the same command again", (
        "there is no way back any more"
    )
    assert set(images(shop).values()) == {"nginx:1"}
    told = events(converge(shop, "nginx:2", "--smoke-check", "5", "--roll-back", "--json").stdout)
    assert [event["plan"]["strategy"] for event in told if event["event"] == "planned"] == ["rolling", "undo"]
    assert told[-1]["report"]["rollback"]["strategy"] == "undo"


def test_undo_goes_back_by_one_release(shop: Shop) -> None:
    set_up(shop, "--count", "2,lhr=1")
    assert converge(shop, "nginx:2", "--launch", "v2").exit_code == 0
    before = len(changes(shop))
    plan = shop.said("deploy", "web", "--undo", "--dry-run")
    assert '~ image: "nginx:2" → "nginx:1"' in tags(plan)
    assert plan.endswith("dry run: nothing was changed\n")
    assert len(changes(shop)) == before
    said = shop.said("deploy", "web", "--undo", "--launch", "v2", "--strategy", "rolling", "--max-unavailable", "50%")
    assert " s  web, undo " in said
    assert "rolling back" not in said
    assert images(shop) == dict.fromkeys(("app-iad-1", "app-iad-2", "app-lhr-1"), "nginx:1")
    again = shop.ask("deploy", "web", "--undo", "--launch", "v2")
    assert again.exit_code == 2
    assert "nothing to undo" in again.stderr


def test_undo_keeps_to_its_group(shop: Shop) -> None:
    for image in ("nginx:1", "nginx:2"):
        for group in ("app", "worker"):
            assert converge(shop, image, "--group", group).exit_code == 0
    shop.said("deploy", "web", "--undo", "--group", "worker", "--strategy", "immediate")
    assert images(shop) == {
        "app-iad-1": "nginx:2",
        "app-lhr-1": "nginx:2",
        "worker-iad-1": "nginx:1",
        "worker-lhr-1": "nginx:1",
    }


def test_an_undo_of_an_app_that_is_not_there_does_not_offer_to_make_it(shop: Shop) -> None:
    result = shop.ask("deploy", "wep", "--undo")
    assert result.exit_code == 1
    assert "Is the app's name right?" in result.stderr
    assert "--create-app" not in result.stderr


def test_a_journal_is_gone_on_with_and_undone(shop: Shop, tmp_path: Path) -> None:
    journal = str(tmp_path / "deploy.jsonl")
    set_up(shop, "--env", "API_KEY=hunter1")
    refusal = Fault(does="refuse", action="updateMachine", after=1, status=422, body={"error": "no"})
    shop.emulator.faults.add(refusal)
    args = ("--env", "API_KEY=hunter2", "--launch", "v2", "--journal", journal)
    assert converge(shop, "nginx:2", *args).exit_code == 3
    shop.emulator.faults.clear()
    assert "hunter" not in Path(journal).read_text()

    lacking = shop.ask("deploy", "--resume", journal)
    assert lacking.exit_code == 2
    assert "env.API_KEY" in lacking.stderr
    given = ("deploy", "--resume", journal, "--env", "API_KEY=hunter2")
    assert "launch v2: update " in shop.said(*given, "--dry-run")
    assert "web: ok: 2 of 2 machines" in shop.said(*given)
    assert set(images(shop).values()) == {"nginx:2"}

    plan = shop.said("deploy", "--resume", journal, "--undo", "--dry-run")
    assert '~ image: "nginx:2" → "nginx:1"' in tags(plan)
    shop.said("deploy", "--resume", journal, "--undo")
    assert set(images(shop).values()) == {"nginx:1"}


def test_a_release_command_that_the_journal_lacks_is_given_again(shop: Shop, tmp_path: Path) -> None:
    journal, command = str(tmp_path / "deploy.jsonl"), "migrate --password hunter2"
    shop.emulator.faults.add(Fault(does="refuse", action="createMachine", name="release-*"))
    assert converge(shop, "nginx:1", "--release-command", command, "--journal", journal).exit_code == 1
    shop.emulator.faults.clear()
    assert shop.ask("deploy", "--resume", journal).exit_code == 2
    again = ("--release-command", command, "--release-timeout", "60")
    assert "release command" in shop.said("deploy", "--resume", journal, *again)


def test_what_is_no_journal_is_told(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("hello\n")
    result = shop.ask("deploy", "--resume", str(other))
    assert result.exit_code == 2
    assert f"{other}, line 1" in result.stderr


async def take_lease(machine_id: str) -> None:
    async with FlyClient() as fly:
        await fly.leases.acquire("web", machine_id, ttl=3600, description="flyasync deploy v9")


def test_another_deploy_under_way_is_told_and_exits_with_6(shop: Shop) -> None:
    set_up(shop)
    shop.drive(take_lease(shop.json("machines", "list", "web")[0]["id"]))
    result = converge(shop, "nginx:2")
    assert result.exit_code == 6
    assert "another deploy is running, launch v9, so nothing was changed" in result.stderr
    assert result.stdout == ""
    assert set(images(shop).values()) == {"nginx:1"}


# The report as a page


@pytest.mark.parametrize("args", [(), ("--smoke-check", "5"), ("--json",)])
def test_the_report_is_written_as_a_page_however_it_ends(shop: Shop, tmp_path: Path, args: tuple[str, ...]) -> None:
    shop.emulator.faults.add(CRASH)
    page = tmp_path / "report.html"
    page.touch(mode=0o644)
    result = converge(shop, "nginx:2", "--html", str(page), *args)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600  # it tells what runs where
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert f"flyasync: the report as a page: {page}\n" in result.stderr


def test_a_look_before_writes_no_file(shop: Shop, tmp_path: Path) -> None:
    files = ("--html", str(tmp_path / "a"), "--journal", str(tmp_path / "b"))
    assert converge(shop, "nginx:2", "--dry-run", *files).exit_code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--html", "--journal"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_happens(
    shop: Shop, tmp_path: Path, option: str
) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "file"):
        result = converge(shop, "nginx:2", option, str(path))
        assert result.exit_code == 2
        assert "cannot be written" in result.stderr
    assert images(shop) == {}


def test_stopped_machines_that_nobody_verified_end_with_a_status_of_their_own(shop: Shop) -> None:
    set_up(shop)
    shop.ask("machines", "stop", "web", *(each["id"] for each in shop.json("machines", "list", "web")))
    result = converge(shop, "nginx:2", "--json")
    report = events(result.stdout)[-1]["report"]
    assert (result.exit_code, report["ok"], report["status"]) == (8, False, "not verified")
    assert set(images(shop).values()) == {"nginx:2"}
    assert converge(shop, "nginx:3", "--verify-stopped", "always").exit_code == 0
