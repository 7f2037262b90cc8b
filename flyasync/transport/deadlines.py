"""Bound the time of a block cheaply: a call has two such blocks, and almost none of them expires.

asyncio.timeout is entered and left as a coroutine, which costs four times as much. aiohttp's own timeouts set four
timers in each exchange, a seventh of its CPU; here all exchanges of a session share one.
"""

import asyncio
import math
from types import TracebackType
from typing import Any, Self


class Deadline:
    """A block of a task that raises TimeoutError once it expires: at first never, then at the time it is moved to.

    Cancellations are treated as by asyncio.timeout: one from outside is never hidden by the expiry of the block.
    """

    __slots__ = ("_cancelling", "_task", "_timer", "is_expired", "when")

    def __init__(self) -> None:
        self.when = math.inf
        """The loop's time at which the block expires."""
        self.is_expired = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if (task := asyncio.current_task()) is None:
            raise RuntimeError("flyasync must be called from a task, such as that of asyncio.run")
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.is_expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, when: float) -> None:
        """Let the block expire at `when`, but not before the next iteration of the event loop."""
        if self._timer is not None:
            self._timer.cancel()
        self.when = when
        self._timer = self._task.get_loop().call_at(when, self.expire)

    def expire(self) -> None:
        """Cancel the task, which must not be the one that runs now; the block then raises TimeoutError."""
        self.is_expired = True
        self._task.cancel()


class Exchange(Deadline):
    """The block of one exchange: once connected, it expires after `silence` seconds in which nothing arrives.

    It also expires `total` seconds after its beginning, but not before it is connected, which is bounded elsewhere.
    """

    __slots__ = ("_ends", "_silence", "_time", "_watch", "is_poll")

    def __init__(self, watch: "Watch", *, silence: float, total: float, is_poll: bool) -> None:
        Deadline.__init__(self)  # super() is slower
        self._time = asyncio.get_running_loop().time
        self._watch, self._silence, self.is_poll = watch, silence, is_poll
        self._ends = self._time() + total

    def __enter__(self) -> Self:
        Deadline.__enter__(self)
        self._watch.running[self._task] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._watch.running[self._task]
        Deadline.__exit__(self, kind, error, traceback)

    def hear(self) -> None:
        """Record that the connection has just been made, or that bytes have arrived."""
        self.when = when = min(self._time() + self._silence, self._ends)
        if when < self._watch.looks_at:
            self._watch.look_at(when)


class Watch:
    """Expires the exchanges of a session that are due. The timer outlasts the first of them, to serve later ones."""

    def __init__(self) -> None:
        self.running: dict[asyncio.Task[Any] | None, Exchange] = {}
        """The exchanges, by their tasks."""
        self.looks_at = math.inf
        """When the timer fires."""
        self._timer: asyncio.TimerHandle | None = None

    def hear(self) -> None:
        """Record that the connection for the exchange of the current task has just been made."""
        exchange = self.running.get(asyncio.current_task())
        if exchange is not None:
            exchange.hear()

    def look_at(self, when: float) -> None:
        """Set the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self.looks_at = when
        self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        self._timer, self.looks_at = None, math.inf
        now, following = asyncio.get_running_loop().time(), math.inf
        for exchange in self.running.values():
            if exchange.is_expired:
                continue
            if exchange.when <= now:
                exchange.expire()
            else:
                following = min(following, exchange.when)
        if following < math.inf:
            self.look_at(following)

    def close(self) -> None:
        """Stop the timer, unless an exchange is still running."""
        if self._timer is not None and not self.running:
            self._timer.cancel()
            self._timer, self.looks_at = None, math.inf
