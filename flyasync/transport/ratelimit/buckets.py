"""One bucket for each action and identifier: which caller may send next, and when."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.request import Request

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

OnPause = Callable[[float], None]
"""Called when the bucket of a waiting caller is paused, with the loop's time at which the pause ends.

The caller decides whether it keeps waiting.
"""


ROOM_WITHIN = 0.01
"""How exactly the room of a limiter is found, in permits."""


def ignore_pause(_until: float) -> None:
    """Keep waiting, whatever the length of the pause."""


Spread = Callable[[float, float], float]
"""Returns a random number between two bounds."""


class Limiter(Protocol):
    """Grants the permits of one bucket at its rate, to one caller at a time."""

    paused_until: float
    """The loop's time until which no permit is granted."""

    @property
    def is_idle(self) -> bool:
        """Whether the limiter behaves like a new one, so that it can be dropped."""

    def seconds_until(self, permits: int, /) -> float | None:
        """Return the seconds until this many more permits have been granted; None where the limiter cannot know."""

    async def acquire(self, on_remote_pause: Callable[[], None], /) -> None:
        """Wait until one more request may be sent; call `on_remote_pause` if another client has paused the bucket."""

    def pause(self, seconds: float) -> None:
        """Grant nothing for `seconds`, and no burst right after that."""


class LocalLimiter:
    """The limiter of a client that shares no limits, based on aiolimiter."""

    __slots__ = ("_limiter", "_rate", "paused_until")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._limiter = _aiolimiter(rate)
        self.paused_until = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether the bucket is full again and no pause affects it."""
        is_refilled = _now() > self.paused_until + self._rate.refill
        return is_refilled and self._limiter.has_capacity(self._rate.usable)

    def seconds_until(self, permits: int, /) -> float | None:
        """Return the seconds until this many more permits have been granted."""
        # 1. Paused: after the pause there is no burst.
        if (left := self.paused_until - _now()) > 0:
            return left + (permits - 1) / self._rate.per_second
        # 2. The limiter shows whether it has room for an amount, so how much room it has is found by halving.
        room, too_much = 0.0, self._rate.usable
        if self._limiter.has_capacity(too_much):
            room = too_much
        while too_much - room > ROOM_WITHIN:
            half = (room + too_much) / 2
            room, too_much = (half, too_much) if self._limiter.has_capacity(half) else (room, half)
        return max(0.0, (permits - room) / self._rate.per_second)

    async def acquire(self, _on_remote_pause: Callable[[], None], /) -> None:
        """Wait until one more request may be sent. A cancelled wait uses no permit."""
        limiter = None
        # Another caller that waited for the end of the same pause may have emptied the bucket: then start again.
        while limiter is not self._limiter:
            limiter = self._limiter
            await limiter.acquire()
            while self.paused_until:
                # The pause may be extended during the sleep, so the remaining time is computed each time.
                if (left := self.paused_until - _now()) > 0:
                    await asyncio.sleep(left)
                    continue
                # The API has just returned a 429, so the bucket starts empty, without a burst.
                self.paused_until = 0.0
                limiter = self._limiter = _aiolimiter(self._rate)
                await limiter.acquire(self._rate.usable)

    def pause(self, seconds: float) -> None:
        """Grant nothing for `seconds`; if there are several pauses, the one that ends last counts."""
        self.paused_until = max(self.paused_until, _now() + seconds)


def _aiolimiter(rate: Rate) -> "AsyncLimiter":
    from aiolimiter import AsyncLimiter  # it looks up its own version as it is imported, which is slow

    return AsyncLimiter(rate.usable, rate.refill)


class _Queue:
    """The callers that wait for a bucket: urgent ones, retries, first attempts, each in order of arrival.

    The result of a waiter is whether it gets a permit together with its turn.
    """

    __slots__ = ("_first", "_retries", "_urgent")

    def __init__(self) -> None:
        self._urgent: OrderedDict[asyncio.Future[bool], OnPause] = OrderedDict()
        self._retries: OrderedDict[asyncio.Future[bool], OnPause] = OrderedDict()
        self._first: OrderedDict[asyncio.Future[bool], OnPause] = OrderedDict()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._retries) + len(self._first)

    def join(self, on_pause: OnPause, *, again: bool, urgent: bool) -> asyncio.Future[bool]:
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._retries if again else self._first)[waiter] = on_pause
        return waiter

    def leave(self, waiter: asyncio.Future[bool]) -> None:
        self._urgent.pop(waiter, None)
        self._retries.pop(waiter, None)
        self._first.pop(waiter, None)

    def wake_next(self) -> OnPause | None:
        """Wake the first waiter that is not cancelled, and return its `on_pause`; None if there is no such waiter."""
        while group := self._urgent or self._retries or self._first:
            waiter, on_pause = group.popitem(last=False)
            if not waiter.done():
                waiter.set_result(False)
                return on_pause
        return None

    def grant_permit(self) -> bool:
        """Grant a permit to the first urgent waiter that is not cancelled; return whether there was one."""
        while self._urgent:
            waiter, _ = self._urgent.popitem(last=False)
            if not waiter.done():
                waiter.set_result(True)
                return True
        return False

    def notify(self, until: float) -> None:
        for on_pause in (*self._urgent.values(), *self._retries.values(), *self._first.values()):
            on_pause(until)


class Bucket:
    """Permits at one rate, first come first served. A 429 can pause them.

    The limiter alone would not keep the order of arrival. So only one caller at a time, the front, waits at the
    limiter, and then hands over to the next in the queue. A waiter that is cancelled uses no permit, unless it was just
    granted one before its turn, as it was urgent. `key` is the operation and the identifier, for the repr.
    """

    __slots__ = ("_front", "_key", "_limiter", "_loop", "_queue", "_rate")

    def __init__(self, rate: Rate, limiter: Limiter | None = None, key: tuple[str, str | None] | None = None) -> None:
        self._rate = rate
        self._key = key
        self._loop = asyncio.get_running_loop()  # each permit reads its clock
        self._limiter = limiter or LocalLimiter(rate)
        self._front: OnPause | None = None  # `on_pause` of the caller that waits at the limiter
        self._queue: _Queue | None = None  # most buckets never have one, and there may be 100,000 of them

    def __repr__(self) -> str:
        name = " ".join(filter(None, ("Bucket", *(self._key or ()))))
        waiting = (self._front is not None) + len(self._queue or ())
        left = self._limiter.paused_until - self._loop.time()
        return f"<{name}: {waiting} waiting{f', paused {left:.1f} s' if left > 0 else ''}>"

    @property
    def is_idle(self) -> bool:
        """Whether the bucket behaves like a new one, so that it can be dropped."""
        return self._front is None and self._limiter.is_idle

    def expected_wait(self, ahead: int) -> float | None:
        """Return the seconds that a new caller would wait; None if it has to queue for a time that is not known.

        It is behind the callers of the queue, or behind `ahead` callers if these are more. 0 if it need not wait.
        """
        before = max(ahead, (self._front is not None) + len(self._queue or ()))
        seconds = self._limiter.seconds_until(before + 1)
        return 0.0 if seconds is None and not before else seconds

    async def acquire(
        self,
        *,
        again: bool = False,
        urgent: bool = False,
        slot: asyncio.Semaphore | None = None,
        on_pause: OnPause = ignore_pause,
    ) -> None:
        """Wait for a permit, and then for a `slot` to use it. After an error or cancellation neither is held.

        With `again`, for a retry, the caller is queued before those that have not been served yet. An `urgent` one gets
        the next permit, even if another caller already waits at the limiter. `on_pause` is called immediately if the
        bucket is paused, and each time it is paused while this caller waits for its permit.
        """
        if (until := self._limiter.paused_until) and until > self._loop.time():
            on_pause(until)

        # One caller at a time waits at the limiter. It hands over to the next when it has its permit, or gives up.
        if self._front is not None:
            queue = self._queue = self._queue or _Queue()
            waiter = queue.join(on_pause, again=again, urgent=urgent)
            try:
                has_permit = await waiter
            except BaseException:
                # 1. Cancelled while waiting: the caller leaves the queue, and the others are not affected.
                # 2. Cancelled after it was woken but before it ran: it is the front, so it hands over.
                # 3. Cancelled after it was granted a permit: it is not the front, and the permit is not used.
                # 4. Its coroutine was closed: like 1, or like 2 or 3 if it was woken.
                if waiter.done() and not waiter.cancelled() and not waiter.result():
                    self._pass_on()
                queue.leave(waiter)
                raise
            if has_permit:
                if slot is not None:
                    await self._hold(slot, on_pause)
                return
        self._front = on_pause

        # The next caller gets its turn only when this one also has its slot. Otherwise permits would accumulate behind
        # a full pool, and the requests would then be sent together, as a burst that the API does not allow.
        try:
            await self._limiter.acquire(self._notify)
            # An urgent caller that came meanwhile gets the permit, and this one waits for the next.
            while self._queue is not None and not urgent and self._queue.grant_permit():
                await self._limiter.acquire(self._notify)
            if slot is not None:
                await (self._hold(slot, on_pause) if slot.locked() else slot.acquire())
        finally:
            self._pass_on()

    async def _hold(self, slot: asyncio.Semaphore, on_pause: OnPause) -> None:
        """Acquire a slot for the permit just granted, which expires after the rate's `patience`, or by a pause."""
        while True:
            granted = self._loop.time()
            await slot.acquire()
            now = self._loop.time()
            # 1. The bucket has been paused: the slot is released, since others can use it meanwhile.
            if (until := self._limiter.paused_until) > now:
                slot.release()
                on_pause(until)
                await self._limiter.acquire(self._notify)
                continue
            # 2. The slot was free in time: the permit is still valid.
            if now - granted < self._rate.patience:
                return
            # 3. Too late: the call needs another permit. It keeps its slot, since it gets the permit soon.
            try:
                await self._limiter.acquire(self._notify)
            except BaseException:
                slot.release()
                raise
            return

    def _pass_on(self) -> None:
        """Hand over to the next caller in the queue, if any."""
        self._front = self._queue.wake_next() if self._queue is not None else None
        if self._front is None:
            self._queue = None

    def _notify(self) -> None:
        """Notify every waiting caller of a pause."""
        until = self._limiter.paused_until
        if self._front is not None:
            self._front(until)
        if self._queue is not None:
            self._queue.notify(until)

    def pause(self, seconds: float | None, spread: Spread = random.uniform) -> float:
        """Grant nothing for `seconds`, or for one interval of the rate if that is longer; return the pause in seconds.

        None is for a 429 without a valid Retry-After, and pauses for one to two intervals.
        """
        intervals = 1.0 if seconds is not None else spread(1, 2)
        # Without a minimum, an API that returns "Retry-After: 0" would be sent requests without any pause.
        length = max(seconds or 0.0, intervals / self._rate.per_second)
        self._limiter.pause(length)
        self._notify()
        return length


MakeLimiter = Callable[[str, str | None, Rate], Limiter]
"""Makes the limiter for an operation and an identifier; None stands for all identifiers together."""


def local_limiter(_operation: str, _identifier: str | None, rate: Rate) -> Limiter:
    """Make a limiter that counts only this client's requests."""
    return LocalLimiter(rate)


class Buckets:
    """All buckets of one client; idle ones are dropped. `make_limiter` makes the limiter for each.

    `spread` returns a random number between two bounds, for pauses whose length the API does not state.
    """

    SWEEP = 10.0
    """Seconds between two sweeps, which drop idle buckets."""

    def __init__(
        self, limits: Limits, make_limiter: MakeLimiter = local_limiter, spread: Spread = random.uniform
    ) -> None:
        self._spread = spread
        self._limits = limits
        self._make_limiter = make_limiter
        self._buckets: dict[tuple[str, str | None], Bucket] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._buckets)

    def __repr__(self) -> str:
        busy = [repr(bucket) for bucket in self._buckets.values() if not bucket.is_idle]
        shown = ", ".join(busy[:10]) + (f" and {len(busy) - 10} more" if len(busy) > 10 else "")  # noqa: PLR2004
        return f"<Buckets: {len(self)}, in use: {shown or 'none'}>"

    async def acquire(
        self,
        request: Request,
        *,
        again: bool = False,
        urgent: bool = False,
        slot: asyncio.Semaphore | None = None,
        on_pause: OnPause = ignore_pause,
    ) -> float:
        """Wait until `request` may be sent: for its permits, then for a `slot`; return the seconds waited.

        `on_pause` is called if a pause delays it. After an error or cancellation the slot is not held.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        bucket = self._own(request)
        # Two buckets, as for apps.delete: the app's comes first, since the slot is acquired with the last permit.
        if request.operation in self._limits.totals:
            await bucket.acquire(again=again, urgent=urgent, on_pause=on_pause)
            # Looked up only when it is needed: during a wait, it could be dropped.
            bucket = self._total(request) or bucket
        await bucket.acquire(again=again, urgent=urgent, slot=slot, on_pause=on_pause)
        return loop.time() - start

    def expected_wait(self, operation: str, identifier: str, *, ahead: int = 0) -> float | None:
        """Return the seconds that a new request would wait for its own bucket; see `Bucket.expected_wait`."""
        key = (operation, identifier)
        bucket = self._buckets.get(key) or self._add(key, self._limits.rate(operation))
        return bucket.expected_wait(ahead)

    def pause(self, request: Request, seconds: float | None) -> float:
        """Pause this action and identifier after a 429, and the action's total if it has one.

        Return the length of the pause in seconds.
        """
        total = self._total(request)
        return max(bucket.pause(seconds, self._spread) for bucket in (self._own(request), total) if bucket)

    def close(self) -> None:
        """Stop the sweeps."""
        if self._sweep:
            self._sweep.cancel()
            self._sweep = None

    def _own(self, request: Request) -> Bucket:
        key = (request.operation, request.identifier)
        return self._buckets.get(key) or self._add(key, self._limits.rate(request.operation))

    def _total(self, request: Request) -> Bucket | None:
        if (rate := self._limits.totals.get(request.operation)) is None:
            return None
        key = (request.operation, None)
        return self._buckets.get(key) or self._add(key, rate)

    def _add(self, key: tuple[str, str | None], rate: Rate) -> Bucket:
        bucket = self._buckets[key] = Bucket(rate, self._make_limiter(*key, rate), key)
        self._sweep_later()
        return bucket

    def _sweep_later(self) -> None:
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self.SWEEP, self._drop_idle)

    def _drop_idle(self) -> None:
        self._sweep = None
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_idle}
        if self._buckets:
            self._sweep_later()


def _now() -> float:
    return asyncio.get_running_loop().time()
