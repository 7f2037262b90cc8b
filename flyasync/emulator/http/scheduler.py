"""Keeps the world moving: one timer for what is due next, and a wake-up for whoever waits for a machine."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from flyasync.emulator.world.timeline import advance
from flyasync.emulator.world.world import World

T = TypeVar("T")


class Scheduler:
    """The world's heartbeat on the loop it is made in; only this reads the loop's clock."""

    def __init__(self, world: World, *, speed: float) -> None:
        self.world = world
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def seconds(self) -> float:
        """Give the real seconds since the start."""
        return self._loop.time() - self._began

    def during(self, work: Callable[[], T]) -> T:
        """Do work on a world that is up to date, then tell those who wait, even when the work fails.

        Work within other work, such as that of one who is told of a change, finds the world at the moment of that.
        """
        return work() if self._is_busy else self._at(self.seconds() * self._speed, work)

    async def changed(self, machine_id: str) -> None:
        """Wait until something changes about a machine."""
        future: asyncio.Future[None] = self._loop.create_future()
        waiting = self._waiting.setdefault(machine_id, set())
        waiting.add(future)
        try:
            await future
        finally:
            self._leave(machine_id, future)

    async def until(self, moment: float) -> None:
        """Wait until a moment of the world has come."""
        left = moment - self.seconds() * self._speed
        if left > 0:
            await asyncio.sleep(left / self._speed)
            # Timers may come a rounding error early here too.
            await self.until(moment)

    def stop(self) -> None:
        """Stop moving; whoever waits, waits on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def replace(self, world: World) -> None:
        """Begin again with another world, at second 0; all who wait are woken."""
        self.stop()
        self.world, self._began = world, self._loop.time()
        self._wake(set(self._waiting))

    def _at(self, now: float, work: Callable[[], T]) -> T:
        self._is_busy = True
        try:
            advance(self.world, now)
            return work()
        finally:
            self._is_busy = False
            self._settle()

    def _leave(self, machine_id: str, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(machine_id, set())
        waiting.discard(future)
        if not waiting:
            self._waiting.pop(machine_id, None)

    def _settle(self) -> None:
        self._wake(self.world.take_changed())
        self.stop()
        due = self.world.next_due()
        if due is not None:
            self._timer = self._loop.call_at(self._began + due / self._speed, self._arrive, due)

    def _arrive(self, due: float) -> None:
        # Timers may come a rounding error early; the world must still get past `due`, or the timer is set for ever.
        self._at(max(due, self.seconds() * self._speed), lambda: None)

    def _wake(self, machine_ids: set[str]) -> None:
        for machine_id in machine_ids:
            for future in self._waiting.get(machine_id, ()):
                if not future.done():
                    future.set_result(None)
