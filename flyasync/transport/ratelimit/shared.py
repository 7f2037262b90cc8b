"""One budget for many clients, kept in a store. If the store is unavailable, each client uses its share of a rate."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from attrs import define, frozen

from flyasync.transport.events import LimitsBack, LimitsLost, OnClientEvent, notify
from flyasync.transport.ratelimit.gcra import share
from flyasync.transport.ratelimit.rates import Rate

T = TypeVar("T")

PATIENCE = 0.5
"""Seconds that the store may take for one reply before the limits count as lost."""
BUSY = 0.1
"""Seconds by which a timer must be late to show that the event loop was blocked."""
PROBE = 1.0
"""Seconds between two checks whether lost limits are back."""
PATIENT_PROBE = 30.0
"""The most seconds between two checks if the limits are lost repeatedly: then the client's own share works better."""
STEADY = 10.0
"""Seconds for which the limits must be back before another loss counts as the first one."""
FLAPS = 2
"""The number of losses in a row after which a client checks less often."""
SETTLE = 2 * PROBE
"""Seconds for which a client sends nothing once the limits are back, until all other clients have noticed."""
CENSUS = 2.0
"""Seconds between two counts of the workers; idle clients count too, since the number may be needed at any time."""
AT_ONCE = 16
"""Concurrent requests of one client to the store; more would only wait for each other and seem to time out."""
AGAIN = 0.1
"""Seconds after which a task that has not ended is cancelled again."""
NEWS = 1.0
"""Seconds by which a pause in the store must exceed the one that a client knows to count as another client's pause."""
SECOND = 1_000_000
"""Microseconds per second."""


class StoreFailed(Exception):
    """The store is unavailable. The text is the reason, and contains no password."""


@frozen(kw_only=True)
class Census:
    """The number of recently seen workers, the rank of this one, and the clock of the store in microseconds."""

    workers: int
    rank: int
    clock: int


@frozen(kw_only=True)
class StoreReply:
    """A store's reply to the request for a permit: 0 if it is granted, else the seconds to `wait` before asking again.

    `paused` is the number of seconds for which no client gets a permit, because one of them received a 429.
    """

    wait: float
    paused: float = 0.0


class Store(Protocol):
    """Keeps the buckets that workers share.

    Any exception of a method means that the store is unavailable, usually StoreFailed or OSError; its text contains no
    password. The caller bounds the time of a method by cancelling it.
    """

    name: str
    """The store's name for display, without any password."""

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Request one permit."""

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        """Grant nothing for `seconds`, and no burst right after that."""

    async def charge(self, key: str, rate: Rate, requests: int) -> None:
        """Count requests that were sent without a permit."""

    async def census(self) -> Census:
        """Register this worker, and count all workers."""

    async def close(self) -> None:
        """Close the connection to the store. The buckets remain for the other workers, and expire by themselves."""


@define
class Debt:
    """The requests that a client has sent while the store was unavailable, and the time of the last one."""

    rate: Rate
    requests: int = 0
    last: float = 0.0

    def add(self, now: float) -> None:
        """Count one more request."""
        self.requests, self.last = self.requests + 1, now

    def is_due(self, now: float) -> bool:
        """Whether a bucket at this rate has not refilled yet after these requests."""
        return now < self.last + self.requests / self.rate.per_second


class SharedLimits:
    """One client's access to a store: whether it is available, and the client's share of the rates while it is not."""

    def __init__(self, store: Store, on_event: OnClientEvent, *, workers: int = 1) -> None:
        self._store = store
        self._on_event = on_event
        self._expected = workers
        # Until the store has replied, the workers do not know each other, so each takes a random rank.
        self._census = Census(workers=workers, rank=random.randrange(workers), clock=0)  # noqa: S311 - guards nothing
        self._ahead = 0  # microseconds by which the store's clock is ahead of the loop's
        self._room = asyncio.Semaphore(AT_ONCE)
        self._lost_at: float | None = None
        self._settled_at = float("-inf")
        self._losses = 0
        self._is_back = asyncio.Event()
        self._is_closed = False
        self._debts: dict[str, Debt] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._counting: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        now = self._counting.get_loop().time() if self._counting else 0.0  # the loop may not be running any more
        if self._is_closed:
            state = "closed"
        elif self._lost_at is not None:
            owed = sum(debt.requests for debt in self._debts.values())
            state = f"lost for {now - self._lost_at:.1f} s, {owed} requests sent meanwhile"
        else:
            state = f"settling for {self._settled_at - now:.1f} s" if self._settled_at > now else "in use"
        return f"<SharedLimits {self._store.name}: {state}, {self._workers} workers>"

    @property
    def is_lost(self) -> bool:
        """Whether the store is unavailable."""
        return self._lost_at is not None

    @property
    def _workers(self) -> int:
        return max(self._census.workers, self._expected)

    def limiter(self, key: str, rate: Rate, on_news: Callable[[float], None] = lambda _: None) -> "SharedLimiter":
        """Make the limiter for one bucket; `on_news` is called with the seconds of another client's pause."""
        return SharedLimiter(self, key, rate, on_news)

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Request one permit from the store. Raise StoreFailed if it is unavailable, after notifying the observer."""
        if self._counting is None and not self._is_closed:
            self._counting = self._task(self._count())
        if (settling := self._settled_at - _now()) > 0:
            return StoreReply(wait=settling)
        return await self._ask(self._store.take, key, rate)

    def pause_later(self, key: str, rate: Rate, seconds: float) -> None:
        """Pause a bucket for all clients, without waiting for the store; if it is lost, only for this client."""

        async def pause() -> None:
            with suppress(StoreFailed):
                await self._ask(self._store.pause, key, rate, seconds)

        if not self.is_lost:
            self._task(pause())

    def own_permit(self, key: str, rate: Rate, last: int | None) -> tuple[int, float]:
        """Take a permit from this client's share of the rate, without the store.

        Time is split into intervals that are assigned to the workers in turn. `last` is the number of the interval
        whose permit this client took last, None for the first. Return the number of the interval now taken, and 0; or
        `last` and the seconds until the next interval. The store counts these requests when it is back.
        """
        clock = round(_now() * SECOND) + self._ahead
        if last is None:
            # The store may just have granted the permits of the current interval and the next one to others.
            last = clock // rate.interval + 1
        rank = self._census.rank % self._workers
        number, wait = share(clock, interval=rate.interval, workers=self._workers, rank=rank, after=last)
        if wait:
            return last, wait / SECOND
        self._debts.setdefault(key, Debt(rate)).add(_now())
        return number, 0.0

    async def back_within(self, seconds: float) -> None:
        """Wait for `seconds`, or until the store is available again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_back.wait()

    async def close(self) -> None:
        """End all tasks, and close the connection to the store."""
        self._is_closed = True
        while left := {task for task in self._tasks if not task.done()}:
            for task in left:
                task.cancel()
            # A library may mistake the cancellation for its own timeout and continue, so it is cancelled again.
            await asyncio.wait(left, timeout=AGAIN)
        await self._store.close()

    async def _ask(self, question: Callable[..., Coroutine[Any, Any, T]], key: str, rate: Rate, *more: Any) -> T:
        """Send a request about a bucket to the store. If it fails or is late, the store is lost: raise StoreFailed."""
        async with self._room:
            if self.is_lost or self._is_closed:
                raise StoreFailed("the limits are lost, or closed")
            task = self._task(question(key, rate, *more))
            try:
                # After the event loop was blocked, the timer is late and the reply may have arrived unread. Then wait
                # once more before the store counts as lost.
                for _ in range(2):
                    start = _now()
                    await asyncio.wait([task], timeout=PATIENCE)
                    if task.done() or _now() < start + PATIENCE + BUSY:
                        break
                if not task.done():
                    raise StoreFailed(f"no reply within {PATIENCE:g} s")  # noqa: TRY301 - lost, like one that failed
                if task.cancelled():
                    raise StoreFailed("the limits are closed")  # noqa: TRY301 - as above
                return task.result()
            except Exception as error:  # no call may fail because of any problem of the store
                # Only the first of several failed requests loses the limits; for the others they are lost already.
                if self._lost_at is None and not self._is_closed:
                    self._lost_at = now = _now()
                    was_steady = now >= self._settled_at - SETTLE + STEADY
                    self._losses = 1 if was_steady else self._losses + 1
                    self._is_back.clear()
                    self._debts.setdefault(key, Debt(rate))
                    lost = LimitsLost(backing=self._store.name, reason=str(error), workers=self._workers)
                    notify(self._on_event, lost)
                    self._task(self._recover())
                raise StoreFailed(str(error)) from error
            finally:
                task.cancel()

    async def _recover(self) -> None:
        """Check until the store is available again, and charge it with the requests sent meanwhile."""
        pause = PROBE if self._losses <= FLAPS else min(PATIENT_PROBE, PROBE * 2**self._losses)
        while self._lost_at is not None:
            await asyncio.sleep(pause)
            # Buckets that have refilled since are not charged. The first one always is: the store failed on it, and a
            # store that fails on it again is not back.
            first = next(iter(self._debts), None)
            self._debts = {key: debt for key, debt in self._debts.items() if key == first or debt.is_due(_now())}
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await self._store.census()
                # Meanwhile calls continue in this client's share, so this is repeated until nothing is owed.
                while self._debts:
                    owed, self._debts = self._debts, {}
                    try:
                        await asyncio.gather(*(self._charge(key, debt) for key, debt in owed.items()))
                    except Exception:
                        self._debts = owed | self._debts
                        raise
                notify(self._on_event, LimitsBack(backing=self._store.name, seconds=_now() - self._lost_at))
                # Until all workers are back, the store knows only some of them. If it is lost again before that, the
                # shares of all workers must still add up, so the earlier count is kept until then.
                self._settled_at = _now() + SETTLE
                self._lost_at = None
                self._is_back.set()

    async def _charge(self, key: str, debt: Debt) -> None:
        async with self._room, asyncio.timeout(PATIENCE):
            await self._store.charge(key, debt.rate, debt.requests)

    async def _count(self) -> None:
        """Register this worker and count all workers, periodically."""
        while True:
            if _now() >= self._settled_at and not self.is_lost:
                with suppress(Exception):
                    async with asyncio.timeout(PATIENCE):
                        self._census = await self._store.census()
                    self._ahead = self._census.clock - round(_now() * SECOND)
            await asyncio.sleep(CENSUS)

    def _task(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class SharedLimiter:
    """The limiter for a bucket that many clients share through one store."""

    __slots__ = ("_idle_at", "_key", "_on_news", "_own", "_rate", "_shared", "paused_until")

    def __init__(self, shared: SharedLimits, key: str, rate: Rate, on_news: Callable[[float], None]) -> None:
        self._shared = shared
        self._key = key
        self._rate = rate
        self._on_news = on_news
        self._own: int | None = None  # the number of the last permit that it took from its own share, since the loss
        self.paused_until = 0.0
        self._idle_at = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether the bucket is full again as far as this client knows; the store keeps the actual state."""
        return _now() > self._idle_at

    def seconds_until(self, _permits: int, /) -> float | None:
        """Return None: only the store knows how many other clients wait."""
        return None

    async def acquire(self, on_remote_pause: Callable[[], None]) -> None:
        """Wait until one more request may be sent; `on_remote_pause` is called if the store reports a pause.

        If cancelled, its position in the store's queue goes to the next caller of this client. If cancelled while the
        store grants the permit, the request counts as sent.
        """
        while True:
            # 1. A pause that this client knows of: no request to the store is needed.
            wait = max(self.paused_until - _now(), 0.0)
            if not wait:
                reply = None
                if not self._shared.is_lost:
                    with suppress(StoreFailed):
                        reply = await self._shared.take(self._key, self._rate)
                # 2. The store is unavailable: this client uses its own share.
                if reply is None:
                    self._own, wait = self._shared.own_permit(self._key, self._rate, self._own)
                # 3. The store replies: with a permit, or with the time until the next request, possibly due to a pause.
                else:
                    self._own, wait = None, reply.wait
                    if reply.paused:
                        until = _now() + reply.paused
                        is_news = until > max(self.paused_until, _now()) + NEWS
                        self._hold(until)
                        if is_news:
                            self._on_news(reply.paused)
                        on_remote_pause()
            if not wait:
                break
            # A wait for this client's own share ends when the limits are back, since the store may grant more.
            await (self._shared.back_within(wait) if self._shared.is_lost else asyncio.sleep(wait))
        self._idle_at = _now() + self._rate.refill

    def pause(self, seconds: float) -> None:
        """Grant nothing for `seconds`: to this client immediately, to the others with their next request."""
        self._hold(_now() + seconds)
        self._shared.pause_later(self._key, self._rate, seconds)

    def _hold(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)
        self._idle_at = max(self._idle_at, self.paused_until + self._rate.refill)


def _now() -> float:
    return asyncio.get_running_loop().time()
