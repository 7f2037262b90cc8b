"""One budget for many clients: a store keeps it, and each client keeps to its share while the store cannot be asked."""

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
"""Seconds that the store may take for one answer, before the limits count as lost."""
BUSY = 0.1
"""Seconds by which a timer is late when the loop was busy with something else for long."""
PROBE = 1.0
"""Seconds between two checks whether lost limits are back."""
PATIENT_PROBE = 30.0
"""Seconds between two checks of a client that loses them again and again: it is better off with its share."""
STEADY = 10.0
"""Seconds for which they have to be back before losing them counts as the first time."""
FLAPS = 2
"""Losses in a row before a client checks less often."""
SETTLE = 2 * PROBE
"""Seconds for which a client sends nothing after they are back, until all others have noticed too."""
CENSUS = 2.0
"""Seconds between two counts of the workers, which go on while a client is idle: it may be needed at any time."""
AT_ONCE = 16
"""Questions of one client to the store at once; more would only wait for each other, and seem to be unanswered."""
AGAIN = 0.1
"""Seconds after which a task that does not end is cancelled again."""
NEWS = 1.0
"""Seconds by which a pause in the store has to outlast what a client knows, to be another client's pause."""
SECOND = 1_000_000
"""Microseconds in one."""


class StoreFailed(Exception):
    """The store cannot be asked; the text is the reason, and contains no password."""


@frozen(kw_only=True)
class Census:
    """How many workers the store has seen lately, which of them this one is, and the store's clock in microseconds."""

    workers: int
    rank: int
    clock: int


@frozen(kw_only=True)
class StoreReply:
    """A store's reply to a client that asks for one permit: the seconds to `wait` before asking again, 0 grants it.

    For `paused` of them no client is granted anything: one of them has received a 429.
    """

    wait: float
    paused: float = 0.0


class Store(Protocol):
    """Where workers keep their buckets together.

    Whatever a method raises means that the store cannot be asked, and has no password in its text; usually it is
    StoreFailed or OSError. How long a method takes is bounded by the caller, who cancels it.
    """

    name: str
    """What it is, for people to read; without any password."""

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Ask for one permit."""

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        """Grant nothing for `seconds`, and no burst right after that."""

    async def charge(self, key: str, rate: Rate, requests: int) -> None:
        """Count requests that were sent without asking."""

    async def census(self) -> Census:
        """Count the workers, and be counted."""

    async def close(self) -> None:
        """Close the access to it; the buckets stay for the other workers, and expire by themselves."""


@define
class Debt:
    """How many requests a client has sent while the store was away, and when it sent the last one."""

    rate: Rate
    requests: int = 0
    last: float = 0.0

    def add(self, now: float) -> None:
        """Count one more request."""
        self.requests, self.last = self.requests + 1, now

    def is_due(self, now: float) -> bool:
        """Whether a bucket at this rate has not yet refilled what these requests took."""
        return now < self.last + self.requests / self.rate.per_second


class SharedLimits:
    """One client's access to a store: whether it answers, and the share to keep to while it does not."""

    def __init__(self, store: Store, on_event: OnClientEvent, *, workers: int = 1) -> None:
        self._store = store
        self._on_event = on_event
        self._expected = workers
        # Until the store has answered, workers that know nothing of each other spread at random.
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
        now = self._counting.get_loop().time() if self._counting else 0.0  # it may be shown when no loop runs any more
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
        """Whether the store did not answer when it was asked last."""
        return self._lost_at is not None

    @property
    def _workers(self) -> int:
        return max(self._census.workers, self._expected)

    def limiter(self, key: str, rate: Rate, on_news: Callable[[float], None] = lambda _: None) -> "SharedLimiter":
        """Make the limiter of one bucket; `on_news` is called with the seconds of another client's pause."""
        return SharedLimiter(self, key, rate, on_news)

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Ask the store for one permit; raise StoreFailed when it does not answer, after notifying the observer."""
        if self._counting is None and not self._is_closed:
            self._counting = self._task(self._count())
        if (settling := self._settled_at - _now()) > 0:
            return StoreReply(wait=settling)
        return await self._ask(self._store.take, key, rate)

    def pause_later(self, key: str, rate: Rate, seconds: float) -> None:
        """Pause a bucket for every client, without waiting for the store; while it is lost, each meets its own 429."""

        async def pause() -> None:
            with suppress(StoreFailed):
                await self._ask(self._store.pause, key, rate, seconds)

        if not self.is_lost:
            self._task(pause())

    def own_permit(self, key: str, rate: Rate, last: int | None) -> tuple[int, float]:
        """Take a permit out of this client's own share, without the store.

        Time is cut into intervals that go round among the workers. `last` is the number of the interval whose permit
        this client took last, None for the first. Return the number of the one that it has now taken, and 0; or `last`
        and the seconds until its next one. What it takes is counted by the store when that is back.
        """
        clock = round(_now() * SECOND) + self._ahead
        if last is None:
            # The intervals next to now may be used up by what the store has just granted to others.
            last = clock // rate.interval + 1
        rank = self._census.rank % self._workers
        number, wait = share(clock, interval=rate.interval, workers=self._workers, rank=rank, after=last)
        if wait:
            return last, wait / SECOND
        self._debts.setdefault(key, Debt(rate)).add(_now())
        return number, 0.0

    async def back_within(self, seconds: float) -> None:
        """Wait for `seconds`, or until the store answers again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_back.wait()

    async def close(self) -> None:
        """End all tasks, and close the access to the store."""
        self._is_closed = True
        while left := {task for task in self._tasks if not task.done()}:
            for task in left:
                task.cancel()
            # A library may take the cancellation for the end of its own timeout, and go on; so it is cancelled again.
            await asyncio.wait(left, timeout=AGAIN)
        await self._store.close()

    async def _ask(self, question: Callable[..., Coroutine[Any, Any, T]], key: str, rate: Rate, *more: Any) -> T:
        """Ask the store about a bucket; raise StoreFailed when it does not answer in time, and then it is lost."""
        async with self._room:
            if self.is_lost or self._is_closed:
                raise StoreFailed("the limits are lost, or closed")
            task = self._task(question(key, rate, *more))
            try:
                # The timer of a loop that was busy elsewhere is late, and the answer may be there but unread: then it
                # listens once more before it blames the store.
                for _ in range(2):
                    start = _now()
                    await asyncio.wait([task], timeout=PATIENCE)
                    if task.done() or _now() < start + PATIENCE + BUSY:
                        break
                if not task.done():
                    raise StoreFailed(f"no answer within {PATIENCE:g} s")  # noqa: TRY301 - lost, like one that failed
                if task.cancelled():
                    raise StoreFailed("the limits are closed")  # noqa: TRY301 - as above
                return task.result()
            except Exception as error:  # whatever is wrong with the store, no call may fail because of it
                # Only the first of several failed questions loses the limits; those that follow find them lost.
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
        """Check until the store answers again, and charge it with what was sent meanwhile."""
        pause = PROBE if self._losses <= FLAPS else min(PATIENT_PROBE, PROBE * 2**self._losses)
        while self._lost_at is not None:
            await asyncio.sleep(pause)
            # What every bucket has made good since is not charged. The first bucket always is: it is the one at which
            # the store failed, and a store that fails at it again is not back.
            first = next(iter(self._debts), None)
            self._debts = {key: debt for key, debt in self._debts.items() if key == first or debt.is_due(_now())}
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await self._store.census()
                # Calls go on meanwhile, each in its own share, so this is repeated until nothing is owed.
                while self._debts:
                    owed, self._debts = self._debts, {}
                    try:
                        await asyncio.gather(*(self._charge(key, debt) for key, debt in owed.items()))
                    except Exception:
                        self._debts = owed | self._debts
                        raise
                notify(self._on_event, LimitsBack(backing=self._store.name, seconds=_now() - self._lost_at))
                # The store may know only some of the workers until all have come back. Should it be lost again before
                # that, the shares of all still have to fit each other: so the count from before stays until then.
                self._settled_at = _now() + SETTLE
                self._lost_at = None
                self._is_back.set()

    async def _charge(self, key: str, debt: Debt) -> None:
        async with self._room, asyncio.timeout(PATIENCE):
            await self._store.charge(key, debt.rate, debt.requests)

    async def _count(self) -> None:
        """Count the workers, and be counted, from now on."""
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
    """The limiter of a bucket that many clients share, through one store."""

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
        """Whether it is full again as far as this client knows; the store knows the rest."""
        return _now() > self._idle_at

    async def acquire(self, on_remote_pause: Callable[[], None]) -> None:
        """Wait until one more request may be sent; `on_remote_pause` is called when the store knows of a pause.

        Cancelled, its place in the store's queue goes to the next caller of this client; cancelled while the store
        is granting the permit, the request counts as sent.
        """
        while True:
            # 1. A pause that this client knows of: the store need not be asked.
            wait = max(self.paused_until - _now(), 0.0)
            if not wait:
                reply = None
                if not self._shared.is_lost:
                    with suppress(StoreFailed):
                        reply = await self._shared.take(self._key, self._rate)
                # 2. The store cannot be asked: this client keeps to its own share.
                if reply is None:
                    self._own, wait = self._shared.own_permit(self._key, self._rate, self._own)
                # 3. The store answers: with a permit, or with the time to ask again, which may be that of a pause.
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
            # Limits that are back before a wait for the own share is over end it: the store may grant more.
            await (self._shared.back_within(wait) if self._shared.is_lost else asyncio.sleep(wait))
        self._idle_at = _now() + self._rate.refill

    def pause(self, seconds: float) -> None:
        """Grant nothing for `seconds`: this client at once, the others as soon as they ask."""
        self._hold(_now() + seconds)
        self._shared.pause_later(self._key, self._rate, seconds)

    def _hold(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)
        self._idle_at = max(self._idle_at, self.paused_until + self._rate.refill)


def _now() -> float:
    return asyncio.get_running_loop().time()
