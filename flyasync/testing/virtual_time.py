"""Virtual time: an event loop whose clock jumps over every wait.

It runs an asyncio program, sockets included: when nothing is ready to run, its clock jumps to the next timer. An hour
of rate limits passes in a second, and a run is repeatable.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# A clock that lands exactly on a timer can stand still in code that re-arms it for "now" after rounding.
_NUDGE = 1e-6
# Seconds to wait for events without a timer, such as bytes from another process.
_REAL_POLL = 0.05


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps while a timer is pending; counts how far the clock jumps instead."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        # Before a jump, a second call finds bytes that loopback was still delivering during the first.
        if not ready and timeout != 0:
            ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            return super().select(_REAL_POLL)
        self.jumped += max(timeout, 0.0) + _NUDGE
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps over every wait.

    Real sockets work as long as both ends run on this loop and use an address, not a name: names are resolved in a
    thread, and the clock does not wait for threads or other processes. `time()` starts at 0.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual seconds since the loop was created."""
        return self._jumping.jumped


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time, as `asyncio.run` does in real time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
