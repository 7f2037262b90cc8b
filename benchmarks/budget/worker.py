"""A process that shares a budget: `python -m benchmarks.budget.worker ORDER`.

It takes permits of one bucket, or makes calls of an API at a `url`, from the moment on that its parent names. It says
at once what happens, so that a kill loses nothing of it, and it ends with its parent.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from attrs import Factory, frozen

from benchmarks.shared.children import say
from flyasync import FlyClient, FlyError
from flyasync.transport.events import ClientEvent, Dequeued, LimitsBack, LimitsLost
from flyasync.transport.ratelimit.buckets import Bucket
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.ratelimit.shared import SECOND, SharedLimits, Store, StoreReply
from flyasync.transport.ratelimit.stores import find_store

APP, KEY = "web", "budget"
Begin = Callable[[], Awaitable[None]]


@frozen(kw_only=True)
class Order:
    """What a process does: `turns` of one bucket by so many `tasks`, or so many `calls` of each name."""

    backing: str
    rate: tuple[float, int, float] = (1, 1, 0)  # a second, burst, spare
    turns: int = 0
    tasks: int = 1
    url: str = ""
    token: str = ""
    machine: str = ""
    calls: Mapping[str, int] = Factory(dict)


class Loop(asyncio.SelectorEventLoop):
    """A loop that remembers the time that it returned last, in microseconds of the host's monotonic clock."""

    last = 0

    def time(self) -> float:
        now = super().time()
        self.last = round(now * SECOND)
        return now


def micros() -> int:
    return time.monotonic_ns() // 1000


def on_event(event: ClientEvent) -> None:
    """Report calls that leave their queue, limits that are lost, and why, and limits that are back."""
    if isinstance(event, Dequeued) and event.granted:
        say(["left", event.operation, micros()])
    elif isinstance(event, LimitsLost):
        say(["lost", micros(), event.reason])
    elif isinstance(event, LimitsBack):
        say(["back", micros()])


async def begin() -> None:
    """Wait for the moment at which the parent has all processes begin; from then on, end with the parent."""
    loop = asyncio.get_running_loop()
    say(["ready"])
    start = float(await asyncio.to_thread(sys.stdin.readline))
    loop.add_reader(sys.stdin, os._exit, 1)
    await asyncio.sleep(start - loop.time())


async def call(order: Order) -> None:
    """Make all calls at once, and report each that succeeds."""
    async with FlyClient(order.token, base_url=order.url, limits=order.backing, on_event=on_event) as fly:
        methods: dict[str, Callable[[], Awaitable[Any]]] = {
            "get": lambda: fly.machines.get(APP, order.machine),
            "list": lambda: fly.machines.list(APP),
        }

        async def one(name: str) -> None:
            with suppress(FlyError):
                await methods[name]()
                say(["call", name])

        with suppress(FlyError):
            await fly.machines.list(f"nobody-{os.getpid()}")  # opens the connections
        await begin()
        await asyncio.gather(*(one(name) for name, count in order.calls.items() for _ in range(count)))


async def take(order: Order, loop: Loop) -> None:
    """Take permits of one bucket, made as a client makes it except for the witness between it and the store."""
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
            say(["turn", *(witness.turn() if witness else ("memory", loop.last, loop.last)), micros()])

    await asyncio.gather(*(task() for _ in range(order.tasks)))
    if shared:
        await shared.close()


class Witness:
    """A store that notes when it was asked for a permit that it grants, and the last time of the loop at the grant.

    For files that is the time of the grant itself: theirs is the loop's clock, and from that reading to the end of
    `take` there is no other.
    """

    def __init__(self, store: Store, loop: Loop) -> None:
        self._store, self._loop = store, loop
        self._granted: tuple[int, int] | None = None
        self.name, self.pause, self.charge = store.name, store.pause, store.charge
        self.census, self.close = store.census, store.close

    async def take(self, key: str, rate: Rate) -> StoreReply:
        asked = micros()
        reply = await self._store.take(key, rate)
        self._granted = None if reply.wait else (asked, self._loop.last)
        return reply

    def turn(self) -> tuple[str, int, int]:
        """Return who granted the latest permit, when it was asked, and when it decided."""
        granted, self._granted = self._granted, None
        return ("store", *granted) if granted else ("own", self._loop.last, self._loop.last)


async def main() -> None:
    order, loop = Order(**json.loads(sys.argv[1])), asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    await (call(order) if order.url else take(order, loop))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
