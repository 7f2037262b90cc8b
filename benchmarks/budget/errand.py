"""What each process of the benchmark does: begins when stdin says so, tells what happens, ends with its parent.

It tells on stdout, a line of JSON for each thing at once, so that nothing of it is lost when it is killed.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen

from flyasync.transport.events import ClientEvent, Dequeued, LimitsBack, LimitsLost

Begin = Callable[[], Awaitable[None]]


@frozen(kw_only=True)
class Order:
    """What a process is to do: so many turns of one bucket by so many tasks, or so many calls of an API at a `url`."""

    backing: str
    rate: tuple[float, int, float] = (1, 1, 0)  # a second, burst, spare
    turns: int = 0
    tasks: int = 1
    url: str = ""
    token: str = ""
    app: str = ""
    machine: str = ""
    gets: int = 0
    lists: int = 0

    @property
    def module(self) -> str:
        """What does such a thing."""
        return f"benchmarks.budget.{'caller' if self.url else 'taker'}"


class Loop(asyncio.SelectorEventLoop):
    """A loop that remembers what it said when it was asked for the time last."""

    said = 0.0

    def time(self) -> float:
        """Tell the time, and remember it."""
        self.said = super().time()
        return self.said


def say(*words: Any) -> None:
    """Tell the parent something, at once."""
    os.write(1, json.dumps(words).encode() + b"\n")


def micros() -> int:
    """Read the host's monotonic clock."""
    return time.monotonic_ns() // 1000


def on_event(event: ClientEvent) -> None:
    """Tell of calls that leave their line, of limits that are lost, and why, and of limits that are back."""
    if isinstance(event, Dequeued) and event.granted:
        say("left", event.operation, micros())
    elif isinstance(event, LimitsLost):
        say("lost", micros(), event.reason)
    elif isinstance(event, LimitsBack):
        say("back", micros())


def do(errand: Callable[[Order, Loop, Begin], Awaitable[None]]) -> None:
    """Do as the command line orders, unless the parent ends before."""
    order = Order(**json.loads(sys.argv[1]))
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_do(errand, order))


async def _do(errand: Callable[[Order, Loop, Begin], Awaitable[None]], order: Order) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    told = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    work = asyncio.current_task()
    alone: asyncio.Task[Any] | None = None

    async def begin() -> None:
        nonlocal alone
        say("ready")
        start = float(await told.readline())
        alone = loop.create_task(told.read())
        alone.add_done_callback(lambda _: work and work.cancel())
        await asyncio.sleep(start - loop.time())

    await errand(order, loop, begin)
    say("done")
    pipe.close()
