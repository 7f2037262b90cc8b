"""Turns of the rate limits: flyasync's buckets against the bare aiolimiter within them, and against pyrate-limiter.

Every API call takes a turn or two, so a turn that is free must cost next to nothing. Fleets have many machines, each
with limits of its own, so what a key leaves behind counts. And when thousands wait for one key, what matters is who
goes first, and that the rate is used to the full.

The limiters take turns at the same work, at the same rate and burst. Turns that are free are taken in real time; keys
at rest and waiting are in virtual time, which all of them read, so nobody pays for time that passes. Of the CPU per
turn of a waiter, most belongs to the task that waits and to the loop that wakes it: that is the same for all.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from benchmarks.parts.limiter_crowds import arrivals, waiters
from benchmarks.parts.limiter_subjects import (
    AIOLIMITER,
    AIOLIMITER_CALLS,
    FLYASYNC,
    FLYASYNC_CALLS,
    PYRATE,
    PYRATE_CALLS,
    TO_AIOLIMITER,
    Pace,
    Subject,
    Turn,
)
from benchmarks.shared.table import Goal, Row, Table, rows
from benchmarks.shared.timing import alternate_tasks, compared
from flyasync.testing import run_virtual
from flyasync.transport.ratelimit.buckets import Buckets

BY_TURN = [AIOLIMITER, FLYASYNC, AIOLIMITER_CALLS, FLYASYNC_CALLS, PYRATE, PYRATE_CALLS]
BY_KEY = [AIOLIMITER, FLYASYNC_CALLS, PYRATE, PYRATE_CALLS]


@frozen(kw_only=True)
class Size:
    """How much of everything."""

    turns: int = 20_000
    rounds: int = 9
    keys: int = 100_000
    waiters: Sequence[int] = (100, 1000, 10_000)
    crowds: int = 3
    arrivals: int = 6000


TINY = Size(turns=200, rounds=1, keys=200, waiters=(20, 100), crowds=1, arrivals=300)


def measure(*, tiny: bool) -> Iterator[Table]:
    """Measure free turns, keys at rest, waiters, and who overtakes whom."""
    size = TINY if tiny else Size()
    yield free_turns(size)
    yield keys_at_rest(size)
    yield waiters(size.waiters, size.crowds)
    yield arrivals(size.arrivals)


# Turns that are free


def free_turns(size: Size) -> Table:
    """Measure what a turn costs while nobody waits."""
    taken = asyncio.run(_free_turns(size))
    to_bare, by_hand = (
        compared(taken, "ns", size.turns / 1e9, {TO_AIOLIMITER: base.name}) for base in (AIOLIMITER, AIOLIMITER_CALLS)
    )
    goal = Goal(f"{TO_AIOLIMITER} <= 2", "each coroutine around the limiter's own costs a part of it")
    return Table(
        title=f"A turn while nobody waits: ns of CPU, {size.turns} turns a round",
        subject="limiter",
        columns={
            "ns": ",.0f",
            TO_AIOLIMITER: ".2f",
        },
        rows=rows(
            {**to_bare, FLYASYNC_CALLS.name: by_hand[FLYASYNC_CALLS.name]},
            {name: [goal] for name in (FLYASYNC.name, FLYASYNC_CALLS.name)},
        ),
        notes=[
            "The ratios are to the bare aiolimiter; with key, place and clock, to aiolimiter with the same by hand.",
            "Goal: what makes a bucket fair and able to pause costs no more than the limiter within it, so 2 with it.",
        ],
    )


PLENTY = Pace(per_second=10, burst=10**9)
"""More at once than are ever taken."""


async def _free_turns(size: Size) -> Mapping[str, Sequence[float]]:
    subjects = {subject.name: _take(subject.one(PLENTY), size.turns) for subject in BY_TURN}
    return await alternate_tasks(subjects, size.rounds)


def _take(turn: Turn, count: int) -> Turn:
    async def take() -> None:
        for _ in range(count):
            await turn()

    return take


# Keys at rest


def keys_at_rest(size: Size) -> Table:
    """Measure what keys leave behind that were used once."""
    left = {subject: run_virtual(_bytes_for_keys(subject, size.keys)) for subject in BY_KEY}
    goals = [
        Goal(f"{TO_AIOLIMITER} <= 2", "a bucket, its pace and its key are objects around the limiter"),
        Goal("20 s later <= 1", "for few keys, what the client has once for all counts too much"),
    ]
    shown = [
        Row(
            name=subject.name,
            figures={
                "just used": used / size.keys,
                TO_AIOLIMITER: used / left[AIOLIMITER][0],
                "20 s later": later / size.keys,
            },
            goals=goals if subject is FLYASYNC_CALLS else (),
        )
        for subject, (used, later) in left.items()
    ]
    return Table(
        title=f"{size.keys:,} keys that were used once: bytes for each, by tracemalloc",
        subject="limiter",
        columns={
            "just used": ",.0f",
            TO_AIOLIMITER: ".2f",
            "20 s later": ",.1f",
        },
        rows=shown,
        notes=[
            f"flyasync forgets buckets at rest every {Buckets.SWEEP:g} s; the others keep theirs until told otherwise.",
            "One pyrate-limiter for all keys needs less for each, but while one key waits, so do all the others.",
            "Goals: line, pause and key take no more than the limiter within; and what is at rest costs nothing.",
        ],
    )


async def _bytes_for_keys(subject: Subject, count: int) -> tuple[int, int]:
    names = [f"{number:014x}" for number in range(count)]
    tracemalloc.start()
    try:
        turn_of = subject.keys(Pace(per_second=1, burst=3))
        for name in names:
            await turn_of(name)()
        used = _held()
        await asyncio.sleep(2 * Buckets.SWEEP)
        return used, _held()
    finally:
        tracemalloc.stop()


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
