"""A process that shares a budget: `python -m benchmarks.budget.worker ORDER`.

It takes turns of one bucket, or makes calls of an API at a `url`, from the moment on that it is told. What happens it
says at once, so that nothing of it is lost in a kill, and it ends with its parent.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from attrs import frozen

from benchmarks.shared.children import say, told
from flyasync import FlyClient, FlyError
from flyasync.transport.events import ClientEvent, Dequeued, LimitsBack, LimitsLost
from flyasync.transport.ratelimit.buckets import Bucket
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.ratelimit.shared import SECOND, SharedLimits, Store, StoreReply
from flyasync.transport.ratelimit.stores import find_store

APP = "web"
KEY = "budget"


@frozen(kw_only=True)
class Order:
    """What a process is to do: so many turns of one bucket by so many tasks, or so many calls."""

    backing: str
    rate: tuple[float, int, float] = (1, 1, 0)  # a second, burst, spare
    turns: int = 0
    tasks: int = 1
    url: str = ""
    token: str = ""
    machine: str = ""
    gets: int = 0
    lists: int = 0


class Loop(asyncio.SelectorEventLoop):
    """A loop that remembers what it said when it was asked for the time last."""

    said = 0.0

    def time(self) -> float:
        self.said = super().time()
        return self.said


def micros() -> int:
    """Read the host's monotonic clock."""
    return time.monotonic_ns() // 1000


def on_event(event: ClientEvent) -> None:
    """Tell of calls that leave their line, of limits that are lost, and why, and of limits that are back."""
    if isinstance(event, Dequeued) and event.granted:
        say(["left", event.operation, micros()])
    elif isinstance(event, LimitsLost):
        say(["lost", micros(), event.reason])
    elif isinstance(event, LimitsBack):
        say(["back", micros()])


async def do(order: Order, loop: Loop) -> None:
    """Do as ordered, unless the parent ends before."""
    lines, work = told(), asyncio.current_task()
    alone: asyncio.Task[Any] | None = None

    async def begin() -> None:
        nonlocal alone
        say(["ready"])
        start: float = await anext(lines)
        alone = loop.create_task(anext(lines, None))
        alone.add_done_callback(lambda _: work and work.cancel())
        await asyncio.sleep(start - loop.time())

    await (call(order, begin) if order.url else take(order, loop, begin))
    say(["done"])


async def call(order: Order, begin: Callable[[], Awaitable[None]]) -> None:
    """Make all calls at once, and tell of each that went well."""

    async def one(name: str, answer: Awaitable[Any]) -> None:
        with suppress(FlyError):
            await answer
            say(["call", name])

    async with FlyClient(order.token, base_url=order.url, limits=order.backing, on_event=on_event) as fly:
        with suppress(FlyError):
            await fly.machines.list(f"nobody-{os.getpid()}")  # opens the connections
        await begin()
        gets = (one("get", fly.machines.get(APP, order.machine)) for _ in range(order.gets))
        lists = (one("list", fly.machines.list(APP)) for _ in range(order.lists))
        await asyncio.gather(*gets, *lists)


async def take(order: Order, loop: Loop, begin: Callable[[], Awaitable[None]]) -> None:
    """Take turns of one bucket, made as a client makes it but for the witness between it and the store."""
    per_second, burst, spare = order.rate
    rate = Rate(per_second=per_second, burst=burst, spare=spare)
    store = find_store(Limits(shared=order.backing))
    witness = Witness(store, loop) if store else None
    shared = SharedLimits(witness, on_event) if witness else None
    bucket = Bucket(rate, shared.limiter(KEY, rate) if shared else None)
    if witness:
        # Known to the store from now on, and empty: it is full again when it is time to begin.
        await witness.census()
        await witness.pause(KEY, rate, 0.0)
    await begin()
    left = iter(range(order.turns))

    async def task() -> None:
        for _ in left:
            await bucket.acquire()
            said = round(loop.said * SECOND)
            say(["turn", *(witness.turn() if witness else ("memory", said, said)), micros()])

    await asyncio.gather(*(task() for _ in range(order.tasks)))
    if shared:
        await shared.close()


class Witness:
    """A store that notes when it was asked for a turn that it grants, and what the loop's clock had said last.

    For files that is the time of the grant itself: theirs is the loop's clock, and from that reading to the end of
    `take` there is no other.
    """

    def __init__(self, store: Store, loop: Loop) -> None:
        self._store = store
        self._loop = loop
        self._granted: tuple[int, int] | None = None
        self.name = store.name
        self.pause = store.pause
        self.charge = store.charge
        self.census = store.census
        self.close = store.close

    async def take(self, key: str, rate: Rate) -> StoreReply:
        asked = micros()
        answer = await self._store.take(key, rate)
        self._granted = None if answer.wait else (asked, self._clock())
        return answer

    def turn(self) -> tuple[str, int, int]:
        """Tell who granted the turn that has just been had, when it was asked, and when it decided."""
        granted, self._granted = self._granted, None
        return ("store", *granted) if granted else ("own", self._clock(), self._clock())

    def _clock(self) -> int:
        return round(self._loop.said * SECOND)


async def main() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    await do(Order(**json.loads(sys.argv[1])), loop)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
