"""Decides the action for each machine of a group, for every strategy: keep, update, make, retire; pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property

from attrs import define, evolve, field, frozen

from flyasync.deploy.plan.config_merge import SECRET_CHANGES, SECRETS, STOPPED, UNVERIFIED, changes, observed
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.fleet import Fleet, group_of, home, serves
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.plan.sibling_config import Pattern, pattern
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.image import without_digest
from flyasync.models.machine import GONE, Machine
from flyasync.models.volume import Volume

RESTING = frozenset({"stopped", "suspended", "stopping", "suspending"})
"""The states of a machine that is not running and will not run by itself."""


class Action(StrEnum):
    """What a deploy does with one machine."""

    KEEP = "keep"  # it has the desired config
    UPDATE = "update"  # it gets the desired config
    MAKE = "make"  # it is created
    RETIRE = "retire"  # it is surplus, or another machine replaces it
    STUCK = "stuck"  # it would have to be replaced, but must not be


@frozen(kw_only=True)
class Member:
    """An existing or new machine of the group, with its action and the cause of the action.

    `config` is the config that it will have, as far as it is known (for a new machine, without the volume's id), and
    `changes` is what an update changes. A new machine is created from `pattern`; it gets `volume`, or a fork of
    `source`, and replaces the machine with the id `replaces`. `spare` is the name for the machine that replaces this
    one if its host is full.

    A member that `wakes` is stopped but has to run. One that `is_verified` is stopped, and is started for a while to
    verify its config. One that `is_apart` is a standby or a scheduled machine, and does not count. One that
    `stays_cordoned` gets no traffic afterwards either. `standby_for` is the name of the machine that a standby stands
    by for instead of one that is gone.
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
    stays_cordoned: bool = False
    standby_for: str | None = None

    @classmethod
    def of(
        cls,
        machine: Machine,
        action: Action,
        cause: str,
        config: MachineConfig | None = None,
        changes: tuple[Change, ...] = (),
    ) -> "Member":
        """Return the member for an existing machine, still without a number."""
        desired = DesiredMachine(name=machine.name, region=home(machine), number=0, group=group_of(machine) or "")
        return cls(desired=desired, action=action, cause=cause, machine=machine, config=config, changes=changes)

    def numbered(self, number: int) -> "Member":
        """Return the member with this number in its region."""
        return evolve(self, desired=evolve(self.desired, number=number))

    @property
    def region(self) -> str:
        """The desired region of the machine."""
        return self.desired.region

    @property
    def serves(self) -> bool:
        """Whether it exists and takes traffic."""
        return self.machine is not None and serves(self.machine)

    @property
    def rests(self) -> bool:
        """Whether it exists and does not run; a standby may never have run."""
        if self.machine is None:
            return False
        was_never_started = self.machine.state == "created" and role(self.config) is not Role.MEMBER
        return self.machine.state in RESTING or was_never_started

    @property
    def runs(self) -> bool:
        """Whether it runs, or has to run.

        A stopped machine stays stopped, unless it crashed, is needed to serve, or was stopped for an update that was
        interrupted.
        """
        if self.machine is None or role(self.config) is not Role.MEMBER:
            return self.machine is not None and not self.rests
        return not self.rests or self.wakes or self.was_cut_short or self.machine.has_crashed

    @property
    def was_cut_short(self) -> bool:
        """Whether a deploy stopped it for its update, and was killed before it started it again."""
        return self.rests and self.machine is not None and STOPPED in self.machine.metadata

    @property
    def is_unverified(self) -> bool:
        """Whether a deploy brought it up, and did not get as far as verifying it from outside, or found it not well."""
        return self.machine is not None and UNVERIFIED in self.machine.metadata

    @property
    def stays(self) -> bool:
        """Whether it exists, counts, and is not replaced."""
        return self.action in {Action.KEEP, Action.UPDATE} and not self.is_apart

    @property
    def merit(self) -> tuple[bool, bool, int, bool]:
        """The sort key of machines that may stay: first those that can be updated, run, need no change, and serve."""
        order = (Action.KEEP, Action.UPDATE, Action.STUCK)
        is_resting = self.machine is not None and self.machine.state in RESTING
        is_lost = self.action is Action.STUCK or (self.machine is not None and why_lost(self.machine) is not None)
        return is_lost, is_resting, order.index(self.action), not self.serves


def converged(spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
    """Return the members of the group if its machines are updated in place."""
    return _reconciled(spec, fleet, _in_place(spec))


def renewed(spec: DeploySpec, fleet: Fleet) -> tuple[Member, ...]:
    """Return the members of the group if a new machine replaces each one that differs from the spec."""
    return _reconciled(spec, fleet, _replaced)


def verified(spec: DeploySpec, members: Sequence[Member]) -> tuple[Member, ...]:
    """Choose one machine of each region to start and verify, if all machines of the group are and stay stopped."""
    if any(member.action is Action.MAKE or (member.stays and member.runs) for member in members):
        return tuple(members)
    every = spec.verify_stopped == "always"
    able = (
        each
        for each in members
        if each.rests
        and (each.action is Action.UPDATE or (each.action is Action.KEEP and (every or has_to_be_proven(spec, each))))
        and spec.may_verify(each.config)
    )
    # The first one of each region: a dict keeps the last of several entries with the same key.
    chosen = {member.region: member.desired.name for member in reversed(tuple(able))}
    return tuple(evolve(each, is_verified=chosen.get(each.region) == each.desired.name) for each in members)


def has_to_be_proven(spec: DeploySpec, member: Member) -> bool:
    """Whether a machine has its config already, and an earlier deploy has not verified it from outside."""
    return spec.verification is not None and member.action is Action.KEEP and member.is_unverified


def left_alone(spec: DeploySpec, fleet: Fleet) -> Mapping[str, int]:
    """Return the number of machines of the group in each region that is not in the spec."""
    homes = map(home, fleet.group(spec.group))
    return dict(sorted(Counter(region for region in homes if region not in spec.counts).items()))


Classify = Callable[[DeploySpec, Fleet, Machine], Member]
"""Returns the member for one machine, regardless of how many machines there are."""


def _in_place(spec: DeploySpec) -> Classify:
    """Return what decides how a machine is updated in place."""
    if spec.only_secrets:
        return _restarted
    return _patched if spec.keeps_config else _updated


def _reconciled(spec: DeploySpec, fleet: Fleet, classify: Classify) -> tuple[Member, ...]:
    """Return the members of a group.

    1. Each machine that counts gets its action, regardless of the others.
    2. In each region of the spec, as many machines stay as are desired. Others are surplus; missing ones are created.
    3. Machines that do not count are updated in place, if that is possible.
    4. A machine to update gets a spare name, for the machine that replaces it if its host is full.
    5. A machine that the group adopts is one of its members.
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
            member = _in_place(spec)(spec, fleet, machine)
            if member.action in {Action.KEEP, Action.UPDATE}:
                members.append(evolve(member, is_apart=True, stays_cordoned=True))

    spared = (
        evolve(each, spare=supplies.name(each.region).name) if each.action is Action.UPDATE else each
        for each in members
    )
    return tuple(_joining(spec, fleet, each) for each in spared)


def _joining(spec: DeploySpec, fleet: Fleet, member: Member) -> Member:
    """Return a member of a group; one that the group adopts has that as its first cause."""
    machine = member.machine
    if machine is None or machine.id not in fleet.adopted:
        return member
    origin = f"was in the group {own}" if (own := group_of(machine)) else "had no process group"
    desired = evolve(member.desired, group=spec.group)
    return evolve(member, desired=desired, cause=f"adopted, {origin}; {member.cause}")


def _in_region(supplies: "_Supplies", region: str, present: Sequence[Member]) -> list[Member]:
    """Return the members of one region, new machines included."""
    spec = supplies.spec
    count = spec.counts[region]
    leaving = [member for member in present if member.action is Action.RETIRE]
    staying = sorted((each for each in present if each.action is not Action.RETIRE), key=lambda each: each.merit)
    members = []
    for number, member in enumerate(staying, start=1):
        machine = there(member)
        # 1. As many stay as are desired, in the order of merit.
        if number <= count:
            members.append(member.numbered(number))
        # 2. A scheduled machine beyond the count is not surplus: it exists for its schedule.
        elif spec.role(machine) is Role.SCHEDULED:
            members.append(evolve(member.numbered(number), is_apart=True, stays_cordoned=True))
        # 3. All others are surplus.
        else:
            cause = f"{region} has {len(staying)} machines, {count} desired"
            members.append(Member.of(machine, Action.RETIRE, cause).numbered(number))
    # 4. Missing machines are created. They replace the machines that leave, as long as there are any.
    for index in range(count - len(staying)):
        replaced = there(leaving[index]) if index < len(leaving) else None
        members.append(supplies.new_member(region, f"{region} has {len(staying)} of {count} desired", replaced))
    members += (member.numbered(number) for number, member in enumerate(leaving, start=1))

    # 5. If serving machines leave, stopped ones wake, so that as many serve as before.
    served = min(count, sum(member.serves for member in present))
    up = sum(member.action is Action.MAKE or (member.stays and member.runs) for member in members)
    for index, member in enumerate(members):
        if up < served and member.stays and not member.runs:
            members[index] = evolve(member, wakes=True)
            up += 1
    return members


def there(member: Member) -> Machine:
    """Return the machine of a member that exists."""
    assert member.machine is not None  # noqa: S101 - only new members have no machine
    return member.machine


@define
class _Supplies:
    """What new machines of a group get: the pattern, unused names, and unattached volumes."""

    spec: DeploySpec
    fleet: Fleet
    taken: frozenset[str]
    volumes: list[Volume]
    numbers: Counter[str] = field(factory=Counter)

    @classmethod
    def of(cls, spec: DeploySpec, fleet: Fleet) -> "_Supplies":
        free = sorted((each for each in fleet.volumes if each.is_free), key=lambda each: each.id)
        return cls(spec, fleet, frozenset(machine.name for machine in fleet.machines), free)

    # Computed only if a machine is created, because it raises if the existing machines are ambiguous.
    @cached_property
    def pattern(self) -> Pattern:
        """The pattern of new machines; raises InvalidInput if it cannot be decided."""
        return pattern(self.spec, self.fleet)

    def name(self, region: str) -> DesiredMachine:
        """Return one more machine in a region, with the lowest number whose name is unused."""
        # Names never become unused again, so the search continues where it ended.
        while True:
            number = self.numbers[region] = self.numbers[region] + 1
            name = f"{self.spec.group}-{region}-{number}".replace("_", "-")
            if name not in self.taken:
                return DesiredMachine(name=name, region=region, number=number, group=self.spec.group)

    def volume(self, region: str, desired: DesiredVolume) -> Volume | None:
        """Take an unattached volume of a region; for a machine like a sibling, it must have the same size too."""
        named = (each for each in self.volumes if each.region == region and each.name == desired.name)
        any_size = self.spec.volume is not None
        found = next((each for each in named if any_size or each.size_gb in {None, desired.size_gb}), None)
        if found:
            self.volumes.remove(found)
        return found

    def new_member(self, region: str, cause: str, replaced: Machine | None) -> Member:
        """Return one more machine of a region, which may replace another one."""
        spec = self.spec
        # If the host is lost, the volume is forked if the spec says so.
        source: str | None = None
        if replaced and spec.volume and spec.volume.if_lost == "fork" and why_lost(replaced):
            held = self.fleet.volume_of(replaced)
            source = held.id if held and held.name == spec.volume.name else None
        # A machine that replaces a scheduled one gets its schedule.
        is_job = replaced is not None and replaced.config is not None and spec.role(replaced) is Role.SCHEDULED
        made = Pattern.of(spec, self.fleet, replaced) if is_job else self.pattern
        return Member(
            desired=self.name(region),
            action=Action.MAKE,
            cause=f"replaces {replaced.name}" if replaced else cause,
            config=made.config,
            pattern=made,
            volume=self.volume(region, made.volume) if made.volume and source is None else None,
            source=source,
            replaces=replaced.id if replaced else None,
        )


def _updated(spec: DeploySpec, fleet: Fleet, machine: Machine) -> Member:
    """Return the member for a machine that is updated in place."""
    held = fleet.volume_of(machine)
    config = machine.config or machine.incomplete_config
    # 1. Its host is lost. Another machine replaces it; if it has a volume, only if the spec says how.
    if lost := why_lost(machine):
        may_hold_one = held is not None or bool(config and config.mounts)
        if may_hold_one and (spec.volume is None or spec.volume.if_lost is None):
            cause = f"{lost}, and so is its volume; fork the volume or create a new one"
            return Member.of(machine, Action.STUCK, cause)
        return Member.of(machine, Action.RETIRE, lost)
    # 2. It has failed. It is replaced, unless it is bound to a volume.
    if machine.state == "failed" and held is None:
        return Member.of(machine, Action.RETIRE, "state is failed")
    # 3. An update cannot add a volume.
    if spec.volume and (held is None or held.name != spec.volume.name):
        return Member.of(machine, Action.RETIRE, f"no volume {spec.volume.name}, and an update cannot add one")
    # 4. Its complete config is not known: the differences are found when it is read under the lease.
    current = observed(machine)
    if current is None:
        return Member.of(machine, Action.UPDATE, "config differs")
    # 5. Its config is compared with the one that an update would send.
    desired = spec.desired(current)
    found = spec.explained(changes(current, desired))
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
    """Return the member for a machine of which only the secrets are updated, if that is possible."""
    if why_lost(machine) or machine.config is None or machine.state == "failed":
        return Member.of(machine, Action.STUCK, why_lost(machine) or f"state is {machine.state}")
    desired = spec.desired(machine.config)
    found, mark = changes(machine.config, desired), machine.metadata.get(SECRETS)
    if mark == spec.secrets and not found:
        return Member.of(machine, Action.KEEP, "started with the current secrets", machine.config)
    cause = "secrets changed" if mark else "unknown which secrets it started with"
    return Member.of(machine, Action.UPDATE, cause, desired, found)


def _patched(spec: DeploySpec, _: Fleet, machine: Machine) -> Member:
    """Return the member for a machine that keeps its config, except for what is stated; no other one replaces it."""
    current = observed(machine)
    desired = None if current is None else spec.desired(current)
    found = () if current is None or desired is None else changes(current, desired)
    # 1. Nothing changes: it is left as it is, whatever its state. 2. It cannot be updated. 3. It is updated.
    if not found and (current is not None or spec.config == MachineConfig()):
        made = Member.of(machine, Action.KEEP, "keeps its config", current)
    elif current is None or why_lost(machine) or machine.state == "failed":
        made = Member.of(machine, Action.STUCK, why_lost(machine) or f"state is {machine.state}")
    else:
        made = Member.of(machine, Action.UPDATE, "config differs", desired, found)
    return evolve(made, stays_cordoned=True)


def _replaced(spec: DeploySpec, fleet: Fleet, machine: Machine) -> Member:
    """Return the member for a machine that is replaced by a new one if it differs; a scheduled one is updated."""
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
    """Return why a machine is lost, or None if it is not."""
    return None if machine.host_is_ok else f"host is {machine.host_status}"
