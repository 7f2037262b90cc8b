"""Lists that lag: nothing is concluded from a row that is older than what was observed, or from one that is missing."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flyasync import Check, DeployBuilder, Emulator, Fault, FlyClient, FlyError, Machine, NotFound
from flyasync.deploy.list_lag import fetch, is_behind, settled
from flyasync.testing import mock_machine
from tests.deploy.conftest import world

APP = DeployBuilder("web").to_regions("iad", "lhr").count(2).smoke_check(1)
CHECKED = APP.with_check("up", Check(type="tcp", port=80, interval=2, timeout=1))
STRATEGIES = {
    "rolling": APP.rolling(),
    "canary": APP.canary(soak=2),
    "bluegreen": CHECKED.bluegreen(drain=1),
    "immediate": APP.immediate(),
}
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z"


def stale(seconds: float) -> Fault:
    """Lists show the state of some seconds ago."""
    return Fault(does="stale", action="listMachines", seconds=seconds)


def there(emulator: Emulator) -> Counter[str]:
    """Count the machines that are there by their images."""
    gone = {"destroying", "destroyed"}
    return Counter(
        each.config["image"].partition("@")[0] for each in emulator.world.machines.values() if each.state not in gone
    )


def row(**shown: Any) -> Machine:
    return mock_machine(**{"instance_id": "01B", "updated_at": LATE, "state": "started", **shown})


@pytest.mark.parametrize(
    ("shown", "known"),
    [
        (row(instance_id="01A"), row()),
        (row(updated_at=EARLY), row()),
        (row(), row(state="destroyed")),
    ],
)
def test_a_row_is_behind_what_was_observed_later(shown: Machine, known: Machine) -> None:
    assert is_behind(shown, known)
    assert not is_behind(known, shown)
    assert not is_behind(shown, shown)


def test_a_newer_version_counts_more_than_a_time_and_a_missing_time_proves_nothing() -> None:
    assert not is_behind(row(instance_id="01C", updated_at=EARLY), row())
    assert not is_behind(row(updated_at=None), row())


@pytest.mark.parametrize("seconds", [3, 8])
@pytest.mark.parametrize("name", STRATEGIES)
async def test_what_a_deploy_reports_is_so_however_late_the_list(name: str, seconds: float) -> None:
    app = STRATEGIES[name].roll_back_on_failure()
    async with world(seed=1, faults=[stale(seconds)]) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        await asyncio.sleep(seconds)  # only a name that is taken tells of a machine that no list shows
        for image in ("shop:2", "shop:1"):  # each at once after the other, the last one back to the first
            report = await app.with_image(image).execute(fly)
            assert report.ok, str(report)
            assert there(emulator) == {image: 4}
        assert (await app.with_image("shop:1").plan(fly)).is_empty


@pytest.mark.parametrize("name", STRATEGIES)
async def test_an_undo_goes_back_by_one_release(name: str) -> None:
    app = STRATEGIES[name]
    async with world(seed=1, faults=[stale(8)]) as (emulator, fly):
        assert (await app.with_image("shop:0").execute(fly)).ok
        await asyncio.sleep(8)
        for image in ("shop:1", "shop:2"):
            assert (await app.with_image(image).execute(fly)).ok
        report = await DeployBuilder("web").undo(fly)
        assert report.ok, str(report)
        assert there(emulator) == {"shop:1": 4}


async def test_after_a_rollback_nothing_is_called_running_that_the_rollback_destroyed() -> None:
    """The list still shows a new machine as promised: only the rollback knows that it is gone."""
    app = CHECKED.immediate().wait_for(timeout=20)
    async with world(seed=1, faults=[stale(8)]) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        await asyncio.sleep(8)
        emulator.faults.add(Fault(does="checks_never_pass", image="shop:2", region="lhr", times=1))
        report = await app.with_image("shop:2").count(3).roll_back_on_failure().execute(fly)
        assert report.rollback
        assert report.rollback.ok, str(report)
        assert there(emulator) == {"shop:1": 4}
        assert report.running == ()


async def test_a_launch_again_makes_no_second_machines() -> None:
    launch = APP.with_image("shop:1").with_launch("v1")
    async with world(seed=1, faults=[stale(8)]) as (emulator, fly):
        for _ in range(2):
            report = await launch.execute(fly)
            assert report.ok, str(report)
            assert there(emulator) == {"shop:1": 4}


@pytest.mark.parametrize("seconds", [3, 8, 60])
@pytest.mark.parametrize("name", STRATEGIES)
async def test_a_deploy_plans_anew_with_the_machines_that_no_list_shows_yet(name: str, seconds: float) -> None:
    # After a change, and here some are listed before others, only one that is not to roll back may plan anew.
    app = STRATEGIES[name].roll_back_on_failure(seconds < 60 and name != "canary")
    async with world(seed=1, faults=[stale(seconds)]) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        report = await app.with_image("shop:2").execute(fly)
        assert report.ok, str(report)
        assert there(emulator) == {"shop:2": 4}


async def test_what_was_planned_anew_is_rolled_back_to_what_was_there() -> None:
    app = APP.rolling().roll_back_on_failure().wait_for(timeout=20)
    async with world(seed=1, faults=[stale(8)]) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        emulator.faults.add(Fault(does="crash", image="shop:2", region="lhr"))
        report = await app.with_image("shop:2").execute(fly)
        assert report.rollback
        assert report.rollback.ok, str(report)
        assert there(emulator) == {"shop:1": 4}


async def test_a_deploy_that_has_changed_machines_plans_anew_unless_it_is_to_roll_back() -> None:
    """The list shows the machines of before a scale-out, and the names of the others are taken."""
    app = APP.rolling()
    for rolls_back in (False, True):
        async with world(seed=1, faults=[stale(8)]) as (emulator, fly):
            assert (await app.count(1).with_image("shop:1").execute(fly)).ok
            await asyncio.sleep(8)
            assert (await app.with_image("shop:1").execute(fly)).ok
            report = await app.with_image("shop:2").roll_back_on_failure(rolls_back).execute(fly)
            assert report.ok is not rolls_back, str(report)
            assert there(emulator) == {"shop:1": 4} if rolls_back else {"shop:2": 4}
            assert not rolls_back or "deploy again in a moment" in str(report)


async def test_no_volume_is_left_of_a_plan_that_was_made_anew() -> None:
    app = APP.rolling().with_volume("data", "/data")
    async with world(seed=1, faults=[stale(8)]) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        report = await app.with_image("shop:2").execute(fly)
        assert report.ok, str(report)
        assert there(emulator) == {"shop:2": 4}
        assert all(volume.attached_machine_id for volume in await fly.volumes.list("web"))


async def test_what_no_list_shows_is_not_changed_while_another_deployer_is_at_work_on_it() -> None:
    async with world(seed=1, faults=[stale(60)]) as (emulator, fly):
        assert (await APP.rolling().with_image("shop:1").execute(fly)).ok
        oldest = min(emulator.world.machines.values(), key=lambda each: (each.created_at, each.id))
        async with fly.leases.hold("web", oldest.id, ttl=60):
            report = await APP.rolling().with_image("shop:2").execute(fly)
        assert not report.ok
        assert f"(machine {oldest.id}), but the list of machines did not show it yet" in str(report)
        assert there(emulator) == {"shop:1": 4}


async def test_a_second_deployer_is_kept_out_though_the_list_shows_machines_that_are_gone() -> None:
    """A bluegreen has replaced all; the machines that lock are those which no late list shows."""
    app = STRATEGIES["bluegreen"]
    async with world(seed=1, faults=[stale(3)]) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        await asyncio.sleep(3)
        assert (await app.with_image("shop:2").execute(fly)).ok
        up = [each for each in emulator.world.machines.values() if each.state == "started"]
        oldest = min(up, key=lambda each: (each.created_at, each.id))
        async with fly.leases.hold("web", oldest.id, ttl=60):
            with pytest.raises(FlyError, match="so nothing was changed"):
                await app.with_image("shop:3").execute(fly)
        assert there(emulator) == {"shop:2": 4}


# One machine, answered by a script.


def scripted(*answers: Machine | Exception) -> tuple[FlyClient, list[Machine | Exception]]:
    left = list(answers)

    async def get(*_: object) -> Machine:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return cast("FlyClient", SimpleNamespace(machines=SimpleNamespace(get=get))), left


MISSING = NotFound("machines.get", "web/m", "machine not found", status=404)


async def test_one_404_proves_nothing_and_two_do() -> None:
    fly, _ = scripted(MISSING, row())
    assert await fetch(fly, "web", "m") == row()
    fly, left = scripted(MISSING, MISSING, row())
    assert await fetch(fly, "web", "m") is None
    assert left == [row()]


def told(*kinds: str, state: str = "stopped", **shown: Any) -> Machine:
    """A machine with such events, newest first."""
    events = [{"type": kind, "timestamp": 100 - number} for number, kind in enumerate(kinds)]
    return row(state=state, events=events, **shown)


AT_REST = [
    told("stop", "start"),
    told("suspend", "start", state="suspended"),
    told("exit", "start"),  # its process has ended by itself
    told("exit", "stop", "start"),
    told("update", "launch", config={"image": "nginx", "standbys": ["m2"]}),  # each deploy updates it as it is
]
AMID = [
    told("exit", "update", "start"),  # an update has ended its process, and starts the next one
    told("update", "start"),
    told("launch", "exit", "update"),
    told(),
]


@pytest.mark.parametrize("machine", AT_REST)
async def test_a_machine_that_was_stopped_is_at_rest(machine: Machine) -> None:
    fly, _ = scripted()
    assert await settled(fly, "web", machine) == machine


@pytest.mark.parametrize("machine", AMID)
async def test_a_machine_that_reads_as_stopped_amid_an_update_is_not_at_rest(machine: Machine) -> None:
    started = told("start", state="started")
    fly, left = scripted(machine, started)
    assert await settled(fly, "web", machine) == started
    assert not left


async def test_one_that_stays_stopped_is_at_rest_and_is_not_waited_for_again() -> None:
    machine = told("launch", "stop")
    fly, left = scripted(*[machine] * 11)
    assert await settled(fly, "web", machine) == machine
    assert len(left) == 1
    assert await settled(fly, "web", machine, known=machine) == machine
    assert len(left) == 1
