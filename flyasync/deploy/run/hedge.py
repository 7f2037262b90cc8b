"""Hedging: a machine that is late while its siblings have booted gets a rival; the first to start stays."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from statistics import median

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.plan import Create
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.create import Creating, NoRoomError, Tell
from flyasync.errors import FlyError
from flyasync.models.config import MachineConfig
from flyasync.models.machine import Machine

SIBLINGS = 3
"""How many machines have to have started before one can be called late."""

Wait = Callable[[MachineRun, Machine], Awaitable[None]]


class Hedge:
    """Knows how long machines take to start, and makes rivals for those that take far longer."""

    def __init__(self, fly: FlyClient, spec: DeploySpec, tell: Tell, creating: Creating) -> None:
        self._fly = fly
        self._spec = spec
        self._tell = tell
        self._creating = creating
        self._boots: list[float] = []
        self._booted = asyncio.Event()

    async def race(self, run: MachineRun, wait: Wait) -> None:
        """Wait until the machine of a run is started, or a rival that was made since it is late.

        The loser is destroyed. Raises what the wait raises, when none of them starts.
        """
        assert run.machine is not None  # noqa: S101 - only a machine that is there is waited for
        begun = asyncio.get_running_loop().time()
        if self._spec.hedge is None or run.adopted or run.volume_id:
            await wait(run, run.machine)
        else:
            await self._race(run, run.machine, wait, self._spec.hedge)
        self._boots.append(asyncio.get_running_loop().time() - begun)
        self._booted.set()

    async def _race(self, run: MachineRun, machine: Machine, wait: Wait, times: float) -> None:
        waiting = asyncio.ensure_future(wait(run, machine))
        lateness = asyncio.ensure_future(self._late(times))
        try:
            await asyncio.wait([waiting, lateness], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done() and (rival := await self._rival(run, machine)):
                await self._first(run, {waiting: machine, asyncio.ensure_future(wait(run, rival)): rival})
            else:
                await waiting
        finally:
            await _cancelled([waiting, lateness])

    async def _late(self, times: float) -> None:
        """Return once `times` the usual time has passed from now; that may become known only later."""
        begun = asyncio.get_running_loop().time()
        while len(self._boots) < SIBLINGS:
            await self._booted.wait()
            self._booted.clear()
        await asyncio.sleep(begun + times * median(self._boots) - asyncio.get_running_loop().time())

    async def _first(self, run: MachineRun, racers: dict["asyncio.Future[None]", Machine]) -> None:
        """Keep the machine that starts first and destroy the other; raises what the first one met if neither does."""
        try:
            winner = await _first_success(racers)
        finally:
            await _cancelled(racers)
        first, *_ = racers
        run.machine = racers[winner or first]
        for machine in racers.values():
            if machine is not run.machine:
                run.beside.append(machine.id)
                await self._destroy(machine)
        await (winner or first)

    async def _rival(self, run: MachineRun, machine: Machine) -> Machine | None:
        """Make one more machine; where that does not work out, there is none."""
        self._tell(run, Phase.HEDGING, f"it is late: another one is made beside {machine.id}")
        other = MachineRun(wanted=run.wanted, region=machine.region)
        try:
            config = run.config or self._spec.tagged
            await self._creating.create(other, _beside(machine, config), is_urgent=True)
        except (FlyError, NoRoomError):
            return None
        return other.machine

    async def _destroy(self, machine: Machine) -> None:
        """Destroy the loser; where that fails it is no fault of the winner's: the report calls it surplus."""
        with suppress(FlyError):
            await self._fly.machines.delete(self._spec.app, machine.id, force=True)


def _beside(machine: Machine, config: MachineConfig) -> Create:
    """Say how to make a rival: with the same config, and outside routing where the machine is."""
    name = f"{machine.name}-hedge"
    return Create(cause="a sibling is late", name=name, config=config, cordoned=bool(machine.cordoned))


async def _first_success(tasks: Iterable["asyncio.Future[None]"]) -> "asyncio.Future[None] | None":
    """Give the first task that ends well, or None once all have failed."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.exception():
                return task
    return None


async def _cancelled(tasks: Iterable["asyncio.Future[None]"]) -> None:
    """End tasks that still run, and see them end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
