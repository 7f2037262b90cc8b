"""One bucket for each action and identifier, and what grants its turns."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiolimiter import AsyncLimiter

from flyasync.wire.rates import Limits, Rate
from flyasync.wire.request import Request

Place = Callable[[], Awaitable[object]]


class Pace(Protocol):
    """What grants the turns of one bucket, at its rate; one caller at a time asks it."""

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it would change nothing."""

    async def acquire(self) -> None:
        """Wait until one more request may leave."""

    def pause(self, seconds: float) -> None:
        """Let nothing through for `seconds`, and from then on without a burst."""


class LocalPace:
    """A pace that one client keeps for itself; aiolimiter keeps the time."""

    __slots__ = ("_limiter", "_paused_until", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._limiter = AsyncLimiter(rate.usable, rate.refill)
        self._paused_until = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether it is full again, with every pause behind it."""
        resting = _now() > self._paused_until + self._rate.refill
        return resting and self._limiter.has_capacity(self._rate.usable)

    async def acquire(self) -> None:
        """Wait until one more request may leave; cancelled, it has cost nothing."""
        await self._limiter.acquire()
        while self._paused_until:
            await self._sit_out()

    async def _sit_out(self) -> None:
        left = self._paused_until - _now()
        if left > 0:
            await asyncio.sleep(left)
            return
        self._paused_until = 0.0
        # From here on without a burst: the API has just said that it is being asked too often.
        self._limiter = AsyncLimiter(self._rate.usable, self._rate.refill)
        await self._limiter.acquire(self._rate.usable)

    def pause(self, seconds: float) -> None:
        """Let nothing through for `seconds`; of several pauses the one that ends last counts."""
        self._paused_until = max(self._paused_until, _now() + seconds)


class _Line:
    """Those who wait for the front of a bucket, in order; but first those who come again after a failure."""

    __slots__ = ("_again", "_new")

    def __init__(self) -> None:
        self._again: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._new: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    def join(self, *, again: bool) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._again if again else self._new)[waiter] = None
        return waiter

    def leave(self, waiter: asyncio.Future[None]) -> None:
        self._again.pop(waiter, None)
        self._new.pop(waiter, None)

    def call_next(self) -> bool:
        """Call the first one that has not been cancelled, and say whether there was any."""
        while line := self._again or self._new:
            waiter, _ = line.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False


class Bucket:
    """Turns at one rate, first come first served, which a 429 can pause.

    Its pace alone would let late arrivals overtake, so exactly one caller stands before it, and hands the front on to
    the next in line. A waiter that is cancelled costs nobody a turn.
    """

    __slots__ = ("_is_taken", "_line", "_loop", "_pace", "_rate")

    def __init__(self, rate: Rate, pace: Pace | None = None) -> None:
        self._rate = rate
        self._loop = asyncio.get_running_loop()  # each turn reads its clock
        self._pace = pace or LocalPace(rate)
        self._is_taken = False
        self._line: _Line | None = None  # most buckets never have one, and there may be 100,000 of them

    @property
    def is_idle(self) -> bool:
        """Whether forgetting this bucket would change nothing."""
        return not self._is_taken and self._pace.is_idle

    async def turn(self, *, again: bool = False, place: Place | None = None) -> None:
        """Wait for a turn, then for a place to use it; `again` keeps the front that a failed attempt already had.

        The next in line moves up only when both are there: turns granted before would pile up behind a full pool, and
        leave together as a burst that the API does not allow.
        """
        if self._is_taken:
            await self._reach_the_front(again=again)
        self._is_taken = True
        try:
            await self._pace.acquire()
            if place is not None:
                granted = self._loop.time()
                await place()
                if self._loop.time() - granted >= self._rate.patience:
                    await self._pace.acquire()  # that turn is long past; the one that is used is the one that counts
        finally:
            self._hand_on()

    async def _reach_the_front(self, *, again: bool) -> None:
        line = self._line = self._line or _Line()
        waiter = line.join(again=again)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._hand_on()  # cancelled in the very moment in which it got there
            line.leave(waiter)
            raise

    def _hand_on(self) -> None:
        """Leave the front to the next in line; it stays taken until somebody finds nobody there."""
        if self._line is None or not self._line.call_next():
            self._is_taken = False
            self._line = None

    def pause(self, seconds: float | None) -> None:
        """Let nobody through for `seconds`, at least one turn of this rate; without a number, for one to two."""
        turns = 1.0 if seconds is not None else random.uniform(1, 2)  # noqa: S311 - spreads clients, guards nothing
        # A pause of no length would let an API that says "Retry-After: 0" be asked again and again without a rest.
        self._pace.pause(max(seconds or 0.0, turns / self._rate.per_second))


MakePace = Callable[[str, str | None, Rate], Pace]
"""What makes the pace of an operation on an identifier; on None for all identifiers together."""


def alone(_operation: str, _identifier: str | None, rate: Rate) -> Pace:
    """Make a pace that counts for one client only."""
    return LocalPace(rate)


class Buckets:
    """All buckets of one client; those at rest are forgotten. `pace` makes what grants the turns of one."""

    SWEEP = 10.0
    """Seconds between two looks for buckets at rest."""

    def __init__(self, limits: Limits, pace: MakePace = alone) -> None:
        self._limits = limits
        self._pace = pace
        self._buckets: dict[tuple[str, str | None], Bucket] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._buckets)

    async def turn(self, request: Request, *, again: bool = False, place: Place | None = None) -> float:
        """Wait until `request` may leave: for its turn, then for a `place`; give the seconds waited."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        if request.operation in self._limits.totals:
            await self._own(request).turn(again=again)
        # The last gate is the one beside the place. A bucket found before a wait may be forgotten by its end.
        await (self._total(request) or self._own(request)).turn(again=again, place=place)
        return loop.time() - start

    def pause(self, request: Request, seconds: float | None) -> None:
        """Hold back, after a 429, every request of this action and identifier, and of its total where it has one."""
        self._own(request).pause(seconds)
        if total := self._total(request):
            total.pause(seconds)

    def close(self) -> None:
        """Stop looking for buckets at rest."""
        if self._sweep:
            self._sweep.cancel()
            self._sweep = None

    def _own(self, request: Request) -> Bucket:
        key = (request.operation, request.identifier)
        return self._buckets.get(key) or self._begin(key, self._limits.rate(request.operation))

    def _total(self, request: Request) -> Bucket | None:
        if (rate := self._limits.totals.get(request.operation)) is None:
            return None
        key = (request.operation, None)
        return self._buckets.get(key) or self._begin(key, rate)

    def _begin(self, key: tuple[str, str | None], rate: Rate) -> Bucket:
        bucket = self._buckets[key] = Bucket(rate, self._pace(*key, rate))
        self._sweep_later()
        return bucket

    def _sweep_later(self) -> None:
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self.SWEEP, self._forget_idle)

    def _forget_idle(self) -> None:
        self._sweep = None
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_idle}
        if self._buckets:
            self._sweep_later()


def _now() -> float:
    return asyncio.get_running_loop().time()
