"""The rollback after a failed deploy: by plan text, and on the emulator down to every config."""

from collections.abc import Iterable, Mapping
from textwrap import dedent
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    Check,
    DeployBuilder,
    DeployReport,
    Emulator,
    Event,
    Fault,
    FlyClient,
    Machine,
    MachineConfig,
    Planned,
    Result,
)
from flyasync.api.machines.create_once import CREATION, LAUNCH
from flyasync.deploy.plan.config_merge import REPLACES, RESTORES, RETIRED
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import plan as plan_for
from flyasync.deploy.plan.plan import Create, Plan, Target
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.deploy.undo.rollback_plan import RESTORED, restored_spec, restoring, undo
from flyasync.models.image import without_digest
from flyasync.models.machine import GONE
from flyasync.testing import mock_machine
from tests.deploy.conftest import tag, world

# By plan text.


def machine(name: str, image: str = "shop:1", **shown: Any) -> Machine:
    metadata = {"fly_process_group": "app", LAUNCH: "v1", **shown.pop("metadata", {})}
    return mock_machine(id=f"id-{name}", name=name, config={"image": image, "metadata": metadata}, **shown)


def empty(before: Iterable[Machine]) -> Plan:
    fleet = Fleet("web", tuple(before))
    return Plan(
        app="web",
        launch="v2",
        image="shop:2",
        fallback="skip",
        stages=(),
        strategy="rolling",
        groups=("app",),
        before=fleet,
    )


def back(before: list[Machine], now: list[Machine], **options: Any) -> str:
    return str(restoring(empty(before), before, now, **{"made": frozenset(), **options}))


def text(lines: str) -> str:
    return dedent(lines).strip()


def test_a_changed_machine_gets_its_old_config() -> None:
    assert back([machine("a")], [machine("a", "shop:2", metadata={LAUNCH: "v2"})]) == text("""
        web, undo of launch v2: update 1
          1. restore machines
            iad
              a
                update in place: undo of launch v2
                  ~ image: "shop:2" → "shop:1"
                wait until started: was started
    """)


def test_what_is_as_it_was_is_left_alone() -> None:
    assert back([machine("a")], [machine("a")]) == "web, undo of launch v2: nothing to do, all 1 up to date"


def test_a_machine_that_rested_stays_at_rest() -> None:
    assert back([machine("a", state="stopped")], [machine("a", "shop:2", state="stopped")]) == text("""
        web, undo of launch v2: update 1
          1. restore machines
            iad
              a
                update in place, leave stopped: undo of launch v2
                  ~ image: "shop:2" → "shop:1"
                wait until the update is complete: was stopped
    """)


def test_a_machine_that_has_stopped_meanwhile_is_started_once_its_update_has_settled() -> None:
    assert back([machine("a")], [machine("a", "shop:2", state="stopped")]) == text("""
        web, undo of launch v2: update 1
          1. restore machines
            iad
              a
                update in place, leave stopped: undo of launch v2
                  ~ image: "shop:2" → "shop:1"
                wait until the update is complete: is stopped, is started next
                start: is stopped, was started
                wait until started: was started
    """)


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_a_machine_that_went_down_with_its_old_config_is_started(state: str) -> None:
    assert back([machine("a")], [machine("a", state=state)]) == text(f"""
        web, undo of launch v2: no machine changes
          1. restore machines
            iad
              a
                start: is {state}, was started
                wait until started: was started
    """)


def test_one_that_was_taken_out_of_routing_comes_back() -> None:
    assert back([machine("a")], [machine("a", cordoned=True)]) == text("""
        web, undo of launch v2: no machine changes
          1. restore machines
            iad
              a
                uncordon: was not cordoned
    """)


def test_what_is_gone_is_made_again_before_what_was_made_is_taken_away() -> None:
    new = machine("b", "shop:2", metadata={LAUNCH: "v2"})
    assert back([machine("a")], [new], made=frozenset({new.id})) == text("""
        web, undo of launch v2: create 1, destroy 1
          1. restore machines
            iad
              a
                create: undo of launch v2
                wait until started: was started
          2. destroy what the deploy created
            iad
              b
                cordon id-b: created by launch v2
                stop id-b: stop signal, then time to exit
                destroy id-b: created by launch v2
          if a region has no room: skip it
    """)


def remade(lost: Machine) -> Mapping[str, str]:
    """The metadata of a machine that is made again."""
    (step, *_) = restoring(empty([lost]), [lost], [], made=frozenset()).steps
    assert isinstance(step, Create)
    assert step.config is not None
    return step.config.metadata or {}


def test_a_machine_that_is_made_again_says_so_and_bears_no_mark_of_its_end() -> None:
    lost = machine("a", metadata={RETIRED: "v2", RESTORED: "v0"})
    assert remade(lost) == {"fly_process_group": "app", LAUNCH: "v1", RESTORED: "v2", RESTORES: "id-a"}


def test_one_of_no_launch_that_is_made_again_is_not_of_the_launch_that_is_undone() -> None:
    lost = mock_machine(config={"image": "x"})
    assert remade(lost) == {LAUNCH: "before-v2", RESTORED: "v2", RESTORES: lost.id}


def test_a_name_that_is_taken_by_now_is_not_used_twice() -> None:
    new = evolve(machine("a", "shop:2"), id="other")
    plan = restoring(empty([]), [machine("a")], [new], made=frozenset({"other"}))
    assert [track.machine.name for track in plan.tracks] == ["a-again", "a"]


def test_a_machine_that_had_fallen_back_is_made_again_where_it_was() -> None:
    lost = machine("a", region="ewr", metadata={"flyasync_region": "iad"})
    (track,) = restoring(empty([lost]), [lost], [], made=frozenset()).tracks
    assert track.machine.region == "ewr"


def test_a_config_that_is_not_known_whole_is_left_as_it_is() -> None:
    lost = mock_machine(name="a", config=None, host_status="unreachable")
    assert back([lost], [lost]).endswith("a: its complete config was not available, so it is left unchanged")


def test_past_the_point_of_no_return_nothing_is_undone() -> None:
    new = machine("b", "shop:2", metadata={LAUNCH: "v2"})
    assert back([machine("a")], [new], made=frozenset({new.id}), settled=frozenset({("iad", "app")})) == text("""
        web, undo of launch v2: nothing to do, all 0 up to date
          iad: past the point of no return, new machines stay
    """)


def test_volumes_go_with_their_machines_and_alone_where_no_machine_came_to_be() -> None:
    wanted = DeploySpec(
        app="web", launch="v2", config=MachineConfig(image="shop:2"), counts={"iad": 2}, strategy=Rolling()
    )
    plan = plan_for(wanted, Fleet("web", ()))
    first, second = (MachineRun(desired=track.machine, region="iad") for track in plan.tracks)
    first.machine = machine("app-iad-1", "shop:2", state="failed")
    first.made_volumes, second.made_volumes = ("vol_1",), ("vol_2",)
    assert str(undo(plan, Observation(runs=(first, second), seen=(first.machine,)))) == text("""
        web, undo of launch v2: destroy 1
          1. destroy what the deploy created
            iad
              app-iad-1
                destroy id-app-iad-1: created by launch v2
                delete volume vol_1: created for that machine
              app-iad-2
                delete volume vol_2: created by launch v2, not attached to a machine
    """)


def test_what_the_deploy_left_alone_is_not_put_back() -> None:
    wanted = DeploySpec(
        app="web", launch="v2", config=MachineConfig(image="shop:2"), counts={"iad": 1}, strategy=Rolling()
    )
    stranger = machine("s", region="lhr")
    plan = plan_for(wanted, Fleet("web", (machine("a"), stranger)))
    seen = (machine("a"), evolve(stranger, config=MachineConfig(image="else")))
    assert not undo(plan, Observation(runs=(), seen=seen)).steps


def test_the_way_back_wants_all_that_was_there() -> None:
    before = [machine("a"), machine("b", region="lhr"), machine("c", state="stopped")]
    plan = restoring(empty(before), before, before[:1], made=frozenset())
    config = MachineConfig(image="shop:2")
    spec = DeploySpec(app="web", launch="v2", config=config, counts={"nrt": 1}, strategy=Rolling())
    wanted = restored_spec(spec, plan)
    assert wanted.counts == {"lhr": 1, "iad": 2}
    assert str(wanted.requirement) == "all regions"
    assert wanted.config.image == "shop:1"
    assert [track.target for track in plan.tracks] == [Target.SERVE, Target.REST]


# On the emulator.

REGIONS = ("iad", "lhr", "nrt")
OF_ONE_MACHINE = {CREATION, REPLACES, RESTORED, RESTORES}
CHECK = Check(type="tcp", port=8080, interval=5, timeout=2)
BASE = DeployBuilder("web").to_regions(*REGIONS).count(2).with_check("up", CHECK).wait_for("healthy", timeout=60)
V1 = BASE.with_image("shop:1").with_launch("v1").with_env(A="1")
V2 = BASE.with_image("shop:2").with_launch("v2").with_metadata(release="2").roll_back_on_failure()
SICK = Fault(does="checks_never_pass", name="app-lhr-2", image="*:2*")


def config(record: Any) -> Mapping[str, Any]:
    metadata = {key: value for key, value in record.config["metadata"].items() if key not in OF_ONE_MACHINE}
    return {**record.config, "metadata": metadata}


def fleet(emulator: Emulator) -> dict[str, Any]:
    """All that is there, by name."""
    alive = [record for record in emulator.world.machines.values() if record.state not in GONE]
    assert len({record.name for record in alive}) == len(alive)
    return {
        record.name: (record.region, record.state, record.is_cordoned, config(record))
        for record in sorted(alive, key=lambda record: record.name)
    }


async def settled(fly: FlyClient, builder: DeployBuilder) -> DeployReport:
    return (await builder.execute(fly)).raise_for_failure()


STRATEGIES = {
    "rolling": V2.rolling(max_unavailable=1),
    "canary": V2.canary(2, soak=10),
    "immediate": V2.immediate(),
    "bluegreen": V2.bluegreen(),
}


@pytest.mark.parametrize("name", STRATEGIES)
async def test_a_deploy_that_fails_leaves_everything_as_it_was(name: str) -> None:
    sick = evolve(SICK, name="*") if name == "canary" else evolve(SICK, name="app-lhr-*")
    async with world(seed=1, faults=[sick]) as (emulator, fly):
        await settled(fly, V1.immediate())
        before, ids = fleet(emulator), {each.id for each in await fly.machines.list("web")}
        report = await STRATEGIES[name].execute(fly)
        assert fleet(emulator) == before
        assert {each.id for each in await fly.machines.list("web")} == ids
        assert not emulator.refused_by_limit()
    assert not report.ok
    assert report.rollback is not None
    assert report.rollback.ok, str(report)
    assert report.rollback.strategy == "undo"
    assert report.rollback.image == f"shop:1@{emulator.world.images.digest('shop:1')}"
    assert "rolled back:" in str(report)


async def test_machines_at_rest_stay_at_rest_on_both_ways() -> None:
    async with world(seed=1, faults=[SICK]) as (emulator, fly):
        await settled(fly, V1.immediate())
        resting = next(each for each in await fly.machines.list("web") if each.name == "app-iad-2")
        await fly.machines.stop("web", resting.id)
        await fly.machines.wait("web", resting.id, state="stopped")
        before = fleet(emulator)
        report = await V2.immediate().execute(fly)
        assert fleet(emulator) == before
    assert report.rollback is not None
    assert report.rollback.ok, str(report)


async def test_machines_that_crash_under_the_new_config_run_again_under_the_old() -> None:
    """They end up stopped, and an update leaves a stopped machine stopped."""
    crash = Fault(does="crash", image="*:2*", seconds=1)
    async with world(seed=1, faults=[crash]) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        report = await V2.immediate().wait_for("healthy", timeout=600).execute(fly)
        assert fleet(emulator) == before
    assert report.rollback is not None
    assert report.rollback.ok, str(report)


async def test_what_was_retired_before_the_failure_is_made_again() -> None:
    """One wave scales down and one up; the second one fails."""
    wanted = V2.count(iad=1, lhr=3).rolling().waves(["iad"], ["lhr"], ["nrt"])
    async with world(seed=1, faults=[evolve(SICK, name="app-nrt-1")]) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        report = await wanted.execute(fly)
        assert sum(record.is_destroyed for record in emulator.world.machines.values()) == 1
        assert fleet(emulator) == before
    assert report.rollback is not None
    assert report.rollback.ok, str(report)


async def test_past_the_point_of_no_return_a_bluegreen_stays() -> None:
    stuck = Fault(does="refuse", action="deleteMachine", status=500, body={"error": "down"})
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        emulator.faults.add(stuck)
        report = await V2.bluegreen().execute(fly)
        new = [each for each in await fly.machines.list("web") if tag(each) == "shop:2"]
    assert not report.ok
    assert report.rollback is None
    assert len(new) == 6
    assert all(not each.cordoned for each in new)


async def test_waves_past_the_point_of_no_return_stay_and_the_others_come_back() -> None:
    wanted = V2.bluegreen().region_by_region()
    async with world(seed=1, faults=[evolve(SICK, name="app-lhr-*")]) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        report = await wanted.execute(fly)
        after = fleet(emulator)
    assert {name: what for name, what in after.items() if what[0] != "iad"} == {
        name: what for name, what in before.items() if what[0] != "iad"
    }
    assert [without_digest(what[-1]["image"]) for what in after.values() if what[0] == "iad"] == ["shop:2", "shop:2"]
    assert report.rollback is not None
    assert not report.rollback.ok
    assert "rolled back incompletely" in str(report)


async def test_volumes_that_the_deploy_made_go_and_others_stay() -> None:
    data = V2.with_volume("data", "/data").rolling()
    async with world(seed=1, faults=[evolve(SICK, name="app-lhr-4")]) as (emulator, fly):
        await settled(fly, V1.immediate())
        free = await fly.volumes.create("web", name="data", region="iad", size_gb=1)
        other = await fly.volumes.create("web", name="logs", region="nrt", size_gb=1)
        before = fleet(emulator)
        report = await data.execute(fly)
        assert fleet(emulator) == before
        assert {volume.id for volume in await fly.volumes.list("web")} == {free.id, other.id}
    assert report.rollback is not None
    assert report.rollback.ok, str(report)


async def test_a_volume_whose_machine_was_refused_goes_too() -> None:
    refused = Fault(does="refuse", action="createMachine", status=400, body={"error": "no"})
    async with world(seed=1, faults=[refused]) as (_, fly):
        report = await V2.with_volume("data", "/data").immediate().execute(fly)
        assert not await fly.volumes.list("web")
    assert report.rollback is not None
    assert report.rollback.ok, str(report)


async def test_a_launch_that_is_taken_back_takes_such_volumes_along() -> None:
    refused = Fault(does="refuse", action="createMachine", region="lhr", status=400, body={"error": "no"})
    async with world(seed=1, faults=[refused]) as (_, fly):
        await V2.with_volume("data", "/data").require("all").execute(fly)
        assert not await fly.volumes.list("web")
        assert not await fly.machines.list("web")


async def test_the_first_deploy_of_all_leaves_nothing() -> None:
    async with world(seed=1, faults=[SICK]) as (emulator, fly):
        report = await V2.rolling().execute(fly)
        assert not fleet(emulator)
    assert report.rollback is not None
    assert report.rollback.ok, str(report)


async def test_new_machines_that_serve_stay_where_the_old_ones_do_not_come_back() -> None:
    """Two machines replaced, in the region with no more room for the old ones."""
    wanted = V2.count(iad=1, lhr=3).immediate()
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        full = Fault(does="refuse", action="updateMachine", region="*", status=500, body={"error": "down"}, after=6)
        emulator.faults.add(full, evolve(SICK, name="app-nrt-1"))
        report = await wanted.execute(fly)
        there = fleet(emulator)
    assert report.rollback is not None
    assert not report.rollback.ok
    assert "app-lhr-3" in there
    kept = next(each for region in report.rollback.regions for each in region.retired if each.name == "app-lhr-3")
    assert kept.result is Result.NOT_BEGUN


async def test_the_way_back_is_told_as_a_plan_of_its_own() -> None:
    plans: list[Plan] = []
    async with world(seed=1, faults=[SICK]) as (_, fly):
        await settled(fly, V1.immediate())
        await (
            V2.rolling()
            .on_event(lambda event: plans.append(event.plan) if hasattr(event, "plan") else None)
            .execute(fly)
        )
    assert [plan.strategy for plan in plans] == ["rolling", "undo"]


async def test_a_machine_that_another_client_changed_after_the_plan_was_made_is_not_written_over() -> None:
    app = DeployBuilder("web").to_regions("iad").count(2).immediate().smoke_check(0)
    async with world(seed=1) as (emulator, fly):
        for image in ("shop:1", "shop:2"):
            assert (await app.with_image(image).execute(fly)).ok
        theirs = next(each for each in emulator.world.machines.values() if each.name == "app-iad-2")

        def change(event: Event) -> None:
            if isinstance(event, Planned):
                theirs.config = {**theirs.config, "env": {"THEIRS": "1"}}

        report = await app.on_event(change).undo(fly)
        images = {each.name: each.config["image"].partition("@")[0] for each in emulator.world.machines.values()}
    assert images == {"app-iad-1": "shop:1", "app-iad-2": "shop:2"}
    assert theirs.config["env"] == {"THEIRS": "1"}
    assert not report.ok
    assert "was changed by another client after this was planned (env" in str(report)
