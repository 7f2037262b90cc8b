"""Advances the world: one timer for the next transition, and a future for each request that waits for a machine."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flyasync.emulator.world.transitions import advance
from flyasync.emulator.world.world import World


class Scheduler:
    """Advances a world on the running event loop; nothing else in the emulator reads the clock of the loop."""

    def __init__(self, world: World, *, speed: float, save: Callable[[World], None] = lambda _: None) -> None:
        self.world = world
        self._speed = speed
        # Called after each work that may have changed the world, before a response to it is sent.
        self._save = save
        self._loop = asyncio.get_running_loop()
        self._began, self._first = self._loop.time(), world.clock
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        waiting = sum(map(len, self._waiting.values()))
        return f"<Scheduler of {self.world!r}: {waiting} waiting, timer {'set' if self._timer else 'off'}>"

    def seconds(self) -> float:
        """Return the real seconds since the start."""
        return self._loop.time() - self._began

    def now(self) -> float:
        """Return the time of the world: it continues from the clock of the world that is served."""
        return self._first + self.seconds() * self._speed

    @contextmanager
    def present(self, *, not_before: float = 0.0) -> Iterator[World]:
        """Yield the world, advanced to the present, for work that may change it; then wake the waiting requests.

        They are woken even if the work fails. Nested work, such as that of an observer, gets the world at the time of
        the outer work.
        """
        if self._is_busy:
            yield self.world
            return
        self._is_busy = True
        try:
            advance(self.world, max(not_before, self.now()))
            yield self.world
        finally:
            self._is_busy = False
            self._set_timer()
            # Those who wait respond once the change is saved; if that fails, after the next one.
            self._save(self.world)
            self._wake(self.world.take_changed())

    async def changed(self, machine_id: str) -> None:
        """Wait until something changes about a machine."""
        future: asyncio.Future[None] = self._loop.create_future()
        waiting = self._waiting.setdefault(machine_id, set())
        waiting.add(future)
        try:
            await future
        finally:
            # A cancelled poll leaves nothing behind: clients cancel dozens of them.
            waiting.discard(future)
            if not waiting and self._waiting.get(machine_id) is waiting:
                del self._waiting[machine_id]

    async def until(self, moment: float) -> None:
        """Wait until a time of the world."""
        left = moment - self.now()
        if left > 0:
            await asyncio.sleep(left / self._speed)
            # Timers can fire early by a rounding error.
            await self.until(moment)

    def stop(self) -> None:
        """Cancel the timer; waiting requests continue to wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def replace(self, world: World) -> None:
        """Continue with another world from its clock, and wake all waiting requests."""
        self.stop()
        self.world, self._first = world, world.clock - self.seconds() * self._speed
        with self.present():
            self._wake(set(self._waiting))

    def restart(self, world: World) -> None:
        """Start over with another world at real second 0."""
        self._began = self._loop.time()
        self.replace(world)

    def _set_timer(self) -> None:
        due = self.world.next_due()
        if due is None:
            self.stop()
            return
        at = self._began + (due - self._first) / self._speed
        # Most requests change nothing about what is due next.
        if self._timer is None or self._timer.when() != at:
            self.stop()
            self._timer = self._loop.call_at(at, self._arrive, due)

    def _arrive(self, due: float) -> None:
        self._timer = None
        # Timers can fire early by a rounding error. The world must still advance to `due`, or the timer would be set
        # for the same time again and again.
        with self.present(not_before=due):
            pass

    def _wake(self, machine_ids: set[str]) -> None:
        for machine_id in machine_ids:
            for future in self._waiting.get(machine_id, ()):
                if not future.done():
                    future.set_result(None)
