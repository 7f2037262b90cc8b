"""The limiters that are compared, each as its users use it at its best: given a rate, each takes permits of keys.

aiolimiter and flyasync read the loop's clock. pyrate-limiter reads one that can be chosen: here it is the loop's as
well, so that all of them live in the same time. Its token bucket is taken, for a window would let all of a second's
requests leave together, and its extra wait of 50 ms for clocks that drift apart is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiolimiter import AsyncLimiter
from pyrate_limiter import (
    AbstractBucket,
    AbstractClock,
    BucketFactory,
    Limiter,
    Rate as PyrateRate,
    RateItem,
    SingleBucketFactory,
    StateBucket,
    TokenBucket,
)

from flyasync.transport.ratelimit.buckets import Bucket, Buckets
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.request import Repeat, Request

START = "machines.start"

Acquire = Callable[[], Awaitable[object]]
Subject = Callable[[Rate], Callable[[str], Acquire]]
"""A limiter: from a rate to what takes a permit of the key of a name."""


def _flyasync(rate: Rate) -> Callable[[str], Acquire]:
    made: dict[str, Bucket] = {}
    return lambda key: made.setdefault(key, Bucket(rate)).acquire


def _flyasync_call(rate: Rate) -> Callable[[str], Acquire]:
    """As each call does: the bucket is found, then a slot, and the seconds waited are returned."""
    buckets, slots = Buckets(Limits(default=rate, operations={}, totals={})), asyncio.Semaphore(64)

    def of(key: str) -> Acquire:
        path = f"/v1/apps/web/machines/{key}/start"
        request = Request(operation=START, identifier=key, method="POST", path=path, repeat=Repeat.ANYTIME)

        async def acquire() -> None:
            await buckets.acquire(request, slot=slots)
            slots.release()

        return acquire

    return of


def _aiolimiter(rate: Rate) -> Callable[[str], Acquire]:
    made: dict[str, AsyncLimiter] = {}
    return lambda key: made.setdefault(key, AsyncLimiter(rate.burst, rate.burst / rate.per_second)).acquire


def _aiolimiter_call(rate: Rate) -> Callable[[str], Acquire]:
    """By hand what flyasync does for each call."""
    made: dict[tuple[str, str], AsyncLimiter] = {}
    slots, loop = asyncio.Semaphore(64), asyncio.get_running_loop()

    def of(key: str) -> Acquire:
        async def acquire() -> float:
            start = loop.time()
            if (limiter := made.get((START, key))) is None:
                limiter = made[START, key] = AsyncLimiter(rate.burst, rate.burst / rate.per_second)
            await limiter.acquire()
            async with slots:
                return loop.time() - start

        return acquire

    return of


class _LoopClock(AbstractClock):
    def now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)


def _token_bucket(rate: Rate) -> StateBucket:
    pyrate = PyrateRate(int(rate.per_second), 1000, burst=rate.burst)
    return StateBucket([pyrate], TokenBucket(), clock=_LoopClock())


def _pyrate(rate: Rate) -> Callable[[str], Acquire]:
    def limiter() -> Limiter:
        return Limiter(SingleBucketFactory(_token_bucket(rate), schedule_leak=False), buffer_ms=0)  # none has a leak

    made: dict[str, Limiter] = {}
    return lambda key: made.setdefault(key, limiter()).try_acquire_async


class _ByName(BucketFactory):
    """A bucket for each key behind one limiter, as its documentation shows it."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._clock = _LoopClock()
        self._made: dict[str, AbstractBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        return RateItem(name, self._clock.now(), weight)

    def get(self, item: RateItem) -> AbstractBucket:
        if item.name not in self._made:
            self._made[item.name] = _token_bucket(self._rate)
        return self._made[item.name]


def _pyrate_one(rate: Rate) -> Callable[[str], Acquire]:
    limiter = Limiter(_ByName(rate), buffer_ms=0)
    return lambda key: lambda: limiter.try_acquire_async(key)


AIOLIMITER, AIOLIMITER_CALL = "aiolimiter", "aiolimiter, with key, place and clock by hand"
FLYASYNC, FLYASYNC_CALL = "flyasync, a bucket", "flyasync, with key, place and clock"
PYRATE, PYRATE_ONE = "pyrate-limiter, a limiter for each key", "pyrate-limiter, one limiter for all keys"
SUBJECTS: dict[str, Subject] = {
    AIOLIMITER: _aiolimiter,
    FLYASYNC: _flyasync,
    AIOLIMITER_CALL: _aiolimiter_call,
    FLYASYNC_CALL: _flyasync_call,
    PYRATE: _pyrate,
    PYRATE_ONE: _pyrate_one,
}
