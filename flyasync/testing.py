"""For tests: machines made up, trouble for a while, and time that jumps.

`mock_machine` makes a machine as the API would show it. `trouble` has an emulator misbehave for the length of a block
or of a test. `VirtualTimeLoop` runs an asyncio program, sockets included, without ever waiting: when nothing is ready
to run, its clock jumps to the next timer. An hour of rate limits passes in a second, and the same way every time.

The fixtures `fly_emulator` and `fly` come with the pytest plugin: see `flyasync.pytest_plugin`.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.server import Emulator
from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine

P = ParamSpec("P")
T = TypeVar("T")


def mock_machine(**overrides: Any) -> Machine:
    """Make up a started machine in iad; `overrides` are keys of the API's own JSON, and unknown ones are kept.

    Raises a ValueError that names the place when a value is not of the kind that the API sends.
    """
    shown = {
        "id": "1857156b526dd8",
        "name": "test-machine",
        "state": "started",
        "region": "iad",
        "instance_id": "01HEPA330HZ37A78TK080NAK1M",
        "private_ip": "fdaa:0:1:a7b:195:e229:8038:2",
        "host_status": "ok",
        "config": {"image": "nginx", "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}},
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-01T00:00:00Z",
        "events": [],
        "checks": [],
    }
    return structure({**shown, **overrides}, Machine)


class trouble:  # noqa: N801 - used as a function is: `with trouble(…)`, `@trouble(…)`
    """Have an emulator misbehave while a block or a function runs, a coroutine function as well.

    Earlier faults stay, and come first. A whole test begins with trouble by the marker
    `@pytest.mark.fly_emulator(faults=[…])` instead.
    """

    def __init__(self, emulator: Emulator, *faults: Fault) -> None:
        self._emulator = emulator
        self._faults = faults

    def __enter__(self) -> None:
        self._emulator.faults.add(*self._faults)

    def __exit__(self, *_: object) -> None:
        self._emulator.faults.remove(*self._faults)

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Have trouble for as long as each call of `function` takes."""

        @wraps(function)
        async def troubled(*args: P.args, **kwargs: P.kwargs) -> T:
            with self:
                return await function(*args, **kwargs)

        return troubled


# A clock that lands exactly on a timer can stand still for ever in code that re-arms "for now" after rounding.
_NUDGE = 1e-6
# How long to look for work that no timer promises, such as bytes from another process.
_REAL_POLL = 0.05


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps while a timer is pending; tells the loop how far to jump instead."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Asked twice: the second look finds bytes that loopback was still delivering during the first.
        ready = super().select(0) or super().select(0)
        if ready:
            return ready
        if timeout is None:
            return super().select(_REAL_POLL)
        self.jumped += max(timeout, 0.0) + _NUDGE
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps over every wait.

    Real sockets work as long as both ends run on this loop and use an address, not a name: name look-ups run in a
    thread, and threads, like other processes, are invisible to the clock. `time()` starts at 0.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Give the virtual seconds since the loop was made."""
        return self._jumping.jumped


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time, as `asyncio.run` does in real time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
