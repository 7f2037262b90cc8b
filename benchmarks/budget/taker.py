"""A process that takes turns of one bucket: `python -m benchmarks.budget.taker ORDER`."""

import asyncio

from benchmarks.budget.errand import Begin, Loop, Order, do, micros, on_event, say
from flyasync.transport.ratelimit.buckets import Bucket
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.ratelimit.shared import SECOND, SharedLimits, Store, StoreReply
from flyasync.transport.ratelimit.stores import find_store

KEY = "budget"


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
        """Ask for one request."""
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


async def take(order: Order, loop: Loop, begin: Begin) -> None:
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
            say("turn", *(witness.turn() if witness else ("memory", said, said)), micros())

    await asyncio.gather(*(task() for _ in range(order.tasks)))
    if shared:
        await shared.close()


if __name__ == "__main__":
    do(take)
