"""Plan → Outcome: all tracks of a stage together, then a last look; decides nothing."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from itertools import groupby
from typing import Any

from flyasync.api.client import FlyClient
from flyasync.deploy.deployment import Deployment
from flyasync.deploy.observe import observe
from flyasync.deploy.outcome import Outcome, Phase, Run
from flyasync.deploy.plan import Plan, Track
from flyasync.deploy.report import DeployReport
from flyasync.deploy.steps import NoRoomError, Steps, Tell
from flyasync.errors import FlyError, NotFound
from flyasync.models.machine import GONE, Machine

LAST_LOOK = 30.0
"""Seconds that the last look of a cancelled deploy may take."""


class Execution:
    """One walk over a plan."""

    def __init__(
        self, fly: FlyClient, deployment: Deployment, plan: Plan, tell: Tell, clock: Callable[[], float]
    ) -> None:
        self._fly = fly
        self._deployment = deployment
        self._plan = plan
        self._tell = tell
        self._clock = clock
        self._steps = Steps(fly, deployment, tell)
        self.runs = {
            track.machine.name: Run(wanted=track.machine, region=track.machine.region)
            for lane in plan.lanes
            for track in lane.tracks
        }

    async def walk(self) -> None:
        """Take all steps of all machines: stages one after the other, the machines of a stage together.

        Cancelled, machines in line for their create are not created, and creates under way are heard out.
        """
        for stage in self._plan.stages:
            await _together(self._follow(track) for track in stage.tracks)

    async def _follow(self, track: Track) -> None:
        run = self.runs[track.machine.name]
        try:
            for step in track.steps:
                await self._steps.take(step, run)
            run.ready_after = self._clock()
        except NoRoomError:
            self._tell(run, Phase.SKIPPED, str(run.refusals[-1]))
        except FlyError as error:
            run.error = error
            self._tell(run, Phase.FAILED, str(error))

    def report(self, outcome: Outcome, *, cancelled: bool = False) -> DeployReport:
        """Put down what is known now."""
        return DeployReport.of(self._deployment, outcome, seconds=self._clock(), cancelled=cancelled)

    async def take_back(self) -> None:
        """Destroy the machines that this walk made, and no others."""
        await _together(self._destroy(run) for run in self.runs.values() if run.machine and not run.adopted)

    async def _destroy(self, run: Run) -> None:
        try:
            await self._steps.destroy(run)
        except FlyError as error:
            run.error = error
        else:
            self._tell(run, Phase.DESTROYED, None)

    async def look(self) -> Outcome:
        """See what is there now; a machine that was in doubt and is found belongs to its run from then on."""
        runs = tuple(self.runs.values())
        try:
            listed = (await observe(self._fly, self._deployment)).machines
        except FlyError as error:
            return Outcome.blind(runs, error)
        # That the list lacks a machine proves nothing, for lists lag: it is asked after by its id.
        ids = {machine.id for machine in listed}
        missing = {run.wanted.name: run.machine.id for run in runs if run.machine and run.machine.id not in ids}
        found = dict(zip(missing, await asyncio.gather(*map(self._get, missing.values())), strict=True))
        machines = [*listed, *(machine for machine in found.values() if isinstance(machine, Machine))]
        outcome = Outcome(
            runs=runs,
            seen={name: tuple(same) for name, same in groupby(sorted(machines, key=_name), key=_name)},
            unseen={name: error for name, error in found.items() if isinstance(error, FlyError)},
        )
        for run in runs:
            run.machine = run.machine or outcome.machine(run)
        return outcome

    async def last_look(self) -> Outcome:
        """See what is there after a cancellation: within a bounded time, and cut short by another one."""
        try:
            async with asyncio.timeout(LAST_LOOK):
                return await self.look()
        except (TimeoutError, asyncio.CancelledError):
            return Outcome.blind(tuple(self.runs.values()), FlyError("the last look was cut short"))

    async def _get(self, machine_id: str) -> Machine | FlyError | None:
        """Give the machine, None when it is gone, or the error that hides it."""
        try:
            machine = await self._fly.machines.get(self._deployment.app, machine_id)
        except NotFound:
            return None
        except FlyError as error:
            return error
        return None if machine.state in GONE else machine


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all work at once and leave none of it behind, whether one part fails or all are cancelled."""
    # A plain gather returns with the first part that is cancelled, while the others are still at it.
    for result in await asyncio.gather(*work, return_exceptions=True):
        if result is not None:
            raise result


def _name(machine: Machine) -> str:
    return machine.name
