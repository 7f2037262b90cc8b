"""CPU time of several subjects side by side: they take turns, so that a machine whose speed drifts slows all alike.

That is why pyperf is not used: it measures wall time, of one subject after the other.
"""

import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from benchmarks.shared.table import Spread

Subject = TypeVar("Subject")
Taken = Mapping[str, Sequence[float]]
"""Seconds of CPU by subject, one for each round."""


def alternate(
    subjects: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> Taken:
    """Run each subject once a round; `clock` says how many seconds have been used: of the CPU, by this process."""
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


def spread(taken: Taken, subject: str, *, per: float = 1.0) -> Spread:
    """Give what `subject` took, for each of `per`."""
    return Spread.of(seconds / per for seconds in taken[subject])


def ratio(taken: Taken, subject: str, base: str) -> Spread:
    """Give what `subject` took as a ratio of what `base` took in the same round."""
    return Spread.of(mine / its for mine, its in zip(taken[subject], taken[base], strict=True))
