"""Run a command's coroutine; a signal cancels it, and a further signal cuts its cleanup short."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import click

from flyasync.cli.shared.client_logs import show_client_logs

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], ctx: click.Context | None = None) -> T:
    """Run a coroutine with `asyncio.run`, or with the function in click's `obj` if there is one.

    With a context of its own, as for the completion of a word, the client's log lines are not shown.
    """
    # Tests pass a function that runs the coroutine in virtual time.
    context = ctx or click.get_current_context()
    if ctx is None:
        show_client_logs()
    drive: Callable[[Coroutine[Any, Any, T]], T] = context.obj or asyncio.run
    return drive(main)


@contextmanager
def handling_signals(handle: Callable[[int], None]) -> Iterator[list[int]]:
    """Call `handle` with the number of each SIGINT, SIGTERM and SIGHUP; yield the numbers that are handled.

    It is called in the running loop, between two steps of its work. A SIGHUP that is ignored, as under nohup, stays
    ignored. On Windows no number is handled: there asyncio.run itself turns the first Ctrl-C into a cancellation.
    """
    loop = asyncio.get_running_loop()
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    handled: list[int] = []
    with suppress(NotImplementedError):
        for number in numbers:
            loop.add_signal_handler(number, handle, number)
            handled.append(number)
    try:
        yield handled
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def until_signalled(
    work: Coroutine[Any, Any, int],
    on_signal: Callable[[int], None],
    leave: Callable[[int], object] = os._exit,
) -> int:
    """Return the exit code of `work`, or 128 and the signal's number when a signal cancelled it.

    Each signal cancels `work` again, and calls `on_signal` with the number of signals so far. Once `work` has ended
    after a signal, a further signal calls `leave` at once, with the code of the first signal.
    """
    task = asyncio.ensure_future(work)
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()
        on_signal(len(caught))

    # 1. The work ends by itself, before or despite a signal: return its own code.
    # 2. A signal cancelled it: return the code of the first signal, as a shell computes it.
    # 3. Another task cancelled it: let the cancellation propagate.
    handled: list[int] = []
    try:
        with handling_signals(stop) as handled:
            return await task
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]
    finally:
        # Closing the loop may take seconds, and a user who has stopped the command need not wait for it.
        if caught:
            for number in handled:
                signal.signal(number, lambda *_: leave(128 + caught[0]))
