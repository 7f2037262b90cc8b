"""Undoing the last release from what the app itself remembers, and going on with a deploy that was broken off."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    DeployBuilder,
    Emulator,
    Fault,
    FlyClient,
    InvalidInput,
    MachineConfig,
    Result,
)
from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.config_merge import RETIRED
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.reporting.resume import JournalReplay, MachineBefore
from flyasync.deploy.undo.release_history import History, Life, undo_launch
from flyasync.deploy.undo.rollback_plan import RESTORED
from flyasync.models.image import at_digest, without_digest
from flyasync.models.machine import Machine
from flyasync.models.machine_results import MachineVersion
from flyasync.testing import mock_machine
from tests.deploy.conftest import killed, world
from tests.deploy.relay import relayed
from tests.deploy.undo.test_rollback_plan import BASE, SICK, V1, V2, fleet, settled

APP = DeployBuilder("web").process_group("app")
V3 = BASE.with_image("shop:3").with_launch("v3")
IN_PLACE = {"rolling": V2.rolling(), "canary": V2.canary(soak=0), "immediate": V2.immediate()}


def shown(emulator: Emulator) -> Mapping[str, str]:
    return {name: without_digest(what[-1]["image"]) for name, what in fleet(emulator).items()}


# What is undone, and how.


@pytest.mark.parametrize("name", IN_PLACE)
async def test_each_machine_goes_back_to_the_config_it_had(name: str) -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        await settled(fly, IN_PLACE[name])
        report = await APP.undo(fly)
        assert fleet(emulator) == before
        assert not emulator.refused_by_limit()
    assert report.ok, str(report)
    assert (report.strategy, report.launch, without_digest(report.image)) == ("undo", "v2", "shop:1")


def without_the_gone(answer: Any) -> Any:
    return [each for each in answer if each.get("state") != "destroyed"] if isinstance(answer, list) else answer


async def test_machines_that_a_bluegreen_replaced_are_read_by_their_ids_where_no_list_shows_them() -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        await settled(fly, V1.immediate())
        before = shown(emulator)
        await settled(fly, V2.bluegreen(drain=0))
        await asyncio.sleep(30)
        relay.show = without_the_gone
        report = await APP.undo(fly)
        assert shown(emulator) == before
    assert report.ok, str(report)


@pytest.mark.parametrize("name", IN_PLACE)
async def test_metadata_that_others_wrote_without_a_new_version_stays(name: str) -> None:
    """No version shows it, be it from before the launch or from after; a machine stays in its group that way too."""
    async with world(seed=1) as (emulator, fly):
        for region in ("iad", "lhr"):
            await fly.machines.create("web", MachineConfig(image="shop:1"), region=region)
        for machine in await fly.machines.list("web"):
            await fly.machines.adopt("web", machine.id)
            await fly.machines.patch_metadata("web", machine.id, {"owner": "shop"})
        deploy = IN_PLACE[name].to_regions("iad", "lhr").count(1).with_metadata(tier="gold")
        await settled(fly, deploy)
        for machine in await fly.machines.list("web"):
            await fly.machines.patch_metadata("web", machine.id, {"alarm": "off"})
        report = await APP.undo(fly)
        there = [machine.metadata for machine in await fly.machines.list("web")]
    assert report.ok, str(report)
    assert set(shown(emulator).values()) == {"shop:1"}
    adopted = {"fly_platform_version": "v2", "fly_process_group": "app"}
    assert there == [{**adopted, "owner": "shop", "alarm": "off"}] * 2


async def test_no_more_than_a_third_of_a_region_is_away_at_once() -> None:
    async with world(seed=1) as (_, fly):
        await settled(fly, V1.count(6).immediate())
        await settled(fly, V2.count(6).immediate())
        plan = await APP.plan_undo(fly)
        fast = await APP.immediate().plan_undo(fly)
    assert "iad, 1 at a time" in str(plan)
    assert "at a time" not in str(fast)


async def test_what_it_made_goes_and_what_it_retired_is_made_again() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        await settled(fly, V2.count(iad=1, lhr=3).rolling())
        report = await APP.undo(fly)
        assert fleet(emulator) == before
    assert report.ok, str(report)


async def test_a_launch_that_only_retired_is_undone() -> None:
    """The machines that stay are not changed by it, so no existing machine shows it."""
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        await settled(fly, V1.with_launch("less").count(1).rolling())
        assert len(fleet(emulator)) == 3
        report = await APP.undo(fly)
        assert fleet(emulator) == before
    assert report.ok, str(report)
    assert report.launch == "less"


async def test_a_bluegreen_that_is_done_is_undone_without_a_gap() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        await settled(fly, V2.bluegreen())
        assert not before.keys() & fleet(emulator).keys()
        served: list[int] = []
        report = await APP.on_event(lambda _: served.append(_serving(emulator))).undo(fly)
        assert fleet(emulator) == before
    assert report.ok, str(report)
    assert min(served) >= 6


def _serving(emulator: Emulator) -> int:
    return sum(state == "started" and not cordoned for _, state, cordoned, _ in fleet(emulator).values())


async def test_new_machines_stay_until_the_old_ones_are_back() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        await settled(fly, V2.bluegreen())
        emulator.faults.add(Fault(does="checks_never_pass", name="app-lhr-1", image="*:1*"))
        report = await APP.undo(fly)
        there = shown(emulator)
    assert not report.ok
    by_region = {region.region: [each.result for each in region.retired] for region in report.regions}
    assert by_region["lhr"] == [Result.NOT_BEGUN] * 2
    assert by_region["iad"] == [Result.RETIRED] * 2
    assert {name for name, image in there.items() if image == "shop:2"} == {"app-lhr-3", "app-lhr-4"}


async def test_a_bluegreen_that_was_broken_off_lets_the_old_ones_in_again() -> None:
    """Some of the old ones are cordoned, stopped or gone by then."""
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        emulator.faults.add(Fault(does="refuse", action="deleteMachine", status=500, body={"error": "no"}, after=3))
        report = await V2.bluegreen().execute(fly)
        assert not report.ok
        emulator.faults.clear()
        assert (await APP.undo(fly)).ok
        after = fleet(emulator)
    assert {name: what[:3] for name, what in after.items()} == {name: what[:3] for name, what in before.items()}


async def test_machines_that_fail_under_the_new_config_run_again() -> None:
    crash = Fault(does="crash", image="*:2*", seconds=1)
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        emulator.faults.add(crash)
        await V2.immediate().roll_back_on_failure(False).execute(fly)
        await asyncio.sleep(600)
        assert "stopped" in {what[1] for what in fleet(emulator).values()}
        report = await APP.undo(fly)
        assert fleet(emulator) == before
    assert report.ok, str(report)


async def test_a_deploy_that_failed_halfway_is_undone() -> None:
    async with world(seed=1, faults=[evolve(SICK, name="app-lhr-1")]) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        report = await V2.rolling(max_unavailable=1).roll_back_on_failure(False).execute(fly)
        assert set(shown(emulator).values()) == {"shop:1", "shop:2"}
        assert not report.ok
        assert (await APP.undo(fly)).ok
        assert fleet(emulator) == before


async def test_a_group_that_was_retired_comes_back() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        await settled(fly, V1.with_launch("w1").process_group("worker").immediate())
        before = fleet(emulator)
        await settled(fly, V2.rolling().retire_groups("worker"))
        report = await APP.undo(fly)
        assert fleet(emulator) == before
    assert report.ok, str(report)


async def test_a_machine_that_was_replaced_since_its_host_was_full_comes_back() -> None:
    text = "aborted: could not reserve resource for machine: insufficient memory available to fulfill request"
    full = Fault(does="refuse", action="updateMachine", status=409, body={"error": text}, times=1)
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        emulator.faults.add(full)
        await settled(fly, V2.rolling())
        assert len(before.keys() - fleet(emulator).keys()) == 1
        report = await APP.undo(fly)
        assert fleet(emulator) == before
    assert report.ok, str(report)


async def test_other_groups_are_not_asked_about_theirs() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        await settled(fly, V2.immediate())
        await settled(fly, V1.with_launch("w1").process_group("worker").immediate())
        report = await APP.undo(fly)
        there = shown(emulator)
    assert report.launch == "v2"
    assert sum(name.startswith("worker") for name in there) == 6


@pytest.mark.parametrize("how", ["rolling", "bluegreen"])
async def test_a_machine_of_no_launch_comes_back_too(how: str) -> None:
    """One that was made by hand, or by others."""
    bare = MachineConfig(image="old", metadata={"fly_process_group": "app", "owner": "me"})
    async with world(seed=1) as (emulator, fly):
        machine = await fly.machines.create("web", bare, name="hand-made", region="iad")
        await fly.machines.wait("web", machine.id, state="started")
        before = _by_hand(emulator)
        await settled(fly, {"rolling": V2.rolling(), "bluegreen": V2.bluegreen()}[how].to_regions("iad"))
        report = await APP.undo(fly)
        assert report.ok, str(report)
        assert _by_hand(emulator) == before
        with pytest.raises(InvalidInput, match="nothing to undo"):
            await APP.undo(fly)


def _by_hand(emulator: Emulator) -> Any:
    """The machines, without the launch tag of recreated ones, and with the digests that they run."""
    return {
        name: (
            *what,
            {
                **config,
                "metadata": {**config["metadata"], LAUNCH: None},
                "image": at_digest(config["image"], emulator.world.images.digest(config["image"])),
            },
        )
        for name, (*what, config) in fleet(emulator).items()
    }


# Again, and further back.


async def test_undone_again_it_goes_one_launch_further_back_and_then_no_further() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        first = fleet(emulator)
        await settled(fly, V2.rolling())
        second = fleet(emulator)
        await settled(fly, V3.immediate())
        assert (await APP.undo(fly)).launch == "v3"
        assert fleet(emulator) == second
        assert (await APP.undo(fly)).launch == "v2"
        assert fleet(emulator) == first
        with pytest.raises(
            InvalidInput,
            match="launch v1 created all machines of the group app, and the API no longer shows any earlier ones",
        ):
            await APP.undo(fly)
        assert fleet(emulator) == first


async def test_bluegreens_are_undone_one_after_the_other() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        first = fleet(emulator)
        await settled(fly, V2.bluegreen())
        second = fleet(emulator)
        await settled(fly, V3.bluegreen())
        assert (await APP.undo(fly)).ok
        assert fleet(emulator) == second
        assert (await APP.undo(fly)).ok
        assert fleet(emulator) == first
        with pytest.raises(InvalidInput, match="launch v1 created all machines"):
            await APP.undo(fly)


async def test_a_machine_that_was_made_again_remembers_what_it_was_before() -> None:
    """Updated by v2, retired by v3: undoing both brings it back to v1."""
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        first = fleet(emulator)
        await settled(fly, V2.rolling())
        await settled(fly, V3.count(1).rolling())
        assert (await APP.undo(fly)).ok
        report = await APP.undo(fly)
        assert report.ok, str(report)
        assert fleet(emulator) == first


async def test_the_same_launch_again_after_it_was_undone() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        first = fleet(emulator)
        await settled(fly, V2.bluegreen())
        assert (await APP.undo(fly)).ok
        await settled(fly, V2.rolling())
        assert set(shown(emulator).values()) == {"shop:2"}
        report = await APP.undo(fly)
        assert report.ok, str(report)
        assert fleet(emulator) == first


async def test_an_undo_that_was_broken_off_is_gone_on_with() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        await settled(fly, V2.rolling())
        emulator.faults.add(Fault(does="refuse", action="updateMachine", status=500, body={"error": "no"}, after=3))
        assert not (await APP.undo(fly)).ok
        emulator.faults.clear()
        report = await APP.undo(fly)
        assert fleet(emulator) == before
    assert report.ok
    assert report.launch == "v2"


async def test_a_launch_may_be_named() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        await settled(fly, V2.immediate())
        await settled(fly, V3.count(4).to_regions("iad").rolling())
        with pytest.raises(InvalidInput, match="no machine of the group app has the config of launch v9"):
            await APP.with_launch("v9").undo(fly)
        report = await APP.with_launch("v2").undo(fly)
        there = shown(emulator)
    assert report.ok, str(report)
    assert {name: image for name, image in there.items() if image == "shop:3"}.keys() == {
        f"app-iad-{number}" for number in (1, 2, 3, 4)
    }
    assert list(there.values()).count("shop:1") == 4


async def test_a_launch_without_a_strategy_is_taken_back() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        await settled(fly, DeployBuilder("web").to_regions("iad", "ord").with_image("x").with_launch("extra"))
        report = await APP.with_launch("extra").undo(fly)
        assert fleet(emulator) == before
    assert report.ok, str(report)
    assert [each.result for region in report.regions for each in region.retired] == [Result.RETIRED] * 2


async def test_nothing_to_undo() -> None:
    async with world(seed=1) as (_, fly):
        with pytest.raises(
            InvalidInput, match="nothing to undo: no machine of the group app of web has the tag of a launch"
        ):
            await APP.undo(fly)
        await settled(fly, V1.immediate())
        with pytest.raises(InvalidInput, match="launch v1 created all machines of the group app"):
            await APP.plan_undo(fly)


async def test_a_plan_changes_nothing_and_keeps_nobody_out() -> None:
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        await settled(fly, V2.immediate())
        before = fleet(emulator)
        plan = await APP.plan_undo(fly)
        assert fleet(emulator) == before
    assert str(plan).startswith("web, undo of launch v2: update 6")
    assert plan.seconds


# What only a made-up history has.


def lived(name: str, *launches: str, **shown: Any) -> Life:
    """A machine with one version for each launch, at the moments that its launches' numbers say."""
    versions = tuple(
        MachineVersion(version=launch, user_config=MachineConfig(image=launch, metadata=_marks(launch)))
        for launch in launches
    )
    marks = _marks(launches[-1], **shown.pop("marks", {}))
    machine = mock_machine(id=f"id-{name}", name=name, config={"image": launches[-1], "metadata": marks}, **shown)
    return Life(machine=machine, versions=versions, **({"is_whole": False} if RESTORED in marks else {}))


def _marks(launch: str, **marks: str) -> dict[str, str]:
    return {"fly_process_group": "app", LAUNCH: launch, **marks}


def dead(name: str, launch: str, by: str) -> Machine:
    return lived(name, launch, marks={RETIRED: by}, state="destroyed", events=[{"id": by}]).machine


def planned(lives: list[Life], *gone: Machine, launch: str = "v2", replay: JournalReplay | None = None) -> str:
    history = History(app="web", groups=("app",), lives=tuple(lives), dead=gone)
    asked = DeploySpec(app="web", launch=launch, config=MachineConfig(), counts={}, strategy=Rolling(), goal="healthy")
    return str(undo_launch(asked, Fleet("web", tuple(life.machine for life in lives)), history, replay).plan)


def text(lines: str) -> str:
    return dedent(lines).strip()


def test_a_machine_goes_back_to_before_the_first_version_of_the_launch() -> None:
    assert '~ image: "v2" → "v1"' in planned([lived("a", "v0", "v1", "v2", "v2", "v2")])


def test_machines_that_cannot_be_read_any_more_are_told_of_as_far_as_they_are_known() -> None:
    assert planned([lived("a", "v1", "v2"), lived("c", "v2"), lived("d", "v2")], dead("b", "v1", "v2")) == text("""
        web, undo of launch v2: create 1, update 1, destroy 2
          1. restore machines that are not serving first
            iad
              b
                create: undo of launch v2
                wait until started: was started
          2. restore machines
            iad
              a
                update in place: undo of launch v2
                  ~ image: "v2" → "v1"
                wait until started: was started
          3. destroy what the deploy created
            iad
              c
                cordon id-c: created by launch v2
                stop id-c: stop signal, then time to exit
                destroy id-c: created by launch v2
              d
                cordon id-d: created by launch v2
                stop id-d: stop signal, then time to exit
                destroy id-d: created by launch v2
          iad: launch v2 created 2, and the API shows 1 of the machines that it retired; others are not recreated
          if a region has no room: skip it
          before: 3 machines, CPUs or memory left to the API
          after: 2 machines, CPUs or memory left to the API
          in between: up to 4 machines
    """)


def replay(*before: str, launch: str = "v2") -> JournalReplay:
    machines = tuple(MachineBefore(id=f"id-{name}", name=name, region="iad", state="started") for name in before)
    wanted = DeploySpec(app="web", launch=launch, config=MachineConfig(), counts={"iad": 1}, strategy=Launch())
    return JournalReplay(spec=wanted, fingerprint="", before=machines)


def test_a_journal_knows_them_by_name() -> None:
    lives = [lived("a", "v1", "v2"), lived("c", "v2")]
    assert "b in iad: the API no longer shows it, so it is not recreated" in planned(lives, replay=replay("a", "b"))
    assert "no longer shows" not in planned(lives, replay=replay("a"))
    assert "v2 created 1, and the API shows none" in planned(lives, replay=replay("a", "b", launch="v1"))


def test_with_a_journal_that_saw_an_empty_group_all_may_go() -> None:
    assert "destroy 1" in planned([lived("a", "v2")], replay=replay())
    with pytest.raises(InvalidInput, match="undoing it would leave no machine"):
        planned([lived("a", "v2")], replay=replay("b"))


def test_a_machine_whose_past_cannot_be_read_stays_as_it_is() -> None:
    lives = [lived("a", "v1", "v2"), lived("b", "v2", marks={RESTORED: "v3"})]
    assert "b: its earlier config is unknown, so it is left unchanged" in planned(lives)


def test_what_a_launch_made_and_took_away_itself_is_not_brought_back() -> None:
    assert "create" not in planned([lived("a", "v1", "v2")], dead("b", "v2", "v2"))


def test_a_machine_on_its_way_out_is_let_in_again() -> None:
    """The deploy was broken off between its cordon and its end; the mark says whose doing that was."""
    leaving = lived("a", "v1", marks={RETIRED: "v2"}, cordoned=True, state="stopped", events=[{"id": "v2"}])
    assert History(app="web", groups=("app",), lives=(leaving, lived("b", "v1"))).last() == "v2"
    assert planned([leaving, lived("b", "v1")]) == text("""
        web, undo of launch v2: update 1, keep 1
          1. restore machines
            iad
              a
                update in place, leave stopped: undo of launch v2
                wait until the update is complete: is stopped, is started next
                start: is stopped, was started
                wait until started: was started
                uncordon: was not cordoned
          before and after: 2 machines, CPUs or memory left to the API
    """)


def test_one_without_a_mark_is_let_in_where_the_launch_made_others_or_the_journal_says_so() -> None:
    out = lived("a", "v1", cordoned=True)
    inside = "uncordon"
    assert inside in planned([out, lived("b", "v2")])
    assert inside not in planned([out, lived("b", "v2", region="lhr")])
    assert inside in planned([out, lived("b", "v2", region="lhr")], replay=replay("a"))
    assert inside not in planned([out, lived("b", "v2")], replay=replay("c"))


def test_a_standby_is_made_again_stopped() -> None:
    lost = mock_machine(
        name="b",
        state="destroyed",
        config={"image": "x", "standbys": ["id-a"], "metadata": _marks("v1", **{RETIRED: "v2"})},
    )
    assert "wait until the update is complete: was stopped" in planned([lived("a", "v1", "v2")], lost)


def test_the_last_launch_is_the_one_that_came_last_for_the_first_time() -> None:
    def last(lives: list[Life], *gone: Machine) -> str | None:
        return History(app="web", groups=("app",), lives=tuple(lives), dead=gone).last()

    assert last([lived("a", "v1", "v2"), lived("b", "v1")]) == "v2"
    assert last([lived("a", "v1", "v2", "v1"), lived("b", "v1", "v2")]) == "v2"  # an undo that was broken off
    assert last([lived("a", "v1", "v2", "v1")]) == "v1"
    assert last([lived("a", "v1")], dead("b", "v1", "v2")) == "v2"
    assert last([lived("a", "v1"), lived("b", "v1", marks={RESTORED: "v2"})], dead("b", "v1", "v2")) == "v1"
    assert last([lived("a", "v1"), lived("b-again", "v1", marks={RESTORED: "v2"})], dead("b", "v1", "v2")) == "v1"
    assert last([]) is None


# Going on.


WANTED = {
    "rolling": V2.rolling(max_unavailable=1),
    "canary": V2.canary(soak=20),
    "immediate": V2.immediate(),
    "bluegreen": V2.bluegreen(),
    "up and down": V2.rolling().count(iad=1, lhr=3),
    "volumes": V2.rolling().with_volume("data", "/data"),
}
# Each case begins with the same world, and a strategy ends in the same fleet: they are deployed once.
FIRST_RELEASE: list[Mapping[str, Any]] = []
UNDISTURBED: dict[str, Mapping[str, Any]] = {}


READS_REGIONS = 1
"""Requests of a client before its first deploy; the points at which one is killed are those after it."""


@asynccontextmanager
async def first_release() -> AsyncIterator[tuple[Emulator, FlyClient]]:
    """An emulator in which V1 has just been deployed."""
    if not FIRST_RELEASE:
        async with world(seed=1) as (emulator, fly):
            await settled(fly, V1.immediate())
            FIRST_RELEASE.append(emulator.dump())
    async with (
        Emulator.from_world(FIRST_RELEASE[0]) as emulator,
        FlyClient(emulator.token, base_url=emulator.url) as fly,
    ):
        yield emulator, fly


@pytest.mark.parametrize("requests", [14, 18, 24, 36, 50, 66, 86, 106])
@pytest.mark.parametrize("name", WANTED)
async def test_a_deploy_that_was_killed_is_gone_on_with(name: str, requests: int, tmp_path: Path) -> None:
    wanted = WANTED[name].with_env(SECRET="s").with_release_command("bin/migrate")
    if name not in UNDISTURBED:
        async with first_release() as (emulator, fly):
            await settled(fly, wanted)
            UNDISTURBED[name] = fleet(emulator)
    async with first_release() as (emulator, fly):
        path = tmp_path / "deploy.jsonl"
        await killed(emulator, fly, wanted.with_journal(path), READS_REGIONS + requests)
        resumed = DeployBuilder.resumed(path, env={"SECRET": "s", "OTHER": "o"})
        report = await resumed.execute(fly)
        assert report.ok, str(report)
        assert _comparable(fleet(emulator)) == _comparable(UNDISTURBED[name])
        attached = {volume.attached_machine_id is not None for volume in await fly.volumes.list("web")}
        assert attached <= {True}


def _comparable(there: Mapping[str, Any]) -> Any:
    """Leave out what two runs cannot have in common: which volume, and which of the free names."""
    configs = [
        (region, state, cordoned, {key: value for key, value in config.items() if key != "mounts"}, "mounts" in config)
        for region, state, cordoned, config in there.values()
    ]
    return sorted(configs, key=str)


@pytest.mark.parametrize("requests", [16, 31, 46, 76])
@pytest.mark.parametrize("name", [name for name in WANTED if name != "volumes"])
async def test_a_deploy_that_was_killed_is_undone_without_its_secrets(name: str, requests: int, tmp_path: Path) -> None:
    path = tmp_path / "deploy.jsonl"
    async with first_release() as (emulator, fly):
        before = fleet(emulator)
        killable = WANTED[name].with_env(SECRET="s").with_journal(path)
        await killed(emulator, fly, killable, READS_REGIONS + requests)
        resumed = DeployBuilder.resumed(path)
        if fleet(emulator) != before:
            report = await resumed.undo(fly)
            assert report.ok, str(report)
            assert fleet(emulator) == before
        with pytest.raises(
            InvalidInput, match=r"which does not contain env\.SECRET because they may be secret; state them again"
        ):
            await resumed.plan(fly)


async def test_the_first_deploy_of_all_is_undone_from_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (emulator, fly):
        await killed(emulator, fly, V1.rolling().with_journal(path), 12)
        assert fleet(emulator)
        with pytest.raises(InvalidInput, match="launch v1 created all machines"):
            await APP.undo(fly)
        report = await DeployBuilder.resumed(path).undo(fly)
        assert not fleet(emulator)
    assert report.ok, str(report)


async def test_undone_and_resumed_again(tmp_path: Path) -> None:
    path = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (emulator, fly):
        await settled(fly, V1.immediate())
        before = fleet(emulator)
        await killed(emulator, fly, V2.rolling().with_journal(path), 30)
        assert (await DeployBuilder.resumed(path).undo(fly)).ok
        assert fleet(emulator) == before
        report = await DeployBuilder.resumed(path).execute(fly)
        assert set(shown(emulator).values()) == {"shop:2"}
    assert report.ok, str(report)


async def test_a_launch_without_a_strategy_is_gone_on_with(base: DeployBuilder, tmp_path: Path) -> None:
    path = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (emulator, fly):
        await killed(emulator, fly, base.count(2).with_journal(path), 5)
        report = await DeployBuilder.resumed(path).execute(fly)
        assert len(fleet(emulator)) == 6
        assert report.ok, str(report)
        assert (await DeployBuilder.resumed(path).undo(fly)).ok
        assert not fleet(emulator)
