"""Executes a plan: stages in order, lanes concurrently, tracks as slots and admission allow, steps in order."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, nullcontext, suppress

from attrs import evolve

from flyasync.cancellation import AllEnded
from flyasync.deploy.estimate import CreateRate, left
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import AwaitOthersStopped, Create, Stop, Track, Update
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.result import Failure
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.deploy.run import decisions
from flyasync.deploy.run.admission import LaneRun, Slot
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.create import NoRoomError, NotBegunError
from flyasync.deploy.run.final_check import FinalCheck
from flyasync.deploy.run.rechecks import Rechecks
from flyasync.deploy.run.spans import DeploySpans
from flyasync.deploy.run.steps import StepRunner
from flyasync.deploy.timings import Timings
from flyasync.errors import FlyError, WaitFailed
from flyasync.models.machine import Machine

GIVING_BACK = 30.0
"""Seconds that a cancelled deploy may take to return a machine to its former state."""

# One for all machines, since thousands of them may wait inside.
_NO_LEASE = nullcontext()
_UNLIMITED = nullcontext(Slot())


class NotAllStopped(FlyError):
    """All machines of a region had to be stopped before any was updated, but one did not stop."""


class PlanExecutor:
    """Executes one plan. `past` are the timings known before it, by default those in the machines' events."""

    def __init__(self, context: DeployContext, *, past: Timings | None = None) -> None:
        self.context = context
        self.runs = context.runs
        self.final_check = FinalCheck(context)
        self._past = past or Timings.of(context.plan.before, context.plan.group)
        self._spans = DeploySpans(context, (track.machine for track in context.plan.tracks))
        self._steps = StepRunner(context)
        is_rolled_out = context.plan.group is not None and not context.presses_on
        self._rechecks = Rechecks(context, self._steps.verifier) if is_rolled_out else None
        self._secrets: str | None = None
        self._unallocated: Failure | None = None

    def __repr__(self) -> str:
        return f"<Executor of {self.context.app}, launch {self.context.plan.launch}: {self.context.admission!r}>"

    async def walk(self) -> None:
        """Execute all steps of all machines: stages one after another, the machines of a stage concurrently.

        If the deploy pauses after a wave, the stages after it are not begun. After the failure of a machine, those
        under way finish, and no other begins. After a cancellation, queued
        creates are not sent, and creates in flight are awaited.
        """
        context, admission = self.context, self.context.admission
        if decisions.changes_nothing(context.plan):
            return
        await self._demand_secrets()
        with closing(self._spans):
            for stage in context.plan.before_pause(context.spec.pause_after):
                if admission.is_closed:
                    return
                # The release and seed commands run before anything changes.
                if not any(track.target.command for track in stage.tracks):
                    await self._allocate_addresses()
                if stage.point_of_no_return:
                    admission.settle(lane.key for lane in stage.lanes)
                # This stage may destroy locking machines: others have to lock out other deployers.
                for group, machine_id in decisions.next_locks(stage, self.runs, context.leases.locking).items():
                    # Another client may hold that lease; each machine is still protected by its own lease.
                    with suppress(FlyError):
                        await context.leases.lock(group, machine_id)
                lost = Counter(run.desired.lane for run in self.runs.values() if run.error)
                lanes = {
                    lane.key: LaneRun(lane, relies_on_others=stage.relies_on_others, lost=lost[lane.key])
                    for lane in stage.lanes
                }
                tracks = decisions.in_order(stage, unlocked=self._steps.creator.unlocked)
                await AllEnded(self._run_track(track, lanes[track.machine.lane]) for track in tracks)

    async def _allocate_addresses(self) -> None:
        """Allocate the addresses of the app's first deploy; without them, its machines run, but are not reachable."""
        if self.context.plan.addresses and not (self.context.addresses.made or self._unallocated):
            try:
                await self.context.addresses.allocate(self.context.plan.addresses)
            except FlyError as error:
                self._unallocated = Failure.of(error)

    async def release_surplus_addresses(self) -> None:
        """Release the addresses that another first deploy has allocated at the same time, and earlier."""
        with suppress(FlyError):  # a surplus address does no harm, and the report shows it
            await self.context.addresses.release_surplus()

    async def release_addresses(self) -> None:
        """Release the addresses that this plan allocated, if any."""
        with suppress(FlyError):  # the report shows those that are left
            await self.context.addresses.release()

    async def _demand_secrets(self) -> None:
        """Require the app's current secrets, or newer ones, for all machines that start from now on."""
        context, before = self.context, self.context.plan.before
        starts_any = any(isinstance(step, Create | Update) for step in context.plan.steps)
        has_secrets = context.plan.group is not None and before is not None and before.has_secrets
        if not (has_secrets and starts_any) or context.metadata.secrets_version is not None:
            return
        # The API returns the version of the secrets only in response to a change, so an empty change is sent. If the
        # token does not allow that, machines start with whatever secrets have reached their host.
        try:
            version = (await context.fly.secrets.update(context.app, {})).version
        except FlyError as error:
            # The command shows this remark too, and its wording has no terms of Python.
            self._secrets = (
                "secrets: machines may start with older ones, because the current version is unknown: "
                f"{error.for_command}"
            )
        else:
            context.metadata.demand(version)
            self._secrets = (
                f"secrets: machines started with version {version} or newer, the version that an empty change returned"
            )

    async def _run_track(self, track: Track, lane: LaneRun) -> None:
        context, admission = self.context, self.context.admission
        key, run = track.machine.lane, self.runs[track.machine.name]
        try:
            # Slot: the number of serving machines of a lane that are unavailable at once is limited.
            slots = lane.slots if track.takes_slot else None
            if lane.slots and decisions.may_have_woken(track):
                machine = await self.final_check.fetch(track.machine_id or "")
                slots = lane.slots if isinstance(machine, Machine) and machine.state not in RESTING else slots
            async with slots.one() if slots else _UNLIMITED as slot:
                # Recheck: a version may fail late, so all machines changed so far must be well before another begins.
                # A lane that relies on other machines checks those itself.
                if self._rechecks and slot.is_free and admission.admits(key) and not lane.relies_on_others:
                    for failed, error in await self._rechecks.failed():
                        await self._fail(failed, error)
                        context.journal.ended(failed)
                run.begin_steps(context.now())
                # Admission: it may have been closed during the waits above.
                has_to_stay = decisions.has_to_stay(track, context.plan, admission)
                if slot.is_free and admission.admits(key) and not has_to_stay:
                    with self._spans.machine(run):
                        await self._take_steps(track, run, lane)
                if slots and run.error is not None:
                    slot.lose()
        finally:
            lane.barrier.arrive(track.machine.name, stopped=False)
            self._spans.end_track(track.machine)

    async def _take_steps(self, track: Track, run: MachineRun, lane: LaneRun) -> None:
        context, steps = self.context, self._steps
        context.journal.began(track, run)
        # 1. All steps are done: the machine is ready.
        # 2. Admission closed while the machine waited to become the first of its group: it has not begun.
        # 3. No region had room: its lane is closed.
        # 4. The machine failed: no other begins.
        # 5. The deploy is cancelled.
        # In cases 4 and 5, a machine that was started only for verification is stopped again, and a machine that was
        # stopped for an update that did not happen is started again.
        done = 0
        try:
            context.leases.check()
            # Before a machine is retired or uncordoned, those that stay in its region are verified, once per lane.
            if lane.relies_on_others:
                async with lane.lock:
                    if not lane.are_others_up:
                        others = decisions.staying(self.runs, track.machine.lane)
                        await asyncio.gather(*map(steps.verifier.see_up, others))
                        lane.rely()
            leased = decisions.needs_lease(track, run, context.plan)
            async with context.leases.holding(leased) if leased else _NO_LEASE:
                for step in track.steps:
                    if isinstance(step, AwaitOthersStopped):
                        await self._await_others_stopped(track, run, lane)
                        continue
                    if isinstance(step, Create) and await steps.creator.follows(run):
                        await steps.creator.line_up(run, step)
                    await steps.take(run, step)
                    done += 1
                    run.step_done()
                    context.journal.stepped(run, step)
            run.ready(context.now())
        except NotBegunError:
            pass
        except NoRoomError:
            context.notify(run, Phase.SKIPPED, str(run.refusals[-1]))
            context.admission.record(run)
        except FlyError as error:
            await self._fail(run, error)
            await steps.retirement.recover(run, track.steps[:done], track.steps[done:])
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(GIVING_BACK):
                    await steps.retirement.recover(run, track.steps[:done], track.steps[done:])
            raise
        context.journal.ended(run)

    async def _await_others_stopped(self, track: Track, run: MachineRun, lane: LaneRun) -> None:
        """Wait until all machines of a lane that are to stop have stopped; raises NotAllStopped if one has not."""
        is_stopped = run.phase is Phase.STOPPED or not any(isinstance(step, Stop) for step in track.steps)
        lane.barrier.arrive(run.desired.name, stopped=is_stopped)
        if not await lane.barrier.all_stopped():
            what = "another machine of its region" if is_stopped else "it"
            raise NotAllStopped(f"{what} could not be stopped, so no machine in {run.desired.region} was updated")

    async def _fail(self, run: MachineRun, error: FlyError) -> None:
        """Record the error of a machine, which closes admission, and collect how its process failed."""
        run.fail(error)
        self.context.admission.record(run)
        self.context.notify(run, Phase.FAILED, error)
        if isinstance(error, WaitFailed):
            await self._steps.verifier.diagnose(run)

    async def roll_back(self) -> None:
        """Destroy the machines that this plan created and the volumes created for them, and no others."""
        made = decisions.made_here(self.runs)
        with closing(DeploySpans(self.context, (run.desired for run in made), is_rollback=True)) as spans:
            await AllEnded(self._destroy(run, spans) for run in made)

    async def _destroy(self, run: MachineRun, spans: DeploySpans) -> None:
        try:
            with spans.machine(run):
                try:
                    if run.machine and not run.adopted:
                        await self._steps.retirement.delete(run.machine_id)
                    await self._delete_volumes(run)
                except FlyError as error:
                    run.fail(error)
                else:
                    if run.machine:
                        self.context.notify(run, Phase.DESTROYED)
        finally:
            spans.end_track(run.desired)

    async def release_volumes(self, runs: Sequence[MachineRun]) -> bool:
        """Delete the volumes created for machines that turned out to exist; return whether all are deleted."""
        ends = await asyncio.gather(*map(self._delete_volumes, runs), return_exceptions=True)
        for run, end in zip(runs, ends, strict=True):
            if isinstance(end, FlyError):
                run.fail(end)
            elif end is not None:
                raise end
        return not any(run.made_volumes for run in runs)

    async def _delete_volumes(self, run: MachineRun) -> None:
        while run.made_volumes:
            volume_id = run.made_volumes[-1]
            await self.context.volumes.delete(volume_id)
            run.lose_volume(volume_id)

    def report(self, observation: Observation, *, cancelled: bool = False) -> DeployReport:
        """Return the report of what is known now."""
        context = self.context
        report = DeployReport.of(
            context.spec, observation, strategy=context.plan.strategy, seconds=context.now(), cancelled=cancelled
        )
        pause_after = context.spec.pause_after
        if context.plan.before_pause(pause_after) != context.plan.stages and not context.admission.is_closed:
            report = evolve(report, paused_after=pause_after)
        remarks = [*context.plan.remarks, *([self._secrets] if self._secrets else [])]
        if context.metadata.is_unknown:
            remarks.append(
                f"no machine showed which digest of {context.spec.image} it runs: if the tag has moved during the "
                "deploy, machines may run different digests; use an image with a digest to rule that out"
            )
        return evolve(
            report,
            image=context.metadata.image,
            remarks=tuple(remarks),
            addresses=tuple(str(address.ip) for address in context.addresses.made),
            unallocated=self._unallocated,
            url=None if self._unallocated else context.plan.url,
        )

    @property
    def timings(self) -> Timings:
        """The timings known by now: those known before this plan, and those of its machines."""
        return self._past.and_of(self.runs.values())

    def left(self) -> Estimate:
        """Estimate the seconds that this plan still takes, from the progress of its machines."""
        context = self.context
        drains = context.admission.is_closed
        return left(context.plan, self.runs, context.now(), CreateRate.of(context.fly), self.timings, drains=drains)
