"""The published rates as one table, and one bucket for each action and identifier.

The API counts requests per action and identifier: 1 a second with bursts to 3; 5 a second with bursts to 10 for
getting a machine; 100 app deletions a minute on top (docs: machines/api/working-with-machines-api, "Rate limits").
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext

from aiolimiter import AsyncLimiter
from attrs import Attribute, Factory, field, frozen, validators

from flyasync.wire.request import Request


def _leave_one(rate: "Rate", _: "Attribute[int]", spare: int) -> None:
    if spare >= rate.burst:
        raise ValueError(f"spare is {spare}, but must leave at least one request of the burst of {rate.burst}")


@frozen(kw_only=True)
class Rate:
    """A published rate: `per_second` in the long run, `burst` at once, of which `spare` are never used.

    The spare ones are the margin. Requests leave on schedule but arrive with the network's jitter, and a bucket that
    is run exactly at its limit overflows when an early burst arrives late. With `spare` requests kept back, arrivals
    may shift against each other by `spare / per_second` seconds without a 429. The price is that much time once for
    each burst; the rate in the long run is the published one.
    """

    per_second: float = field(validator=validators.gt(0))
    burst: int = field(validator=validators.ge(1))
    spare: int = field(default=0, validator=[validators.ge(0), _leave_one])

    @property
    def usable(self) -> int:
        """How many requests may leave at once."""
        return self.burst - self.spare

    @property
    def refill(self) -> float:
        """Seconds until an empty bucket is full."""
        return self.usable / self.per_second


@frozen(kw_only=True)
class Limits:
    """How fast a client may ask: a rate for each operation on each identifier.

    `totals` bound an operation over all identifiers together. The defaults are the published limits with a margin of
    one request a second's worth of jitter (0.4 s for getting a machine), which costs a second in each burst: 60
    creates in one app take 58 s where the limit itself allows 57. Lower `default` when several processes share one
    token's apps.
    """

    default: Rate = Rate(per_second=1, burst=3, spare=1)
    operations: Mapping[str, Rate] = Factory(
        lambda: {
            "machines.get": Rate(per_second=5, burst=10, spare=2),
        }
    )
    totals: Mapping[str, Rate] = Factory(
        lambda: {
            # At most burst + 60 * per_second = 100 in any minute, wherever the API's minute begins.
            "apps.delete": Rate(per_second=1.5, burst=10),
        }
    )

    def rate(self, operation: str) -> Rate:
        """Give the rate of one operation on one identifier."""
        return self.operations.get(operation, self.default)


Place = Callable[[], Awaitable[object]]


async def _at_once() -> None:
    """Take no time: there is always a place."""


class Bucket:
    """Turns at one rate, first come first served, which a 429 can pause.

    aiolimiter keeps the time. It alone would let late arrivals overtake, so exactly one waiter stands before it.
    A waiter that is cancelled costs nobody a turn.
    """

    __slots__ = ("_head", "_limiter", "_line", "_paused_until", "_queued", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._limiter = AsyncLimiter(rate.usable, rate.refill)
        self._line = asyncio.Lock()  # arrivals, in order
        self._head = asyncio.Lock()  # the first of them, and those who come again after a failure
        self._queued = 0
        self._paused_until = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether forgetting this bucket would change nothing."""
        resting = _now() > self._paused_until + self._rate.refill
        return not self._queued and resting and self._limiter.has_capacity(self._rate.usable)

    async def turn(self, *, again: bool = False, place: Place = _at_once) -> None:
        """Wait for a turn, then for a place to use it; `again` keeps the front that a failed attempt already had.

        The next in line moves up only when both are there: turns granted before would pile up behind a full pool, and
        leave together as a burst that the API does not allow.
        """
        self._queued += 1
        try:
            async with nullcontext() if again else self._line, self._head:
                await self._next()
                granted = _now()
                await place()
                if _now() - granted >= 1 / self._rate.per_second:
                    await self._next()  # that turn is long past; the one that is used is the one that counts
        finally:
            self._queued -= 1

    async def _next(self) -> None:
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

    def pause(self, seconds: float | None) -> None:
        """Let nobody through for `seconds`, at least one turn of this rate; without a number, for one to two."""
        turns = 1.0 if seconds is not None else random.uniform(1, 2)  # noqa: S311 - spreads clients, guards nothing
        # A pause of no length would let an API that says "Retry-After: 0" be asked again and again without a rest.
        self._paused_until = max(self._paused_until, _now() + max(seconds or 0.0, turns / self._rate.per_second))


class Buckets:
    """All buckets of one client; those at rest are forgotten."""

    SWEEP = 10.0
    """Seconds between two looks for buckets at rest."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
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
            bucket = self._buckets[key] = Bucket(rate)
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
