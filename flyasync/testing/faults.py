"""Faults for the length of a test, or of a part of it."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flyasync.emulator.core.faults import Fault
from flyasync.emulator.server import Emulator

P = ParamSpec("P")
T = TypeVar("T")


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
