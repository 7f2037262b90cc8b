"""One bucket for each action and identifier, and what grants its turns."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Protocol

from aiolimiter import AsyncLimiter

from flyasync.wire.rates import Limits, Rate
from flyasync.wire.request import Request

Place = Callable[[], Awaitable[object]]


async def _at_once() -> None:
    """Take no time: there is always a place."""


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


class Bucket:
    """Turns at one rate, first come first served, which a 429 can pause.

    Its pace alone would let late arrivals overtake, so exactly one waiter stands before it. A waiter that is cancelled
    costs nobody a turn.
    """

    __slots__ = ("_head", "_line", "_pace", "_queued", "_rate")

    def __init__(self, rate: Rate, pace: Pace | None = None) -> None:
        self._rate = rate
        self._pace = pace or LocalPace(rate)
        self._line = asyncio.Lock()  # arrivals, in order
        self._head = asyncio.Lock()  # the first of them, and those who come again after a failure
        self._queued = 0

    @property
    def is_idle(self) -> bool:
        """Whether forgetting this bucket would change nothing."""
        return not self._queued and self._pace.is_idle

    async def turn(self, *, again: bool = False, place: Place = _at_once) -> None:
        """Wait for a turn, then for a place to use it; `again` keeps the front that a failed attempt already had.

        The next in line moves up only when both are there: turns granted before would pile up behind a full pool, and
        leave together as a burst that the API does not allow.
        """
        self._queued += 1
        try:
            async with nullcontext() if again else self._line, self._head:
                await self._pace.acquire()
                granted = _now()
                await place()
                if _now() - granted >= 1 / self._rate.per_second:
                    await self._pace.acquire()  # that turn is long past; the one that is used is the one that counts
        finally:
            self._queued -= 1

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

    async def turn(self, request: Request, *, again: bool = False, place: Place = _at_once) -> float:
        """Wait until `request` may leave: for its turn, then for a `place`; give the seconds waited."""
        start = _now()
        if request.operation in self._limits.totals:
            await self._own(request).turn(again=again)
        # The last gate is the one beside the place. A bucket found before a wait may be forgotten by its end.
        await (self._total(request) or self._own(request)).turn(again=again, place=place)
        return _now() - start

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
        return self._find((request.operation, request.identifier), self._limits.rate(request.operation))

    def _total(self, request: Request) -> Bucket | None:
        rate = self._limits.totals.get(request.operation)
        return self._find((request.operation, None), rate) if rate else None

    def _find(self, key: tuple[str, str | None], rate: Rate) -> Bucket:
        if (bucket := self._buckets.get(key)) is None:
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
