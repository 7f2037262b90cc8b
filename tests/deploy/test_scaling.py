"""The benchmarks of many apps, at a tiny size: what they measure with is right, and they run."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve

from benchmarks import bulk, scaling
from benchmarks.fleet.apps import Held, check, orders
from benchmarks.fleet.cluster import staged
from benchmarks.fleet.floor import Floor, floor, last
from benchmarks.fleet.simulation import LAUNCH, Mark, Run, simulate
from benchmarks.scaling import Lap, Load, lap

ASKED = orders(2, ("iad", "lhr"))
HELD = [
    Held(row.app, region, row.image, row.tenant, LAUNCH, name=f"{LAUNCH}-{region}-1")
    for row in ASKED
    for region in row.regions
]


def judged(machines: Sequence[Held], limited: int = 0) -> dict[str, int]:
    result = check(ASKED, LAUNCH, machines, limited=limited)
    told = {name: getattr(result, name) for name in ("exact", "missing", "extra", "orphans", "limited")}
    assert result.is_flawless == (told == {"exact": 2, "missing": 0, "extra": 0, "orphans": 0, "limited": 0})
    return told


def test_what_was_asked_for_is_flawless() -> None:
    assert judged(HELD) == {"exact": 2, "missing": 0, "extra": 0, "orphans": 0, "limited": 0}


def test_a_429_is_a_flaw() -> None:
    assert judged(HELD, limited=1)["limited"] == 1


@pytest.mark.parametrize("name", [HELD[0].name, "another"])
def test_a_second_machine_in_a_region_is_extra(name: str) -> None:
    told = judged([*HELD, evolve(HELD[0], name=name)])
    assert told == {"exact": 1, "missing": 0, "extra": 1, "orphans": 0, "limited": 0}


@pytest.mark.parametrize("differing", [{"app": "nobody"}, {"region": "nrt"}, {"launch": "another"}, {"launch": None}])
def test_a_machine_that_nobody_asked_for_is_an_orphan(differing: dict[str, Any]) -> None:
    stray = evolve(HELD[0], name="stray", **differing)
    result = check(ASKED, LAUNCH, [*HELD, stray])
    assert (result.orphans, result.extra, result.missing) == (1, 0, 0)
    assert not result.is_flawless


@pytest.mark.parametrize("differing", [{"image": "shop:0"}, {"tenant": "another"}, {"state": "starting"}])
def test_a_machine_that_is_not_as_its_row_says_is_missing(differing: dict[str, str]) -> None:
    told = judged([evolve(HELD[0], **differing), *HELD[1:]])
    assert told == {"exact": 1, "missing": 1, "extra": 0, "orphans": 0, "limited": 0}


def test_an_app_without_machines_is_told() -> None:
    result = check(ASKED, LAUNCH, HELD[:2])
    assert result.wrong == {ASKED[1].app: "nothing"}
    assert result.missing == 2


def test_an_app_that_was_listed_more_often_than_a_deploy_does_was_begun_again() -> None:
    assert check(ASKED, LAUNCH, HELD, lists=[3, 2]).begun_again == 1


def test_no_two_rows_are_alike() -> None:
    rows = orders(50, ("iad",))
    assert len({(row.image, row.tenant) for row in rows}) == len({row.app for row in rows}) == 50


def test_the_last_of_some_requests_leaves_after_the_burst_at_the_rate() -> None:
    assert [last(requests, burst=3, per_second=1.0) for requests in (1, 3, 4, 10)] == [0.0, 0.0, 1.0, 7.0]
    assert last(11, burst=1, per_second=5.0) == 2.0


def test_the_floor_is_a_round_for_each_so_many_apps_at_once() -> None:
    assert floor(1000, at_once=100, machines=3, boot=2.0) == Floor(published=20.0, kept=25.0)
    assert floor(10, at_once=100, machines=5, boot=2.0) == Floor(published=4.0, kept=4.5)


async def test_a_simulation_deploys_all_its_apps_no_faster_than_the_floor() -> None:
    run, marks = Run(apps=20, at_once=10), list[Mark]()
    seen = await simulate(run, marks.append)
    assert not seen.wrong
    assert not seen.limited
    assert seen.requests == {
        "createMachine": 60, "waitMachine": 60, "listMachines": 40, "getRegions": 1, "graphql": 20, "listSecrets": 20,
    }  # fmt: skip
    assert [mark.apps for mark in marks] == [20]
    assert run.floor(20).kept <= marks[0].virtual < 1.5 * run.floor(20).kept


def test_the_tables_of_the_simulation_tell_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["--only", "simulation", "--apps", "10", "--at-once", "5", "--machines", "1"]) == 0
    assert capsys.readouterr().out.count("10 apps exactly as asked for, 0 wrong, 0 x 429") == 2


@pytest.mark.no_cover
def test_real_processes_run_a_lap_and_a_bulk_whose_command_is_killed() -> None:
    load = Load(in_flight=2, rounds=1, boot=0.2, machines=1)
    options = bulk.Options(apps=6, regions=2, workers=1, in_flight=3, kill="command", settle=0.2)

    async def both() -> tuple[Lap, tuple[bool, dict[str, object]]]:
        async with staged(1, boot=(0.2, 0.2), latency=(0.0, 0.0)) as stage:
            return await lap(stage, load), await bulk.run(stage, options)

    with asyncio.Runner() as runner:
        measured, (is_as_asked, figures) = runner.run(both())
    assert 0 < measured.rate < load.floor(1)
    assert is_as_asked, figures
    assert "the command killed at" in str(figures["flyasync bulk"])
