"""What holds of every plan: some hundred fleets are made up, and a model of them follows the plan."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from attrs import evolve

from flyasync import Check, InvalidInput, MachineConfig, Mount
from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.fleet import Fleet, group_of, home, serves
from flyasync.deploy.plan.image_digest import plan as plan_for
from flyasync.deploy.plan.plan import (
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    Destroy,
    GiveUp,
    Plan,
    Stage,
    Start,
    Step,
    Stop,
    TakeVolume,
    Target,
    Track,
    Uncordon,
    Update,
    Watch,
)
from flyasync.deploy.plan.spec import GROUP, HOME, DeploySpec
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share, Strategy
from flyasync.models.machine import CheckStatus, Machine, MachineEvent
from flyasync.models.volume import Volume

REGIONS = ("iad", "lhr", "nrt")
CHECKED = MachineConfig(image="app:v2", env={"A": "1"}, checks={"up": Check(type="tcp", port=80)})
VOLUMES = ("data", "other")
UNDECIDED = re.compile(
    r"a new machine of the group app could be like|the complete config of no machine of the group app is known"
)
UNCHECKED = MachineConfig(image="app:v2", env={"A": "1"})
STATES = (
    "started", "started", "started", "stopped", "suspended", "starting", "created", "failed", "stopping", "suspending",
    "replacing", "restarting", "destroying", "a-word-to-come",
)  # fmt: skip
# From which states a step is possible; one that is about to stop is asked to start until it has stopped.
LEGAL = {
    Start: {"stopped", "suspended", "stopping", "suspending", "failed"},
    AwaitStarted: {"created", "starting", "restarting", "replacing", "started"},
    AwaitHealthy: {"started"},
    AwaitSettled: {"stopped"},
    Watch: {"started"},
    Stop: {"started"},
}
LEADS_TO: dict[type, dict[str, Any]] = {
    Start: {"state": "starting", "events": ()},
    AwaitStarted: {"state": "started"},
    Stop: {"state": "stopped"},
}
PASSING = (CheckStatus(name="up", status="passing"),)
CRASH = MachineEvent(type="exit", timestamp=1, request={"exit_event": {"exit_code": 1}})


# Fleets and deployments, made up: the same from the same seed.


class Maker(Random):
    """Draws what a deploy may meet."""

    def share(self) -> Share:
        return Share(self.choice([1, 2, 3, 0.1, 0.33, 0.5, 1.0]))

    def strategy(self) -> Strategy:
        return BlueGreen() if self.random() < 0.5 else self.in_place()

    def in_place(self) -> Strategy:
        kinds: list[Strategy] = [
            Rolling(max_unavailable=self.share()),
            Canary(machines=self.share(), soak=self.choice([0.0, 60.0]), max_unavailable=self.share()),
            Immediate(),
        ]
        return self.choice(kinds)

    def spec(self, strategy: Strategy) -> DeploySpec:
        regions = self.sample(REGIONS, self.randint(1, 3))
        checked = self.random() < 0.5
        volume = DesiredVolume(name="data", path="/data", if_lost=self.choice([None, "fork", "new"]))
        return DeploySpec(
            app="web",
            launch="v2",
            config=CHECKED if checked else UNCHECKED,
            counts={region: self.randint(0, 4) for region in regions},
            goal="healthy" if checked else "started",
            strategy=strategy,
            waves=self.choice([(), tuple((region,) for region in regions)]),
            retired_groups=self.choice([(), ("old",)]),
            volume=None if isinstance(strategy, BlueGreen) or self.random() < 0.5 else volume,
            smoke=self.choice([0.0, 10.0]),
        )

    def fleet(self, spec: DeploySpec) -> Fleet:
        free = [
            Volume(id=f"vol_free{number}", name=self.choice(VOLUMES), state="created", region=self.choice(REGIONS))
            for number in range(self.randint(0, 3))
        ]
        found = configs(spec)
        made = [self.machine(spec, number, self.choice(found)) for number in range(self.randint(0, 9))]
        held = [volume for _, volume in made if volume]
        return Fleet("web", tuple(machine for machine, _ in made), volumes=(*free, *held))

    def machine(self, spec: DeploySpec, number: int, config: MachineConfig) -> tuple[Machine, Volume | None]:
        region, host = self.choice(REGIONS), self.choice(["ok", "ok", "ok", "ok", "unreachable", "unknown"])
        homes = {HOME: self.choice(REGIONS)} if self.random() < 0.3 else {}
        groups = {GROUP: self.choice(["app", "app", "app", "app", "worker", "old"])}
        config = evolve(config, metadata={**(config.metadata or {}), **groups, **homes})
        volume = None
        if not isinstance(spec.strategy, BlueGreen) and self.random() < 0.5:
            volume = Volume(
                id=f"vol_{number}",
                name=self.choice(VOLUMES),
                state="created",
                region=region,
                attached_machine_id=f"id{number}",
                host_status=host,
            )
            config = evolve(config, mounts=(Mount(volume=volume.id, path=self.choice(["/data", "/elsewhere"])),))
        is_sick = spec.goal == "healthy" and self.random() < 0.3
        machine = Machine(
            id=f"id{number}",
            name=f"app-iad-{number}",  # such names are taken in iad, and free elsewhere
            state=self.choice(STATES),
            region=region,
            config=config if host == "ok" else None,
            incomplete_config=None if host == "ok" else config,
            host_status=host,
            cordoned=self.random() < 0.25,
            checks=(CheckStatus(name="up", status="critical" if is_sick else "passing"),),
            events=(CRASH,) if self.random() < 0.25 else (),
        )
        return machine, volume


def configs(spec: DeploySpec) -> list[MachineConfig]:
    """The configs that a machine may have: the desired one, a changed one, an earlier deploy's, or a foreign one."""
    wanted = spec.tagged
    earlier = evolve(spec, config=MachineConfig(image="app:v1", schedule="daily"))
    stranger = MachineConfig(image="app:v0", metadata={"team": "blue"})
    return [wanted, evolve(wanted, env={"A": "2"}), earlier.tagged, stranger]


Case = tuple[DeploySpec, Fleet, Plan]


def every(
    kind: Callable[[Maker], Strategy], fleets: int = 400
) -> Callable[[Callable[[Case], None]], Callable[[], None]]:
    """Hold a test to many fleets; a failure names the seed, and shows the plan."""

    def held(test: Callable[[Case], None]) -> Callable[[], None]:
        def over_all() -> None:
            for seed in range(fleets):
                case = made_up(kind, seed)
                try:
                    test(case)
                except BaseException as error:
                    error.add_note(f"seed {seed}:\n{case[2]}")
                    raise

        over_all.__name__ = test.__name__
        # Measured by the other tests, and twice as fast without.
        return pytest.mark.no_cover(over_all)

    return held


def made_up(kind: Callable[[Maker], Strategy], seed: int) -> Case:
    """Draw until there is a plan: it is refused only if the existing machines are ambiguous about a new one."""
    maker = Maker(seed)
    while True:
        spec = maker.spec(kind(maker))
        fleet = maker.fleet(spec)
        try:
            return spec, fleet, plan_for(spec, fleet)
        except InvalidInput as refused:
            assert UNDECIDED.search(str(refused)), refused  # noqa: PT017 - which of them is refused is the point


def bluegreen(_: Maker) -> Strategy:
    return BlueGreen()


# A model of a fleet that follows a plan, where all goes well.


class Model:
    """Machines that do as a plan says."""

    def __init__(self, spec: DeploySpec, fleet: Fleet) -> None:
        self.spec = spec
        self.machines = {machine.id: machine for machine in fleet.machines}
        self.volumes = {volume.id: volume for volume in fleet.volumes}
        self.has_secrets = fleet.has_secrets
        self._made = 0

    @property
    def fleet(self) -> Fleet:
        return Fleet("web", tuple(self.machines.values()), volumes=tuple(self.volumes.values()))

    def follow(self, plan: Plan) -> Fleet:
        for stage in plan.stages:
            self.take(stage)
        return self.fleet

    def take(self, stage: Stage) -> None:
        for track in stage.tracks:
            self._track(track)

    def _track(self, track: Track) -> None:
        # A machine made in an earlier stage is known by its name.
        named = {machine.name: machine.id for machine in self.machines.values()}
        machine_id, volume = track.machine_id or named.get(track.machine.name), None
        for step in track.steps:
            match step:
                case TakeVolume():
                    volume = step.volume_id or self._volume(track.machine.region, step.volume.name)
                case Create():
                    machine_id = self._create(track, step, volume)
                case _:
                    assert machine_id is not None
                    self._step(machine_id, step)

    def _volume(self, region: str, name: str) -> str:
        self._made += 1
        made = Volume(id=f"vol_made{self._made}", name=name, state="created", region=region)
        self.volumes[made.id] = made
        return made.id

    def _create(self, track: Track, step: Create, volume: str | None) -> str:
        self._made += 1
        name = step.name or track.machine.name
        assert name not in {machine.name for machine in self.machines.values()}
        config = evolve(step.config, metadata={**(step.config.metadata or {}), LAUNCH: "v2"})
        marks = config.metadata or {}
        assert (marks[GROUP], marks[HOME]) == ("app", track.machine.region)
        machine = Machine(
            id=f"made{self._made}", name=name, state="created", region=track.machine.region, cordoned=step.cordoned
        )
        assert all(mount.volume is None for mount in config.mounts or ())
        assert bool(config.mounts) == (volume is not None)
        if volume is not None:
            assert self.volumes[volume].is_free
            assert self.volumes[volume].region == machine.region
            config = evolve(config, mounts=[evolve(mount, volume=volume) for mount in config.mounts or ()])
            self.volumes[volume] = evolve(self.volumes[volume], attached_machine_id=machine.id)
        assert volume is not None or self.spec.volume is None
        self.machines[machine.id] = evolve(machine, config=config)
        return machine.id

    def _step(self, machine_id: str, step: Step) -> None:
        machine = self.machines[getattr(step, "machine_id", None) or machine_id]
        if isinstance(step, Destroy):
            self._destroy(machine)
        elif not isinstance(step, GiveUp):
            assert machine.host_is_ok, f"{step} of {machine.name}, whose host is gone"
            assert machine.state in LEGAL.get(type(step), STATES), f"{step} of {machine.name}, which is {machine.state}"
            self.machines[machine.id] = evolve(machine, **self._changes(machine, step))

    def _changes(self, machine: Machine, step: Step) -> dict[str, Any]:
        match step:
            case Update():
                state = "starting" if step.launches else "stopped"
                return {"config": self._updated(machine), "checks": (), "events": (), "state": state}
            case AwaitHealthy():
                return {"checks": PASSING}
            case Cordon() | Uncordon():
                return {"cordoned": isinstance(step, Cordon)}
            case _:
                return LEADS_TO.get(type(step), {})

    def _updated(self, machine: Machine) -> MachineConfig:
        assert machine.config is not None
        return self.spec.desired(machine.config)

    def _destroy(self, machine: Machine) -> None:
        del self.machines[machine.id]
        for volume in self.volumes.values():
            if volume.attached_machine_id == machine.id:
                # One on a host that is gone stays out of reach.
                status = None if machine.host_is_ok else machine.host_status
                self.volumes[volume.id] = evolve(volume, attached_machine_id=None, host_status=status)


def of_the_group(fleet: Fleet) -> list[Machine]:
    return [machine for machine in fleet.group("app") if machine.state != "destroying"]


def serving(fleet: Fleet) -> Counter[str]:
    return Counter(home(machine) for machine in of_the_group(fleet) if serves(machine))


def steps(plan: Plan) -> Iterator[tuple[int, Track, Step]]:
    for number, stage in enumerate(plan.stages):
        for track in stage.tracks:
            for step in track.steps:
                yield number, track, step


def ids(plan: Plan, *kinds: type) -> set[str | None]:
    """Name the machines that there are steps of these kinds for."""
    found = ((track, step) for _, track, step in steps(plan) if isinstance(step, kinds))
    return {getattr(step, "machine_id", None) or track.machine_id for track, step in found}


# What holds.


@every(Maker.strategy)
def test_a_plan_leads_to_what_is_wanted_and_the_next_one_finds_nothing_to_do(case: Case) -> None:
    spec, fleet, plan = case
    after = Model(spec, fleet).follow(plan)
    again, stuck = plan_for(spec, after), ids(plan, GiveUp)
    assert again.is_empty or stuck, str(again)
    assert all(isinstance(step, GiveUp) for step in again.steps), str(again)
    assert ids(again, GiveUp) == stuck
    there = [machine for machine in of_the_group(after) if home(machine) in spec.counts]
    counts = Counter(map(home, there))
    assert all(counts[region] == count for region, count in spec.counts.items())
    for machine in there:
        assert machine.id in stuck or (spec.fits(machine) and not machine.cordoned)
    assert {machine.state for name in spec.retired_groups for machine in after.group(name)} <= {"destroying"}


@every(Maker.strategy)
def test_as_many_serve_afterwards_as_before_or_as_are_wanted(case: Case) -> None:
    spec, fleet, plan = case
    if ids(plan, GiveUp):
        return  # it comes to an end before anything leaves
    after = Model(spec, fleet).follow(plan)
    for region, count in spec.counts.items():
        assert serving(after)[region] >= min(count, serving(fleet)[region])


@every(Maker.strategy)
def test_machines_of_other_groups_and_regions_never_appear(case: Case) -> None:
    spec, fleet, plan = case
    there = {machine.id: machine for machine in fleet.machines}
    for _, track, step in steps(plan):
        for machine_id in filter(None, [track.machine_id, getattr(step, "machine_id", None)]):
            group = group_of(there[machine_id])
            assert group == "app" or group in spec.retired_groups
            assert group != "app" or home(there[machine_id]) in spec.counts
        assert track.machine.region in spec.counts or track.target is Target.GO


@every(Maker.strategy)
def test_a_machine_is_in_one_track_of_a_stage_and_is_not_both_kept_and_destroyed(case: Case) -> None:
    _, _, plan = case
    for stage in plan.stages:
        names = [track.machine.name for track in stage.tracks]
        assert len(names) == len(set(names))
        regions = [lane.region for lane in stage.lanes]
        assert len(regions) == len(set(regions))
    kept, destroyed, updated = {track.machine_id for track in plan.kept}, ids(plan, Destroy), ids(plan, Update)
    assert not kept & destroyed
    assert not kept & updated
    assert not destroyed & updated


@every(Maker.in_place)
def test_no_more_serving_machines_are_away_at_once_than_the_strategy_says(case: Case) -> None:
    spec, fleet, plan = case
    there, strategy = {machine.id: machine for machine in fleet.machines}, spec.strategy
    for lane in plan.lanes:
        for track in lane.tracks:
            is_updated = any(isinstance(step, Update) for step in track.steps)
            assert track.takes_slot == (is_updated and serves(there[track.machine_id or ""]))
        if isinstance(strategy, Rolling | Canary) and any(track.takes_slot for track in lane.tracks):
            assert lane.width == strategy.max_unavailable.at_most(serving(fleet)[lane.region])
        if isinstance(strategy, Immediate):
            assert lane.width is None


@every(Maker.in_place)
def test_nothing_leaves_before_all_that_is_made_or_updated_in_its_region(case: Case) -> None:
    _, _, plan = case
    last = {track.machine.region: number for number, track, step in steps(plan) if isinstance(step, Create | Update)}
    for number, track, step in steps(plan):
        if isinstance(step, Cordon | Stop | Destroy):
            assert number > last.get(track.machine.region, -1)


@every(bluegreen)
def test_bluegreen_touches_nothing_that_serves_before_what_is_new_serves(case: Case) -> None:
    spec, fleet, plan = case
    before = {machine.id for machine in of_the_group(fleet) if serves(machine)}
    model = Model(spec, fleet)
    assert not plan.updates
    for stage in plan.stages:
        leaving = [track for track in stage.tracks if track.target is Target.GO and track.machine_id in before]
        for region in {track.machine.region for track in leaving}:
            new = [one for one in of_the_group(model.fleet) if home(one) == region and serves(one)]
            made = sum(spec.fits(one) for one in new)
            assert made >= min(spec.counts[region], serving(fleet)[region])
        for track in stage.tracks:
            if track.target is not Target.GO:
                assert not any(isinstance(step, Cordon | Stop | Destroy | Update) for step in track.steps)
        if stage.point_of_no_return:
            regions = {lane.region for lane in stage.lanes}
            there = {machine.id for machine in of_the_group(model.fleet) if serves(machine)}
            assert there >= {
                machine.id for machine in fleet.machines if machine.id in before and home(machine) in regions
            }
        model.take(stage)


@every(Maker.strategy)
def test_no_value_of_the_environment_is_in_the_text(case: Case) -> None:
    spec, fleet, _ = case
    secret = evolve(spec, config=evolve(spec.config, env={"TOKEN": "hunter2"}))
    plan = plan_for(secret, fleet)
    assert "hunter2" not in str(plan)
    assert "hunter2" not in repr(plan)


@every(Maker.strategy)
def test_a_region_goes_in_its_wave(case: Case) -> None:
    spec, _, plan = case
    waves = spec.waves or (spec.regions,)
    shaped = [stage for stage in plan.stages if not (stage.title or "").startswith("retire group")]
    seen = [
        number for stage in shaped for lane in stage.lanes for number, wave in enumerate(waves) if lane.region in wave
    ]
    assert seen == sorted(seen)
    assert plan.stages[: len(shaped)] == tuple(shaped)
