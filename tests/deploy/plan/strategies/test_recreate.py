"""Recreate: all machines of a region stop, then all start again with the new config."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    DeployBuilder,
    Emulator,
    Fault,
    FlyClient,
    InvalidInput,
    Machine,
    Mount,
    Phase,
    Progress,
    Result,
)
from flyasync.deploy.plan.image_digest import plan as plan_for
from flyasync.deploy.plan.plan import Plan
from tests.deploy.conftest import tag, world
from tests.deploy.plan.test_plan import fleet, lost, mounted, new, old, text, volume, wanted

BASE = DeployBuilder("web").to_regions("iad", "lhr").count(2).rolling().with_image("app:v1")
V2 = BASE.with_image("app:v2").recreate()


def recreating(**options: Any) -> Any:
    strategy = V2.deployment().strategy
    return wanted(strategy, **options)


async def shown(fly: FlyClient) -> dict[str, tuple[str, str]]:
    """The image and the state of each machine, by its name."""
    machines = [await fly.machines.get("web", each.id) for each in await fly.machines.list("web")]
    return {machine.name: (tag(machine), machine.state) for machine in machines}


def test_each_region_is_down_until_its_machines_have_started_again() -> None:
    spec = recreating(counts={"iad": 2, "lhr": 1})
    there = fleet(old("app-iad-1"), old("app-iad-2"), old("app-lhr-1"))
    assert str(plan_for(spec, there)) == text("""
        web converges, recreate to app:v2, launch v2: update 3
          1. iad (iad down until restarted)
            iad
              app-iad-1
                stop: the old version stops first
                wait until the other machines of the region are stopped: two versions must not run together
                update in place, leave stopped: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until the update is complete: was stopped, is started next
                start: all machines of the region have stopped
                wait until started: timeout 300 s
              app-iad-2
                stop: the old version stops first
                wait until the other machines of the region are stopped: two versions must not run together
                update in place, leave stopped: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until the update is complete: was stopped, is started next
                start: all machines of the region have stopped
                wait until started: timeout 300 s
          2. lhr (lhr down until restarted)
            lhr
              app-lhr-1
                stop: the old version stops first
                wait until the other machines of the region are stopped: two versions must not run together
                update in place, leave stopped: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until the update is complete: was stopped, is started next
                start: all machines of the region have stopped
                wait until started: timeout 300 s
    """)


def test_regions_of_a_wave_go_down_together() -> None:
    spec = recreating(counts={"iad": 1, "lhr": 1, "nrt": 1}, waves=(("iad", "lhr"), ("nrt",)))
    plan = plan_for(spec, fleet(old("app-iad-1"), old("app-lhr-1"), old("app-nrt-1")))
    assert [stage.title for stage in plan.stages] == [
        "iad and lhr (iad and lhr down until restarted), wave 1 of 2",
        "nrt (nrt down until restarted), wave 2 of 2",
    ]


def test_a_region_in_which_nothing_old_runs_does_not_go_down() -> None:
    spec = recreating(counts={"iad": 3})
    plan = plan_for(spec, fleet(new(spec, "app-iad-1"), old("app-iad-2", "stopped")))
    (stage,) = plan.stages
    assert stage.title == "iad"
    assert not any("stop:" in line or "other machines of the region" in line for line in str(plan).splitlines())


def test_new_machines_wait_until_the_old_ones_have_stopped_and_surplus_ones_go_last() -> None:
    spec = recreating(counts={"iad": 1, "lhr": 2})
    plan = plan_for(spec, fleet(old("app-iad-1"), old("app-iad-2"), old("app-lhr-1")))
    iad, lhr, last = plan.stages
    surplus = next(track for track in iad.tracks if len(track.steps) == 2)
    assert [str(step).split(":")[0] for step in surplus.steps] == [
        "stop",
        "wait until the other machines of the region are stopped",
    ]
    made = next(track for track in lhr.tracks if track.machine_id is None)
    assert str(made.steps[0]).startswith("wait until the other machines of the region are stopped")
    assert [track.machine_id for track in last.tracks] == [surplus.machine_id]
    assert "destroy" in str(last.tracks[0].steps[-1])


def test_what_is_as_desired_is_left_alone() -> None:
    spec = recreating(counts={"iad": 2})
    assert plan_for(spec, fleet(new(spec, "app-iad-1"), new(spec, "app-iad-2"))).is_empty


async def first_deploy(emulator: Emulator, fly: FlyClient) -> list[Machine]:
    assert (await BASE.execute(fly)).ok
    return sorted(await fly.machines.list("web"), key=lambda machine: machine.name)


async def test_two_versions_never_run_together_and_machines_keep_their_ids() -> None:
    async with world(seed=2) as (emulator, fly):
        before = await first_deploy(emulator, fly)
        events: list[Progress] = []
        report = await V2.on_event(lambda event: events.append(event) if isinstance(event, Progress) else None).execute(
            fly
        )
        after = sorted(await fly.machines.list("web"), key=lambda machine: machine.name)
    assert report.ok
    assert [machine.id for machine in after] == [machine.id for machine in before]
    assert {(tag(machine), machine.state) for machine in after} == {("app:v2", "started")}
    for region in ("iad", "lhr"):
        phases = [event.phase for event in events if event.region == region]
        assert phases.index(Phase.UPDATING) > max(n for n, phase in enumerate(phases) if phase is Phase.STOPPED)
        assert phases.count(Phase.STOPPED) == 2
    begun = [event.region for event in events if event.phase is Phase.STOPPING]
    assert begun == sorted(begun)  # lhr stops once iad is up


async def test_volumes_stay_with_their_machines() -> None:
    base = DeployBuilder("web").to_regions("iad").rolling().with_image("app:v1").with_volume("data", "/data")
    async with world(seed=2) as (_, fly):
        await base.execute(fly)
        (before,) = await fly.machines.list("web")
        report = await base.with_image("app:v2").recreate().execute(fly)
        (after,) = await fly.machines.list("web")
        (volume,) = await fly.volumes.list("web")
    assert report.ok
    assert (after.id, tag(after)) == (before.id, "app:v2")
    assert volume.attached_machine_id == after.id


async def test_a_region_that_does_not_come_up_stops_the_rest() -> None:
    crash = Fault(does="crash", region="iad", image="app:v2")
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        emulator.faults.add(crash)
        report = await V2.execute(fly)
        there = await shown(fly)
    assert not report.ok
    assert {image for name, (image, _) in there.items() if "iad" in name} == {"app:v2"}
    assert {state for name, state in there.items() if "lhr" in name} == {("app:v1", "started")}


async def test_a_machine_that_cannot_be_stopped_has_the_others_start_again_as_they_were() -> None:
    async with world(seed=2) as (emulator, fly):
        first, *_ = await first_deploy(emulator, fly)
        refuse = Fault(does="refuse", action="stopMachine", identifier=first.id, status=500, body={"error": "broken"})
        emulator.faults.add(refuse)
        report = await V2.execute(fly)
        await asyncio.sleep(10)  # a start takes its time
        there = await shown(fly)
    assert not report.ok
    assert set(there.values()) == {("app:v1", "started")}
    assert "another machine of its region could not be stopped, so no machine in iad was updated" in str(report)


async def test_one_that_does_not_get_its_update_is_started_again() -> None:
    async with world(seed=2) as (emulator, fly):
        first, second, *_ = await first_deploy(emulator, fly)
        no_room = {"error": "could not reserve resource for machine: insufficient CPUs available to fulfill request"}
        full = Fault(does="refuse", action="updateMachine", identifier=first.id, status=412, body=no_room)
        emulator.faults.add(full)
        report = await V2.execute(fly)
        there = await shown(fly)
    assert not report.ok
    assert there[first.name] == ("app:v1", "started")
    assert there[second.name] == ("app:v2", "started")


@pytest.mark.parametrize(
    "phase", [Phase.STOPPING, Phase.STOPPED, Phase.UPDATING, Phase.UPDATED, Phase.SETTLED, Phase.STARTING]
)
async def test_cancelled_while_a_region_is_down_it_is_started_again(phase: Phase) -> None:
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        is_down = asyncio.Event()
        deploy = asyncio.create_task(
            V2.on_event(
                lambda event: is_down.set() if isinstance(event, Progress) and event.phase is phase else None
            ).execute(fly)
        )
        await is_down.wait()
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
        await asyncio.sleep(10)  # a start takes its time
        there = await shown(fly)
    assert {state for _, state in there.values()} == {"started"}


async def deploy_that_cannot_start_again(emulator: Emulator, fly: FlyClient, phase: Phase) -> None:
    """Leave a region as a deploy leaves it that is killed once a machine has come to this phase."""
    has_come = asyncio.Event()
    watched = V2.on_event(
        lambda event: has_come.set() if isinstance(event, Progress) and event.phase is phase else None
    )
    deploy = asyncio.create_task(watched.execute(fly))
    await has_come.wait()
    emulator.faults.add(Fault(does="refuse", action="startMachine", status=500, body={"error": "broken"}))
    deploy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deploy
    emulator.faults.clear()
    assert {state for name, (_, state) in (await shown(fly)).items() if "iad" in name} == {"stopped"}


@pytest.mark.parametrize("phase", [Phase.STOPPED, Phase.UPDATED])
async def test_run_again_after_it_was_killed_it_starts_what_it_had_stopped(phase: Phase) -> None:
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        await deploy_that_cannot_start_again(emulator, fly, phase)
        assert "start: stopped for an update by an earlier deploy that did not finish" in str(await V2.plan(fly))
        assert (await V2.execute(fly)).ok
        assert set((await shown(fly)).values()) == {("app:v2", "started")}
        # One that is stopped by hand from now on stays so.
        first, *_ = await fly.machines.list("web")
        await fly.machines.stop("web", first.id)
        await fly.machines.wait("web", first.id, state="stopped")
        assert (await V2.with_image("app:v3").execute(fly)).ok
        assert (await shown(fly))[first.name] == ("app:v3", "stopped")


async def test_another_strategy_also_starts_what_a_killed_deploy_had_stopped() -> None:
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        await deploy_that_cannot_start_again(emulator, fly, Phase.STOPPED)
        assert (await V2.rolling().execute(fly)).ok
        there = await shown(fly)
        marked = [machine for machine in await fly.machines.list("web") if "flyasync_stopped" in machine.metadata]
    assert set(there.values()) == {("app:v2", "started")}
    assert not marked


@pytest.mark.parametrize("phase", [Phase.STOPPED, Phase.UPDATED])
async def test_undone_after_it_was_killed_what_it_had_stopped_runs_again(phase: Phase) -> None:
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        await deploy_that_cannot_start_again(emulator, fly, phase)
        marks = {machine.metadata.get("flyasync_stopped") for machine in await fly.machines.list("web")}
        (launch,) = filter(None, marks)
        assert (await DeployBuilder("web").with_launch(launch).rolling().undo(fly)).ok
        assert set((await shown(fly)).values()) == {("app:v1", "started")}
        assert not any("flyasync_stopped" in machine.metadata for machine in await fly.machines.list("web"))


async def test_machines_that_cannot_be_updated_are_replaced_only_once_they_have_stopped() -> None:
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        events: list[Progress] = []
        builder = V2.with_volume("data", "/data").on_event(
            lambda event: events.append(event) if isinstance(event, Progress) else None
        )
        assert (await builder.execute(fly)).ok
    phases = [event.phase for event in events if event.region == "iad"]
    assert phases.index(Phase.CREATING) > [n for n, phase in enumerate(phases) if phase is Phase.STOPPED][1]


def first_words(plan: Plan, name: str) -> list[str]:
    """The steps of a machine in the stage in which its region goes down, without their causes."""
    (stage,) = [stage for stage in plan.stages if "down" in str(stage.title)]
    return [str(step).split(":")[0] for track in stage.tracks if track.machine.name == name for step in track.steps]


def test_what_has_failed_does_not_have_to_stop() -> None:
    spec = recreating(counts={"iad": 2})
    bound = old("app-iad-2", "failed", config=mounted(old("app-iad-2").config or spec.config))
    plan = plan_for(spec, fleet(old("app-iad-1"), bound, volumes=(volume("vol_1", bound.id),)))
    assert first_words(plan, "app-iad-2")[:2] == [
        "wait until the other machines of the region are stopped",
        "update in place",
    ]
    plan = plan_for(spec, fleet(old("app-iad-1"), old("app-iad-2", "failed")))
    assert first_words(plan, "app-iad-2") == []
    assert first_words(plan, "app-iad-3")[1] == "create, like app-iad-1"


def test_what_is_on_a_lost_host_does_not_have_to_stop() -> None:
    spec = recreating(counts={"iad": 2})
    plan = plan_for(spec, fleet(old("app-iad-1"), lost("app-iad-2")))
    assert first_words(plan, "app-iad-2") == []
    assert plan.stages[-1].tracks[0].machine.name == "app-iad-2"


def test_nothing_stops_beside_what_cannot_be_helped() -> None:
    spec = recreating(counts={"iad": 2})
    gone = lost("app-iad-2", config=mounted(old("app-iad-2").config or spec.config))
    first, second = plan_for(spec, fleet(old("app-iad-1"), gone)).stages
    assert first.title == "iad: cannot be updated"
    assert [track.machine.name for track in (*first.tracks, *second.tracks)] == ["app-iad-2", "app-iad-1"]


def test_what_is_started_waits_until_the_others_have_stopped_and_what_rests_does_not() -> None:
    spec = recreating(counts={"iad": 3})
    cut_short = old("app-iad-2", "stopped")
    assert cut_short.config
    marked = evolve(
        cut_short, config=evolve(cut_short.config, metadata={**cut_short.metadata, "flyasync_stopped": "v1"})
    )
    plan = plan_for(spec, fleet(old("app-iad-1"), marked, old("app-iad-3", "stopped")))
    assert first_words(plan, "app-iad-2")[:3] == [
        "wait until the other machines of the region are stopped",
        "update in place, leave stopped",
        "wait until the update is complete",
    ]
    assert first_words(plan, "app-iad-3")[0] == "update in place, leave stopped"


def test_surplus_machines_alone_do_not_take_a_region_down() -> None:
    spec = recreating(counts={"iad": 1})
    (stage,) = plan_for(spec, fleet(new(spec, "app-iad-1"), new(spec, "app-iad-2"))).stages
    assert stage.title == "destroy surplus machines"


async def test_nothing_stops_for_an_image_that_could_not_be_resolved() -> None:
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        emulator.faults.add(Fault(does="refuse", action="graphql", status=500, body={"error": "broken"}))
        with pytest.raises(InvalidInput, match=r"recreate stops .* app:v2 could not be resolved .*@sha256"):
            await V2.execute(fly)
        there = await shown(fly)
        named = V2.with_image(f"app:v2@sha256:{'ab' * 32}")
        assert (await named.execute(fly)).ok
    assert set(there.values()) == {("app:v1", "started")}


async def test_a_rollback_restores_every_region() -> None:
    async with world(seed=2) as (emulator, fly):
        await first_deploy(emulator, fly)
        emulator.faults.add(Fault(does="crash", region="lhr", image="app:v2"))
        report = await V2.roll_back_on_failure().execute(fly)
        there = await shown(fly)
    assert report.rollback
    assert set(there.values()) == {("app:v1", "started")}
    assert {machine.result for region in report.rollback.regions for machine in region.machines} == {Result.RUNNING}


def test_mounts_do_not_keep_it_from_planning() -> None:
    spec = recreating(counts={"iad": 1})
    config = mounted(old("app-iad-1").config or spec.config)
    plan = plan_for(spec, fleet(old("app-iad-1", config=config)))
    assert (plan.updates, plan.creates) == (1, 0)
    assert Mount(volume="vol_1", path="/data") in (spec.desired(config).mounts or ())
