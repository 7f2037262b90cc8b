"""CPU time of several subjects side by side: they take turns, so that a machine whose speed drifts slows all alike.

That is why pyperf is not used: it runs each subject in worker processes of its own, one after the other.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from benchmarks.shared.table import Figure, Spread

Subject = TypeVar("Subject")
Taken = Mapping[str, Sequence[float]]
"""Seconds of CPU by subject, one for each round."""


def alternate(
    subjects: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> Taken:
    """Run each subject once a round; `clock` returns the seconds used so far: of the CPU, by this process."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for name, subject, is_counted in turns(subjects, rounds):
        began = clock()
        subject()
        if is_counted:
            taken[name].append(clock() - began)
    return taken


async def alternate_tasks(subjects: Mapping[str, Callable[[], Awaitable[object]]], rounds: int) -> Taken:
    """Do the same with subjects that are awaited."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for name, subject, is_counted in turns(subjects, rounds):
        began = time.process_time()
        await subject()
        if is_counted:
            taken[name].append(time.process_time() - began)
    return taken


def turns(subjects: Mapping[str, Subject], rounds: int) -> Iterator[tuple[str, Subject, bool]]:
    """Begin each round with another one, so that none always follows the same neighbour.

    The first round is for warming up and counts for nothing.
    """
    order = list(subjects.items())
    for number in range(rounds + 1):
        first = number % len(order)
        for name, subject in (*order[first:], *order[:first]):
            gc.collect()
            yield name, subject, number > 0


def compared(taken: Taken, unit: str, per: float, bases: Mapping[str, str]) -> dict[str, dict[str, Figure]]:
    """Return the figures of each subject: `unit`, the seconds it took divided by `per`, and its ratio to each base.

    `bases` has the name of a column for each base. A ratio is taken within each round.
    """
    return {
        name: {
            unit: Spread.of(each / per for each in seconds),
            **{
                column: Spread.of(mine / its for mine, its in zip(seconds, taken[base], strict=True))
                for column, base in bases.items()
            },
        }
        for name, seconds in taken.items()
    }


async def repeated(call: Callable[[], Awaitable[object]], calls: int, at_once: int) -> None:
    """Make so many calls, so many of them at once."""
    left = iter(range(calls))

    async def go_on() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(go_on() for _ in range(at_once)))
