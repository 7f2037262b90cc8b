"""That launches are compared, each by what the emulator saw of it, and that a rival which cannot run is told."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.fleet.floor import floor
from benchmarks.launch import (
    COLUMNS,
    OURS,
    PINNED,
    RIVALS,
    ahead_of_ours,
    figures,
    in_real_time,
    launched,
    measure,
    virtually,
    why_slower,
)
from benchmarks.parts.launch_programs import Program, installed
from benchmarks.parts.launch_rivals import REGIONS, Launched, Wanted, wanted
from flyasync import FlyClient, MachineConfig


def test_each_rival_has_its_figures_and_each_goal_its_column() -> None:
    virtual, real, hedged = measure(tiny=True)
    names = set(COLUMNS)
    assert [row.name for row in virtual.rows] == [f"{apps}: {name}" for apps in ("1 app", "3 apps") for name in RIVALS]
    assert [row.name for row in real.rows] == [OURS]
    for table in (virtual, real):
        assert all(row.figures.keys() == names for row in table.rows)
        goals = {goal.column for row in table.rows for goal in row.goals}
        assert goals
        assert names >= goals
    assert real.rows[0].figures["started"] == 3
    assert all(row.figures.keys() == set(hedged.columns) for row in hedged.rows)
    assert {row.figures["started"] for row in hedged.rows if row.goals} == {row.figures["left"] for row in hedged.rows}


@pytest.mark.parametrize(
    ("name", "started"),
    [
        (OURS, 8),
        (PINNED, 8),
        ("aiohttp, gather", 3),
        ("aiohttp, gather, a 429 once more after 2 s", 5),
        ("aiohttp, gather, a 429 again each second", 8),
        ("aiohttp, aiolimiter, a 429 again", 8),
    ],
)
async def test_of_eight_machines_in_one_app_so_many_run(name: str, started: int) -> None:
    came = await launched(RIVALS[name], wanted(8, apps=1))
    assert came.started == came.waits == started
    assert (came.limited == 0) == (name in {OURS, PINNED})


def test_each_app_gets_as_many_machines_and_the_regions_follow_each_other() -> None:
    order = wanted(60, apps=3)
    assert Counter(each.app for each in order) == {"shop-0": 20, "shop-1": 20, "shop-2": 20}
    assert Counter(each.region for each in order) == dict.fromkeys(REGIONS, 2)
    assert len(set(REGIONS)) == 30


def test_a_launch_that_gave_up_has_no_ratio() -> None:
    least = floor(1, at_once=1, machines=6, boot=2)
    came = Launched(started=6, seconds=10, limited=4, requests=12, waits=6)
    assert figures(6, least, came)["ratio"] == 2
    assert figures(12, least, came)["ratio"] is None
    assert figures(12, least, came)["requests each"] == 1


def test_the_margin_is_to_blame_only_where_a_burst_is_used_up() -> None:
    assert "margin" in why_slower(floor(1, at_once=1, machines=60, boot=2))
    assert "margin" not in why_slower(floor(30, at_once=30, machines=2, boot=2))


def test_the_floor_counts_the_slowest_create_the_boot_and_one_response() -> None:
    least = floor(1, at_once=1, machines=6, boot=2, travel=(0.1, 0.3))
    assert least.published == pytest.approx(3 + 0.2 + 2 + 0.2)
    assert least.one_request == pytest.approx(0.2)
    # Of three that leave together, the slowest is expected after three quarters of the range.
    assert floor(1, at_once=1, machines=3, boot=2, travel=(0.1, 0.3)).published == pytest.approx(0.25 + 2 + 0.2)


def test_where_a_rival_is_ahead_both_are_listed_request_by_request() -> None:
    came = {name: virtually(RIVALS[name], 6, 3) for name in (OURS, "aiohttp, gather")}
    of, ours, theirs = ahead_of_ours("6 in 3 apps", 6, came)
    assert of.startswith("The last machine of 6 in 3 apps")
    asked = [step.split(" ", 1)[1] for step in ours.partition(": ")[2].split(" -> ")]
    assert asked == [
        "getRegions, graphql, listMachines, listSecrets",
        "createMachine",
        "waitMachine",
        "listMachines",
        "over",
    ]
    assert [step.split(" ")[1] for step in theirs.partition(": ")[2].split(" -> ")] == [
        "createMachine",
        "waitMachine",
        "over",
    ]
    assert not list(ahead_of_ours("", 8, {name: virtually(RIVALS[name], 8, 1) for name in (OURS, "aiohttp, gather")}))


def test_a_rival_that_knows_no_waits_is_measured_too() -> None:
    async def lists(url: str, token: str, order: Sequence[Wanted]) -> None:
        async with FlyClient(token, base_url=url) as fly:
            await fly.machines.create(order[0].app, MachineConfig(image="nginx"), region=order[0].region)
            while any(each.state != "started" for each in await fly.machines.list(order[0].app)):
                pass  # the limit makes it wait

    came = virtually(lists, 1, 1)
    assert (came.started, came.waits) == (1, 0)
    assert [step.split(" ")[1] for step in came.path.split(" -> ")][:2] == ["createMachine", "listMachines"]


def test_what_cannot_be_installed_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    python = Path(sys.executable).name
    kits = {
        "a": Program(["a"], installs=[(sys.executable, "-c", "raise SystemExit(3)")]),
        "b": Program(["b"], installs=[(sys.executable, "-c", ""), ("no-such-installer",)]),
        "c": Program(["DIR/c"], {"PLACE": "DIR"}, installs=[(sys.executable, "-c", "")]),
    }
    programs, missing = installed(kits, tmp_path)
    assert programs == {"c": Program([f"{tmp_path}/2/c"], {"PLACE": f"{tmp_path}/2"})}
    assert missing == {
        "a": f"{python} failed, CalledProcessError",
        "b": "no-such-installer failed, FileNotFoundError",
    }


def test_a_program_that_breaks_has_a_row_that_says_so() -> None:
    breaks = Program([sys.executable, "-c", "print('ready'); raise SystemExit(1)"])
    table = in_real_time(1, {"broken": breaks}, {"absent": "no network"}, boot=0.1)
    assert [row.name for row in table.rows] == [
        OURS,
        "absent, not measured: no network",
        "broken, not measured: it broke",
    ]
    assert not [row for row, _ in table.missed if row.name != OURS]
