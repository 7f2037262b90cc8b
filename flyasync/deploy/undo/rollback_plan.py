"""Plans how to restore the configs and machines that existed before a deploy; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.plan.config_merge import RESTORES, RETIRED, SECRET_CHANGES, changes, differing, observed
from flyasync.deploy.plan.fleet import Fleet, group_of, home, serves, tags
from flyasync.deploy.plan.launch_origin import LaunchOrigin
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
    Widths,
)
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine, GroupSpec, LaneKey, Requirement
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.image import digest_of
from flyasync.models.machine import Machine, expected_checks

AGAIN = "-again"
"""The suffix of a recreated machine's name while its old name is in use."""

RESTORED = "flyasync_restored"
"""The metadata key of a recreated machine: the launch that had destroyed it, and was undone."""


def undo(plan: Plan, observation: Observation) -> Plan:
    """Return the plan that restores the state before a deploy.

    Machines that the deploy changed get their old config, and those that it destroyed are recreated. After that, the
    machines that it created are destroyed, with the volumes that it created for them. In lanes past the point of no
    return nothing is undone, because new machines take the traffic there.
    """
    assert plan.before is not None  # noqa: S101 - only a plan by a strategy is undone, and such a plan has it
    concerned = {track.machine_id for track in (*plan.tracks, *plan.kept)}  # the deploy left the others alone
    volumes = {run.machine.id: run.made_volumes for run in observation.runs if run.machine and not run.adopted}
    with_them = volumes.keys() & {machine.id for machine in observation.seen}
    launched = {machine.id for machine in observation.seen if tags(machine).get(LAUNCH) == plan.launch}
    return restoring(
        plan,
        [machine for machine in plan.before.machines if machine.id in concerned],
        observation.seen,
        made=frozenset(volumes.keys() | launched) - {each.id for each in plan.before.machines},
        settled=observation.settled,
        volumes=volumes,
        loose=[run for run in observation.runs if not (run.machine and run.machine.id in with_them)],
        widths={lane.key: lane.width for lane in plan.lanes if lane.width},
    )


def restoring(
    plan: Plan,
    before: Iterable[Machine],
    present: Iterable[Machine],
    *,
    made: frozenset[str],
    settled: frozenset[LaneKey] = frozenset(),
    volumes: Mapping[str, Sequence[str]] | None = None,
    loose: Iterable[MachineRun] = (),
    widths: Widths | None = None,
) -> Plan:
    """Return the plan that restores the machines of a former state.

    Args:
        plan: The plan to replace; its stages, strategy, kept machines, remarks and estimate are not used.
        before: The machines of the former state.
        present: The machines that exist now.
        made: The ids of machines to destroy.
        settled: Lanes past the point of no return; nothing changes there.
        volumes: The ids of volumes to delete, by the machine that they were created for.
        loose: Runs whose created volumes are deleted on their own, as no machine holds them.
        widths: How many serving machines of each lane may be unavailable at once.
    """
    here, fleet = {machine.id: machine for machine in present}, plan.before or Fleet(plan.app, ())
    names = {machine.name for machine in here.values()}
    back = [
        RestoredMachine(
            then,
            here.get(then.id),
            plan.launch,
            group=fleet.group_of(here.get(then.id) or then),
            is_name_taken=then.name in names,
        )
        for then in before
        if fleet.lane_of(then) not in settled
    ]
    tracks = [restored.track() for restored in back]
    # Machines that do not serve come first: until they are restored, only the serving ones take traffic.
    away = [track for track in tracks if track.steps and not track.takes_slot]
    serving = [track for track in tracks if track.steps and track.takes_slot]
    old = {restored.then.id for restored in back}
    extra = [each for each in here.values() if each.id in made - old and fleet.lane_of(each) not in settled]
    gone = [_retired(each, plan.launch, (volumes or {}).get(each.id, [])) for each in extra]
    for run in loose:
        if run.made_volumes and run.desired.lane not in settled:
            cause = f"created by launch {plan.launch}, not attached to a machine"
            steps = tuple(DeleteVolume(volume_id=volume_id, cause=cause) for volume_id in run.made_volumes)
            gone.append(Track(machine=run.desired, steps=steps, target=Target.GO))
    stages = (
        Stage.of("restore machines that are not serving first", away if serving else ()),
        Stage.of("restore machines", serving or away, widths),
        Stage.of("destroy what the deploy created", gone),
    )
    return evolve(
        plan,
        image=next((restored.then.image for restored in back if restored.then.image), plan.image),
        stages=tuple(stage for stage in stages if stage.lanes),
        strategy="undo",
        kept=tuple(track for track in tracks if not track.steps),
        remarks=(
            *_remarks_on_settled(plan, settled),
            *(remark for restored in back for remark in restored.remarks()),
        ),
        sizes=(),
        estimate=None,
        addresses=(),
        resources=None,
        pause_after=None,
    )


def _remarks_on_settled(plan: Plan, settled: Iterable[LaneKey]) -> Iterator[str]:
    """Yield a remark for each group with lanes past the point of no return, with their regions."""
    regions: dict[str, list[str]] = {}
    for region, group in sorted(settled):
        regions.setdefault(group, []).append(region)
    for group, those in regions.items():
        which = f"{group}: " if len(plan.groups) > 1 else ""
        yield f"{which}{', '.join(those)}: past the point of no return, new machines stay"


def restored_spec(spec: DeploySpec, plan: Plan) -> DeploySpec:
    """Return the spec of a rollback: all former machines, in every region."""
    there = Counter(
        track.machine.lane for track in (*plan.tracks, *plan.kept) if track.target not in {Target.GO, Target.APART}
    )
    groups = dict.fromkeys([*spec.group_names, *(group for _, group in there)])
    counts = {each: {region: count for (region, group), count in there.items() if group == each} for each in groups}
    return evolve(
        spec,
        config=evolve(spec.config, image=plan.image),
        digest=None,
        unresolved=None,
        counts=counts.pop(spec.group),
        also=tuple(GroupSpec(group=group, counts=each) for group, each in counts.items()),
        requirement=Requirement("all"),
        rolls_back=False,
        release=None,
        seed=None,
        origin=LaunchOrigin(),  # each machine has that of its former launch again
        verification=None,
        max_machines=None,
        adopts=(),
        pause_after=None,
        waves=(),
        volume=None,
    )


@frozen
class RestoredMachine:
    """A machine to restore: `then` is its former state, `now` the current one, None if it has to be recreated.

    `group` is the group that it is in now.
    """

    then: Machine
    now: Machine | None
    launch: str
    group: str = field(kw_only=True)
    is_name_taken: bool = field(kw_only=True)

    @property
    def ran(self) -> bool:
        """Whether it was running, and so has to run."""
        return self.then.state not in RESTING | {"failed"}

    @property
    def is_down(self) -> bool:
        """Whether it is stopped or suspended now."""
        return self.now is not None and self.now.state in RESTING

    @property
    def config(self) -> MachineConfig | None:
        """The config to restore; that of a recreated machine is marked."""
        config = observed(self.then)
        if self.now is not None or config is None:
            return config
        kept = {key: value for key, value in self.then.metadata.items() if key != RETIRED}
        marks = {RESTORED: self.launch, RESTORES: self.then.id}
        return evolve(config, metadata={LAUNCH: before_launch(self.launch), **kept, **marks})

    def track(self) -> Track:
        """Return the track that restores it; it has no steps if nothing has changed."""
        target = Target.SERVE if serves(self.then) else Target.REST
        region = home(self.then) if self.now else self.then.region
        name = f"{self.then.name}{AGAIN}" if self.now is None and self.is_name_taken else self.then.name
        return Track(
            machine=DesiredMachine(name=name, region=region, number=1, group=self.group),
            machine_id=self.now.id if self.now else None,
            steps=tuple(self._steps()),
            target=target if role(self.then.config) is Role.MEMBER else Target.APART,
            takes_slot=self.now is not None and serves(self.now),
            config=self.config,
            stays_out=bool(self.then.cordoned),
        )

    def _steps(self) -> Iterator[Step]:
        # 1. Its complete config is not known: it cannot be restored, and was not changed either.
        # 2. It no longer exists: it is recreated.
        # 3. It has another config, which is replaced. An update leaves a stopped machine stopped, and a start that is
        #    sent before the update is complete is lost.
        # 4. It was running, and is stopped or failed: it is started.
        # Finally it is cordoned or uncordoned, as it was.
        then, now, cause = self.then, self.now, f"undo of launch {self.launch}"
        if then.config is None:
            return
        if now is None:
            config = self.config or then.config
            yield Create(cause=cause, config=config, skip_launch=not self.ran, cordoned=bool(then.cordoned))
            yield from self._goal()
            return
        start = Start(cause=f"is {now.state}, was {then.state}")
        old, current = observed(then), observed(now)
        if current is None or old is None or differing(current, old):
            yield Update(
                cause=cause,
                changes=tuple(each for each in self._changes if each.path not in SECRET_CHANGES),
                config=self.config,
                over=now.config,
                launches=self.ran and not self.is_down,
            )
            if self.ran and self.is_down:
                yield AwaitSettled(cause=f"is {now.state}, is started next")
                yield start
            yield from self._goal()
        elif self.ran and (self.is_down or now.state == "failed"):
            yield start
            yield from self._goal()
        if now.cordoned and not then.cordoned:
            yield Uncordon(cause="was not cordoned")
        if then.cordoned and not now.cordoned:
            yield Cordon(cause="was cordoned")

    @property
    def _changes(self) -> tuple[Change, ...]:
        now, then = self.now and observed(self.now), observed(self.then)
        return changes(now, then) if now and then else ()

    def remarks(self) -> Iterator[str]:
        """Yield a remark for each part of the machine that cannot be restored."""
        if self.then.config is None:
            yield f"{self.then.name}: its complete config was not available, so it is left unchanged"
        elif self.now and digest_of(self.now.image) and self.then.image and digest_of(self.then.image) is None:
            yield f"{self.then.name}: the digest that {self.then.image} had is unknown; the tag may have moved since"
        if any(each.path in SECRET_CHANGES for each in self._changes):
            yield f"{self.then.name}: starts with the current secrets, since older values cannot be restored"

    def _goal(self) -> Iterator[Step]:
        if not self.ran:
            yield AwaitSettled(cause=f"was {self.then.state}")
            return
        yield AwaitStarted(cause=f"was {self.then.state}")
        if expected_checks(self.then.config):
            yield AwaitHealthy(cause="the config has checks")


def _retired(machine: Machine, launch: str, volumes: Iterable[str]) -> Track:
    cause = f"created by launch {launch}"
    steps: list[Step] = []
    if serves(machine):
        steps += [
            Cordon(machine_id=machine.id, cause=cause),
            Stop(machine_id=machine.id, cause="stop signal, then time to exit"),
        ]
    steps.append(Destroy(machine_id=machine.id, cause=cause))
    steps += [DeleteVolume(volume_id=volume_id, cause="created for that machine") for volume_id in volumes]
    desired = DesiredMachine(name=machine.name, region=home(machine), number=1, group=group_of(machine) or "")
    return Track(machine=desired, machine_id=machine.id, steps=tuple(steps), target=Target.GO)


def before_launch(launch: str) -> str:
    """Return the launch tag for machines without one that are recreated when `launch` is undone."""
    return f"before-{launch}"
