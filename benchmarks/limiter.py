"""Permits of the rate limits: flyasync's buckets against the bare aiolimiter within them, and against pyrate-limiter.

Every API call takes a permit or two, so a permit that is free must cost next to nothing. Fleets have many machines,
each with limits of its own, so what a key leaves behind counts. And when thousands wait for one key, what matters is
who goes first, and that the rate is used to the full.

The limiters take turns at the same work, at the same rate and burst. Permits that are free are taken in real time; keys
that are idle, and waiting, are in virtual time, which all of them read. Of the CPU of a permit that is waited for, most
belongs to the task that waits and to the loop that wakes it: that is the same for all.
"""

import asyncio
import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate

from attrs import frozen

from benchmarks.parts import limiter_subjects as limiters
from benchmarks.parts.limiter_subjects import Acquire, Subject
from benchmarks.shared.table import Goal, Plot, Row, Table, rows
from benchmarks.shared.timing import alternate, alternate_tasks, compared
from flyasync.testing import VirtualTimeLoop, run_virtual
from flyasync.transport.ratelimit.buckets import Buckets
from flyasync.transport.ratelimit.rates import Rate

RATIO, LAST = "x aiolimiter", "last / ideal"
IN_LINE = (limiters.AIOLIMITER, limiters.FLYASYNC, limiters.PYRATE)
"""Whose waiters are compared."""


@frozen(kw_only=True)
class Size:
    """How much of everything."""

    permits: int = 20_000
    rounds: int = 9
    keys: int = 100_000
    waiters: Sequence[int] = (100, 1000, 10_000)
    crowds: int = 3
    arrivals: int = 6000


TINY = Size(permits=200, rounds=1, keys=200, waiters=(20, 100), crowds=1, arrivals=300)


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure free permits, idle keys, waiters, and who overtakes whom."""
    size = TINY if tiny else Size()
    yield asyncio.run(free_permits(size))
    yield idle_keys(size.keys)
    yield waiters(size.waiters, size.crowds)
    yield arrivals(size.arrivals)


async def free_permits(size: Size) -> Table:
    """Measure what a permit costs while no one waits."""
    plenty = Rate(per_second=10, burst=10**9)  # more at once than are ever taken

    async def take(acquire: Acquire) -> None:
        for _ in range(size.permits):
            await acquire()

    work = {name: partial(take, subject(plenty)("m1")) for name, subject in limiters.SUBJECTS.items()}
    taken = await alternate_tasks(work, size.rounds)
    figures, by_hand = (
        compared(taken, "ns", size.permits / 1e9, {RATIO: base})
        for base in (limiters.AIOLIMITER, limiters.AIOLIMITER_CALL)
    )
    figures[limiters.FLYASYNC_CALL] = by_hand[limiters.FLYASYNC_CALL]
    goals = [Goal(f"{RATIO} <= 2", "each coroutine around the limiter's own costs a part of it")]
    return Table(
        title=f"A permit while nobody waits: ns of CPU, {size.permits} permits a round",
        subject="limiter",
        columns={"ns": ",.0f", RATIO: ".2f"},
        rows=rows(figures, dict.fromkeys([limiters.FLYASYNC, limiters.FLYASYNC_CALL], goals)),
        notes=[
            "The ratios are to the bare aiolimiter; with key, place and clock, to aiolimiter with the same by hand.",
            "Goal: what makes a bucket fair and able to pause costs no more than the limiter within it, so 2 with it.",
        ],
    )


def idle_keys(count: int) -> Table:
    """Measure what keys leave behind that were used once."""
    subjects = (limiters.AIOLIMITER, limiters.FLYASYNC_CALL, limiters.PYRATE, limiters.PYRATE_ONE)
    held = {name: run_virtual(_bytes_of_keys(limiters.SUBJECTS[name], count)) for name in subjects}
    goals = [
        Goal(f"{RATIO} <= 2", "a bucket, its rate and its key are objects around the limiter"),
        Goal("20 s later <= 1", "for few keys, what the client has once for all counts too much"),
    ]
    figures = {
        name: {"just used": used / count, RATIO: used / held[limiters.AIOLIMITER][0], "20 s later": later / count}
        for name, (used, later) in held.items()
    }
    return Table(
        title=f"{count:,} keys that were used once: bytes for each, by tracemalloc",
        subject="limiter",
        columns={"just used": ",.0f", RATIO: ".2f", "20 s later": ",.1f"},
        rows=rows(figures, {limiters.FLYASYNC_CALL: goals}),
        notes=[
            f"flyasync forgets idle buckets every {Buckets.SWEEP:g} s; the others keep theirs until told otherwise.",
            "One pyrate-limiter for all keys needs less for each, but while one key waits, so do all the others.",
            "Goals: line, pause and key take no more than the limiter within; and what is idle costs nothing.",
        ],
    )


async def _bytes_of_keys(subject: Subject, count: int) -> tuple[int, int]:
    """Return what is held after a permit of each key, and 20 s later."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    names = [f"{number:014x}" for number in range(count)]
    tracemalloc.start()
    try:
        of = subject(Rate(per_second=1, burst=3))
        for name in names:
            await of(name)()
        used = held()
        await asyncio.sleep(2 * Buckets.SWEEP)
        return used, held()
    finally:
        tracemalloc.stop()


def waiters(counts: Sequence[int], rounds: int) -> Table:
    """Measure what a permit costs when many wait for it, and whether the rate is used."""
    return Table(
        title="Waiters for one key at 100/s, all there from the start: us of CPU for each, with the task that waits",
        subject="limiter",
        columns={"waiters": ",d", "us": ".1f", RATIO: ".2f", LAST: ".3f"},
        rows=[row for count in counts for row in _waiter_rows(count, rounds)],
        notes=[f"`{LAST}`: when the last one got its permit, over when the rate allows it at the earliest."],
        plot=Plot(
            title="CPU of a permit, by how many wait for the same key",
            along="waiters",
            up="microseconds",
            column="us",
        ),
    )


def _waiter_rows(count: int, rounds: int) -> Iterator[Row]:
    rate, last = Rate(per_second=100, burst=10), dict[str, float]()

    async def wait_all(name: str) -> None:
        acquire, loop = limiters.SUBJECTS[name](rate)("m1"), asyncio.get_running_loop()
        start = loop.time()
        await asyncio.gather(*(acquire() for _ in range(count)))
        last[name] = loop.time() - start

    def crowd(name: str) -> Callable[[], None]:
        return lambda: run_virtual(wait_all(name))

    taken = alternate({name: crowd(name) for name in IN_LINE}, rounds)
    why = "for few waiters, the line in front costs more than it spares the limiter, which sees one waiter only"
    goals = {limiters.FLYASYNC: [Goal(f"{RATIO} <= 1", why), Goal(f"{LAST} <= 1.01")]}
    figures = compared(taken, "us", count / 1e6, {RATIO: limiters.AIOLIMITER})
    for name, seconds in last.items():
        figures[name] |= {"waiters": count, LAST: seconds / ((count - rate.burst) / rate.per_second)}
    yield from rows(figures, goals)


def arrivals(count: int) -> Table:
    """Count who is overtaken while others keep arriving at a busy loop."""
    rate = Rate(per_second=1000, burst=10)
    figures = {}
    for name in IN_LINE:
        with asyncio.Runner(loop_factory=_BusyLoop) as runner:
            order, last = runner.run(_arrivals(limiters.SUBJECTS[name], rate, count))
        ideal = (count - rate.burst) / rate.per_second
        figures[name] = {"overtaken": overtaken(order), "most places lost": most_lost(order), LAST: last / ideal}
    return Table(
        title=f"{count:,} who arrive one after the other, at 1,000/s, while the loop is busy with other work",
        subject="limiter",
        columns={"overtaken": ",d", "most places lost": ",d", LAST: ".3f"},
        rows=rows(figures, {limiters.FLYASYNC: [Goal("overtaken <= 0", "somebody passed the line")]}),
        notes=[
            "`overtaken`: those who got their permit after somebody who came later. Always the same arrivals, by seed.",
            "Goal: none, for whoever is overtaken may wait for as long as others keep coming.",
        ],
    )


class _BusyLoop(VirtualTimeLoop):
    """A loop that can be kept busy, as by a computation: it does nothing meanwhile, and all its timers come late."""

    burnt = 0.0

    def time(self) -> float:
        return super().time() + self.burnt


async def _arrivals(subject: Subject, rate: Rate, count: int) -> tuple[Sequence[int], float]:
    """Return the order in which they got their permits, and when the last did."""
    acquire, loop, dice = subject(rate)("m1"), asyncio.get_running_loop(), random.Random(1)
    assert isinstance(loop, _BusyLoop)
    order: list[int] = []

    async def take(number: int) -> None:
        await acquire()
        order.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(take(number))
            loop.burnt += dice.uniform(0, 0.0015)
            await asyncio.sleep(dice.choice([0, 0, 0, 0.001]))
    return order, loop.time()


def overtaken(order: Sequence[int]) -> int:
    """Count who came after somebody with a higher number."""
    return sum(number < highest for number, highest in zip(order, accumulate(order, max), strict=True))


def most_lost(order: Sequence[int]) -> int:
    """Return the most places by which anybody came later than by number."""
    return max(place - number for place, number in enumerate(order))
