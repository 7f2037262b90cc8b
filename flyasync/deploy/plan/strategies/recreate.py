"""Recreate: stop all machines of a region, then start them with the new config."""

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
    """Stop all machines of a region, then start them with the new config: two versions do not run there together.

    The exception is a failure: a machine that is not updated is started again with its old config, so that it serves.
    If one cannot be stopped, none of its region is updated: the others, which wait for it in the `StopBarrier` of
    deploy/run/admission.py, fail and are started again by `Retirement.recover` of deploy/run/retire.py.
    Machines keep their ids, addresses and volumes. Regions follow one after another, or wave by wave if waves are
    stated; if a region does not come up, the deploy stops there. A machine whose host is full fails: it cannot move.
    """

    name: ClassVar[str] = "recreate"

    def plan(self, spec: DeploySpec, fleet: Fleet) -> Plan:
        """Return the plan; raises InvalidInput if machines would stop for an image that may not exist."""
        plan = super().plan(spec, fleet)
        if spec.unresolved and not spec.digest and any(isinstance(step, AwaitOthersStopped) for step in plan.steps):
            raise InvalidInput(
                f"recreate stops machines before it updates them, but the image {spec.image} could not be resolved "
                f"({spec.unresolved}): state the image with its digest, as in IMAGE@sha256:…"
            )
        return plan

    def stages(self, spec: DeploySpec, fleet: Fleet, members: Sequence[Member], wave: Wave) -> Iterator[Stage]:
        """Yield a verification stage if no machine runs, then a stage for each region, then the surplus machines."""
        verifying = [each for each in changed(spec, fleet, members) if each.verifies]
        yield Stage.of(f"{VERIFY}{wave}", verifying)

        verified = {each.machine.name for each in verifying}
        others = [each for each in members if each.desired.name not in verified]
        present = {each.region for each in others}
        here = tuple(region for region in wave.regions if region in present)
        for regions in [here] if spec.waves else [(region,) for region in wave.regions]:
            those = [each for each in others if each.region in regions]
            stuck = [each for each in those if each.action is Action.STUCK]
            # These fail, so they come first: a region must not go down for an update that cannot succeed.
            yield Stage.of(f"{' and '.join(regions)}: cannot be updated{wave}", changed(spec, fleet, stuck))
            down = sorted(
                {each.region for each in those if _is_old(each)} & {each.region for each in those if _comes(each)}
            )
            what = f" ({' and '.join(down)} down until restarted)" if down else ""
            helped = [each for each in those if each.action is not Action.STUCK]
            yield Stage.of(f"{' and '.join(regions)}{what}{wave}", _tracks(spec, fleet, helped, down))
        yield surplus(members, wave)


def _is_old(member: Member) -> bool:
    """Whether a machine runs, is updated or destroyed by the plan, and can be stopped."""
    machine = member.machine
    if machine is None or member.action not in {Action.UPDATE, Action.RETIRE}:
        return False
    return machine.host_is_ok and not member.rests and machine.state not in {"created", "failed"}


def _comes(member: Member) -> bool:
    """Whether a machine is to run with the new config, and does not do so yet."""
    is_to_run = member.stays and member.runs
    return member.action is Action.MAKE or (is_to_run and (member.rests or member.action is Action.UPDATE))


def _tracks(spec: DeploySpec, fleet: Fleet, members: Sequence[Member], down: Collection[str]) -> Iterator[Track]:
    """Yield the tracks of regions; in the regions `down` nothing starts until all old machines have stopped."""
    wait = AwaitOthersStopped(cause="two versions must not run together")
    for member in members:
        # 1. Its region is not taken down: it is created, or updated while it is stopped.
        if member.region not in down:
            yield from changed(spec, fleet, [member])
        # 2. It is surplus: it is stopped now, and destroyed once the others are up.
        elif _is_old(member) and member.action is Action.RETIRE:
            yield track(member, [Stop(cause=member.cause), wait], Target.GO)
        # 3. It stays: it is stopped, updated and started.
        elif _is_old(member):
            for each in changed(spec, fleet, [member]):
                stop = Stop(cause="the old version stops first", returns=True)
                yield evolve(each, steps=(stop, wait, *_restart(each.steps)))
        # 4. It is not running yet, and is started.
        # 5. It already has the new config, or stays stopped.
        else:
            for each in changed(spec, fleet, [member]):
                starts = each.target is Target.SERVE and any(isinstance(step, STARTING) for step in each.steps)
                yield evolve(each, steps=(wait, *each.steps)) if starts else each


def _restart(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps that update a stopped machine and start it: an update alone would leave it stopped."""
    for step in steps:
        if isinstance(step, Update):
            yield evolve(step, launches=False, if_full=None)
            yield AwaitSettled(cause="was stopped, is started next")
            yield Start(cause="all machines of the region have stopped")
        else:
            yield step
