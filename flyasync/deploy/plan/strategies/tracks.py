"""From members to tracks: the content of a strategy's stages."""

from collections.abc import Iterable, Iterator

from attrs import evolve

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.new_group import marked
from flyasync.deploy.plan.plan import GiveUp, Step, Target, Track
from flyasync.deploy.plan.reconcile import Action, Member, there
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.step_sequences import creation, placed, readiness, retirement, update


def track(member: Member, steps: Iterable[Step], target: Target = Target.SERVE) -> Track:
    """Return the track of a member."""
    return Track(
        machine=member.desired,
        machine_id=member.machine.id if member.machine else None,
        steps=tuple(steps),
        target=target,
        takes_slot=member.action is Action.UPDATE and member.serves,
        config=member.config,
        stays_out=member.stays_cordoned and bool(member.machine and member.machine.cordoned),
    )


def target_of(member: Member) -> Target:
    """Return the target of an existing machine: one that was not running stays stopped."""
    if member.is_apart:
        return Target.APART
    return Target.SERVE if member.runs else Target.REST


def changed(spec: DeploySpec, fleet: Fleet, members: Iterable[Member]) -> Iterator[Track]:
    """Yield the tracks of members that are created, updated, or not ready yet."""
    for member in members:
        match member.action:
            case Action.MAKE:
                yield made(spec, member)
            case Action.UPDATE:
                yield track(member, update(spec, fleet, member), target_of(member))
            # It already has the config, but is stopped, in transition, or cordoned.
            case Action.KEEP if steps := tuple(readiness(spec, member)):
                yield track(member, steps, target_of(member))
            case Action.STUCK:
                yield track(member, [GiveUp(cause=member.cause)])
            case _:
                pass


def made(spec: DeploySpec, member: Member, *, cordoned: bool = False) -> Track:
    """Return the track of a machine that is created."""
    assert member.pattern is not None  # noqa: S101 - a machine to create has one
    config = marked(spec, placed(member.pattern, member.desired, replaces=member.replaces))
    steps = creation(
        spec,
        member.pattern,
        config,
        member.cause,
        volume=member.volume.id if member.volume else None,
        source=member.source,
        cordoned=cordoned,
        replaces=member.replaces,
    )
    return evolve(track(member, steps), config=config)


def leaving(members: Iterable[Member], *, drain: float = 0.0) -> Iterator[Track]:
    """Yield the tracks of retired machines; each drains for `drain` seconds before it stops."""
    for member in members:
        if member.action is Action.RETIRE:
            yield track(member, retirement(there(member), member.cause, drain=drain), Target.GO)
