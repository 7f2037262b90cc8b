"""Recreate: all machines of a region stop, then all start again with the new config."""

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from attrs import evolve, frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import (
    AwaitOthersStopped,
    AwaitSettled,
    Create,
    Plan,
    Stage,
    Start,
    Step,
    Stop,
    Target,
    Track,
    Update,
)
from flyasync.deploy.plan.reconcile import Action, Member
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.group import GroupStrategy, Wave
from flyasync.deploy.plan.strategies.in_place import VERIFY, surplus
from flyasync.deploy.plan.strategies.tracks import changed, track
from flyasync.errors import InvalidInput

STARTING = (Create, Start, Update)
"""The steps after which a machine may run."""


@frozen(kw_only=True)
class Recreate(GroupStrategy):
    """Stop all machines of a region, then start all with the new config: two versions do not run there together.

    The exception is a failure: a machine that does not get its update starts again as it was, so that it serves.
    Machines keep their ids, addresses and volumes. Regions go one after the other, or wave by wave where waves are
    named; one that does not come up stops the rest. A machine whose host is full fails: it cannot move.
    """

    name: ClassVar[str] = "recreate"

    def plan(self, spec: DeploySpec, fleet: Fleet) -> Plan:
        """Return what there is to do; raises InvalidInput where machines would stop for an image that may not exist."""
        plan = super().plan(spec, fleet)
        if spec.unresolved and not spec.digest and any(isinstance(step, AwaitOthersStopped) for step in plan.steps):
            raise InvalidInput(
                f"recreate stops machines before they get their new image, and {spec.image} could not be resolved "
                f"({spec.unresolved}): name the image by its digest, as in IMAGE@sha256:…"
            )
        return plan

    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield what verifies the others where none runs, then a stage for each region, then what is left over."""
        verifying = [each for each in changed(spec, fleet, members) if each.verifies]
        yield Stage.of(f"{VERIFY}{wave}", verifying)

        verified = {each.machine.name for each in verifying}
        others = [each for each in members if each.wanted.name not in verified]
        present = dict.fromkeys(each.region for each in others)
        for regions in [tuple(present)] if spec.waves else [(region,) for region in present]:
            those = [each for each in others if each.region in regions]
            stuck = [each for each in those if each.action is Action.STUCK]
            # That fails, and a region must not go down for nothing.
            yield Stage.of(f"{' and '.join(regions)}: what cannot be updated{wave}", changed(spec, fleet, stuck))
            down = sorted(
                {each.region for each in those if _is_old(each)} & {each.region for each in those if _comes(each)}
            )
            are = "are down until their" if down[1:] else "is down until its"
            what = f": {' and '.join(down)} {are} machines have started again" if down else ""
            helped = [each for each in those if each.action is not Action.STUCK]
            yield Stage.of(f"{' and '.join(regions)}{what}{wave}", _tracks(spec, fleet, helped, down))
        yield surplus(members, wave)


def _is_old(member: Member) -> bool:
    """Whether a machine runs that is not to go on as it is, and can be stopped."""
    machine = member.machine
    if machine is None or member.action not in {Action.UPDATE, Action.RETIRE}:
        return False
    return machine.host_is_ok and not member.rests and machine.state not in {"created", "failed"}


def _comes(member: Member) -> bool:
    """Whether a machine is to run that does not run with the new config yet."""
    is_to_run = member.stays and member.runs
    return member.action is Action.MAKE or (is_to_run and (member.rests or member.action is Action.UPDATE))


def _tracks(spec: DeploySpec, fleet: Fleet, members: Sequence[Member], down: Collection[str]) -> Iterator[Track]:
    """Yield the tracks of regions; in those that go `down` nothing starts before all old machines have stopped."""
    wait = AwaitOthersStopped(cause="two versions must not run together")
    for member in members:
        # 1. Its region does not go down: it is made, or changed while it rests.
        if member.region not in down:
            yield from changed(spec, fleet, [member])
        # 2. It goes: it is stopped now, and destroyed once the others are up.
        elif _is_old(member) and member.action is Action.RETIRE:
            yield track(member, [Stop(cause=member.cause), wait], Target.GO)
        # 3. It stays: it is stopped, updated and started.
        elif _is_old(member):
            for each in changed(spec, fleet, [member]):
                stop = Stop(cause="the old version ends first", returns=True)
                yield evolve(each, steps=(stop, wait, *_restart(each.steps)))
        # 4. It does not run yet, and is to.
        # 5. It has the new config already, or goes on resting.
        else:
            for each in changed(spec, fleet, [member]):
                starts = each.target is Target.SERVE and any(isinstance(step, STARTING) for step in each.steps)
                yield evolve(each, steps=(wait, *each.steps)) if starts else each


def _restart(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps of an update for a machine that is stopped by then: an update alone would leave it so."""
    for step in steps:
        if isinstance(step, Update):
            yield evolve(step, launches=False, if_full=())
            yield AwaitSettled(cause="it is stopped")
            yield Start(cause="all machines of its region have stopped")
        else:
            yield step
