"""Hedging: a machine that starts much more slowly than its siblings gets a rival; the first to start is kept."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from statistics import median
from typing import Any

from flyasync.deploy.plan.plan import Create
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.create import MachineCreator, NoRoomError
from flyasync.errors import FlyError
from flyasync.models.machine import Machine

SIBLINGS = 3
"""How many machines must have started before another one can count as late."""


class Hedge:
    """Waits for machines to start, measures the time, and creates rivals for those that take much longer."""

    def __init__(self, context: DeployContext, creator: MachineCreator) -> None:
        self._context = context
        self._fly = context.fly
        self._creator = creator
        self._boots: list[float] = []
        self._booted = asyncio.Event()

    async def race(self, run: MachineRun) -> None:
        """Wait until the machine of a run has started; once it is late, create a rival and keep the first to start.

        The other one is destroyed. If neither starts, raises what the wait for the first one raises.
        """
        machine, times = run.machine, self._context.spec.hedge
        assert machine is not None  # noqa: S101 - only an existing machine is awaited
        begun = asyncio.get_running_loop().time()
        if times is None or run.adopted or run.volume_id:
            await self._until_started(run, machine)
        else:
            waiting = asyncio.ensure_future(self._until_started(run, machine))
            lateness = asyncio.ensure_future(self._late(times))
            try:
                await asyncio.wait([waiting, lateness], return_when=asyncio.FIRST_COMPLETED)
                # 1. The machine has started or failed before it was late: that is the result.
                # 2. It is late, and no rival can be created: keep waiting for it.
                # 3. It is late, and there is a rival: keep the first of the two to start.
                if waiting.done() or (rival := await self._rival(run, machine)) is None:
                    await waiting
                else:
                    racers = {waiting: machine, asyncio.ensure_future(self._until_started(run, rival)): rival}
                    pending, winner = set(racers), None
                    try:
                        while pending and winner is None:
                            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                            winner = next((each for each in done if not each.exception()), None)
                    finally:
                        await _cancelled(racers)
                    kept, loser = (rival, machine) if winner and racers[winner] is rival else (machine, rival)
                    run.win(kept, loser)
                    with suppress(FlyError):  # the report lists a loser that stays; the winner is not affected
                        await self._fly.machines.delete(self._context.app, loser.id, force=True)
                    await (winner or waiting)
            finally:
                await _cancelled([waiting, lateness])
        self._boots.append(asyncio.get_running_loop().time() - begun)
        self._booted.set()

    def _until_started(self, run: MachineRun, machine: Machine) -> Coroutine[Any, Any, str]:
        """Return the coroutine that waits for one machine; a plain function, which saves one stack frame."""
        return self._fly.machines.wait(
            self._context.app,
            machine.id,
            state="started",
            version=machine.current_version,
            timeout=run.time_left(asyncio.get_running_loop().time(), self._context.spec.timeout),
            just_created=True,
        )

    async def _late(self, times: float) -> None:
        """Return once `times` the median boot time has passed from now; the median may become known only later."""
        begun = asyncio.get_running_loop().time()
        while len(self._boots) < SIBLINGS:
            await self._booted.wait()
            self._booted.clear()
        await asyncio.sleep(begun + times * median(self._boots) - asyncio.get_running_loop().time())

    async def _rival(self, run: MachineRun, machine: Machine) -> Machine | None:
        """Create another machine with the same config, cordoned if the first one is; return None if that fails."""
        self._context.notify(run, Phase.HEDGING, f"slow to start: creating another machine next to {machine.id}")
        rival = MachineRun(desired=run.desired, region=machine.region, awaits_proof=run.awaits_proof)
        step = Create(
            cause="a sibling is late",
            name=f"{machine.name}-hedge",
            config=run.config or self._context.spec.of(run.desired).tagged,
            cordoned=bool(machine.cordoned),
        )
        try:
            await self._creator.create(rival, step, is_urgent=True)
        except (FlyError, NoRoomError):
            return None
        return rival.machine


async def _cancelled(tasks: "Iterable[asyncio.Future[Any]]") -> None:
    """Cancel the tasks that still run, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
