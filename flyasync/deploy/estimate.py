"""How long a plan takes, and what is left of one under way: a sum over its stages, from times observed; pure."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from heapq import heapify, heapreplace
from statistics import fmean

from attrs import evolve, frozen

from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import (
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    Plan,
    RunToEnd,
    Stage,
    Start,
    Step,
    Stop,
    TakeVolume,
    Track,
    Update,
    Watch,
)
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.timings import Fit, Normal, TimingKind, Timings, reach
from flyasync.models.machine import Machine

OVER = frozenset({Phase.SKIPPED, Phase.FAILED, Phase.DESTROYED})
"""The phases from which a machine goes no further."""

KILLED_AFTER = 5.0
"""Seconds that the API gives a process to stop before it kills it, unless its config says otherwise."""


@frozen(kw_only=True)
class CreateRate:
    """How many creates of one app may leave at once, and how many a second from then on."""

    usable: float
    per_second: float


@frozen(kw_only=True)
class Part:
    """Some of what a track takes: `seconds` that are decided, or a kind of time that has to be observed.

    While it has not been, `at_most` bounds it. `passed` are the seconds for which it has been under way.
    """

    kind: TimingKind | None = None
    seconds: float = 0.0
    at_most: float | None = None
    passed: float = 0.0


@frozen(kw_only=True)
class Path:
    """What is left of one track: its parts, one after the other, once it has waited in the create queue."""

    parts: tuple[Part, ...]
    region: str
    wait: float = 0.0
    takes_a_place: bool = False
    has_begun: bool = False


@frozen
class Leg:
    """What is left of one stage: the paths of its tracks, and the widths of its lanes."""

    paths: tuple[Path, ...]
    widths: Mapping[str, int]


def estimate(plan: Plan, pace: CreateRate, timings: Timings) -> Estimate:
    """Estimate how many seconds a plan takes from its first change to its report, if all goes well."""
    return _estimated(_legs(plan, pace, _fresh(plan), made=()), timings)


def left(
    plan: Plan, runs: Mapping[str, MachineRun], now: float, pace: CreateRate, timings: Timings, *, drains: bool = False
) -> Estimate:
    """Estimate how many seconds a plan still takes at `now`, by how far the runs of its machines have come.

    Machines that have failed are over; where the deploy `drains`, so are those that have not begun.
    """
    made = sorted(
        each.created_after - now for each in runs.values() if each.created_after is not None and not each.adopted
    )
    legs = _legs(plan, pace, list(_standings(plan, runs, now, drains=drains)), made)
    return _estimated(legs, timings)


def estimate_many(seconds: Iterable[float], at_once: int) -> float:
    """Return how many seconds deploys take that take `seconds` each, where `at_once` of them are under way together.

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


# What is left to do


@frozen
class Standing:
    """How far one track has come: so many steps, and `passed` seconds of the next one; `is_over` once it ends there."""

    steps: int = 0
    passed: float = 0.0
    has_begun: bool = False
    is_over: bool = False


_DONE: Mapping[type[Step], Phase] = {
    Create: Phase.CREATED,
    AwaitStarted: Phase.STARTED,
    AwaitHealthy: Phase.HEALTHY,
    AwaitSettled: Phase.SETTLED,
    Stop: Phase.STOPPED,
    RunToEnd: Phase.ENDED,
}
"""The phase that tells that a step which takes time is done."""


def _fresh(plan: Plan) -> Sequence[Standing]:
    return [Standing()] * len(plan.tracks)


def _standings(plan: Plan, runs: Mapping[str, MachineRun], now: float, *, drains: bool) -> Iterator[Standing]:
    """Yield for each track how far it has come; a run counts the steps of all its stages."""
    before: Counter[str] = Counter()
    for track in plan.tracks:
        name = track.machine.name
        run, earlier = runs[name], before[name]
        before[name] += len(track.steps)
        has_begun = bool(run.moments) and run.taken >= earlier
        steps = max(0, run.taken - earlier)
        if steps < len(track.steps) and _DONE.get(type(track.steps[steps])) is run.phase is not None:
            steps += 1  # it has been noted, and is counted in a moment
        yield Standing(
            steps=steps,
            passed=now - run.moments[-1].at if has_begun else 0.0,
            has_begun=has_begun,
            is_over=run.error is not None or run.phase in OVER or (drains and not has_begun),
        )


def _legs(plan: Plan, pace: CreateRate, standings: Sequence[Standing], made: Iterable[float]) -> list[Leg]:
    """Return what is left of each stage; `made` are the moments of the creates so far, in seconds from now."""
    there = {machine.id: machine for machine in plan.before.machines} if plan.before else {}
    standing = iter(standings)
    legs: list[Leg] = []
    for stage in plan.stages:
        to_go = [(track, came) for lane in stage.lanes for track in lane.tracks
                 if not (came := next(standing)).is_over and came.steps < len(track.steps)]  # fmt: skip
        if to_go:
            to_go.sort(key=_number)
            legs.append(Leg(tuple(_paths(to_go, there, _queue(pace, () if legs else made))), _widths(stage)))
    return legs


def _number(to_go: tuple[Track, Standing]) -> int:
    return to_go[0].machine.number


def _widths(stage: Stage) -> dict[str, int]:
    return {lane.region: lane.width for lane in stage.lanes if lane.width}


def _queue(pace: CreateRate, made: Iterable[float]) -> Iterator[float]:
    """Yield in how many seconds the next create may leave, then the one after it, and so on without end."""
    gap, full_at = 1 / pace.per_second, -math.inf
    for moment in made:
        full_at = max(full_at, moment) + gap
    full_at = max(full_at, 0.0)
    while True:
        yield max(0.0, full_at - (pace.usable - 1) * gap)
        full_at += gap


def _paths(
    to_go: Iterable[tuple[Track, Standing]], there: Mapping[str, Machine], queue: Iterator[float]
) -> Iterator[Path]:
    for track, came in to_go:
        creates = any(isinstance(step, Create) for step in track.steps[came.steps :])
        yield Path(
            parts=tuple(_parts(track, came, there.get(track.machine_id or ""))),
            region=track.machine.region,
            wait=next(queue) if creates else 0.0,
            takes_a_place=track.takes_a_place,
            has_begun=came.has_begun,
        )


def _parts(track: Track, came: Standing, machine: Machine | None) -> Iterator[Part]:
    """Yield what is left of a track; requests that nothing waits for take no time worth telling."""
    if machine is not None and not came.has_begun:
        yield Part(kind=TimingKind.REQUESTS, at_most=0.0)
    # What it starts by decides how long that takes. One that was started before, and is not changed, is not waited for.
    is_up = machine is not None and machine.state == "started"
    starts: TimingKind | None = None if is_up else TimingKind.BOOT
    passes = machine is not None and machine.is_healthy
    for number, step in enumerate(track.steps):
        if isinstance(step, Create | Update | Start):
            starts, passes = TimingKind.START if isinstance(step, Start) else TimingKind.BOOT, False
        part = _part(step, starts, machine, passes=passes)
        if part and number >= came.steps:
            yield evolve(part, passed=came.passed) if number == came.steps else part


def _part(step: Step, starts: TimingKind | None, machine: Machine | None, *, passes: bool) -> Part | None:
    """Return what a step waits for; None where it waits for nothing but the answers to its requests."""
    kind: TimingKind | None
    match step:
        case Watch(seconds=seconds) | Cordon(drain=seconds):
            return Part(seconds=seconds)
        case Stop():
            return Part(kind=TimingKind.STOP, at_most=_killed_after(machine))
        case AwaitStarted():
            kind = starts
        case AwaitHealthy():
            kind = None if passes else TimingKind.CHECKS
        case AwaitSettled():
            kind = TimingKind.SETTLE
        case RunToEnd():
            kind = TimingKind.RELEASE
        case TakeVolume(source=str()):
            kind = TimingKind.FORK
        case _:
            kind = None
    return Part(kind=kind) if kind else None


def _killed_after(machine: Machine | None) -> float:
    stop = machine.config.stop_config if machine and machine.config else None
    return KILLED_AFTER if stop is None or stop.timeout is None else float(stop.timeout)


# How long that takes

Length = Callable[[Part], Normal]


def _estimated(legs: Sequence[Leg], timings: Timings) -> Estimate:
    """Add up the stages: as they are at the low end of what was observed, at its high end, and without what was not."""
    parts = [part for leg in legs for path in leg.paths for part in path.parts]
    kinds = dict.fromkeys(part.kind for part in parts if part.kind)
    under_way = {kind: [each.passed for each in parts if each.kind is kind and each.passed > 0] for kind in kinds}
    fits: dict[TimingKind | None, Fit] = {kind: fit for kind in kinds if (fit := timings.fit(kind, under_way[kind]))}
    floor = _total(legs, _decided).mean
    low, low_reach = _reached(legs, fits, at_the_low_end)
    least = max(floor, low - low_reach)
    unbound = dict.fromkeys(each.kind for each in parts if each.kind and each.at_most is None)
    if unobserved := tuple(str(kind) for kind in unbound if kind not in fits):
        return Estimate(least=_rounded(least), unobserved=unobserved)
    high, high_reach = _reached(legs, fits, at_the_high_end)
    likely = max(floor, (low + high) / 2)
    return Estimate(
        least=_rounded(min(least, likely)), likely=_rounded(likely), most=_rounded(max(likely, high + high_reach))
    )


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


End = Callable[[Part, Fit | None], Normal]


def _decided(part: Part) -> Normal:
    """Return what is decided of a part."""
    return Normal(max(0.0, part.seconds - part.passed))


def at_the_low_end(part: Part, fit: Fit | None) -> Normal:
    """Return the least that a part takes by what was observed."""
    return fit.low.rest(part.passed) if fit else _decided(part)


def at_the_high_end(part: Part, fit: Fit | None) -> Normal:
    """Return the most that a part takes by what was observed; one that only has a bound takes as long as that."""
    if fit is None:
        return Normal(max(0.0, max(part.seconds, part.at_most or 0.0) - part.passed))
    return fit.high.rest(part.passed)


def _reached(legs: Sequence[Leg], fits: Mapping[TimingKind | None, Fit], end: End) -> tuple[float, float]:
    """Return how long it takes, and how far from that it may be: by chance, and by how little has been observed."""
    total = _total(legs, lambda part: end(part, fits.get(part.kind)))
    erring = {kind: fit.erring() for kind, fit in fits.items()}
    off = _total(legs, lambda part: end(part, erring.get(part.kind))).mean - total.mean
    fewest = min((fit.count for fit in fits.values()), default=math.inf)
    return total.mean, reach(fewest) * math.sqrt(total.variance + off**2)


def _total(legs: Iterable[Leg], length: Length) -> Normal:
    """Add up the stages: each begins when the one before it is done."""
    return sum((_leg(leg, length) for leg in legs), Normal())


def _leg(leg: Leg, length: Length) -> Normal:
    """Return when the last track of a stage is done: of those that need no slot, and of those that wait for one."""
    lines: dict[str, list[Path]] = {}
    ends: list[Normal] = []
    for path in leg.paths:
        if path.takes_a_place and path.region in leg.widths:
            lines.setdefault(path.region, []).append(path)
        else:
            ends.append(_end(path, length))
    ends += (_line(paths, leg.widths[region], length) for region, paths in lines.items())
    return _last(ends)


def _end(path: Path, length: Length) -> Normal:
    return sum(map(length, path.parts), Normal(path.wait))


def _line(paths: Iterable[Path], width: int, length: Length) -> Normal:
    """Return when the last of a lane is done, of which `width` may be under way at once.

    Those that wait share the slots evenly. Where all take the same time they go in rounds, and some slots have one
    round more than others; where they do not, a slot that is free early takes more of them. So the slots come to
    their last one at about the same time, and the end is the latest of these.
    """
    under_way: list[Normal] = []
    waiting: list[Normal] = []
    for path in paths:
        (under_way if path.has_begun else waiting).append(_end(path, length))
    free_at = sorted([*under_way, *[Normal()] * (width - len(under_way))], key=_mean)
    if not waiting:
        return _last(free_at)
    each = Normal(fmean(map(_mean, waiting)), fmean(one.variance for one in waiting))
    evenness = 1 - min(1.0, 2 * math.sqrt(each.variance) / each.mean) if each.mean else 1.0
    rounds, more = divmod(len(waiting), len(free_at))
    shared = max(0.0, len(waiting) / len(free_at) - 1)
    ends = []
    for slot, free in enumerate(free_at):
        count = rounds + (slot < more)
        before = evenness * (count - 1) + (1 - evenness) * shared
        ends.append(free + each.plus(before * each.mean) if count else free)
    return Normal(variance=shared * each.variance / len(free_at)) + _last(ends)


def _last(ends: Iterable[Normal]) -> Normal:
    return reduce(Normal.or_later, ends, Normal())


def _mean(length: Normal) -> float:
    return length.mean
