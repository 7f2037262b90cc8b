"""Advances the world: one timer for the next transition, and a future for each request that waits for a machine."""

import asyncio
from collections.abc import Callable

from attrs import define

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
        self._work = Work(self)
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

    def present(self) -> "Work":
        """Return a context for work that may change the world: it yields the world, advanced to the present.

        When the work ends, also by an error, the waiting requests are woken. Nested work, such as that of an observer,
        gets the world at the time of the outer work.
        """
        return self._work

    def settle(self) -> None:
        """Set the timer, save what has changed, and wake those who wait for it."""
        self._set_timer()
        # Those who wait respond once the change is saved; if that fails, after the next one.
        self._save(self.world)
        if changed := self.world.take_changed():
            self._wake(changed)

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
            if self._timer is not None:
                self.stop()
            return
        at = self._began + (due - self._first) / self._speed
        # Most requests change nothing about what is due next.
        if self._timer is None or self._timer.when() != at:
            self.stop()
            self._timer = self._loop.call_at(at, self._arrive, due)

    def _arrive(self, due: float) -> None:
        self._timer = None
        with self.present() as world:
            # Timers can fire early by a rounding error. The world must still advance to `due`, or the timer would be
            # set for the same time again and again.
            advance(world, due)

    def _wake(self, machine_ids: set[str]) -> None:
        for machine_id in machine_ids:
            for future in self._waiting.get(machine_id, ()):
                if not future.done():
                    future.set_result(None)


@define(eq=False)
class Work:
    """All work on the world of a scheduler, of which the outermost advances and settles it.

    A class, since each request enters it once: a generator takes three times as long.
    """

    _scheduler: Scheduler
    _depth: int = 0

    def __enter__(self) -> World:
        self._depth += 1
        if self._depth == 1:
            try:
                advance(self._scheduler.world, self._scheduler.now())
            except BaseException:
                self.__exit__()
                raise
        return self._scheduler.world

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._scheduler.settle()
