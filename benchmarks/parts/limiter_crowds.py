"""Many who wait for turns of one key: what a turn costs then, whether the rate is used, and who overtakes whom."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from benchmarks.parts.limiter_subjects import AIOLIMITER, FLYASYNC, PYRATE, TO_AIOLIMITER, Pace, Subject, Turn
from benchmarks.shared.table import Goal, Plot, Row, Table
from benchmarks.shared.timing import alternate, compared
from flyasync.testing import VirtualTimeLoop, run_virtual

BY_WAITER = [AIOLIMITER, FLYASYNC, PYRATE]


def waiters(counts: Sequence[int], rounds: int) -> Table:
    """Measure what a turn costs when many wait for it, and whether the rate is used."""
    return Table(
        title="Waiters for one key at 100/s, all there from the start: us of CPU for each, with the task that waits",
        subject="limiter",
        columns={
            "waiters": ",d",
            "us": ".1f",
            TO_AIOLIMITER: ".2f",
            "last / ideal": ".3f",
        },
        rows=[row for count in counts for row in _waiter_rows(count, rounds)],
        notes=["`last / ideal`: when the last one got its turn, over when the rate allows it at the earliest."],
        plot=Plot(
            title="CPU of a turn, by how many wait for the same key",
            along="waiters",
            up="microseconds",
            column="us",
        ),
    )


def _waiter_rows(count: int, rounds: int) -> Iterator[Row]:
    pace, last = Pace(per_second=100, burst=10), dict[str, float]()

    def crowd(subject: Subject) -> Callable[[], object]:
        def run() -> None:
            last[subject.name] = run_virtual(_last_of(subject.one, pace, count))

        return run

    taken = alternate({subject.name: crowd(subject) for subject in BY_WAITER}, rounds)
    ideal = (count - pace.burst) / pace.per_second
    why = "for few waiters, the line in front costs more than it spares the limiter, which sees one waiter only"
    goals = [Goal(f"{TO_AIOLIMITER} <= 1", why), Goal("last / ideal <= 1.01")]
    for name, figures in compared(taken, "us", count / 1e6, {TO_AIOLIMITER: AIOLIMITER.name}).items():
        figures |= {"waiters": count, "last / ideal": last[name] / ideal}
        yield Row(name, figures, goals if name == FLYASYNC.name else ())


async def _last_of(one: Callable[[Pace], Turn], pace: Pace, count: int) -> float:
    turn, loop = one(pace), asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(*(turn() for _ in range(count)))
    return loop.time() - start


# Arrivals


def arrivals(count: int) -> Table:
    """Count who is overtaken while others keep arriving at a busy loop."""
    return Table(
        title=f"{count:,} who arrive one after the other, at 1,000/s, while the loop is busy with other work",
        subject="limiter",
        columns={
            "overtaken": ",d",
            "most places lost": ",d",
            "last / ideal": ".3f",
        },
        rows=[_arrival_row(subject, count) for subject in BY_WAITER],
        notes=[
            "`overtaken`: those who got their turn after somebody who came later. Always the same arrivals, by seed.",
            "Goal: none, for whoever is overtaken may wait for as long as others keep coming.",
        ],
    )


BUSY = Pace(per_second=1000, burst=10)


def _arrival_row(subject: Subject, count: int) -> Row:
    with asyncio.Runner(loop_factory=_BusyLoop) as runner:
        order, last = runner.run(_arrivals(subject.one, count))
    figures = {
        "overtaken": overtaken(order),
        "most places lost": most_lost(order),
        "last / ideal": last * BUSY.per_second / (count - BUSY.burst),
    }
    goals = [Goal("overtaken <= 0", "somebody passed the line")]
    return Row(name=subject.name, figures=figures, goals=goals if subject is FLYASYNC else ())


class _BusyLoop(VirtualTimeLoop):
    """A loop that can be kept busy, as by a computation: it does nothing meanwhile, and all its timers come late."""

    burnt = 0.0

    def time(self) -> float:
        return super().time() + self.burnt


async def _arrivals(one: Callable[[Pace], Turn], count: int) -> tuple[Sequence[int], float]:
    turn, loop, dice = one(BUSY), asyncio.get_running_loop(), random.Random(1)
    assert isinstance(loop, _BusyLoop)
    order: list[int] = []

    async def take(number: int) -> None:
        await turn()
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
    """Give the most places by which anybody came later than by number."""
    return max(place - number for place, number in enumerate(order))
