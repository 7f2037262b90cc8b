"""What becomes of each machine of a group, whatever the strategy: keep, update, replace, make, retire; pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property

from attrs import define, evolve, field, frozen

from flyasync.deploy.plan.config_merge import SECRET_CHANGES, SECRETS, changes, observed
from flyasync.deploy.plan.fleet import Fleet, home, serves
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.plan.sibling_config import Pattern, pattern
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine, DesiredVolume
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.image import without_digest
from flyasync.models.machine import GONE, Machine
from flyasync.models.volume import Volume

RESTING = frozenset({"stopped", "suspended", "stopping", "suspending"})
"""The states of a machine that does not run, and is not about to."""


class Action(StrEnum):
    """What becomes of one machine."""

    KEEP = "keep"  # it has the config wanted
    UPDATE = "update"  # it gets the config wanted
    MAKE = "make"  # it is not there yet
    RETIRE = "retire"  # it is not wanted any more, or another takes its place
    STUCK = "stuck"  # it would have to be replaced, and may not be


@frozen(kw_only=True)
class Member:
    """A machine of the group that is there or is wanted, with its fate and the cause of it.

    `config` is what it will have, as far as it is known: for one to be made, all but its volume; `changes` are what an
    update changes; `pattern` is what that
    is made from. `volume` is the one to take for a machine to be made, `source` the one to fork for it. One that
    `wakes` is at rest, and has to run all the same. `spare` is the name of the machine that takes its place if its host
    is full; `replaces` is the id of the one whose place a new one takes. One that `is_verified` is at rest, and is
    started for a while to see that it would run. One that `is_apart` stands by for others or
    runs on a schedule: it is none of those that were asked for.
    """

    wanted: DesiredMachine
    action: Action
    cause: str
    machine: Machine | None = None
    config: MachineConfig | None = None
    changes: tuple[Change, ...] = ()
    pattern: Pattern | None = None
    volume: Volume | None = None
    source: str | None = None
    wakes: bool = False
    spare: str | None = None
    is_verified: bool = False
    replaces: str | None = None
    is_apart: bool = False

    @property
    def region(self) -> str:
        """The region it is wanted in."""
        return self.wanted.region

    @property
    def serves(self) -> bool:
        """Whether it is there and takes traffic."""
        return self.machine is not None and serves(self.machine)

    @property
    def rests(self) -> bool:
        """Whether it is there and does not run; one that stands by may never have run."""
        if self.machine is None:
            return False
        was_never_started = self.machine.state == "created" and role(self.config) is not Role.MEMBER
        return self.machine.state in RESTING or was_never_started

    @property
    def runs(self) -> bool:
        """Whether it runs, or shall: one that was put to rest stays so, one that has crashed does not."""
        if self.machine is None or role(self.config) is not Role.MEMBER:
            return self.machine is not None and not self.rests
        return not self.rests or self.wakes or self.machine.has_crashed


def converged(spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
    """Say what becomes of the group when its machines are updated where they are."""
    return _decided(spec, fleet, _judge(spec))


def renewed(spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
    """Say what becomes of the group when every machine that is not as wanted makes way for a new one."""
    return _decided(spec, fleet, _make_way)


def verified(spec: DeploySpec, members: Sequence[Member]) -> tuple[Member, ...]:
    """Choose one machine of each region to be started and verified, where all of a group are stopped and stay so."""
    if any(member.action is Action.MAKE or (_stays(member) and member.runs) for member in members):
        return tuple(members)
    fates = {Action.UPDATE, Action.KEEP} if spec.verify_stopped == "always" else {Action.UPDATE}
    able = (each for each in members if each.rests and each.action in fates and spec.may_verify(each.config))
    chosen = {member.region: member.wanted.name for member in reversed(tuple(able))}
    return tuple(evolve(each, is_verified=chosen.get(each.region) == each.wanted.name) for each in members)


def left_alone(spec: DeploySpec, fleet: Fleet) -> Mapping[str, int]:
    """Count the machines of the group by region where the deployment says nothing about the region."""
    homes = map(home, fleet.group(spec.group))
    return dict(sorted(Counter(region for region in homes if region not in spec.counts).items()))


def _members(spec: DeploySpec, fleet: Fleet) -> tuple[Machine, ...]:
    return spec.members(fleet.group(spec.group))


@frozen
class _Names:
    """The names that are free, and the volumes; each is given out once."""

    spec: DeploySpec
    taken: set[str]
    volumes: list[Volume]
    numbers: Counter[str] = field(factory=Counter)

    @classmethod
    def of(cls, spec: DeploySpec, fleet: Fleet) -> "_Names":
        free = [each for each in fleet.volumes if each.is_free]
        return cls(spec, {machine.name for machine in fleet.machines}, sorted(free, key=lambda each: each.id))

    def next(self, region: str) -> DesiredMachine:
        """Give the name of one more machine in a region: the one with the lowest number that is free."""
        # Names are only ever taken, so the search goes on where it ended before.
        while True:
            number = self.numbers[region] = self.numbers[region] + 1
            name = f"{self.spec.group}-{region}-{number}".replace("_", "-")
            if name not in self.taken:
                return DesiredMachine(name=name, region=region, number=number)

    def volume(self, region: str, wanted: DesiredVolume) -> Volume | None:
        """Give a volume of the region that nobody holds; one that is like a sibling's has to have the same size too."""
        named = (each for each in self.volumes if each.region == region and each.name == wanted.name)
        any_size = self.spec.volume is not None
        found = next((each for each in named if any_size or each.size_gb in {None, wanted.size_gb}), None)
        if found:
            self.volumes.remove(found)
        return found


@define
class _Deciding:
    """What is wanted and what is there, and which names and volumes are still to be had."""

    spec: DeploySpec
    fleet: Fleet
    names: _Names

    @cached_property
    def pattern(self) -> Pattern:
        """What new machines are made from; raises InvalidInput where that cannot be decided."""
        return pattern(self.spec, self.fleet)

    def made(self, region: str, cause: str, place_of: Machine | None) -> Member:
        """Give one more machine of a region, which may take the place of another."""
        source = self._source(place_of) if place_of else None
        made = self._pattern(place_of)
        return Member(
            wanted=self.names.next(region),
            action=Action.MAKE,
            cause=f"it takes the place of {place_of.name}" if place_of else cause,
            config=made.config,
            pattern=made,
            volume=self.names.volume(region, made.volume) if made.volume and source is None else None,
            source=source,
            replaces=place_of.id if place_of else None,
        )

    def _pattern(self, place_of: Machine | None) -> Pattern:
        """Return what a machine is made from; one that takes the place of a job is that job from then on."""
        if place_of and place_of.config and self.spec.role(place_of) is Role.SCHEDULED:
            return Pattern.of(self.spec, self.fleet, place_of)
        return self.pattern

    def _source(self, machine: Machine) -> str | None:
        """Name the volume to fork for the machine that comes after this one, where its host is lost."""
        forks = self.spec.volume is not None and self.spec.volume.if_lost == "fork"
        if not (forks and why_lost(machine) and has_volume(self.spec, self.fleet, machine)):
            return None
        volume = self.fleet.volume_of(machine)
        return volume.id if volume else None


def _spared(names: _Names, member: Member) -> Member:
    """Give a machine that is to be updated a name for the one that may have to take its place."""
    return evolve(member, spare=names.next(member.region).name) if member.action is Action.UPDATE else member


@frozen
class _Verdict:
    action: Action
    cause: str
    config: MachineConfig | None = None
    changes: tuple[Change, ...] = ()


Judge = Callable[[DeploySpec, Fleet, Machine], _Verdict]


def _decided(spec: DeploySpec, fleet: Fleet, judge: Judge) -> tuple[Member, ...]:
    deciding = _Deciding(spec, fleet, _Names.of(spec, fleet))
    verdicts = [
        (machine, judge(spec, fleet, machine)) for machine in _members(spec, fleet) if machine.state not in GONE
    ]
    present: dict[str, list[tuple[Machine, _Verdict]]] = {}
    for machine, verdict in verdicts:
        present.setdefault(home(machine), []).append((machine, verdict))
    members = [member for region in spec.regions for member in _region(deciding, region, present.get(region, []))]
    members += _apart(spec, fleet)
    return tuple(_spared(deciding.names, member) for member in members)


def _apart(spec: DeploySpec, fleet: Fleet) -> Iterator[Member]:
    """Give the machines beside those that count: they are updated where they are, as far as that is possible."""
    counted = {machine.id for machine in _members(spec, fleet)}
    for machine in fleet.group(spec.group):
        if machine.id in counted or machine.state in GONE or home(machine) not in spec.counts:
            continue
        if (verdict := _judge(spec)(spec, fleet, machine)).action in {Action.KEEP, Action.UPDATE}:
            yield evolve(_member(machine, home(machine), 0, verdict), is_apart=True)


def _region(deciding: "_Deciding", region: str, present: Sequence[tuple[Machine, _Verdict]]) -> Iterator[Member]:
    served = min(deciding.spec.counts[region], sum(serves(machine) for machine, _ in present))
    return _awake(served, tuple(_placed(deciding, region, present)))


def _awake(served: int, members: Sequence[Member]) -> Iterator[Member]:
    """Wake some that rest where others make way, so that as many serve as before, or as are wanted."""
    up = sum(member.action is Action.MAKE or (_stays(member) and member.runs) for member in members)
    for member in members:
        wakes = up < served and _stays(member) and not member.runs
        up += wakes
        yield evolve(member, wakes=wakes)


def _stays(member: Member) -> bool:
    return member.action in {Action.KEEP, Action.UPDATE} and not member.is_apart


def _placed(deciding: "_Deciding", region: str, present: Sequence[tuple[Machine, _Verdict]]) -> Iterator[Member]:
    count = deciding.spec.counts[region]
    leaving = [(machine, verdict) for machine, verdict in present if verdict.action is Action.RETIRE]
    staying = sorted(
        ((machine, verdict) for machine, verdict in present if verdict.action is not Action.RETIRE), key=_merit
    )
    surplus = _Verdict(Action.RETIRE, f"{region} has {len(staying)}, and {count} are wanted")
    for number, (machine, verdict) in enumerate(staying, start=1):
        is_apart = number > count and deciding.spec.role(machine) is Role.SCHEDULED
        member = _member(machine, region, number, verdict if number <= count or is_apart else surplus)
        yield evolve(member, is_apart=is_apart)
    for index in range(count - len(staying)):
        cause = f"{region} has {len(staying)} of the {count} wanted"
        yield deciding.made(region, cause, leaving[index][0] if index < len(leaving) else None)
    for number, (machine, verdict) in enumerate(leaving, start=1):
        yield _member(machine, region, number, verdict)


def _merit(pair: tuple[Machine, _Verdict]) -> tuple[bool, bool, int, bool]:
    """Order those that may stay: those that can be helped, then those that run, need no change, and serve."""
    machine, verdict = pair
    order = (Action.KEEP, Action.UPDATE, Action.STUCK)
    return verdict.action is Action.STUCK, machine.state in RESTING, order.index(verdict.action), not serves(machine)


def _member(machine: Machine, region: str, number: int, verdict: _Verdict) -> Member:
    wanted = DesiredMachine(name=machine.name, region=region, number=number)
    return Member(
        wanted=wanted,
        action=verdict.action,
        cause=verdict.cause,
        machine=machine,
        config=verdict.config,
        changes=verdict.changes,
    )


def _judge(spec: DeploySpec) -> Judge:
    return _restart if spec.only_secrets else _update_in_place


def _update_in_place(spec: DeploySpec, fleet: Fleet, machine: Machine) -> _Verdict:
    if lost := why_lost(machine):
        return _replaced(spec, fleet, machine, lost)
    if machine.state == "failed" and fleet.volume_of(machine) is None:
        return _Verdict(Action.RETIRE, "it has failed")
    if spec.volume and not has_volume(spec, fleet, machine):
        return _Verdict(Action.RETIRE, f"it has no volume {spec.volume.name}, and none can be added to it")
    current = observed(machine)
    if current is None:
        return _Verdict(Action.UPDATE, "it has another config")
    desired = spec.desired(current)
    if found := changes(current, desired):
        return _Verdict(Action.UPDATE, _why(current, desired, found), desired, found)
    return _Verdict(Action.KEEP, "it is as wanted", current)


def _why(current: MachineConfig, desired: MachineConfig, found: Iterable[Change]) -> str:
    paths = {change.path for change in found}
    if paths <= set(SECRET_CHANGES):
        return "the secrets have changed"
    if paths == {"image"} and without_digest(str(current.image)) == without_digest(str(desired.image)):
        return "the tag of its image has moved"
    return "it has another config"


def _restart(spec: DeploySpec, _: Fleet, machine: Machine) -> _Verdict:
    """Update a machine for the secrets alone; where that is not possible, it is left as it is."""
    if why_lost(machine) or machine.config is None or machine.state == "failed":
        return _Verdict(Action.STUCK, why_lost(machine) or f"it is {machine.state}")
    desired = spec.desired(machine.config)
    found, mark = changes(machine.config, desired), machine.metadata.get(SECRETS)
    if mark == spec.secrets and not found:
        return _Verdict(Action.KEEP, "it started with the secrets as they are", machine.config)
    cause = "the secrets have changed" if mark else "it is not known which secrets it started with"
    return _Verdict(Action.UPDATE, cause, desired, found)


def _make_way(spec: DeploySpec, fleet: Fleet, machine: Machine) -> _Verdict:
    if spec.role(machine) is not Role.MEMBER:
        return _update_in_place(spec, fleet, machine)
    if lost := why_lost(machine):
        return _Verdict(Action.RETIRE, lost)
    if machine.state == "failed":
        return _Verdict(Action.RETIRE, "it has failed")
    if spec.fits(machine):
        return _Verdict(Action.KEEP, "it is as wanted", machine.config)
    return _Verdict(Action.RETIRE, "a new machine takes its place")


def _replaced(spec: DeploySpec, fleet: Fleet, machine: Machine, lost: str) -> _Verdict:
    if fleet.volume_of(machine) is None and not _may_mount(machine):
        return _Verdict(Action.RETIRE, lost)
    if spec.volume is None or spec.volume.if_lost is None:
        return _Verdict(Action.STUCK, f"{lost}, and its volume with it; if_lost='fork' or 'new' replaces both")
    return _Verdict(Action.RETIRE, lost)


def why_lost(machine: Machine) -> str | None:
    """Say why nothing can be done with a machine any more, if so."""
    return None if machine.host_is_ok else f"its host is {machine.host_status}"


def _may_mount(machine: Machine) -> bool:
    config = machine.config or machine.incomplete_config
    return bool(config and config.mounts)


def has_volume(spec: DeploySpec, fleet: Fleet, machine: Machine) -> bool:
    """Tell whether a machine holds a volume of the name wanted."""
    volume = fleet.volume_of(machine)
    return volume is not None and spec.volume is not None and volume.name == spec.volume.name
