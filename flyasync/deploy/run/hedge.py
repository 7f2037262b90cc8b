"""Hedging: a machine that starts much more slowly than others gets a rival; the first to start is kept."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from statistics import median
from typing import Any
from weakref import WeakKeyDictionary

from attrs import Factory, define

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.plan import Create
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.create import MachineCreator, NoRoomError
from flyasync.errors import FlyError
from flyasync.models.machine import Machine

SIBLINGS = 3
"""How many machines must have started before another one can count as late."""

MOST_RIVALS = 3
"""How many rivals a machine may get; each but the first is created because the one before is late too."""

KEPT = 100
"""How many of the latest boot times of an image count."""

IMAGES = 64
"""The maximum number of images whose boot times a client keeps."""


@define(eq=False)
class BootTimes:
    """The latest boot times of an image, in seconds from the response to a create until the machine is started."""

    _seconds: deque[float] = Factory(lambda: deque(maxlen=KEPT))
    _are_enough: asyncio.Event = Factory(asyncio.Event)

    @classmethod
    def of(cls, fly: FlyClient, image: str) -> "BootTimes":
        """Return the boot times that all deploys of a client share, since each app may have only a few machines."""
        times = _TIMES.setdefault(fly, {})
        if image not in times and len(times) >= IMAGES:
            times.pop(next(iter(times)))
        return times.setdefault(image, cls())

    def add(self, seconds: float) -> None:
        """Record how long one more machine took."""
        self._seconds.append(seconds)
        if len(self._seconds) >= SIBLINGS:
            self._are_enough.set()

    async def late(self, times: float) -> None:
        """Return once a machine that has begun to boot now has taken `times` the median of the others."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._are_enough.wait()
        # Of machines that boot at the same time, the fastest become known first, so the median may grow meanwhile.
        while (left := begun + times * median(self._seconds) - loop.time()) > 0:  # noqa: ASYNC110 - no event shows it
            await asyncio.sleep(left)


_TIMES: WeakKeyDictionary[FlyClient, dict[str, BootTimes]] = WeakKeyDictionary()


class Hedge:
    """Waits for machines to start, measures the time, and creates rivals for those that take much longer."""

    def __init__(self, context: DeployContext, creator: MachineCreator) -> None:
        self._context = context
        self._fly = context.fly
        self._creator = creator
        self._losers: dict[str, Sequence[Machine]] = {}

    @cached_property
    def _boots(self) -> BootTimes:
        return BootTimes.of(self._fly, self._context.spec.image)

    async def race(self, run: MachineRun) -> None:
        """Wait until the machine of a run has started; while it is late, create rivals, and keep the first to start.

        The others are left to `destroy_losers`. If none starts, they are destroyed, and this raises what the wait for
        the first machine raises.
        """
        loop, first, times = asyncio.get_running_loop(), run.machine, self._context.spec.hedge
        assert first is not None  # noqa: S101 - only an existing machine is awaited
        if times is None or run.adopted or run.volume_id:
            begun = loop.time()
            await self._until_started(run, first)
            if first.state != "started":  # an adopted machine that had started before shows no boot time
                self._boots.add(loop.time() - begun)
            return
        waits: dict[asyncio.Task[str], tuple[Machine, float]] = {}
        try:
            self._await(run, first, waits)
            winner = await self._winner(run, waits, times)
        finally:
            await _cancelled(waits)
        kept, begun = waits[winner] if winner else (first, 0.0)
        losers = [machine for machine, _ in waits.values() if machine is not kept]
        for loser in losers:
            run.win(kept, loser)
        self._losers[run.desired.name] = losers
        if winner is None:
            await self.destroy_losers(run)
            await next(iter(waits))
        self._boots.add(loop.time() - begun)

    async def _winner(
        self, run: MachineRun, waits: "dict[asyncio.Task[str], tuple[Machine, float]]", times: float
    ) -> "asyncio.Task[str] | None":
        """Return the first of the waits that ends well, and add one for each rival; return None if all have failed."""
        is_late, may_add = False, True
        while True:
            # 1. One of the machines has started, perhaps while a rival was created: it is the result.
            if winner := next((wait for wait in waits if wait.done() and not wait.exception()), None):
                return winner
            # 2. All have failed, before another one was late.
            if not (pending := [wait for wait in waits if not wait.done()]):
                return None
            # 3. The last one is late: it gets a rival, unless there are enough or none can be created.
            if is_late:
                first, _ = next(iter(waits.values()))
                if rival := await self._rival(run, first, number=len(waits)):
                    self._await(run, rival, waits)
                is_late, may_add = False, rival is not None and len(waits) <= MOST_RIVALS
                continue
            late = [asyncio.create_task(self._boots.late(times))] if may_add else []
            try:
                await asyncio.wait([*pending, *late], return_when=asyncio.FIRST_COMPLETED)
                is_late = any(each.done() for each in late)
            finally:
                await _cancelled(late)

    def _await(
        self, run: MachineRun, machine: Machine, waits: "dict[asyncio.Task[str], tuple[Machine, float]]"
    ) -> None:
        wait = asyncio.create_task(self._until_started(run, machine))
        waits[wait] = machine, asyncio.get_running_loop().time()

    async def destroy_losers(self, run: MachineRun) -> None:
        """Destroy the machines that started later than the one that the run keeps."""
        for loser in self._losers.pop(run.desired.name, ()):
            with suppress(FlyError):  # the report lists a loser that stays; the machine of the run is not affected
                await self._fly.machines.delete(self._context.app, loser.id, force=True)

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

    async def _rival(self, run: MachineRun, machine: Machine, *, number: int) -> Machine | None:
        """Create another machine with the same config, cordoned if the first one is; return None if that fails."""
        self._context.notify(run, Phase.HEDGING, f"slow to start: creating another machine next to {machine.id}")
        rival = MachineRun(desired=run.desired, region=machine.region, awaits_proof=run.awaits_proof)
        step = Create(
            cause="a sibling is late",
            name=f"{machine.name}-hedge{f'-{number}' if number > 1 else ''}",
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
    for task in (ended := list(tasks)):
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
