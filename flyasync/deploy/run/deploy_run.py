"""One deploy from plan to report: lock, execute, check, and roll back if requested."""

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
from flyasync.deploy.reporting.status import Status
from flyasync.deploy.run.addresses import AddressAllocator
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.decisions import changes_nothing, may_plan_anew, unlisted
from flyasync.deploy.run.executor import PlanExecutor
from flyasync.deploy.run.leases import DeployLeases
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.undo.rollback_plan import restored_spec, undo
from flyasync.errors import FlyError, NotFound

ESTIMATED_A_SECOND = 1000
"""How many machines per second the estimate of the remaining time may process."""

LOCK_TRIES = 5
"""How many machines to try to lock, if each is destroyed before its lease can be acquired."""

PLANS = 6
"""The maximum number of plans in one deploy; each but the first is made because the last lacked some machines."""


class Decide(Protocol):
    """A function that makes a plan from a list alone, or from machines fetched `by_id`, including those `unlisted`."""

    async def __call__(self, *, by_id: bool, unlisted: Collection[str] = ()) -> Decision:
        """Make a new plan."""


async def run_deploy(
    fly: FlyClient,
    spec: DeploySpec,
    decide: Decide,
    observers: Observers,
    journal: Journal,
    *,
    presses_on: bool = False,
) -> DeployReport:
    """Make a plan and execute it; raise errors that occur before the first change, and report all later ones.

    If a create finds a machine of the group that no list had shown, the deploy plans again, including that machine.

    Args:
        fly: The client.
        spec: The spec of the deploy, or of the undo.
        decide: Makes the plan; called again under the lock, and for each further plan.
        observers: Receive every event.
        journal: Records every decision and step.
        presses_on: Whether to continue after a failure, as an undo does.
    """
    leases, addresses = DeployLeases(fly, spec.app, spec.launch), AddressAllocator(fly, spec.app)
    known: set[str] = set()  # the ids of machines that were missing from lists
    try:
        decision: Decision | None = await _lock(decide, leases)
        for plans_left in reversed(range(PLANS)):
            assert decision is not None  # noqa: S101 - the loop ends when there is none
            plan = decision.plan
            if observers.are_there or journal.is_kept:  # an estimate costs time, and only these show it
                plan = timed(plan, fly)
            journal.undoing(plan) if plan.strategy == "undo" else journal.planned(decision.spec, plan)
            context = DeployContext(
                fly=fly, spec=decision.spec, plan=plan, leases=leases, journal=journal, observers=observers,
                presses_on=presses_on, addresses=addresses,
            )  # fmt: skip
            executor = PlanExecutor(context)
            _announce(executor)
            try:
                await executor.walk()
                await executor.release_surplus_addresses()
                decision = None
                found = unlisted(context.runs)
                known |= found.keys()
                is_worth_it = plans_left and may_plan_anew(context.runs, context.spec)
                if is_worth_it and await executor.release_volumes(list(found.values())):
                    with suppress(FlyError):  # then the failures of this plan are reported
                        decision = await _lock(decide, leases, by_id=True, unlisted=frozenset(known))
                if decision is None:
                    report = await _reported(executor)
                    break
            except BaseException:  # usually a cancellation; after any exception the state is reported
                report = executor.report(await executor.final_check.check_cancelled(), cancelled=True)
                _finish(report, context)
                raise
        _finish(report, context)
        return report
    finally:
        await leases.release_all()


async def _lock(
    decide: Decide, leases: DeployLeases, *, by_id: bool = False, unlisted: Collection[str] = ()
) -> Decision:
    """Plan, and lock other deployers out; raises LeaseHeld if one of them is running.

    Unless `by_id`, the first plan is made from a list, which may lag, so it only determines which machine to lock. The
    plan that is executed is made under the lease, from machines fetched by their ids; a plan with nothing to do is also
    made that way.
    """
    decision = await decide(by_id=by_id, unlisted=unlisted)
    if decision.plan.before is not None and not decision.plan.before.machines:
        return decision  # an empty list has no ids to fetch; a machine that it lacks is found by its taken name
    for _ in range(LOCK_TRIES):
        # In the same order for every deployer, so that no two of them wait for each other.
        for group, machine_id in sorted(decision.plan.locks.items()) if not decision.plan.is_empty else ():
            with suppress(NotFound):
                await leases.lock(group, machine_id)
        decision = await decide(by_id=True, unlisted=unlisted)
        plan = decision.plan
        # 1. There is nothing to do, or no machine to lock: no lock is needed.
        # 2. The acquired leases are those that every deployer would acquire.
        # 3. A locked machine is gone, or an older one was found: try the next one.
        if plan.is_empty or all(map(leases.holds, plan.locks.values())):
            break
    return decision


def _announce(executor: PlanExecutor) -> None:
    """Emit the plan; from now on, events show the remaining time, estimated less often for a large plan."""
    observers, plan = executor.context.observers, executor.context.plan
    observers.emit(Planned(at=observers.clock(), plan=plan))
    observers.expect(executor.left, every=max(0.2, len(plan.tracks) / ESTIMATED_A_SECOND))


def _finish(report: DeployReport, context: DeployContext) -> None:
    context.journal.finished(report)
    if recording := context.fly.recording:
        recording.note("report", {"app": report.app, "launch": report.launch, "report": report.to_dict()})
    context.observers.emit(Finished(at=context.observers.clock(), report=report))


async def _reported(executor: PlanExecutor) -> DeployReport:
    """Return the report of an executed plan; if it missed its requirement, roll back first if requested."""
    context = executor.context
    # 1. There was nothing to do: the observation that the plan was made from is still valid.
    # 2. It has paused after a wave: the journal records the machines, so that it continues only with the same ones.
    # 3. The requirement is met, or no rollback is requested.
    # 4. A launch has only added machines: these are destroyed.
    # 5. A group is restored to its former state, by a separate plan.
    if changes_nothing(context.plan):
        return executor.report(executor.final_check.unchanged())
    observation = await executor.final_check.check()
    report = executor.report(observation)
    if report.status is Status.PAUSED:
        context.journal.paused(observation.seen)
        return report
    if not (context.spec.rolls_back and report.is_missed):
        return report
    if context.plan.group is None:
        await executor.roll_back()
        await executor.release_addresses()
        return executor.report(await executor.final_check.check())
    past = executor.timings.as_past()
    plan = timed(undo(context.plan, observation), context.fly, past)
    if plan.is_empty and observation.settled:
        return report  # all lanes are past the point of no return
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
    # Regions past the point of no return are not restored, so the rollback is not complete without them.
    past_return = {region for region, _ in observation.settled}
    restored = evolve(restored, needed=restored.needed + len(past_return))
    await executor.release_addresses()
    changed = [track.machine_id for track in plan.tracks if track.machine_id]
    return executor.report(await executor.final_check.check(changed=changed)).rolled_back(restored)
