"""What a new group gets besides its machines: a standby, and a mark until its first deploy is complete; pure.

Until the first deploy of a group is complete, its machines have a mark. A deploy that was killed in between is then
completed by the next one, which would otherwise keep the number of machines that it finds.
"""

from collections.abc import Iterator, Sequence

from attrs import evolve

from flyasync.deploy.plan.config_merge import NEW
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.machine_roles import Role
from flyasync.deploy.plan.plan import Create, Stage, Target, Track, Unmark
from flyasync.deploy.plan.reconcile import Member
from flyasync.deploy.plan.sibling_config import inherited
from flyasync.deploy.plan.spec import DeploySpec, DesiredMachine
from flyasync.models.config import MachineConfig
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
