"""The steps of each action on a machine; pure."""

from collections.abc import Iterator
from functools import lru_cache

from attrs import evolve

from flyasync.deploy.plan.config_merge import REPLACES
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import (
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    Destroy,
    Return,
    Spare,
    Start,
    Step,
    Stop,
    TakeVolume,
    Uncordon,
    Update,
    Verify,
    Watch,
)
from flyasync.deploy.plan.reconcile import Member, has_to_be_proven, there
from flyasync.deploy.plan.sibling_config import Pattern
from flyasync.deploy.plan.spec import HOME, DeploySpec, DesiredMachine
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, Machine, expected_checks

MOVING = frozenset({"created", "creating", "starting", "restarting", "updating", "replacing"})
"""The states of a machine that is about to run."""


@lru_cache(maxsize=64)  # all machines of a deploy share these steps
def _waits(target: str | None, timeout: float, smoke: float | None) -> tuple[Step, ...]:
    """Return the waits until a machine is started or healthy, and stays so."""
    if target is None:
        return ()
    is_checked = target == "healthy"
    steps: list[Step] = [AwaitStarted(cause=f"timeout {timeout:g} s")]
    if is_checked:
        steps.append(AwaitHealthy(cause="the config has checks"))
    if smoke:
        lasting = "checks must keep passing" if is_checked else "no checks, so it must stay up"
        steps.append(Watch(seconds=smoke, cause=lasting))
    return tuple(steps)


def goal(spec: DeploySpec, config: MachineConfig | None) -> Iterator[Step]:
    """Yield the waits until a machine with this config, which is about to run, reaches its goal."""
    yield from _waits(spec.goal_of(config), spec.timeout, spec.smoke)
    yield from proof(spec, config)


def proof(
    spec: DeploySpec, config: MachineConfig | None, cause: str = "others follow only if it succeeds"
) -> Iterator[Step]:
    """Yield the step that verifies a machine with this config from outside, if the spec asks for that and it is up."""
    if spec.verification and spec.goal_of(config) is not None:
        yield Verify(check=str(spec.verification), seconds=spec.verification.timeout, cause=cause)


def creation(
    spec: DeploySpec,
    pattern: Pattern,
    config: MachineConfig,
    cause: str,
    *,
    volume: str | None = None,
    source: str | None = None,
    cordoned: bool = False,
    replaces: str | None = None,
    name: str | None = None,
) -> Iterator[Step]:
    """Yield the steps that create a machine, with its volume first if it has one, and wait until it is up."""
    if pattern.volume:
        new = "keeps its data" if source else f"no unattached volume {pattern.volume.name} in the region"
        why = "not attached to a machine" if volume else new
        yield TakeVolume(volume_id=volume, source=source, volume=pattern.volume, cause=why)
    yield Create(
        cause=cause,
        cordoned=cordoned,
        replaces=replaces,
        name=name,
        config=config,
        like=pattern.like.name if pattern.like else None,
        changes=pattern.changes,
    )
    yield from goal(spec, config)


def placed(pattern: Pattern, desired: DesiredMachine, *, replaces: str | None = None) -> MachineConfig:
    """Return the config of a new machine, marked with its region and with the id of the machine that it replaces."""
    marks = {HOME: desired.region, **({REPLACES: replaces} if replaces else {})}
    return evolve(pattern.config, metadata={**(pattern.config.metadata or {}), **marks})


def update(spec: DeploySpec, fleet: Fleet, member: Member) -> Iterator[Step]:
    """Yield the steps that update a machine, and wait until it is up, or stopped as before."""
    machine = there(member)
    yield Update(
        cause=member.cause,
        changes=member.changes,
        launches=not member.rests,
        if_full=_spare(spec, fleet, member),
        standby_for=member.standby_for,
    )
    if member.rests:
        then = "is started next" if member.runs else "stays stopped"
        yield AwaitSettled(cause=f"was {machine.state}, {then}")
    yield from _verification(spec, member)
    yield from _start(spec, member, is_down=member.rests)
    if machine.cordoned and not member.stays_cordoned:
        yield Uncordon(cause="was cordoned")


def _verification(spec: DeploySpec, member: Member) -> Iterator[Step]:
    """Yield the steps that start a stopped machine for a while to verify it, if it was chosen for that."""
    if member.is_verified:
        yield Start(cause="no machine of the group is running, so one per region is verified")
        yield AwaitStarted(cause=f"timeout {spec.timeout:g} s")
        if expected_checks(member.config):
            yield AwaitHealthy(cause="the config has checks")
        if spec.smoke:
            yield Watch(seconds=spec.smoke, cause="must stay up")
        yield from proof(spec, member.config)
        yield Return(state=there(member).state, cause="started only for verification")


def _start(spec: DeploySpec, member: Member, *, is_down: bool) -> Iterator[Step]:
    """Yield the steps that bring a machine to its goal, if it has to run; a stopped one is started first."""
    if not member.runs:
        return
    if is_down:
        cause = "its process failed, and no stop was requested"
        if member.was_cut_short:
            cause = "stopped for an update by an earlier deploy that did not finish"
        elif member.wakes:
            cause = "needed to serve: serving machines are destroyed"
        yield Start(cause=cause)
    yield from goal(spec, member.config)


def _spare(spec: DeploySpec, fleet: Fleet, member: Member) -> Spare | None:
    """Return the machine that replaces one whose host has no room for its update.

    There is none for a machine with a volume, unless the spec says what to do with the volume.
    """
    # A stopped machine needs no room. A standby or scheduled machine, or a rollout of secrets, replaces no machine.
    if member.config is None or member.spare is None or member.rests or member.is_apart or spec.only_secrets:
        return None
    machine = there(member)
    is_bound = bool(member.config.mounts) or fleet.volume_of(machine) is not None
    if is_bound and (spec.volume is None or spec.volume.if_lost is None):
        return None
    return Spare(name=member.spare, machine=machine, config=member.config)


def replacement(spec: DeploySpec, fleet: Fleet, desired: DesiredMachine, spare: Spare) -> Iterator[Step]:
    """Yield the steps that replace a machine of the group by its spare; the volume is new, or a fork of the old one."""
    machine, volume = spare.machine, fleet.volume_of(spare.machine)
    source = volume.id if volume and spec.volume and spec.volume.if_lost == "fork" else None
    pattern = Pattern.instead(spec, fleet, machine, spare.config)
    config = placed(pattern, desired, replaces=machine.id)
    cause = f"the host of {machine.name} is full"
    yield from creation(spec, pattern, config, cause, source=source, replaces=machine.id, name=spare.name)
    yield from retirement(machine, "replaced by another machine")


def retirement(machine: Machine, cause: str, *, drain: float = 0.0) -> Iterator[Step]:
    """Yield the steps that retire a machine: cordon, stop, destroy."""
    # Only a running machine takes traffic, and on a lost host nothing can be stopped.
    if machine.state == "started" and machine.host_is_ok:
        if not machine.cordoned:
            yield Cordon(machine_id=machine.id, cause=cause, drain=drain)
        yield Stop(machine_id=machine.id, cause="stop signal, then time to exit")
    yield Destroy(machine_id=machine.id, cause=cause)


def comes_up(machine: Machine) -> bool:
    """Whether a machine is about to run, or runs and its checks have not failed, but do not all pass yet."""
    if machine.state != "started":
        return machine.state in MOVING
    is_failing = machine.has_crashed or any(check.status == "critical" for check in machine.reported_checks)
    return not (is_failing or machine.is_healthy)


def readiness(spec: DeploySpec, member: Member) -> Iterator[Step]:
    """Yield the steps that bring a machine to its goal that already has its config; none if it has reached it.

    A deploy that keeps the configs of machines leaves those alone that it does not change, and waits for those that are
    coming up.
    """
    if spec.keeps_config:
        if member.runs and comes_up(there(member)):
            yield from goal(spec, member.config)
        return
    machine, is_down = there(member), member.rests or there(member).state == "failed"
    yield from _verification(spec, member)
    # A started machine that is not up may become so: its checks have not passed yet.
    if is_down or machine.state in MOVING or (machine.state == "started" and not spec.is_up(machine, member.config)):
        yield from _start(spec, member, is_down=is_down)
    elif has_to_be_proven(spec, member) and machine.state == "started":
        yield from proof(spec, member.config, "an earlier deploy has changed it, and not verified it")
    if machine.cordoned and machine.state not in GONE and not member.stays_cordoned:
        yield Uncordon(cause="is cordoned")
