"""Recreate: all machines of a region stop, then all start again with the new config."""

import asyncio
from typing import Any

import pytest

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
from tests.deploy.conftest import tag, world
from tests.deploy.plan.test_plan import fleet, mounted, new, old, text, wanted

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
        web, recreate to app:v2, launch v2: update 3
          1. iad: iad is down until its machines have started again
            iad
              app-iad-1
                stop it: the old version ends first
                wait until the others of the region have stopped: two versions must not run together
                update it, and leave it stopped: it has another config
                  ~ image: "app:v1" → "app:v2"
                wait until it has settled: it is stopped
                start it: all machines of its region have stopped
                wait until it is started: at most 300 s
              app-iad-2
                stop it: the old version ends first
                wait until the others of the region have stopped: two versions must not run together
                update it, and leave it stopped: it has another config
                  ~ image: "app:v1" → "app:v2"
                wait until it has settled: it is stopped
                start it: all machines of its region have stopped
                wait until it is started: at most 300 s
          2. lhr: lhr is down until its machines have started again
            lhr
              app-lhr-1
                stop it: the old version ends first
                wait until the others of the region have stopped: two versions must not run together
                update it, and leave it stopped: it has another config
                  ~ image: "app:v1" → "app:v2"
                wait until it has settled: it is stopped
                start it: all machines of its region have stopped
                wait until it is started: at most 300 s
    """)


def test_regions_of_a_wave_go_down_together() -> None:
    spec = recreating(counts={"iad": 1, "lhr": 1, "nrt": 1}, waves=(("iad", "lhr"), ("nrt",)))
    plan = plan_for(spec, fleet(old("app-iad-1"), old("app-lhr-1"), old("app-nrt-1")))
    assert [stage.title for stage in plan.stages] == [
        "iad and lhr: iad, lhr is down until its machines have started again, wave 1 of 2",
        "nrt: nrt is down until its machines have started again, wave 2 of 2",
    ]


def test_a_region_in_which_nothing_old_runs_does_not_go_down() -> None:
    spec = recreating(counts={"iad": 3})
    plan = plan_for(spec, fleet(new(spec, "app-iad-1"), old("app-iad-2", "stopped")))
    (stage,) = plan.stages
    assert stage.title == "iad"
    assert not any("stop it" in line or "others of the region" in line for line in str(plan).splitlines())


def test_new_machines_wait_until_the_old_ones_have_stopped_and_surplus_ones_go_last() -> None:
    spec = recreating(counts={"iad": 1, "lhr": 2})
    plan = plan_for(spec, fleet(old("app-iad-1"), old("app-iad-2"), old("app-lhr-1")))
    iad, lhr, last = plan.stages
    surplus = next(track for track in iad.tracks if len(track.steps) == 2)
    assert [str(step).split(":")[0] for step in surplus.steps] == [
        "stop it",
        "wait until the others of the region have stopped",
    ]
    made = next(track for track in lhr.tracks if track.machine_id is None)
    assert str(made.steps[0]).startswith("wait until the others of the region have stopped")
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
    assert "another machine of its region could not be stopped, so nothing of iad was updated" in str(report)


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


@pytest.mark.parametrize("phase", [Phase.STOPPING, Phase.STOPPED])
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
