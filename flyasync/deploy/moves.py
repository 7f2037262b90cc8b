"""The steps that bring one machine to its fate; pure."""

from collections.abc import Iterator

from attrs import evolve

from flyasync.deploy.deployment import Deployment
from flyasync.deploy.fleet import Fleet
from flyasync.deploy.group import Member, changes
from flyasync.deploy.plan import (
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    Destroy,
    Start,
    Step,
    Stop,
    TakeVolume,
    Uncordon,
    Update,
    Watch,
)
from flyasync.models.machine import GONE, Machine

MOVING = frozenset({"created", "creating", "starting", "restarting", "updating", "replacing"})
"""The states of a machine that is on its way to run."""


def goal(deployment: Deployment) -> Iterator[Step]:
    """Wait until a machine that is on its way is as promised."""
    if deployment.goal is not None:
        yield AwaitStarted(cause=f"at most {deployment.timeout:g} s")
    if deployment.goal == "healthy":
        yield AwaitHealthy(cause="the config has checks")
    if deployment.smoke and deployment.goal == "started":
        yield Watch(seconds=deployment.smoke, cause="it has no checks, so it has to stay up")


def creation(
    deployment: Deployment,
    cause: str,
    *,
    volume: str | None = None,
    source: str | None = None,
    cordoned: bool = False,
    replaces: str | None = None,
) -> Iterator[Step]:
    """Make a machine, with its volume first where it shall have one, and see it up."""
    if deployment.volume:
        anew = "its data comes along" if source else f"no {deployment.volume.name} is free there"
        why = "nobody holds it" if volume else anew
        yield TakeVolume(volume_id=volume, source=source, cause=why)
    yield Create(cause=cause, cordoned=cordoned, replaces=replaces)
    yield from goal(deployment)


def update(deployment: Deployment, fleet: Fleet, member: Member) -> Iterator[Step]:
    """Give a machine the config wanted, and see it up, or at rest as it was."""
    machine = there(member)
    yield Update(
        cause=member.cause,
        changes=changes(deployment, machine),
        launches=not member.rests,
        if_full=() if member.rests else tuple(_instead(deployment, fleet, member)),
    )
    if member.rests:
        then = "is started then" if member.runs else "stays stopped"
        yield AwaitSettled(cause=f"it was {machine.state}, and {then}")
    yield from _start(deployment, member, is_down=member.rests)
    if machine.cordoned:
        yield Uncordon(cause="it was out of routing")


def _start(deployment: Deployment, member: Member, *, is_down: bool) -> Iterator[Step]:
    """Bring a machine to where it serves, if it shall; one that is down has to be started."""
    if not member.runs:
        return
    if is_down:
        crashed = "it has failed, and nobody stopped it"
        yield Start(cause="others that serve make way for it" if member.wakes else crashed)
    yield from goal(deployment)


def _instead(deployment: Deployment, fleet: Fleet, member: Member) -> Iterator[Step]:
    """Say how another machine takes the place of one whose host has no room for its update."""
    machine = there(member)
    volume = fleet.volume_of(machine)
    if volume is not None and (deployment.volume is None or deployment.volume.if_lost is None):
        return
    source = volume.id if volume and deployment.volume and deployment.volume.if_lost == "fork" else None
    for step in creation(deployment, f"the host of {machine.name} is full", source=source, replaces=machine.id):
        yield evolve(step, name=member.spare) if isinstance(step, Create) else step
    yield from retirement(machine, "another machine has taken its place")


def retirement(machine: Machine, cause: str, *, drain: float = 0.0) -> Iterator[Step]:
    """Let a machine go: out of routing, stopped, destroyed."""
    if machine.state == "started" and machine.host_is_ok:
        if not machine.cordoned:
            yield Cordon(machine_id=machine.id, cause=cause, drain=drain)
        yield Stop(machine_id=machine.id, cause="it gets its signal, and time to end")
    yield Destroy(machine_id=machine.id, cause=cause)


def readiness(deployment: Deployment, member: Member) -> Iterator[Step]:
    """Bring a machine that has the config already to where it shall be, if it is not."""
    machine, is_down = there(member), member.rests or there(member).state == "failed"
    if is_down or machine.state in MOVING or (machine.state == "started" and not deployment.is_up(machine)):
        yield from _start(deployment, member, is_down=is_down)
    if machine.cordoned and machine.state not in GONE:
        yield Uncordon(cause="it is out of routing")


def there(member: Member) -> Machine:
    """Give the machine of a member that is there."""
    assert member.machine is not None  # noqa: S101 - only those to be made are not there
    return member.machine
