"""Executes one step of one machine as API calls; no other code changes machines."""

import asyncio
from contextlib import suppress

from flyasync.deploy.list_lag import PAUSES
from flyasync.deploy.plan.config_merge import NEW
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import (
    Adopt,
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    DeleteVolume,
    Destroy,
    GiveUp,
    Return,
    RunToEnd,
    Start,
    Step,
    Stop,
    TakeVolume,
    Uncordon,
    Unmark,
    Update,
    Verify,
    Watch,
)
from flyasync.deploy.plan.step_sequences import replacement
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.create import MachineCreator
from flyasync.deploy.run.hedge import Hedge
from flyasync.deploy.run.proof import Proof
from flyasync.deploy.run.retire import Retirement
from flyasync.deploy.run.update import Updater
from flyasync.deploy.run.verify import Verifier
from flyasync.errors import FlyError, NoCapacity, RateLimited, WaitFailed


class GaveUp(FlyError):
    """A machine that the deploy cannot update with the settings given."""


class StepRunner:
    """Executes the steps of a deploy's machines; its parts are public for callers that need only one of them."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context
        self.creator = MachineCreator(context)
        self.hedge = Hedge(context, self.creator)
        self.verifier = Verifier(context)
        self.proof = Proof(context)
        self.updater = Updater(context, self.verifier)
        self.retirement = Retirement(context)

    async def take(self, run: MachineRun, step: Step) -> None:
        """Execute one step of one machine; raises FlyError, NoRoomError or NotBegunError.

        After a 429 whose pause is longer than a call may wait, the step is repeated: a deploy can wait longer.
        """
        for last in (*[False] * PAUSES, True):
            try:
                return await self._take(run, step)
            except RateLimited as limited:
                if last or limited.may_have_happened:
                    raise
        raise AssertionError  # the last attempt returns or raises

    async def _take(self, run: MachineRun, step: Step) -> None:
        notify, spec = self._context.notify, self._context.spec
        match step:
            # Create, adopt, update, start.
            case TakeVolume():
                run.choose_volume(step.volume, step.volume_id, step.source)
            case Create():
                await self.creator.create_under_lock(run, step)
            case Adopt():
                run.adopt(await self._context.fly.machines.get(self._context.app, step.machine_id))
                notify(run, Phase.ADOPTED)
            case Update():
                await self._update_or_replace(run, step)
            case Start():
                await self.updater.start(run, step.machine_id or run.machine_id)
            # Wait and verify.
            case AwaitStarted():
                notify(run, Phase.STARTING)
                try:
                    await self.hedge.race(run)
                except WaitFailed:
                    if not await self.verifier.has_ended_well(run):  # a job may exit before it is seen to run
                        raise
                run.start(checked_from=asyncio.get_running_loop().time() + spec.time_for_checks(run.config))
                notify(run, Phase.STARTED)
                await self.hedge.destroy_losers(run)
            case AwaitHealthy():
                notify(run, Phase.CHECKING)
                await self.verifier.until_healthy(run)
                run.pass_checks()
                notify(run, Phase.HEALTHY)
            case AwaitSettled():
                await self.verifier.until_settled(run)
            case Watch():
                await self.verifier.stay_up(run, step.seconds)
            case Verify():
                await self.proof.demand(run)
            case RunToEnd():
                await self.verifier.run_to_end(run, step.seconds)
            # Uncordon, cordon, stop, destroy.
            case Uncordon():
                await self.retirement.uncordon(run)
            case Cordon():
                await self.retirement.cordon(run, step)
            case Stop():
                await self.retirement.stop(run, step.machine_id or run.machine_id, returns=step.returns)
            case Return():
                await self.retirement.give_back(run, step)
            case Destroy():
                await self.retirement.destroy(run, step)
            case DeleteVolume():
                await self._context.volumes.delete(step.volume_id)
            case Unmark():
                with suppress(FlyError):  # the next deploy removes the mark
                    await self._context.fly.machines.patch_metadata(self._context.app, run.machine_id, {NEW: None})
            case GiveUp():
                raise GaveUp(step.cause)

    async def _update_or_replace(self, run: MachineRun, step: Update) -> None:
        """Update a machine; if its host is full, replace it by the machine that the plan has for that."""
        try:
            await self.updater.update(run, step)
        except NoCapacity as error:
            fleet = self._context.plan.before
            if step.if_full is None or fleet is None:
                raise
            run.refuse(Refusal.of(run.region, error))
            self._context.notify(run, Phase.REPLACING, error)
            for instead in replacement(self._context.spec.of(run.desired), fleet, run.desired, step.if_full):
                await self.take(run, instead)
