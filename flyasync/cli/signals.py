"""Ctrl-C and SIGTERM as cancellation: the first asks for an orderly end, the next cut it short."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def until_signalled(work: Coroutine[Any, Any, int], on_signal: Callable[[int], None]) -> int:
    """Give the exit code of `work`, or 128 and the signal's number when a signal cancelled it.

    Each signal cancels `work` once more, and `on_signal` is told how many there have been.
    """
    task = asyncio.ensure_future(work)
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()
        on_signal(len(caught))

    with _handled(stop):
        try:
            return await task
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]


@contextmanager
def _handled(stop: Callable[[int], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    try:
        for number in SIGNALS:
            loop.add_signal_handler(number, stop, number)
    except NotImplementedError:  # on Windows, where asyncio.run itself turns the first Ctrl-C into a cancellation
        yield
        return
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
