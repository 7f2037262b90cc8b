"""A machine that is late gets a rival; the slower of the two is gone in the end."""

import asyncio
from contextlib import aclosing

import pytest

from flyasync import DeployBuilder, Emulator, Event, Fault, Finished, Phase, Progress, Result, deploy_many
from flyasync.emulator.core.records import MachineRecord
from flyasync.models.image import without_digest
from tests.deploy.conftest import total, world

STUCK = Fault(does="stay_starting", name="app-lhr-2", times=1)
APP = DeployBuilder("web").to_regions("iad", "lhr").count(3).with_image("nginx:1").rolling().smoke_check(0)
BOOT = (2, 3)


def there(emulator: Emulator) -> list[str]:
    gone = {"destroying", "destroyed"}
    return sorted(machine.name for machine in emulator.world.machines.values() if machine.state not in gone)


EXACTLY = [f"app-{region}-{number}" for region in ("iad", "lhr") for number in (1, 2, 3)]
REPLACED = sorted([*(name for name in EXACTLY if name != "app-lhr-2"), "app-lhr-2-hedge"])


async def test_a_straggler_is_replaced_and_destroyed() -> None:
    async with world(seed=1, boot=BOOT, faults=[STUCK]) as (emulator, fly):
        report = await APP.hedge(3).execute(fly)
        assert there(emulator) == REPLACED
        again = await APP.hedge(3).plan(fly)
    assert report.ok, str(report)
    assert report.seconds < 30
    late = next(machine for machine in report.machines if machine.name == "app-lhr-2")
    assert late.result is Result.RUNNING
    assert [moment.phase for moment in late.moments].count(Phase.HEDGING) == 1
    assert not report.surplus
    assert again.is_empty, str(again)


async def test_none_is_late_until_three_have_started() -> None:
    stuck = Fault(does="stay_starting", name="app-lhr-1", times=1)
    two_started = APP.count(iad=2, lhr=1).wait_for("started", timeout=40)
    async with world(seed=1, boot=BOOT, faults=[stuck]) as (emulator, fly):
        report = await two_started.hedge(3).execute(fly)
        assert there(emulator) == ["app-iad-1", "app-iad-2", "app-lhr-1"]
    assert not report.ok


async def test_a_launch_may_hedge_as_well() -> None:
    late = Fault(does="stay_starting", name="v1-lhr-2", times=1)
    launch = DeployBuilder("web").to_regions("iad", "lhr").count(3).with_image("nginx").with_launch("v1").require("all")
    async with world(seed=1, boot=BOOT, faults=[late]) as (emulator, fly):
        report = await launch.hedge(3).execute(fly)
        assert len(there(emulator)) == 6
        assert "v1-lhr-2-hedge" in there(emulator)
    assert report.ok, str(report)


async def test_adopted_machines_are_not_siblings_that_start_at_once() -> None:
    launch = DeployBuilder("web").to_regions("iad").with_image("nginx").with_launch("v1").require("all").hedge(3)
    async with world(seed=1, boot=BOOT) as (emulator, fly):
        for _ in range(4):
            report = await launch.count(3).execute(fly)
            assert report.ok, str(report)
        report = await launch.count(6).execute(fly)
        assert total(emulator, "createMachine") == 6
    assert report.ok, str(report)


async def test_a_rival_does_not_wait_for_the_creates_of_all_others() -> None:
    """At one create a second, those of this launch take a minute and more; the stuck ones are among the first."""
    stuck = Fault(does="stay_created", after=3, times=3)
    launch = DeployBuilder("web").to_regions("iad", "lhr", "nrt").count(25).with_image("nginx").with_launch("v1")
    events: list[Event] = []
    async with world(seed=1, boot=(1, 2), faults=[stuck]) as (_, fly):
        report = await launch.require("all").hedge(3).on_event(events.append).execute(fly)
    assert report.ok, str(report)
    assert report.seconds > 60
    hedged = {e.name: e.at for e in events if isinstance(e, Progress) and e.phase is Phase.HEDGING}
    ready = {machine.name: machine.ready_after or 0.0 for machine in report.machines}
    assert len(hedged) >= 3
    assert max(ready[name] - at for name, at in hedged.items()) < 10
    assert max(hedged.values()) < 30


async def test_machines_of_other_apps_are_siblings_too() -> None:
    stuck = Fault(does="stay_starting", name="v1-iad-1", times=1)
    builder = DeployBuilder("shop").to_regions("iad").with_image("nginx").with_launch("v1").require("all").hedge(2)
    async with world(seed=1, boot=(2, 2), faults=[stuck]) as (_, fly):
        apps = [f"shop-{number}" for number in range(5)]
        for app in apps:
            await fly.apps.create(app, org_slug="personal")
        async with aclosing(deploy_many(fly, builder, apps)) as reports:
            told = {report.app: report async for report in reports}
    assert all(report.ok for report in told.values())
    hedged = [app for app, each in told.items() if Phase.HEDGING in {one.phase for one in each.machines[0].moments}]
    (late,) = hedged
    assert 6 <= told[late].seconds < 8


async def test_a_rival_that_is_late_gets_another_one() -> None:
    both = [STUCK, Fault(does="stay_starting", name="app-lhr-2-hedge", times=1)]
    async with world(seed=1, boot=BOOT, faults=both) as (emulator, fly):
        report = await APP.hedge(2).execute(fly)
        assert "app-lhr-2-hedge-2" in there(emulator)
        assert len(there(emulator)) == 6
    assert report.ok, str(report)
    assert not report.surplus


async def test_a_machine_gets_no_more_than_three_rivals() -> None:
    faults = [Fault(does="stay_starting", name="app-lhr-2*")]
    async with world(seed=1, boot=BOOT, faults=faults) as (emulator, fly):
        report = await APP.hedge(2).wait_for(timeout=60).execute(fly)
        assert total(emulator, "createMachine") == 6 + 3
        assert there(emulator) == EXACTLY
    assert not report.ok


async def test_a_machine_counts_as_started_before_the_loser_is_destroyed() -> None:
    slow = Fault(does="delay", action="deleteMachine", seconds=20)
    async with world(seed=1, boot=(2, 2), faults=[STUCK, slow]) as (_, fly):
        report = await APP.hedge(2).execute(fly)
    late = next(machine for machine in report.machines if machine.name == "app-lhr-2")
    started = next(moment.at for moment in late.moments if moment.phase is Phase.STARTED)
    assert started < 15
    assert report.seconds > 20


async def test_nobody_is_hedged_without_asking() -> None:
    async with world(seed=1, boot=BOOT, faults=[STUCK]) as (emulator, fly):
        report = await APP.wait_for(timeout=60).execute(fly)
        assert total(emulator, "createMachine") == 6
        assert there(emulator) == EXACTLY
    assert [machine.name for machine in report.machines if machine.result is Result.FAILED] == ["app-lhr-2"]


async def test_machines_that_are_merely_slower_have_no_rival() -> None:
    async with world(seed=1, boot=(2, 5)) as (emulator, fly):
        report = await APP.hedge(4).execute(fly)
        assert total(emulator, "createMachine") == 6
    assert report.ok


async def test_a_loser_that_cannot_be_destroyed_is_surplus_and_fails_nobody() -> None:
    faults = [STUCK, Fault(does="refuse", action="deleteMachine", status=400, body={"error": "no"})]
    async with world(seed=1, boot=BOOT, faults=faults) as (emulator, fly):
        report = await APP.hedge(3).execute(fly)
        (loser,) = (each.id for each in emulator.world.machines.values() if each.name == "app-lhr-2")
    assert {machine.result for machine in report.machines} == {Result.RUNNING}
    assert not [machine.name for machine in report.machines if machine.ready_after is None]
    assert Phase.FAILED not in {moment.phase for machine in report.machines for moment in machine.moments}
    assert report.surplus == (loser,)
    assert (report.status, report.ok) == ("degraded", False)
    assert f"surplus machines remain, run the deploy again, or destroy them: {loser}" in report.why_degraded


async def test_where_the_late_one_comes_first_after_all_the_rival_goes() -> None:
    """The rival is the one that never starts; the late one is let go on by the test."""
    faults = [STUCK, Fault(does="stay_starting", name="*-hedge")]
    async with world(seed=1, boot=BOOT, faults=faults) as (emulator, fly):
        stuck = asyncio.Event()
        rival = ("app-lhr-2-hedge", "starting")
        emulator.on_change(lambda machine: stuck.set() if (machine.name, machine.state) == rival else None)
        deploy = asyncio.ensure_future(APP.hedge(3).execute(fly))
        await stuck.wait()
        late = next(machine for machine in emulator.world.machines.values() if machine.name == "app-lhr-2")
        await fly.machines.stop("web", late.id)
        await fly.machines.wait("web", late.id, state="stopped")
        await asyncio.sleep(3)
        await fly.machines.start("web", late.id)
        report = await deploy
        assert there(emulator) == EXACTLY
    assert report.ok, str(report)


async def test_a_late_one_that_starts_while_its_rival_is_created_is_kept_at_once() -> None:
    faults = [
        STUCK,
        Fault(does="delay", action="createMachine", name="*-hedge", seconds=20),
        Fault(does="stay_starting", name="*-hedge"),
    ]
    hedging = asyncio.Event()

    def observe(event: Event) -> None:
        if isinstance(event, Progress) and event.phase is Phase.HEDGING:
            hedging.set()

    async with world(seed=1, boot=BOOT, faults=faults) as (emulator, fly):
        deploy = asyncio.ensure_future(APP.hedge(3).on_event(observe).execute(fly))
        await hedging.wait()
        late = next(machine for machine in emulator.world.machines.values() if machine.name == "app-lhr-2")
        await fly.machines.stop("web", late.id)
        await fly.machines.wait("web", late.id, state="stopped")
        await fly.machines.start("web", late.id)
        report = await deploy
        assert there(emulator) == EXACTLY
    assert report.ok, str(report)
    kept = next(machine for machine in report.machines if machine.name == "app-lhr-2")
    at = {moment.phase: moment.at for moment in kept.moments}
    assert at[Phase.STARTED] - at[Phase.HEDGING] < 22


async def test_when_neither_starts_it_fails_and_no_rival_is_left() -> None:
    faults = [Fault(does="stay_starting", name="app-lhr-2*")]
    async with world(seed=1, boot=BOOT, faults=faults) as (emulator, fly):
        report = await APP.hedge(3).wait_for(timeout=60).execute(fly)
        assert there(emulator) == EXACTLY
    assert not report.ok
    assert [machine.name for machine in report.machines if machine.result is Result.FAILED] == ["app-lhr-2"]
    assert not report.surplus


async def test_a_region_without_room_for_a_rival_waits_for_the_late_one() -> None:
    async with world(seed=1, boot=BOOT, faults=[STUCK], capacity={"lhr": 3}) as (emulator, fly):
        report = await APP.hedge(3).wait_for(timeout=60).execute(fly)
        assert there(emulator) == EXACTLY
    assert "not within" in str(report) or "its state is starting" in str(report)


@pytest.mark.parametrize("seconds", [8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0])
async def test_cancelled_in_the_middle_it_leaves_nothing_unreported(seconds: float) -> None:
    events: list[Event] = []
    faults = [Fault(does="stay_starting", name="app-lhr-2*")]
    async with world(seed=1, boot=BOOT, latency=(0.2, 0.4), faults=faults) as (_, fly):
        deploy = asyncio.ensure_future(APP.hedge(2).on_event(events.append).execute(fly))
        await asyncio.sleep(seconds)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
        await asyncio.sleep(30)
        left = {machine.id for machine in await fly.machines.list("web")}
    assert isinstance(events[-1], Finished)
    report = events[-1].report
    assert left == {*(machine.id for machine in report.machines if machine.id), *report.surplus}


async def test_those_cancellations_come_in_the_middle() -> None:
    """At those times there is a rival, or it is about to be made, and the race is not decided."""
    events: list[Event] = []
    faults = [Fault(does="stay_starting", name="app-lhr-2*")]
    async with world(seed=1, boot=BOOT, latency=(0.2, 0.4), faults=faults) as (_, fly):
        report = await APP.hedge(2).wait_for(timeout=60).on_event(events.append).execute(fly)
    hedged = [event.at for event in events if isinstance(event, Progress) and event.phase is Phase.HEDGING]
    assert 8.0 < hedged[0] < 12.0 < report.seconds


async def test_a_rival_of_a_green_machine_is_outside_routing_until_all_are_let_in() -> None:
    green = APP.bluegreen(drain=0).wait_for("started").hedge(3)
    async with world(seed=1, boot=BOOT) as (emulator, fly):
        await APP.execute(fly)
        emulator.faults.add(Fault(does="stay_starting", name="app-lhr-5", times=1))
        too_early: list[str] = []

        def look(machine: MachineRecord) -> None:
            if machine.name == "app-lhr-5-hedge" and not machine.is_cordoned:
                green = (
                    one for one in emulator.world.machines.values() if without_digest(one.config["image"]) == "nginx:2"
                )
                too_early.extend(one.name for one in green if one.state in {"created", "starting"})

        emulator.on_change(look)
        report = await green.with_image("nginx:2").execute(fly)
        assert "app-lhr-5-hedge" in there(emulator)
        assert len(there(emulator)) == 6
        routed = {
            one.name for one in emulator.world.machines.values() if not one.is_cordoned and one.state == "started"
        }
        assert routed == set(there(emulator))
    assert report.ok, str(report)
    assert too_early in ([], ["app-lhr-5"])
