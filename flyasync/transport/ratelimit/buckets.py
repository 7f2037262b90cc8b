"""One bucket for each action and identifier, and what grants its turns."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from typing import Protocol

from aiolimiter import AsyncLimiter

from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.request import Request

Hold = Callable[[float], None]
"""Called when the bucket of a waiting caller is paused, with the loop's time until which nothing gets through.

How long that may be is for the caller to decide: the bucket lets it wait, or leave.
"""


def keep_waiting(_until: float) -> None:
    """Wait, however long the pause is."""


class Slot(Protocol):
    """What a caller needs beside its turn: room in a pool."""

    async def acquire(self) -> object:
        """Wait for it."""

    def release(self) -> None:
        """Leave it to another caller."""


class Pace(Protocol):
    """What grants the turns of one bucket, at its rate; one caller at a time asks it."""

    paused_until: float
    """The loop's time until which nothing gets through."""

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it would change nothing."""

    async def acquire(self, on_pause: Callable[[], None], /) -> None:
        """Wait until one more request may leave; `on_pause` is called when another client's pause becomes known."""

    def pause(self, seconds: float) -> None:
        """Let nothing through for `seconds`, and from then on without a burst."""


class LocalPace:
    """A pace that one client keeps for itself; aiolimiter keeps the time."""

    __slots__ = ("_limiter", "_rate", "paused_until")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._limiter = AsyncLimiter(rate.usable, rate.refill)
        self.paused_until = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether it is full again, with every pause behind it."""
        resting = _now() > self.paused_until + self._rate.refill
        return resting and self._limiter.has_capacity(self._rate.usable)

    async def acquire(self, _on_pause: Callable[[], None], /) -> None:
        """Wait until one more request may leave; cancelled, it has cost nothing."""
        await self._limiter.acquire()
        while self.paused_until:
            await self._sit_out()

    async def _sit_out(self) -> None:
        left = self.paused_until - _now()
        if left > 0:
            await asyncio.sleep(left)
            return
        self.paused_until = 0.0
        # From here on without a burst: the API has just said that it is being asked too often.
        self._limiter = AsyncLimiter(self._rate.usable, self._rate.refill)
        await self._limiter.acquire(self._rate.usable)

    def pause(self, seconds: float) -> None:
        """Let nothing through for `seconds`; of several pauses the one that ends last counts."""
        self.paused_until = max(self.paused_until, _now() + seconds)


class _Line:
    """Those who wait for the front of a bucket, in order; but first those who come again after a failure."""

    __slots__ = ("_again", "_new")

    def __init__(self) -> None:
        self._again: OrderedDict[asyncio.Future[None], Hold] = OrderedDict()
        self._new: OrderedDict[asyncio.Future[None], Hold] = OrderedDict()

    def join(self, hold: Hold, *, again: bool) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._again if again else self._new)[waiter] = hold
        return waiter

    def hold(self, until: float) -> None:
        """Notify everyone in line of a pause."""
        for hold in chain(self._again.values(), self._new.values()):
            hold(until)

    def leave(self, waiter: asyncio.Future[None]) -> None:
        self._again.pop(waiter, None)
        self._new.pop(waiter, None)

    def call_next(self) -> Hold | None:
        """Call the first one that has not been cancelled; return its `hold`, or None when there was none."""
        while line := self._again or self._new:
            waiter, hold = line.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return hold
        return None


class Bucket:
    """Turns at one rate, first come first served, which a 429 can pause.

    Its pace alone would let late arrivals overtake, so exactly one caller stands before it, and hands the front on to
    the next in line. A waiter that is cancelled costs nobody a turn.
    """

    __slots__ = ("_front", "_line", "_loop", "_pace", "_rate")

    def __init__(self, rate: Rate, pace: Pace | None = None) -> None:
        self._rate = rate
        self._loop = asyncio.get_running_loop()  # each turn reads its clock
        self._pace = pace or LocalPace(rate)
        self._front: Hold | None = None  # of the one that stands there
        self._line: _Line | None = None  # most buckets never have one, and there may be 100,000 of them

    @property
    def is_idle(self) -> bool:
        """Whether forgetting this bucket would change nothing."""
        return self._front is None and self._pace.is_idle

    async def turn(self, *, again: bool = False, slot: Slot | None = None, hold: Hold = keep_waiting) -> None:
        """Wait for a turn, then for a slot to use it; `again` keeps the front that a failed attempt already had.

        The next in line moves up only when both are there: turns granted before would pile up behind a full pool, and
        leave together as a burst that the API does not allow. `hold` is called at once when the bucket is paused, and
        whenever it is while this caller waits for its turn.
        """
        if (until := self._pace.paused_until) and until > self._loop.time():
            hold(until)
        if self._front is not None:
            await self._reach_the_front(hold, again=again)
        self._front = hold
        try:
            await self._pace.acquire(self._hold)
            if slot is not None:
                await self._take(slot)
        finally:
            self._hand_on()

    async def _take(self, slot: Slot) -> None:
        """Take a slot for the turn that was just granted; a slot that comes late needs another turn."""
        while True:
            granted = self._loop.time()
            await slot.acquire()
            if self._loop.time() - granted < self._rate.patience:
                return
            if self._pace.paused_until <= self._loop.time():
                await self._pace.acquire(self._hold)
                return
            slot.release()  # others can use it during the pause
            await self._pace.acquire(self._hold)

    async def _reach_the_front(self, hold: Hold, *, again: bool) -> None:
        line = self._line = self._line or _Line()
        waiter = line.join(hold, again=again)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._hand_on()  # cancelled in the very moment in which it got there
            line.leave(waiter)
            raise

    def _hand_on(self) -> None:
        """Leave the front to the next in line; it stays taken until somebody finds nobody there."""
        self._front = self._line.call_next() if self._line is not None else None
        if self._front is None:
            self._line = None

    def _hold(self) -> None:
        """Notify all who wait of a pause."""
        until = self._pace.paused_until
        if self._front is not None:
            self._front(until)
        if self._line is not None:
            self._line.hold(until)

    def pause(self, seconds: float | None) -> float:
        """Let nobody through for `seconds`, at least one turn of this rate; without a number, for one to two.

        Return the seconds that it is to be.
        """
        turns = 1.0 if seconds is not None else random.uniform(1, 2)  # noqa: S311 - spreads clients, guards nothing
        # A pause of no length would let an API that says "Retry-After: 0" be asked again and again without a rest.
        length = max(seconds or 0.0, turns / self._rate.per_second)
        self._pace.pause(length)
        self._hold()
        return length


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

    async def turn(
        self, request: Request, *, again: bool = False, slot: Slot | None = None, hold: Hold = keep_waiting
    ) -> float:
        """Wait until `request` may leave: for its turn, then for a `slot`; give the seconds waited.

        `hold` is called when a pause keeps it.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        if request.operation in self._limits.totals:
            await self._own(request).turn(again=again, hold=hold)
        # The last gate is the one beside the slot. A bucket found before a wait may be forgotten by its end.
        await (self._total(request) or self._own(request)).turn(again=again, slot=slot, hold=hold)
        return loop.time() - start

    def pause(self, request: Request, seconds: float | None) -> float:
        """Hold back, after a 429, every request of this action and identifier, and of its total where it has one.

        Return for how many seconds.
        """
        total = self._total(request)
        return max(bucket.pause(seconds) for bucket in (self._own(request), total) if bucket)

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
