"""How long a plan takes, and what is left of one under way: the deploy is rehearsed; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heapreplace
from statistics import fmean

from flyasync.deploy.outcome import Phase, Run
from flyasync.deploy.plan import (
    Plan,
    Track,
)
from flyasync.deploy.rehearsal import USUAL, Rehearsal, Standing, Usual
from flyasync.deploy.rehearsal_clock import Pace

MOST = 32
"""How often a plan is rehearsed before it begins, each time with other luck."""

MOST_UNDER_WAY = 8
"""And how often while it is under way."""

ENOUGH = 1000
"""Fewer rehearsals do where they come to about so many machines in all: chance evens out among many."""

OVER = frozenset({Phase.SKIPPED, Phase.FAILED, Phase.DESTROYED})
"""The phases from which a machine goes no further."""


def estimate(plan: Plan, pace: Pace, usual: Usual = USUAL, *, rehearsals: int | None = None) -> float:
    """Say how many seconds a plan takes from its first change to its report, if all goes well.

    The published limits decide most of it; boots are as `usual`, and the mean of some rehearsals counts. To see the
    slowest of many apps, give each one rehearsal: the mean hides it. A plan that is empty takes 0.0.
    """
    return _mean(plan, pace, usual, {}, times=rehearsals or _times(plan, MOST))


def left(
    plan: Plan,
    runs: Mapping[str, Run],
    now: float,
    pace: Pace,
    usual: Usual = USUAL,
    *,
    drains: bool = False,
    rehearsals: int | None = None,
) -> float:
    """Say how many seconds a plan still takes at `now`, by how far the runs of its machines have come.

    Machines that have failed are over; where the deploy `drains`, so are those that have not begun.
    """
    standings = _standings(plan, runs, now, drains=drains)
    times = rehearsals or _times(plan, MOST_UNDER_WAY)
    return _mean(plan, pace, usual, standings, made=_made(runs, now), times=times)


def estimate_many(seconds: Iterable[float], at_once: int) -> float:
    """Say how many seconds deploys take that take `seconds` each, where `at_once` of them are under way together.

    They begin in their order, each as soon as one before is done.
    """
    free_at: list[float] = [0.0] * at_once
    heapify(free_at)
    end = 0.0
    for each in seconds:
        done = free_at[0] + each
        heapreplace(free_at, done)
        end = max(end, done)
    return end


def _times(plan: Plan, most: int) -> int:
    return min(most, max(1, ENOUGH // max(1, len(plan.tracks))))


def _mean(
    plan: Plan,
    pace: Pace,
    usual: Usual,
    standings: Mapping[int, "Standing"],
    *,
    made: Iterable[float] = (),
    times: int,
) -> float:
    if plan.is_empty:
        return 0.0
    moments = tuple(made)
    return fmean(Rehearsal(plan, pace, usual, standings, made=moments, luck=luck).seconds() for luck in range(times))


# How far the machines have come.


def _standings(plan: Plan, runs: Mapping[str, Run], now: float, *, drains: bool) -> dict[int, Standing]:
    """Say of each track, by its place among all, how far it has come; a run counts the steps of all its stages."""
    before: Counter[str] = Counter()
    standings: dict[int, Standing] = {}
    for index, track in enumerate(plan.tracks):
        name = track.machine.name
        standings[index] = _standing(track, runs[name], now, before[name], drains=drains)
        before[name] += len(track.steps)
    return standings


def _standing(track: Track, run: Run, now: float, before: int, *, drains: bool) -> Standing:
    taken = max(0, run.taken - before)
    has_begun = bool(run.moments) and run.taken >= before
    if run.error or run.phase in OVER or (drains and not has_begun):
        taken = len(track.steps)
    passed = now - run.moments[-1].at if run.moments and has_begun else 0.0
    return Standing(taken, passed, run.region, has_begun=has_begun)


def _made(runs: Mapping[str, Run], now: float) -> Iterator[float]:
    """Give the moments at which machines were made, as seconds from `now`: the bucket remembers them."""
    yield from sorted(
        run.created_after - now for run in runs.values() if run.created_after is not None and not run.adopted
    )
