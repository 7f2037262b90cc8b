"""Ctrl-C, SIGTERM and SIGHUP as cancellation: the first asks for an orderly end, the next cut it short."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any


async def until_signalled(
    work: Coroutine[Any, Any, int],
    on_signal: Callable[[int], None],
    leave: Callable[[int], object] = os._exit,
) -> int:
    """Give the exit code of `work`, or 128 and the signal's number when a signal cancelled it.

    Each signal cancels `work` once more, and `on_signal` is told how many there have been. After a signal, the process
    is on its way out once the work is over: one more makes it `leave` at once, with the code of the first.
    """
    task = asyncio.ensure_future(work)
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()
        on_signal(len(caught))

    with _handled(stop, lambda: _leave_at_next(caught, leave)):
        try:
            return await task
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]


@contextmanager
def _handled(stop: Callable[[int], None], afterwards: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = _numbers()
    try:
        for number in numbers:
            loop.add_signal_handler(number, stop, number)
    except NotImplementedError:  # on Windows, where asyncio.run itself turns the first Ctrl-C into a cancellation
        yield
        return
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
        afterwards()


def _leave_at_next(caught: list[int], leave: Callable[[int], object]) -> None:
    if caught:
        for number in _numbers():
            signal.signal(number, lambda *_: leave(128 + caught[0]))


def _numbers() -> list[int]:
    """Name the signals to hear; a SIGHUP that is ignored, as under nohup, stays so."""
    hangup = getattr(signal, "SIGHUP", None)
    hears_hangup = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([hangup] if hangup is not None and hears_hangup else [])]
