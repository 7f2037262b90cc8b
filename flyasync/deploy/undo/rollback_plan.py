"""The way back: (Plan, Observation) → Plan to the configs and counts before; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.config_merge import RETIRED, SECRET_CHANGES, changes, differing, observed
from flyasync.deploy.plan.fleet import Fleet, home, serves, tags
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.plan.plan import (
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    DeleteVolume,
    Destroy,
    Plan,
    Stage,
    Start,
    Step,
    Stop,
    Target,
    Track,
    Uncordon,
    Update,
)
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine, Requirement
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.image import digest_of
from flyasync.models.machine import Machine, expected_checks

AGAIN = "-again"
"""What the name of a machine ends with that is made again while its name is taken."""

RESTORED = "flyasync_restored"
"""The metadata key of a machine that was made again: the launch that had destroyed it, and was undone."""


def undo(plan: Plan, outcome: Observation) -> Plan:
    """Say how to come back to what was there before a deploy, from what it has left.

    Machines that it changed get their old config, those that it destroyed are made again, and only then those that it
    made are destroyed, with the volumes that it made for them. In regions past the point of no return nothing is
    undone, for what is new there takes the traffic.
    """
    assert plan.before is not None  # noqa: S101 - only a plan by a strategy is undone, and such a plan has it
    volumes = {run.machine.id: run.made_volumes for run in outcome.runs if run.machine and not run.adopted}
    with_them = volumes.keys() & {machine.id for machine in outcome.seen}
    return way_back(
        plan,
        _concerned(plan, plan.before),
        outcome.seen,
        made=(frozenset(volumes) | _launched(outcome.seen, plan.launch)) - {each.id for each in plan.before.machines},
        settled=outcome.settled,
        volumes=volumes,
        loose=[run for run in outcome.runs if not (run.machine and run.machine.id in with_them)],
        widths={lane.region: lane.width for lane in plan.lanes if lane.width},
    )


def way_back(
    plan: Plan,
    before: Iterable[Machine],
    present: Iterable[Machine],
    *,
    made: frozenset[str],
    settled: frozenset[str] = frozenset(),
    volumes: Mapping[str, list[str]] | None = None,
    loose: Iterable[MachineRun] = (),
    widths: Mapping[str, int] | None = None,
) -> Plan:
    """Plan from the machines that are `present` to those that were there `before`; `made` are the ids to go.

    `volumes` go with the machines that they were made for, those of `loose` runs alone. `widths` say how many serving
    machines of a region may be away at once.
    """
    here = {machine.id: machine for machine in present}
    back = list(_Way(plan.launch, here, settled).back(before))
    old = {was.then.id for was in back}
    extra = [each for each in here.values() if each.id in made - old and home(each) not in settled]
    restored = [was.track() for was in back]
    gone = [_gone(each, plan.launch, (volumes or {}).get(each.id, [])) for each in extra]
    stages = (
        *_restoring([track for track in restored if track.steps], widths),
        Stage.of("take away what was made", [*gone, *_let_go(loose, plan.launch, settled)]),
    )
    return evolve(
        plan,
        image=next((was.then.image for was in back if was.then.image), plan.image),
        stages=tuple(stage for stage in stages if stage.lanes),
        strategy="undo",
        kept=tuple(track for track in restored if not track.steps),
        remarks=tuple(_remarks(settled, back)),
        estimate=None,
    )


def _restoring(tracks: Sequence[Track], widths: Mapping[str, int] | None) -> Iterator[Stage]:
    """Bring back first what does not serve: before that is done, what serves is all there is."""
    serving = [track for track in tracks if track.takes_a_place]
    others = [track for track in tracks if not track.takes_a_place]
    if serving and others:
        yield Stage.of("restore first what does not serve", others)
    yield Stage.of("restore what was there", serving or others, widths)


def deployment_back(spec: DeploySpec, plan: Plan) -> DeploySpec:
    """Say what is wanted of the way back: all that was there, in every region."""
    counts = Counter(
        track.machine.region for track in (*plan.tracks, *plan.kept) if track.target not in {Target.GO, Target.APART}
    )
    return evolve(
        spec,
        config=evolve(spec.config, image=plan.image),
        digest=None,
        unresolved=None,
        counts=dict(counts),
        requirement=Requirement("all"),
        rolls_back=False,
        release=None,
        waves=(),
        volume=None,
    )


def _concerned(plan: Plan, before: Fleet) -> list[Machine]:
    """Give the machines that were there and that the deploy was about; what it left alone is nobody's business."""
    ids = {track.machine_id for track in (*plan.tracks, *plan.kept)}
    return [machine for machine in before.machines if machine.id in ids]


def _launched(machines: Iterable[Machine], launch: str) -> frozenset[str]:
    return frozenset(machine.id for machine in machines if tags(machine).get(LAUNCH) == launch)


@frozen
class _Way:
    """Where the way back begins, and how far it goes."""

    launch: str
    here: Mapping[str, Machine]
    settled: frozenset[str]

    def back(self, before: Iterable[Machine]) -> Iterator["_Was"]:
        """Give the machines that were there, each with what has become of it."""
        names = {machine.name for machine in self.here.values()}
        for then in before:
            if home(then) not in self.settled:
                name = f"{then.name}{AGAIN}" if then.id not in self.here and then.name in names else then.name
                yield _Was(then, self.here.get(then.id), self.launch, name)


@frozen
class _Was:
    """A machine as it was, and as it is now, if it is still there; else it is made again, under `name`."""

    then: Machine
    now: Machine | None
    launch: str
    name: str

    @property
    def ran(self) -> bool:
        return self.then.state not in RESTING | {"failed"}

    @property
    def is_down(self) -> bool:
        return self.now is not None and self.now.state in RESTING

    @property
    def config(self) -> MachineConfig | None:
        """The config it shall have; one that is made again says so."""
        config = observed(self.then)
        if self.now is not None or config is None:
            return config
        kept = {key: value for key, value in self.then.metadata.items() if key != RETIRED}
        return evolve(config, metadata={LAUNCH: before_launch(self.launch), **kept, RESTORED: self.launch})

    def track(self) -> Track:
        return Track(
            machine=DesiredMachine(name=self.name, region=home(self.then) if self.now else self.then.region, number=1),
            machine_id=self.now.id if self.now else None,
            steps=tuple(self._steps()),
            target=self._target,
            takes_a_place=self.now is not None and serves(self.now),
            config=self.config,
            stays_out=bool(self.then.cordoned),
        )

    @property
    def _target(self) -> Target:
        if role(self.then.config) is not Role.MEMBER:
            return Target.APART
        return Target.SERVE if serves(self.then) else Target.REST

    def _steps(self) -> Iterator[Step]:
        if self.then.config is None:
            return  # what is not known whole cannot be brought back, and was not changed either
        if self.now is None:
            config = self.config or self.then.config
            yield Create(cause=self._cause, config=config, skip_launch=not self.ran, cordoned=bool(self.then.cordoned))
            yield from self._goal()
            return
        now, then = observed(self.now), observed(self.then)
        if now is None or then is None or differing(now, then):
            yield from self._update(self.now)
        elif self.ran and (self.is_down or self.now.state == "failed"):
            yield from self._start(self.now)
        yield from self._routing()

    @property
    def _cause(self) -> str:
        return f"launch {self.launch} is undone"

    def _update(self, now: Machine) -> Iterator[Step]:
        yield Update(
            cause=self._cause,
            changes=tuple(each for each in self._changes if each.path not in SECRET_CHANGES),
            config=self.config,
            over=now.config,
            launches=self.ran and not self.is_down,
        )
        if self.ran and self.is_down:
            # An update leaves a stopped machine stopped, and a start sent before it has come to rest is lost.
            yield AwaitSettled(cause=f"it is {now.state}")
            yield from self._start(now)
        else:
            yield from self._goal()

    @property
    def _changes(self) -> tuple[Change, ...]:
        now, then = self.now and observed(self.now), observed(self.then)
        return changes(now, then) if now and then else ()

    def remarks(self) -> Iterator[str]:
        """Say what of the machine is not as it was in spite of all."""
        if self.then.config is None:
            yield f"{self.then.name}: its config was not known whole, so it stays as it is"
        elif self.now and digest_of(self.now.image) and self.then.image and digest_of(self.then.image) is None:
            yield f"{self.then.name}: which digest {self.then.image} was at is not known; the tag may have moved since"
        if any(each.path in SECRET_CHANGES for each in self._changes):
            yield f"{self.then.name} starts with the secrets as they are now: older values cannot be restored"

    def _start(self, now: Machine) -> Iterator[Step]:
        yield Start(cause=f"it is {now.state}, and was {self.then.state}")
        yield from self._goal()

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
    wanted = DesiredMachine(name=machine.name, region=home(machine), number=1)
    return Track(machine=wanted, machine_id=machine.id, steps=tuple(steps), target=Target.GO)


def _let_go(runs: Iterable[MachineRun], launch: str, settled: frozenset[str]) -> Iterator[Track]:
    """Delete the volumes that were made for machines which did not come to be."""
    for run in runs:
        if run.made_volumes and run.wanted.region not in settled:
            cause = f"launch {launch} made it, and no machine has it"
            steps = tuple(DeleteVolume(volume_id=volume_id, cause=cause) for volume_id in run.made_volumes)
            yield Track(machine=run.wanted, steps=steps, target=Target.GO)


def before_launch(launch: str) -> str:
    """Name the launch of machines that had none, and were made again once `launch` was undone."""
    return f"before-{launch}"


def _remarks(settled: Iterable[str], back: Iterable[_Was]) -> Iterator[str]:
    if settled:
        yield f"{', '.join(sorted(settled))}: past the point of no return, so what is new there stays"
    for was in back:
        yield from was.remarks()
