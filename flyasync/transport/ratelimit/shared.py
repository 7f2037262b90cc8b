"""One budget for many clients: what keeps it, and what each of them does while that cannot be asked."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
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
"""Seconds by which a loop looks up late when it was busy elsewhere for long."""
PROBE = 1.0
"""Seconds between two looks whether they are back."""
PATIENT_PROBE = 30.0
"""Seconds between two looks of a client that loses them again and again: it is better off with its share."""
STEADY = 10.0
"""Seconds for which they have to be back before losing them counts as the first time."""
FLAPS = 2
"""Losses in a row before a client looks more seldom."""
SETTLE = 2 * PROBE
"""Seconds for which a client asks for nothing after that, until everyone else has noticed too."""
CENSUS = 2.0
"""Seconds between two counts of the workers, which go on while a client is idle: it may be needed any time."""
AT_ONCE = 16
"""Questions of one client to the store at once; more would only wait for each other, and seem to be unanswered."""
AGAIN = 0.1
"""Seconds after which what does not end is told to end once more."""
NEWS = 1.0
"""Seconds by which a pause in the store has to outlast what a client knows, to be another client's pause."""
SECOND = 1_000_000
"""Microseconds in one."""


class StoreFailed(Exception):
    """The store cannot be asked; the text says why, and names no password."""


@frozen(kw_only=True)
class Census:
    """How many workers the store has seen lately, which of them one is, and the store's clock in microseconds."""

    workers: int
    rank: int
    clock: int


@frozen(kw_only=True)
class StoreReply:
    """What a store says to a client that asks for one request: the seconds to `wait` before asking again, 0 grants it.

    For `paused` of them nothing gets through, whoever asks: some client has met a 429.
    """

    wait: float
    paused: float = 0.0


class Store(Protocol):
    """Where workers keep their buckets together.

    Whatever a method raises says that the store cannot be asked, with no password in its text: StoreFailed or OSError,
    as a rule. How long it takes is bounded by the caller, who cancels it.
    """

    name: str
    """What it is, for people to read; without any password."""

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Ask for one request."""

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        """Let nothing through for `seconds`, and from then on without a burst."""

    async def charge(self, key: str, rate: Rate, requests: int) -> None:
        """Count requests that were made without asking."""

    async def census(self) -> Census:
        """Count the workers, and be counted."""

    async def close(self) -> None:
        """Let go of it; the buckets stay for the others, and expire by themselves."""


@define
class Debt:
    """What a client has asked of the API while the store was away: so many requests, the last one then."""

    rate: Rate
    requests: int = 0
    last: float = 0.0


class SharedLimits:
    """One client's access to a store: whether it answers, and the share to keep to while it does not."""

    def __init__(self, store: Store, on_event: OnClientEvent, *, workers: int = 1) -> None:
        self._store = store
        self._on_event = on_event
        self._expected = workers
        # Until the store has said more, workers that know nothing of each other spread at random.
        self._census = Census(workers=workers, rank=random.randrange(workers), clock=0)  # noqa: S311 - guards nothing
        self._ahead = 0
        self._room = asyncio.Semaphore(AT_ONCE)
        self._lost_at: float | None = None
        self._settled_at = float("-inf")
        self._losses = 0
        self._is_back = asyncio.Event()
        self._is_closed = False
        self._debts: dict[str, Debt] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._counting: asyncio.Task[None] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the store did not answer when it was asked last."""
        return self._lost_at is not None

    def pace(self, key: str, rate: Rate, report: Callable[[float], None] = lambda _: None) -> "SharedLimiter":
        """Make what grants the turns of one bucket; `report` is called with the seconds of another client's pause."""
        return SharedLimiter(self, key, rate, report)

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Ask the store for one request; raises StoreFailed when it does not answer, which is told."""
        self._begin_counting()
        if (settling := self._settled_at - _now()) > 0:
            return StoreReply(wait=settling)
        return await self._bounded(self._store.take, key, rate)

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        """Pause a bucket for everyone; raises StoreFailed when the store does not answer, which is told."""
        await self._bounded(self._store.pause, key, rate, seconds)

    def pause_later(self, key: str, rate: Rate, seconds: float) -> None:
        """Pause a bucket for everyone, without waiting for that; everyone else learns of it in its own way if lost."""

        async def pause() -> None:
            with suppress(StoreFailed):
                await self.pause(key, rate, seconds)

        if not self.is_lost:
            self._task(pause())

    def own_turn(self, rate: Rate, after: int) -> tuple[int, float]:
        """Give the number of this client's next turn after `after`, and the seconds until then."""
        workers = max(self._census.workers, self._expected)
        turn, wait = share(
            self.clock(), interval=rate.interval, workers=workers, rank=self._census.rank % workers, after=after
        )
        return turn, wait / SECOND

    def owe(self, key: str, rate: Rate) -> None:
        """Note that a turn of its own was taken, to have it counted when the store is back."""
        debt = self._debts.setdefault(key, Debt(rate))
        debt.requests, debt.last = debt.requests + 1, _now()

    def clock(self) -> int:
        """Give the time of the clock that all workers share, in microseconds."""
        return round(_now() * SECOND) + self._ahead

    async def back_within(self, seconds: float) -> None:
        """Wait for `seconds`, or until the store answers again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_back.wait()

    async def close(self) -> None:
        """Let go of the store."""
        self._is_closed = True
        while left := {task for task in self._tasks if not task.done()}:
            for task in left:
                task.cancel()
            # A library may take the cancellation for the end of its own time-out, and go on; so it is said again.
            await asyncio.wait(left, timeout=AGAIN)
        await self._store.close()

    async def _bounded(self, ask: Callable[..., Awaitable[T]], key: str, rate: Rate, *more: Any) -> T:
        """Ask the store something about a bucket, for so long and no longer."""
        async with self._room:
            if self.is_lost or self._is_closed:
                raise StoreFailed("the limits are lost, or closed")
            task = self._task(_asked(ask, key, rate, *more))
            try:
                if not await _within_patience(task):
                    raise StoreFailed(f"no answer within {PATIENCE:g} s")  # noqa: TRY301 - lost, like one that failed
                if task.cancelled():
                    raise StoreFailed("the limits are closed")  # noqa: TRY301 - as above
                return task.result()
            except Exception as error:  # whatever is wrong with the store, no call may fail of it
                self._lose(error, key, rate)
                raise StoreFailed(str(error)) from error
            finally:
                task.cancel()

    def _lose(self, error: Exception, key: str, rate: Rate) -> None:
        if self._lost_at is None and not self._is_closed:
            self._lost_at = _now()
            self._losses = self._losses + 1 if _now() < self._settled_at - SETTLE + STEADY else 1
            self._is_back.clear()
            workers = max(self._census.workers, self._expected)
            notify(self._on_event, LimitsLost(backing=self._store.name, reason=str(error), workers=workers))
            self._debts.setdefault(key, Debt(rate))
            self._task(self._look_for_it())

    async def _look_for_it(self) -> None:
        """Look until the store answers again, also about the buckets that it failed at or that were used meanwhile."""
        pause = PROBE if self._losses <= FLAPS else min(PATIENT_PROBE, PROBE * 2**self._losses)
        while self._lost_at is not None:
            await asyncio.sleep(pause)
            self._forget_old_debts()
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await self._store.census()
                await self._pay()
                notify(self._on_event, LimitsBack(backing=self._store.name, seconds=_now() - self._lost_at))
                # It may know only some of the workers until all have come back: should it be lost again before that,
                # the shares of all still have to fit each other. So the count from before stays until then.
                self._settled_at = _now() + SETTLE
                self._lost_at = None
                self._is_back.set()

    def _forget_old_debts(self) -> None:
        """Leave out the requests that every bucket has made good since; the first one says at what the store failed."""
        first = next(iter(self._debts), None)
        self._debts = {
            key: debt
            for key, debt in self._debts.items()
            if key == first or _now() < debt.last + debt.requests / debt.rate.per_second
        }

    async def _pay(self) -> None:
        """Have the store count what was asked without it, until all of it is."""
        while self._debts:
            owed, self._debts = self._debts, {}
            try:
                await asyncio.gather(*(self._charge(key, debt) for key, debt in owed.items()))
            except Exception:
                self._debts = owed | self._debts
                raise

    async def _charge(self, key: str, debt: Debt) -> None:
        async with self._room, asyncio.timeout(PATIENCE):
            await self._store.charge(key, debt.rate, debt.requests)

    def _begin_counting(self) -> None:
        if self._counting is None and not self._is_closed:
            self._counting = self._task(self._count())

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
    """A pace that many clients keep together, through one store."""

    __slots__ = ("_key", "_own", "_rate", "_report", "_resting_at", "_shared", "paused_until")

    def __init__(self, shared: SharedLimits, key: str, rate: Rate, report: Callable[[float], None]) -> None:
        self._shared = shared
        self._key = key
        self._rate = rate
        self._report = report
        self._own: int | None = None  # the number of the last turn that it took without asking, if it did
        self.paused_until = 0.0
        self._resting_at = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether it is full again as far as this client knows; all else the store knows."""
        return _now() > self._resting_at

    async def acquire(self, on_pause: Callable[[], None]) -> None:
        """Wait until one more request may leave; `on_pause` is called when the store knows of a pause.

        Cancelled, its place in line goes to whoever of this client comes next; cancelled while the store is granting
        it, the request counts as made.
        """
        while wait := max(self.paused_until - _now(), 0.0) or await self._ask(on_pause):
            await (self._shared.back_within(wait) if self._shared.is_lost else asyncio.sleep(wait))
        self._resting_at = _now() + self._rate.refill

    def pause(self, seconds: float) -> None:
        """Let nothing through for `seconds`, for this client at once, and for the others as soon as they ask."""
        self._hold(_now() + seconds)
        self._shared.pause_later(self._key, self._rate, seconds)

    def _hold(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)
        self._resting_at = max(self._resting_at, self.paused_until + self._rate.refill)

    async def _ask(self, on_pause: Callable[[], None]) -> float:
        if not self._shared.is_lost:
            with suppress(StoreFailed):
                answer = await self._shared.take(self._key, self._rate)
                self._own = None
                if answer.paused:
                    self._learn(answer.paused)
                    on_pause()
                return answer.wait
        return self._ask_nobody()

    def _learn(self, seconds: float) -> None:
        """Keep to a pause that the store knows of, and report it unless it is one that is known already."""
        now = _now()
        is_news = now + seconds > max(self.paused_until, now) + NEWS
        self._hold(now + seconds)
        if is_news:
            self._report(seconds)

    def _ask_nobody(self) -> float:
        if self._own is None:
            # The turns next to now may be used up by what the store has just granted to others.
            self._own = self._shared.clock() // self._rate.interval + 1
        turn, wait = self._shared.own_turn(self._rate, self._own)
        if not wait:
            self._own = turn
            self._shared.owe(self._key, self._rate)
        return wait


async def _asked(ask: Callable[..., Awaitable[T]], *about: Any) -> T:
    return await ask(*about)


async def _within_patience(task: "asyncio.Task[Any]") -> bool:
    """Wait for an answer and say whether it came; a loop that was busy elsewhere listens once more before it blames."""
    for _ in range(2):
        start = _now()
        await asyncio.wait([task], timeout=PATIENCE)
        if task.done() or _now() < start + PATIENCE + BUSY:
            break
    return task.done()


def _now() -> float:
    return asyncio.get_running_loop().time()
