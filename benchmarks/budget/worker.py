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

from benchmarks.shared.children import say
from flyasync import FlyClient, FlyError
from flyasync.transport.events import ClientEvent, Dequeued, LimitsBack, LimitsLost
from flyasync.transport.ratelimit.buckets import Bucket
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.ratelimit.shared import SECOND, SharedLimits, Store, StoreReply
from flyasync.transport.ratelimit.stores import find_store

KEY = "budget"


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


async def call(*, backing: str, url: str, token: str, app: str, machine: str, calls: Mapping[str, int]) -> None:
    """Make all calls at once, and report each that succeeds."""
    async with FlyClient(token, base_url=url, limits=backing, on_event=on_event) as fly:
        methods: dict[str, Callable[[], Awaitable[Any]]] = {
            "get": lambda: fly.machines.get(app, machine),
            "list": lambda: fly.machines.list(app),
        }

        async def one(name: str) -> None:
            with suppress(FlyError):
                await methods[name]()
                say(["call", name])

        with suppress(FlyError):
            await fly.machines.list(f"nobody-{os.getpid()}")  # opens the connections
        await begin()
        await asyncio.gather(*(one(name) for name, count in calls.items() for _ in range(count)))


async def take(backing: str, rate: tuple[float, int, float], turns: int, tasks: int) -> None:
    """Take permits of one bucket, made as a client makes it except for the witness between it and the store."""
    per_second, burst, spare = rate
    limits, store = Rate(per_second=per_second, burst=burst, spare=spare), find_store(Limits(shared=backing))
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    witness = Witness(store, loop) if store else None
    shared = SharedLimits(witness, on_event) if witness else None
    bucket = Bucket(limits, shared.limiter(KEY, limits) if shared else None)
    if witness:
        # Known to the store from now on, and empty: it is full again when it is time to begin.
        await witness.census()
        await witness.pause(KEY, limits, 0.0)
    await begin()
    left = iter(range(turns))

    async def task() -> None:
        for _ in left:
            await bucket.acquire()
            say(["turn", *(witness.turn() if witness else ("memory", loop.last, loop.last)), micros()])

    await asyncio.gather(*(task() for _ in range(tasks)))
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


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(call(**order) if "calls" in order else take(**order))
