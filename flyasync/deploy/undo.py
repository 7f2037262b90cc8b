"""The way back: (Plan, Outcome) → Plan to the configs and counts before; pure."""

from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve, frozen

from flyasync.api.once import LAUNCH
from flyasync.deploy.deployment import Deployment, Requirement, Wanted
from flyasync.deploy.fleet import Fleet, home, serves, tags
from flyasync.deploy.group import RESTING
from flyasync.deploy.outcome import Outcome
from flyasync.deploy.plan import (
    Aim,
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    DeleteVolume,
    Destroy,
    Lane,
    Plan,
    Stage,
    Start,
    Step,
    Stop,
    Track,
    Uncordon,
    Update,
)
from flyasync.models.compare import differences, same
from flyasync.models.machine import Machine, expected_checks


def undo(plan: Plan, outcome: Outcome) -> Plan:
    """Say how to come back to what was there before a deploy, from what it has left.

    Machines that it changed get their old config, those that it destroyed are made again, and only then those that it
    made are destroyed, with the volumes that it made for them. In regions past the point of no return nothing is
    undone, for what is new there takes the traffic.
    """
    assert plan.before is not None  # noqa: S101 - only a plan by a strategy is undone, and such a plan has it
    volumes = {run.machine.id: run.made_volumes for run in outcome.runs if run.machine and not run.adopted}
    return way_back(
        plan,
        _concerned(plan, plan.before),
        outcome.seen,
        made=frozenset(volumes) | _launched(outcome.seen, plan.launch),
        settled=outcome.settled,
        volumes=volumes,
    )


def way_back(
    plan: Plan,
    before: Iterable[Machine],
    present: Iterable[Machine],
    *,
    made: frozenset[str],
    settled: frozenset[str] = frozenset(),
    volumes: Mapping[str, list[str]] | None = None,
) -> Plan:
    """Plan from the machines that are `present` to those that were there `before`; `made` are the ids to go."""
    here = {machine.id: machine for machine in present}
    back = [_Was(machine, here.get(machine.id)) for machine in before if home(machine) not in settled]
    old = {was.then.id for was in back}
    extra = [each for each in here.values() if each.id in made - old and home(each) not in settled]
    restored = [was.track(plan.launch) for was in back]
    widths = {lane.region: lane.width for lane in plan.lanes if lane.width}
    stages = (
        _stage("restore what was there", [track for track in restored if track.steps], widths),
        _stage(
            "take away what was made", [_gone(each, plan.launch, (volumes or {}).get(each.id, [])) for each in extra]
        ),
    )
    return evolve(
        plan,
        stages=tuple(stage for stage in stages if stage.lanes),
        strategy="undo",
        kept=tuple(track for track in restored if not track.steps),
        remarks=tuple(_remarks(settled, back)),
        seconds=None,
    )


def deployment_back(deployment: Deployment, plan: Plan) -> Deployment:
    """Say what is wanted of the way back: all that was there, in every region."""
    regions = [track.machine.region for track in (*plan.tracks, *plan.kept) if track.aim is not Aim.GO]
    counts = {region: regions.count(region) for region in dict.fromkeys(regions)}
    return evolve(
        deployment, counts=counts, requirement=Requirement("all"), rolls_back=False, release=None, waves=(), volume=None
    )


def _concerned(plan: Plan, before: Fleet) -> list[Machine]:
    touched = {track.machine_id for track in plan.tracks}
    members = {machine.id for machine in before.group(plan.group or "")}
    return [machine for machine in before.machines if machine.id in touched | members]


def _launched(machines: Iterable[Machine], launch: str) -> frozenset[str]:
    return frozenset(machine.id for machine in machines if tags(machine).get(LAUNCH) == launch)


@frozen
class _Was:
    """A machine as it was, and as it is now, if it is still there."""

    then: Machine
    now: Machine | None

    @property
    def ran(self) -> bool:
        return self.then.state not in RESTING | {"failed"}

    def track(self, launch: str) -> Track:
        machine = self.then
        return Track(
            machine=Wanted(name=machine.name, region=home(machine), number=1),
            machine_id=self.now.id if self.now else None,
            steps=tuple(self._steps(launch)),
            aim=Aim.SERVE if serves(machine) else Aim.REST,
            takes_a_place=self.now is not None and serves(self.now),
            config=machine.config,
        )

    def _steps(self, launch: str) -> Iterator[Step]:
        cause = f"launch {launch} is undone"
        if self.then.config is None:
            return  # what is not known whole cannot be brought back, and was not changed either
        if self.now is None:
            yield Create(
                cause=cause, config=self.then.config, skip_launch=not self.ran, cordoned=bool(self.then.cordoned)
            )
            yield from self._goal()
        elif self.now.config is None or not same(self.now.config, self.then.config):
            changes = differences(self.now.config, self.then.config) if self.now.config else ()
            shown = tuple(change for change in changes if not change.path.startswith("metadata.flyasync_"))
            yield Update(cause=cause, changes=shown, config=self.then.config, launches=self.ran)
            yield from self._goal()
        elif self.ran and self.now.state in RESTING:
            yield Start(cause=f"it is {self.now.state}, and was {self.then.state}")
            yield from self._goal()
        if self.now is not None:
            yield from self._routing()

    def _goal(self) -> Iterator[Step]:
        if not self.ran:
            yield AwaitSettled(cause=f"it was {self.then.state}")
            return
        yield AwaitStarted(cause=f"it was {self.then.state}")
        if expected_checks(self.then.config):
            yield AwaitHealthy(cause="its config has checks")

    def _routing(self) -> Iterator[Step]:
        is_out, was_out = bool(self.now and self.now.cordoned), bool(self.then.cordoned)
        if is_out and not was_out:
            yield Uncordon(cause="it was in routing")
        if was_out and not is_out:
            yield Cordon(cause="it was out of routing")


def _gone(machine: Machine, launch: str, volumes: Iterable[str]) -> Track:
    cause = f"launch {launch} made it"
    steps: list[Step] = []
    if serves(machine):
        steps += [Cordon(machine_id=machine.id, cause=cause), Stop(machine_id=machine.id, cause="it gets time to end")]
    steps.append(Destroy(machine_id=machine.id, cause=cause))
    steps += [DeleteVolume(volume_id=volume_id, cause="it was made for that machine") for volume_id in volumes]
    wanted = Wanted(name=machine.name, region=home(machine), number=1)
    return Track(machine=wanted, machine_id=machine.id, steps=tuple(steps), aim=Aim.GO)


def _stage(title: str, tracks: Iterable[Track], widths: Mapping[str, int] | None = None) -> Stage:
    by_region: dict[str, list[Track]] = {}
    for track in tracks:
        by_region.setdefault(track.machine.region, []).append(track)
    lanes = (
        Lane(region=region, tracks=tuple(those), width=(widths or {}).get(region))
        for region, those in by_region.items()
    )
    return Stage(title=title, lanes=tuple(lanes))


def _remarks(settled: Iterable[str], back: Iterable[_Was]) -> Iterator[str]:
    if settled:
        yield f"{', '.join(sorted(settled))}: past the point of no return, so what is new there stays"
    for was in back:
        if was.then.config is None:
            yield f"{was.then.name}: its config was not known whole, so it stays as it is"
