"""The limiters that are compared, each as its users use it at its best.

aiolimiter and flyasync read the loop's clock. pyrate-limiter reads one that can be chosen: here it is the loop's as
well, so that all of them live in the same time. Its token bucket is taken, for a window would let all of a second's
requests leave together, and its extra wait of 50 ms for clocks that drift apart is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiolimiter import AsyncLimiter
from attrs import frozen
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

Turn = Callable[[], Awaitable[object]]


@frozen
class Pace:
    """How fast each key may go: `per_second`, a whole number, in the long run, and `burst` at once."""

    per_second: int
    burst: int


@frozen
class Subject:
    """A limiter: given a pace, `keys` says how to take a turn of the key of that name."""

    name: str
    keys: Callable[[Pace], Callable[[str], Turn]]

    def one(self, pace: Pace) -> Turn:
        """Give how to take a turn of one key."""
        return self.keys(pace)("m1")


# flyasync


def _buckets(pace: Pace) -> Callable[[str], Turn]:
    made: dict[str, Bucket] = {}
    rate = Rate(per_second=pace.per_second, burst=pace.burst)
    return lambda key: made.setdefault(key, Bucket(rate)).acquire


def _calls(pace: Pace) -> Callable[[str], Turn]:
    """Take turns as each call does: the bucket is found, then a place, and the seconds waited are told."""
    buckets = Buckets(Limits(default=Rate(per_second=pace.per_second, burst=pace.burst), operations={}, totals={}))
    places = asyncio.Semaphore(64)

    def turn_of(key: str) -> Turn:
        path = f"/v1/apps/web/machines/{key}/start"
        request = Request(operation=START, identifier=key, method="POST", path=path, repeat=Repeat.ANYTIME)

        async def turn() -> None:
            await buckets.acquire(request, slot=places)
            places.release()

        return turn

    return turn_of


# aiolimiter


def _bare(pace: Pace) -> Callable[[str], Turn]:
    made: dict[str, AsyncLimiter] = {}
    return lambda key: made.setdefault(key, AsyncLimiter(pace.burst, pace.burst / pace.per_second)).acquire


def _bare_calls(pace: Pace) -> Callable[[str], Turn]:
    """Do by hand what flyasync does for each call."""
    made: dict[tuple[str, str], AsyncLimiter] = {}
    places, loop = asyncio.Semaphore(64), asyncio.get_running_loop()

    def turn_of(key: str) -> Turn:
        async def turn() -> float:
            start = loop.time()
            if (limiter := made.get((START, key))) is None:
                limiter = made[START, key] = AsyncLimiter(pace.burst, pace.burst / pace.per_second)
            await limiter.acquire()
            async with places:
                return loop.time() - start

        return turn

    return turn_of


# pyrate-limiter


class _LoopClock(AbstractClock):
    def now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)


def _token_bucket(pace: Pace) -> StateBucket:
    return StateBucket([PyrateRate(pace.per_second, 1000, burst=pace.burst)], TokenBucket(), clock=_LoopClock())


def _limiters(pace: Pace) -> Callable[[str], Turn]:
    made: dict[str, Limiter] = {}

    def turn_of(key: str) -> Turn:
        if (limiter := made.get(key)) is None:
            factory = SingleBucketFactory(_token_bucket(pace), schedule_leak=False)  # such a bucket has nothing to leak
            limiter = made[key] = Limiter(factory, buffer_ms=0)
        return limiter.try_acquire_async

    return turn_of


class _ByName(BucketFactory):
    """A bucket for each key behind one limiter, as its documentation shows it."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._clock = _LoopClock()
        self._made: dict[str, AbstractBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        return RateItem(name, self._clock.now(), weight)

    def get(self, item: RateItem) -> AbstractBucket:
        if (bucket := self._made.get(item.name)) is None:
            bucket = self._made[item.name] = _token_bucket(self._pace)
        return bucket


def _one_limiter(pace: Pace) -> Callable[[str], Turn]:
    limiter = Limiter(_ByName(pace), buffer_ms=0)
    return lambda key: lambda: limiter.try_acquire_async(key)


AIOLIMITER = Subject("aiolimiter", _bare)
AIOLIMITER_CALLS = Subject("aiolimiter, with key, place and clock by hand", _bare_calls)
FLYASYNC = Subject("flyasync, a bucket", _buckets)
FLYASYNC_CALLS = Subject("flyasync, with key, place and clock", _calls)
PYRATE = Subject("pyrate-limiter, a limiter for each key", _limiters)
PYRATE_CALLS = Subject("pyrate-limiter, one limiter for all keys", _one_limiter)

TO_AIOLIMITER = "x aiolimiter"
