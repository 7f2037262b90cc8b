"""One deploy from its plan to its report: locked, walked, looked at, and rolled back where that is asked for."""

from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Protocol

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.plan import Decision, Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Finished, Planned
from flyasync.deploy.reporting.journal import Journal
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.run_state import Observation
from flyasync.deploy.run.executor import Execution, locking, timed
from flyasync.deploy.run.leases import Leases
from flyasync.deploy.run.observers import Onlookers
from flyasync.deploy.undo.rollback_plan import deployment_back, undo
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


async def carry_out(
    fly: FlyClient,
    asked: DeploySpec,
    decide: Decide,
    onlookers: Onlookers,
    journal: Journal,
    *,
    presses_on: bool = False,
) -> DeployReport:
    """Make a plan and carry it out; what may go wrong before anything has changed is raised, all else is reported.

    Where a create finds a machine of the group that no list had shown, the deploy plans anew, with that one.
    """
    leases = Leases(fly, asked.app, asked.launch)
    unlisted: frozenset[str] = frozenset()
    try:
        decision = await _decided(decide, leases)
        for plans_left in reversed(range(PLANS)):
            spec, plan = decision.spec, decision.plan
            if onlookers.are_there or journal.is_kept:  # to estimate is work, which nobody else would see
                plan = timed(plan, fly)
            journal.undoing(plan) if plan.strategy == "undo" else journal.planned(spec, plan)
            onlookers.tell(Planned(at=onlookers.clock(), plan=plan))
            execution = Execution(
                fly,
                spec,
                plan,
                onlookers.note,
                onlookers.clock,
                leases=leases,
                journal=journal,
                presses_on=presses_on,
            )
            onlookers.expect(execution.left, every=_pause(plan))
            try:
                await _walk(execution)
                unlisted |= execution.unlisted
                decide_anew = partial(decide, unlisted=unlisted)
                anew = await _decided_anew(execution, decide_anew, leases) if plans_left else None
                if anew is None:
                    report = await _reported(fly, spec, execution, onlookers)
                    break
                decision = anew
            except BaseException:  # usually a cancellation; whatever it is, what is there has to be reported
                report = execution.report(await execution.last_look(), cancelled=True)
                _finish(report, onlookers, journal)
                raise
        _finish(report, onlookers, journal)
        return report
    finally:
        await leases.give_all_back()


async def _decided_anew(execution: Execution, decide: Decide, leases: Leases) -> Decision | None:
    """Return a plan that counts the machines which no list had shown; None where there are none, or it may not be."""
    if execution.unlisted and execution.may_begin_anew and await execution.has_released_volumes():
        with suppress(FlyError):  # what this walk has met is reported then
            return await _decided(decide, leases, by_id=True)
    return None


async def _decided(decide: Decide, leases: Leases, *, by_id: bool = False) -> Decision:
    """Plan, and keep other deployers out; raises LeaseHeld when one is at work here.

    Unless `by_id`, the first plan is made from a list, which may lag: it is but a hint at which machine to lock. What
    counts is the one made under the lease, from machines fetched by their ids, and so does a plan with nothing to do.
    """
    decision = await decide(by_id=by_id)
    if decision.plan.before is not None and not decision.plan.before.machines:
        return decision  # of an empty list there is nothing to fetch; what it lacks is found when its name is taken
    for _ in range(LOCK_TRIES):
        machine_id = locking(decision.plan)
        if machine_id is not None and not decision.plan.is_empty:
            with suppress(NotFound):
                await leases.lock(machine_id)
        decision = await decide(by_id=True)
        plan = decision.plan
        if plan.is_empty or locking(plan) is None or leases.holds(locking(plan)):
            break
    return decision


def _pause(plan: Plan) -> float:
    """Say how often to estimate what is left: the more machines, the more work that is."""
    return max(0.2, len(plan.tracks) / ESTIMATED_A_SECOND)


def _finish(report: DeployReport, onlookers: Onlookers, journal: Journal) -> None:
    journal.finished(report)
    onlookers.tell(Finished(at=onlookers.clock(), report=report))


def _changes_nothing(plan: Plan) -> bool:
    """Whether a plan leaves a group as it was observed when the plan was made."""
    return plan.group is not None and plan.is_empty


async def _walk(execution: Execution) -> None:
    if not _changes_nothing(execution.plan):
        await execution.prepare()
        await execution.walk()


async def _reported(fly: FlyClient, spec: DeploySpec, execution: Execution, onlookers: Onlookers) -> DeployReport:
    """Report what is there after a walk; where it has missed its requirement, after the way back if that is wanted."""
    if _changes_nothing(execution.plan):
        return execution.report(execution.as_before())
    outcome = await execution.look()
    report = execution.report(outcome)
    if not (spec.rolls_back and report.is_missed):
        return report
    if execution.plan.group is not None:
        return await _rolled_back(fly, spec, execution, onlookers, outcome)
    await execution.take_back()
    return execution.report(await execution.look())


async def _rolled_back(
    fly: FlyClient, spec: DeploySpec, execution: Execution, onlookers: Onlookers, outcome: Observation
) -> DeployReport:
    """Go back to what was there before, and report both ways."""
    past = execution.timings.as_past()
    plan = timed(undo(execution.plan, outcome), fly, past)
    if plan.is_empty and outcome.settled:
        return execution.report(outcome)  # all of it is past the point of no return
    wanted = deployment_back(spec, plan)
    back = Execution(
        fly, wanted, plan, onlookers.note, onlookers.clock,
        leases=execution.leases, journal=execution.journal, presses_on=True, rollback=True, past=past,
    )  # fmt: skip
    back.journal.undoing(plan)
    onlookers.tell(Planned(at=onlookers.clock(), plan=plan))
    onlookers.expect(back.left, every=_pause(plan))
    try:
        await back.prepare()
        await back.walk()
        rollback = back.report(await back.look())
    except FlyError as error:
        rollback = back.report(Observation.blind(tuple(back.runs.values()), error))
    # What is past the point of no return stays, and with that not all is as it was.
    rollback = evolve(rollback, needed=rollback.needed + len(outcome.settled))
    changed = [track.machine_id for track in plan.tracks if track.machine_id]
    return evolve(execution.report(await execution.look(changed=changed)), rollback=rollback)
