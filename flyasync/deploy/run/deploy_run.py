"""One deploy from its plan to its report: locked, carried out, checked, and rolled back where that is asked for."""

from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.deploy.estimate import timed
from flyasync.deploy.plan.plan import Decision
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Finished, Planned
from flyasync.deploy.reporting.journal import Journal
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.run_state import Observation
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.decisions import changes_nothing, may_plan_anew, unlisted
from flyasync.deploy.run.executor import PlanExecutor
from flyasync.deploy.run.leases import DeployLeases
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.undo.rollback_plan import restored_spec, undo
from flyasync.errors import FlyError, NotFound

ESTIMATED_A_SECOND = 1000
"""For how many machines a second to estimate what is left."""

LOCK_TRIES = 5
"""How many machines to take for the one that locks, while each is destroyed before its lease can be had."""

PLANS = 6
"""How many plans one deploy makes and begins, each with machines that the one before did not know of."""


class Decide(Protocol):
    """What plans, anew each time: from a list alone, or from machines fetched `by_id`, those `unlisted` among them."""

    async def __call__(self, *, by_id: bool, unlisted: Collection[str] = ()) -> Decision:
        """Make the plan."""


async def run_deploy(
    fly: FlyClient,
    spec: DeploySpec,
    decide: Decide,
    observers: Observers,
    journal: Journal,
    *,
    presses_on: bool = False,
) -> DeployReport:
    """Make a plan and carry it out; what may go wrong before anything has changed is raised, all else is reported.

    Where a create finds a machine of the group that no list had shown, the deploy plans anew, with that one.
    """
    leases = DeployLeases(fly, spec.app, spec.launch)
    known: set[str] = set()  # the ids of machines that lists have lacked
    try:
        decision: Decision | None = await _lock(decide, leases)
        for plans_left in reversed(range(PLANS)):
            assert decision is not None  # noqa: S101 - the loop ends where there is none
            plan = decision.plan
            if observers.are_there or journal.is_kept:  # estimating is work, whose result only these would see
                plan = timed(plan, fly)
            journal.undoing(plan) if plan.strategy == "undo" else journal.planned(decision.spec, plan)
            context = DeployContext(
                fly=fly, spec=decision.spec, plan=plan, leases=leases, journal=journal, observers=observers,
                presses_on=presses_on,
            )  # fmt: skip
            executor = PlanExecutor(context)
            _announce(executor)
            try:
                await executor.walk()
                decision = None
                found = unlisted(context.runs)
                known |= found.keys()
                is_worth_it = plans_left and may_plan_anew(context.runs, context.spec)
                if is_worth_it and await executor.release_volumes(list(found.values())):
                    with suppress(FlyError):  # what this plan has met is reported then
                        decision = await _lock(decide, leases, by_id=True, unlisted=frozenset(known))
                if decision is None:
                    report = await _reported(executor)
                    break
            except BaseException:  # usually a cancellation; whatever it is, what is there has to be reported
                report = executor.report(await executor.final_check.check_cancelled(), cancelled=True)
                _finish(report, observers, journal)
                raise
        _finish(report, observers, journal)
        return report
    finally:
        await leases.release_all()


async def _lock(
    decide: Decide, leases: DeployLeases, *, by_id: bool = False, unlisted: Collection[str] = ()
) -> Decision:
    """Plan, and keep other deployers out; raises LeaseHeld when one is at work here.

    Unless `by_id`, the first plan is made from a list, which may lag: it is only a hint at which machine to lock. What
    counts is the one made under the lease, from machines fetched by their ids, and so does a plan with nothing to do.
    """
    decision = await decide(by_id=by_id, unlisted=unlisted)
    if decision.plan.before is not None and not decision.plan.before.machines:
        return decision  # of an empty list there is nothing to fetch; what it lacks is found when its name is taken
    for _ in range(LOCK_TRIES):
        machine_id = decision.plan.locking
        if machine_id is not None and not decision.plan.is_empty:
            with suppress(NotFound):
                await leases.lock(machine_id)
        decision = await decide(by_id=True, unlisted=unlisted)
        plan = decision.plan
        # 1. There is nothing to do, or no machine to lock: nothing has to be kept out.
        # 2. The lease that was acquired is the one that every deployer asks for.
        # 3. Its machine is gone, or an older one was found: the next one.
        if plan.is_empty or plan.locking is None or leases.holds(plan.locking):
            break
    return decision


def _announce(executor: PlanExecutor) -> None:
    """Emit the plan that is carried out now; each event tells how long it still takes, more roughly for a large one."""
    observers, plan = executor.context.observers, executor.context.plan
    observers.emit(Planned(at=observers.clock(), plan=plan))
    observers.expect(executor.left, every=max(0.2, len(plan.tracks) / ESTIMATED_A_SECOND))


def _finish(report: DeployReport, observers: Observers, journal: Journal) -> None:
    journal.finished(report)
    observers.emit(Finished(at=observers.clock(), report=report))


async def _reported(executor: PlanExecutor) -> DeployReport:
    """Report what is there after a plan; where it has missed its requirement, after a rollback if that is asked for."""
    context = executor.context
    # 1. Nothing was to be done: what was observed for the plan is all there is to know.
    # 2. It has reached its requirement, or there is to be no rollback.
    # 3. A launch has only added machines: these are destroyed.
    # 4. A group is brought back to what it was before, by a plan of its own.
    if changes_nothing(context.plan):
        return executor.report(executor.final_check.unchanged())
    observation = await executor.final_check.check()
    report = executor.report(observation)
    if not (context.spec.rolls_back and report.is_missed):
        return report
    if context.plan.group is None:
        await executor.roll_back()
        return executor.report(await executor.final_check.check())
    past = executor.timings.as_past()
    plan = timed(undo(context.plan, observation), context.fly, past)
    if plan.is_empty and observation.settled:
        return report  # all of it is past the point of no return
    restoring = DeployContext(
        fly=context.fly, spec=restored_spec(context.spec, plan), plan=plan, leases=context.leases,
        journal=context.journal, observers=context.observers, presses_on=True, is_rollback=True,
    )  # fmt: skip
    rollback = PlanExecutor(restoring, past=past)
    context.journal.undoing(plan)
    _announce(rollback)
    try:
        await rollback.walk()
        restored = rollback.report(await rollback.final_check.check())
    except FlyError as error:
        restored = rollback.report(Observation.blind(tuple(restoring.runs.values()), error))
    # What is past the point of no return stays, and with that not everything is as it was.
    restored = evolve(restored, needed=restored.needed + len(observation.settled))
    changed = [track.machine_id for track in plan.tracks if track.machine_id]
    report = executor.report(await executor.final_check.check(changed=changed))
    return evolve(report, rollback=restored, serving=max(report.serving, restored.serving))
