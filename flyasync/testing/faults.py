"""Faults for the duration of a test, or of a part of it."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.server import Emulator

P = ParamSpec("P")
T = TypeVar("T")


class trouble:  # noqa: N801 - used as a function is: `with trouble(…)`, `@trouble(…)`
    """Inject faults into an emulator while a block or a coroutine function runs.

    Existing faults stay active, and take precedence. For faults from the start of a test, use the marker
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
        """Inject the faults for the duration of each call of `function`."""

        @wraps(function)
        async def troubled(*args: P.args, **kwargs: P.kwargs) -> T:
            with self:
                return await function(*args, **kwargs)

        return troubled
