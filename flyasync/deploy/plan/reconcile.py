"""What becomes of each machine of a group, whatever the strategy: keep, update, make, retire; pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property

from attrs import define, evolve, field, frozen

from flyasync.deploy.plan.config_merge import SECRET_CHANGES, SECRETS, STOPPED, changes, observed
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

    KEEP = "keep"  # it has the desired config
    UPDATE = "update"  # it gets the desired config
    MAKE = "make"  # it is not there yet
    RETIRE = "retire"  # it is surplus, or another takes its place
    STUCK = "stuck"  # it would have to be replaced, and may not be


@frozen(kw_only=True)
class Member:
    """A machine of the group that is there or is to be, with its action and the cause of that.

    `config` is what it will have, as far as that is known: for one to be made, all but its volume; `changes` are what
    an update changes; `pattern` is what a new one is made from. `volume` is the one that a new machine takes, `source`
    the one that is forked for it. One that `wakes` is stopped, and has to run all the same. `spare` is the name of the
    machine that takes its place if its host is full; `replaces` is the id of the one whose place a new one takes. One
    that `is_verified` is stopped, and is started for a while to see that it would run. One that `is_apart` stands by
    for others or runs on a schedule: it does not count.
    """

    desired: DesiredMachine
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

    @classmethod
    def of(
        cls,
        machine: Machine,
        action: Action,
        cause: str,
        config: MachineConfig | None = None,
        changes: tuple[Change, ...] = (),
    ) -> "Member":
        """Return the member that a machine is, as yet without a number."""
        desired = DesiredMachine(name=machine.name, region=home(machine), number=0)
        return cls(desired=desired, action=action, cause=cause, machine=machine, config=config, changes=changes)

    def numbered(self, number: int) -> "Member":
        """Return the member as the one of this number in its region."""
        return evolve(self, desired=evolve(self.desired, number=number))

    @property
    def region(self) -> str:
        """The region that it is desired in."""
        return self.desired.region

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
        """Whether it runs, or shall: one that was put to rest stays so, unless only for an update that was cut short.

        One that has crashed does not stay so.
        """
        if self.machine is None or role(self.config) is not Role.MEMBER:
            return self.machine is not None and not self.rests
        return not self.rests or self.wakes or self.was_cut_short or self.machine.has_crashed

    @property
    def was_cut_short(self) -> bool:
        """Whether a deploy has stopped it for its update, and was killed before it started it again."""
        return self.rests and self.machine is not None and STOPPED in self.machine.metadata

    @property
    def stays(self) -> bool:
        """Whether it is there, counts, and is not replaced."""
        return self.action in {Action.KEEP, Action.UPDATE} and not self.is_apart

    @property
    def merit(self) -> tuple[bool, bool, int, bool]:
        """The order of those that may stay: what can be helped, then what runs, needs no change, and serves."""
        order = (Action.KEEP, Action.UPDATE, Action.STUCK)
        is_resting = self.machine is not None and self.machine.state in RESTING
        return self.action is Action.STUCK, is_resting, order.index(self.action), not self.serves


def converged(spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
    """Return what becomes of the group when its machines are updated where they are."""
    return _reconciled(spec, fleet, _restarted if spec.only_secrets else _updated)


def renewed(spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
    """Return what becomes of the group when a new machine takes the place of every one that differs from the spec."""
    return _reconciled(spec, fleet, _replaced)


def verified(spec: DeploySpec, members: Sequence[Member]) -> tuple[Member, ...]:
    """Choose one machine of each region to be started and verified, where all of a group are stopped and stay so."""
    if any(member.action is Action.MAKE or (member.stays and member.runs) for member in members):
        return tuple(members)
    actions = {Action.UPDATE, Action.KEEP} if spec.verify_stopped == "always" else {Action.UPDATE}
    able = (each for each in members if each.rests and each.action in actions and spec.may_verify(each.config))
    # The first of each region: of several entries with one key, a dict keeps the last.
    chosen = {member.region: member.desired.name for member in reversed(tuple(able))}
    return tuple(evolve(each, is_verified=chosen.get(each.region) == each.desired.name) for each in members)


def left_alone(spec: DeploySpec, fleet: Fleet) -> Mapping[str, int]:
    """Count the machines of the group in the regions about which the spec says nothing."""
    homes = map(home, fleet.group(spec.group))
    return dict(sorted(Counter(region for region in homes if region not in spec.counts).items()))


Classify = Callable[[DeploySpec, Fleet, Machine], Member]
"""What becomes of a machine as such, without regard to how many there are."""


def _reconciled(spec: DeploySpec, fleet: Fleet, classify: Classify) -> tuple[Member, ...]:
    """Return what becomes of each machine of a group.

    1. Each machine that counts is judged by itself.
    2. In each region of the spec as many stay as are desired, the others are surplus, and what is missing is made.
    3. Machines that do not count are updated where they are, as far as that is possible.
    4. One that is updated has a name ready for the machine that takes its place if its host is full.
    """
    counted = spec.members(fleet.group(spec.group))
    present: dict[str, list[Member]] = {}
    for machine in counted:
        if machine.state not in GONE:
            present.setdefault(home(machine), []).append(classify(spec, fleet, machine))
    supplies = _Supplies.of(spec, fleet)
    members = [each for region in spec.regions for each in _in_region(supplies, region, present.get(region, []))]

    ids = {machine.id for machine in counted}
    for machine in fleet.group(spec.group):
        if machine.id not in ids and machine.state not in GONE and home(machine) in spec.counts:
            member = (_restarted if spec.only_secrets else _updated)(spec, fleet, machine)
            if member.action in {Action.KEEP, Action.UPDATE}:
                members.append(evolve(member, is_apart=True))

    return tuple(
        evolve(each, spare=supplies.name(each.region).name) if each.action is Action.UPDATE else each
        for each in members
    )


def _in_region(supplies: "_Supplies", region: str, present: Sequence[Member]) -> list[Member]:
    """Return what becomes of the machines of one region, and which ones are made in it."""
    spec = supplies.spec
    count = spec.counts[region]
    leaving = [member for member in present if member.action is Action.RETIRE]
    staying = sorted((each for each in present if each.action is not Action.RETIRE), key=lambda each: each.merit)
    members = []
    for number, member in enumerate(staying, start=1):
        machine = there(member)
        # 1. As many stay as are desired, the best of them.
        if number <= count:
            members.append(member.numbered(number))
        # 2. A job beyond the count is not surplus: its schedule is a reason of its own to be there.
        elif spec.role(machine) is Role.SCHEDULED:
            members.append(evolve(member.numbered(number), is_apart=True))
        # 3. All others are surplus.
        else:
            cause = f"{region} has {len(staying)} machines, {count} desired"
            members.append(Member.of(machine, Action.RETIRE, cause).numbered(number))
    # 4. What is missing is made, in the place of machines that have to go as long as there are any.
    for index in range(count - len(staying)):
        place_of = there(leaving[index]) if index < len(leaving) else None
        members.append(supplies.new_member(region, f"{region} has {len(staying)} of {count} desired", place_of))
    members += (member.numbered(number) for number, member in enumerate(leaving, start=1))

    # 5. Where machines that serve have to go, some that are stopped wake, so that as many serve as before.
    served = min(count, sum(member.serves for member in present))
    up = sum(member.action is Action.MAKE or (member.stays and member.runs) for member in members)
    for index, member in enumerate(members):
        if up < served and member.stays and not member.runs:
            members[index] = evolve(member, wakes=True)
            up += 1
    return members


def there(member: Member) -> Machine:
    """Return the machine of a member that is there."""
    assert member.machine is not None  # noqa: S101 - only those to be made are not there
    return member.machine


@define
class _Supplies:
    """What new machines of a group are made from: the pattern, the free names, and the free volumes."""

    spec: DeploySpec
    fleet: Fleet
    taken: frozenset[str]
    volumes: list[Volume]
    numbers: Counter[str] = field(factory=Counter)

    @classmethod
    def of(cls, spec: DeploySpec, fleet: Fleet) -> "_Supplies":
        free = sorted((each for each in fleet.volumes if each.is_free), key=lambda each: each.id)
        return cls(spec, fleet, frozenset(machine.name for machine in fleet.machines), free)

    # Found out only where a machine is made: it raises where the machines that are there do not tell.
    @cached_property
    def pattern(self) -> Pattern:
        """What new machines are made from; raises InvalidInput where that cannot be decided."""
        return pattern(self.spec, self.fleet)

    def name(self, region: str) -> DesiredMachine:
        """Return one more machine in a region, by the lowest number whose name is free."""
        # Names are only ever taken, so the search goes on where it ended before.
        while True:
            number = self.numbers[region] = self.numbers[region] + 1
            name = f"{self.spec.group}-{region}-{number}".replace("_", "-")
            if name not in self.taken:
                return DesiredMachine(name=name, region=region, number=number)

    def volume(self, region: str, desired: DesiredVolume) -> Volume | None:
        """Take a free volume of a region; one that is like a sibling's has to have the same size too."""
        named = (each for each in self.volumes if each.region == region and each.name == desired.name)
        any_size = self.spec.volume is not None
        found = next((each for each in named if any_size or each.size_gb in {None, desired.size_gb}), None)
        if found:
            self.volumes.remove(found)
        return found

    def new_member(self, region: str, cause: str, place_of: Machine | None) -> Member:
        """Return one more machine of a region, which may take the place of another."""
        spec = self.spec
        # Where the host is lost, the data of the machine's volume comes along if the spec says so.
        source: str | None = None
        if place_of and spec.volume and spec.volume.if_lost == "fork" and why_lost(place_of):
            held = self.fleet.volume_of(place_of)
            source = held.id if held and held.name == spec.volume.name else None
        # A machine that takes the place of a job is that job from then on.
        is_job = place_of is not None and place_of.config is not None and spec.role(place_of) is Role.SCHEDULED
        made = Pattern.of(spec, self.fleet, place_of) if is_job else self.pattern
        return Member(
            desired=self.name(region),
            action=Action.MAKE,
            cause=f"replaces {place_of.name}" if place_of else cause,
            config=made.config,
            pattern=made,
            volume=self.volume(region, made.volume) if made.volume and source is None else None,
            source=source,
            replaces=place_of.id if place_of else None,
        )


def _updated(spec: DeploySpec, fleet: Fleet, machine: Machine) -> Member:
    """Judge a machine that is updated where it is."""
    held = fleet.volume_of(machine)
    config = machine.config or machine.incomplete_config
    # 1. Its host is lost. Without a volume another machine takes its place; with one only if the spec says how.
    if lost := why_lost(machine):
        may_hold_one = held is not None or bool(config and config.mounts)
        if may_hold_one and (spec.volume is None or spec.volume.if_lost is None):
            cause = f"{lost}, and so is its volume; fork the volume or create a new one"
            return Member.of(machine, Action.STUCK, cause)
        return Member.of(machine, Action.RETIRE, lost)
    # 2. It has failed: an update revives only what is bound to its volume.
    if machine.state == "failed" and held is None:
        return Member.of(machine, Action.RETIRE, "state is failed")
    # 3. No update gives a machine a volume.
    if spec.volume and (held is None or held.name != spec.volume.name):
        return Member.of(machine, Action.RETIRE, f"no volume {spec.volume.name}, and an update cannot add one")
    # 4. Its config is not known whole, so what differs is seen when it is read under the lease.
    current = observed(machine)
    if current is None:
        return Member.of(machine, Action.UPDATE, "config differs")
    # 5. Its config is compared with what an update would make of it.
    desired = spec.desired(current)
    found = changes(current, desired)
    if not found:
        return Member.of(machine, Action.KEEP, "up to date", current)
    paths = {change.path for change in found}
    cause = "config differs"
    if paths <= set(SECRET_CHANGES):
        cause = "secrets changed"
    elif paths == {"image"} and without_digest(str(current.image)) == without_digest(str(desired.image)):
        cause = "image tag moved"
    return Member.of(machine, Action.UPDATE, cause, desired, found)


def _restarted(spec: DeploySpec, _: Fleet, machine: Machine) -> Member:
    """Judge a machine that is updated for the secrets alone; where that is not possible, it is left as it is."""
    if why_lost(machine) or machine.config is None or machine.state == "failed":
        return Member.of(machine, Action.STUCK, why_lost(machine) or f"state is {machine.state}")
    desired = spec.desired(machine.config)
    found, mark = changes(machine.config, desired), machine.metadata.get(SECRETS)
    if mark == spec.secrets and not found:
        return Member.of(machine, Action.KEEP, "started with the current secrets", machine.config)
    cause = "secrets changed" if mark else "unknown which secrets it started with"
    return Member.of(machine, Action.UPDATE, cause, desired, found)


def _replaced(spec: DeploySpec, fleet: Fleet, machine: Machine) -> Member:
    """Judge a machine of which a new one takes the place unless it fits; a job stays the same machine."""
    if spec.role(machine) is not Role.MEMBER:
        return _updated(spec, fleet, machine)
    if lost := why_lost(machine):
        return Member.of(machine, Action.RETIRE, lost)
    if machine.state == "failed":
        return Member.of(machine, Action.RETIRE, "state is failed")
    if spec.fits(machine):
        return Member.of(machine, Action.KEEP, "up to date", machine.config)
    return Member.of(machine, Action.RETIRE, "replaced by a new machine")


def why_lost(machine: Machine) -> str | None:
    """Return why nothing can be done with a machine any more, None where something can."""
    return None if machine.host_is_ok else f"host is {machine.host_status}"
