"""What a new group gets besides its machines: a standby, and a mark until its first deploy is complete; pure.

Later deploys keep the standby of use: if the machine that it stands by for is gone, it stands by for another one.

Until the first deploy of a group is complete, its machines have a mark. A deploy that was killed in between is then
completed by the next one, which would otherwise keep the number of machines that it finds.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from attrs import evolve

from flyasync.deploy.plan.config_merge import NEW, STANDBY_FOR
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.machine_roles import Role
from flyasync.deploy.plan.plan import Create, Stage, Target, Track, Unmark
from flyasync.deploy.plan.reconcile import Action, Member
from flyasync.deploy.plan.sibling_config import inherited
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change
from flyasync.models.machine import GONE


def completed(spec: DeploySpec, fleet: Fleet, members: Sequence[Member]) -> Iterator[Stage]:
    """Yield the stages that complete a new group, after its machines are up; none for any other group."""
    first = next((each for each in members if each.pattern or each.stays), None)
    if not spec.creates_group or first is None:
        return
    there = [machine for machine in fleet.group(spec.group) if machine.state not in GONE]
    if spec.if_new.standby and not any(spec.role(machine) is Role.STANDBY for machine in there):
        yield Stage.of("create standby machines", [_standby(spec, first)])
    cause = f"all machines of the new group {spec.group} have been created"
    yield Stage.of(
        "complete the new groups",
        (
            Track(
                machine=each.desired,
                machine_id=each.machine.id if each.machine else None,
                steps=(Unmark(cause=cause),),
                config=each.config,
            )
            for each in members
            # A deploy that is repeated from a file, with its counts, may find machines without the mark.
            if each.pattern or (each.stays and each.machine and NEW in each.machine.metadata)
        ),
    )


def with_standbys(spec: DeploySpec, members: Sequence[Member]) -> tuple[Member, ...]:
    """Return the members of a group; a standby whose machine leaves or is gone stands by for another one.

    That is the one that replaces the machine, else one of the standby's region, else any. Only a standby that a deploy
    has created is changed, ours or flyctl's: its `FLY_STANDBY_FOR` names the machine.
    """
    staying = [each for each in members if each.stays or each.action is Action.MAKE]
    ids = {each.machine.id for each in staying if each.machine}
    changed = []
    for each in members:
        config = each.machine.config if each.machine and not spec.only_secrets else None
        of = (config.env or {}).get(STANDBY_FOR) if config else None
        is_orphan = config is not None and of is not None and tuple(config.standbys or ()) == (of,) and of not in ids
        if is_orphan and staying:
            heir = min(staying, key=partial(_distance, each, of)).desired.name
            cause = f"stands by for {heir}, since {of} is gone" if each.action is Action.KEEP else each.cause
            changes = (*each.changes, Change("standbys", [of], [heir]))
            changed.append(evolve(each, action=Action.UPDATE, cause=cause, changes=changes, standby_for=heir))
        else:
            changed.append(each)
    return tuple(changed)


def _distance(standby: Member, of: str | None, heir: Member) -> tuple[bool, bool]:
    return heir.replaces != of, heir.region != standby.region


def standing_by(config: MachineConfig, machine_id: str) -> MachineConfig:
    """Return the config of a standby for a machine."""
    return evolve(config, standbys=(machine_id,), env={**(config.env or {}), STANDBY_FOR: machine_id})


def _standby(spec: DeploySpec, first: Member) -> Track:
    """Return the track of the standby of a machine."""
    region, name = first.region, f"{spec.group}-{first.region}-standby".replace("_", "-")
    config = inherited((first.pattern.config if first.pattern else first.config) or MachineConfig())
    config = spec.starting(evolve(config, services=None))
    return Track(
        machine=DesiredMachine(name=name, region=region, number=0, group=spec.group),
        steps=(
            Create(
                cause=f"starts if the host of {first.desired.name} fails",
                config=config,
                skip_launch=True,
                standby_for=first.desired.name,
            ),
        ),
        target=Target.APART,
        config=config,
    )


def marked(spec: DeploySpec, config: MachineConfig) -> MachineConfig:
    """Return the config of a new machine, with the mark of a group whose first deploy is not complete."""
    return evolve(config, metadata={**(config.metadata or {}), NEW: spec.launch}) if spec.creates_group else config
