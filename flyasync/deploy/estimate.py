"""Estimates how long a plan takes, or still takes: a sum over its stages, from observed durations; pure."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from heapq import heapify, heapreplace
from operator import attrgetter
from statistics import fmean

from attrs import evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import (
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    Plan,
    RunToEnd,
    Start,
    Step,
    Stop,
    TakeVolume,
    Track,
    Update,
    Verify,
    Watch,
    Widths,
)
from flyasync.deploy.plan.spec import LaneKey
from flyasync.deploy.reporting.phase import STEP_PHASES, Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.timings import Fit, Normal, TimingKind, Timings, reach
from flyasync.garbage import PausedCollection
from flyasync.models.machine import Machine

KILLED_AFTER = 5.0
"""Seconds that the API gives a process to stop before it kills it, unless its config says otherwise."""

_DONE: Mapping[type[Step], Phase] = {
    step: STEP_PHASES[step][-1] for step in (Create, AwaitStarted, AwaitHealthy, AwaitSettled, Verify, Stop, RunToEnd)
}
"""The phase that shows that a step is done, for steps that take time."""


@frozen(kw_only=True)
class CreateRate:
    """How many creates of one app may be sent at once, and how many per second after that."""

    usable: float
    per_second: float

    @classmethod
    def of(cls, fly: FlyClient) -> "CreateRate":
        """Return the rate that a client may use in one app."""
        rate = fly.limits.rate("machines.create")
        return cls(usable=rate.usable, per_second=rate.per_second)


@frozen(kw_only=True)
class PendingWait:
    """One wait of a track: a fixed number of `seconds`, or a kind of duration that has to be observed.

    `at_most` is its upper bound while the kind has not been observed. `passed` is how long it has been in progress.
    """

    kind: TimingKind | None = None
    seconds: float = 0.0
    at_most: float | None = None
    passed: float = 0.0


@frozen(kw_only=True)
class PendingTrack:
    """The rest of one track: the wait of its create for a permit, then its other waits in order."""

    waits: tuple[PendingWait, ...]
    lane: LaneKey
    for_permit: float = 0.0
    needs_slot: bool = False
    has_begun: bool = False


@frozen
class PendingStage:
    """The rest of one stage: its tracks, and how many of them may be in progress at once in each lane."""

    tracks: tuple[PendingTrack, ...]
    widths: Widths


@frozen
class TrackProgress:
    """The progress of one track: the number of steps done, and the seconds `passed` in the next one.

    `is_over` is true if no further step will follow.
    """

    steps: int = 0
    passed: float = 0.0
    has_begun: bool = False
    is_over: bool = False


def estimate(plan: Plan, rate: CreateRate, timings: Timings) -> Estimate:
    """Return an estimate of a plan's duration from its first change to its report, if nothing fails.

    Only a lower bound is known of a plan that pauses, since a pause takes as long as people need.
    """
    return _summed(plan, rate, [TrackProgress()] * len(plan.tracks), (), timings)


def timed(plan: Plan, fly: FlyClient, timings: Timings | None = None) -> Plan:
    """Return a plan with its estimate, from `timings` or from its machines' events; an empty plan gets none."""
    if plan.is_empty:
        return plan
    known = timings or Timings.of(plan.before, plan.group)
    return evolve(plan, estimate=estimate(plan, CreateRate.of(fly), known))


def left(
    plan: Plan, runs: Mapping[str, MachineRun], now: float, rate: CreateRate, timings: Timings, *, drains: bool = False
) -> Estimate:
    """Return an estimate of how many seconds a plan still takes at `now`, from the progress of its runs.

    Nothing is left of machines that have failed, and, if the deploy `drains`, of those that have not begun.
    """
    progress: list[TrackProgress] = []
    in_earlier_stages: Counter[str] = Counter()  # a run counts the steps of all its stages
    for track in plan.tracks:
        run, earlier = runs[track.machine.name], in_earlier_stages[track.machine.name]
        in_earlier_stages[track.machine.name] += len(track.steps)
        has_begun = bool(run.moments) and run.taken >= earlier
        steps = max(0, run.taken - earlier)
        # The phase that ends a step is entered just before the run counts the step.
        if steps < len(track.steps) and _DONE.get(type(track.steps[steps])) is run.phase is not None:
            steps += 1
        is_over = run.error is not None or (run.phase is not None and run.phase.is_over)
        progress.append(
            TrackProgress(
                steps=steps,
                passed=now - run.moments[-1].at if has_begun else 0.0,
                has_begun=has_begun,
                is_over=is_over or (drains and not has_begun),
            )
        )
    created = (each.created_after for each in runs.values() if not each.adopted)
    made = sorted(after - now for after in created if after is not None)
    return _summed(plan, rate, progress, made, timings)


def _summed(
    plan: Plan, rate: CreateRate, progress: Sequence[TrackProgress], made: Iterable[float], timings: Timings
) -> Estimate:
    """Return the estimate of the rest of a plan; a plan that pauses has only a lower bound."""
    with PausedCollection():
        found = _estimated(_pending(plan, rate, progress, made), timings)
    return evolve(found, likely=None, most=None) if plan.pauses else found


def estimate_many(seconds: Iterable[float], at_once: int) -> float:
    """Return how long deploys take together if each takes the given seconds and `at_once` of them run concurrently.

    They begin in order, each as soon as an earlier one is done.
    """
    free_at: list[float] = [0.0] * at_once
    heapify(free_at)
    end = 0.0
    for each in seconds:
        done = free_at[0] + each
        heapreplace(free_at, done)
        end = max(end, done)
    return end


# The rest of a plan


def _pending(
    plan: Plan, rate: CreateRate, progress: Sequence[TrackProgress], made: Iterable[float]
) -> list[PendingStage]:
    """Return the rest of each stage; `made` are the times of the creates so far, in seconds relative to now."""
    there = {machine.id: machine for machine in plan.before.machines} if plan.before else {}
    came = iter(progress)
    stages: list[PendingStage] = []
    for stage in plan.stages:
        to_go = [(track, so_far) for lane in stage.lanes for track in lane.tracks
                 if not (so_far := next(came)).is_over and so_far.steps < len(track.steps)]  # fmt: skip
        if not to_go:
            continue
        # Creates wait for permits of one bucket, which is full again at `full_at`. Past creates only delay those of the
        # first stage: after that, the bucket has recovered.
        gap, full_at = 1 / rate.per_second, -math.inf
        for at in () if stages else made:
            full_at = max(full_at, at) + gap
        full_at = max(full_at, 0.0)
        # The first machine of every region is created before the second of any.
        tracks: list[PendingTrack] = []
        for track, so_far in sorted(to_go, key=lambda each: each[0].machine.number):
            for_permit = 0.0
            if any(isinstance(step, Create) for step in track.steps[so_far.steps :]):
                for_permit = max(0.0, full_at - (rate.usable - 1) * gap)
                full_at += gap
            pending = PendingTrack(
                waits=tuple(_waits(track, so_far, there.get(track.machine_id or ""))),
                lane=track.machine.lane,
                for_permit=for_permit,
                needs_slot=track.takes_slot,
                has_begun=so_far.has_begun,
            )
            tracks.append(pending)
        stages.append(PendingStage(tuple(tracks), {lane.key: lane.width for lane in stage.lanes if lane.width}))
    return stages


def _waits(track: Track, so_far: TrackProgress, machine: Machine | None) -> Iterator[PendingWait]:
    """Yield the remaining waits of a track; the time of single requests is negligible."""
    if machine is not None and not so_far.has_begun:
        yield PendingWait(kind=TimingKind.REQUESTS, at_most=0.0)
    # The change before a start decides how long the start takes. There is no wait for a machine that is already started
    # and not changed, nor for its checks if they pass.
    is_up = machine is not None and machine.state == "started"
    start: TimingKind | None = None if is_up else TimingKind.BOOT
    passes = machine is not None and machine.is_healthy
    for number, step in enumerate(track.steps):
        kind: TimingKind | None = None
        seconds, at_most = 0.0, None
        match step:
            case Create() | Update():
                start, passes = TimingKind.BOOT, False
            case Start():
                start, passes = TimingKind.START, False
            case AwaitStarted():
                kind = start
            case AwaitHealthy():
                kind = None if passes else TimingKind.CHECKS
            case AwaitSettled():
                kind = TimingKind.SETTLE
            case Watch(seconds=duration) | Cordon(drain=duration):
                seconds = duration
            case Verify():
                kind = TimingKind.VERIFICATION
            case Stop():
                kind = TimingKind.STOP
                stop = machine.config.stop_config if machine and machine.config else None
                at_most = KILLED_AFTER if stop is None or stop.timeout is None else float(stop.timeout)
            case RunToEnd():
                kind = TimingKind.RELEASE
            case TakeVolume(source=str()):
                kind = TimingKind.FORK
        if number >= so_far.steps and (kind or seconds):
            passed = so_far.passed if number == so_far.steps else 0.0
            yield PendingWait(kind=kind, seconds=seconds, at_most=at_most, passed=passed)


# The sum of the waits


def _estimated(stages: Sequence[PendingStage], timings: Timings) -> Estimate:
    """Return the estimate of stages, from their sums with fixed waits, with low and with high estimates."""
    waits = [wait for stage in stages for track in stage.tracks for wait in track.waits]
    kinds = dict.fromkeys(wait.kind for wait in waits if wait.kind)
    under_way = {kind: [each.passed for each in waits if each.kind is kind and each.passed > 0] for kind in kinds}
    fits = {kind: fit for kind in kinds if (fit := timings.fit(kind, under_way[kind]))}
    decided = _total(stages, {}).mean
    low, low_reach = _reached(stages, {kind: fit.low for kind, fit in fits.items()}, fits)
    least = max(decided, low - low_reach)
    # 1. It depends on a kind that has not been observed: only a lower bound is known.
    unbound = dict.fromkeys(each.kind for each in waits if each.kind and each.at_most is None)
    if unobserved := tuple(str(kind) for kind in unbound if kind not in fits):
        return Estimate(least=round(least, 3), unobserved=unobserved)
    # 2. All kinds have been observed, or have a bound: the expected time is between the two estimates.
    high, high_reach = _reached(stages, {kind: fit.high for kind, fit in fits.items()}, fits, up_to_bounds=True)
    likely = max(decided, (low + high) / 2)
    most = max(likely, high + high_reach)
    return Estimate(least=round(min(least, likely), 3), likely=round(likely, 3), most=round(most, 3))


def _reached(
    stages: Sequence[PendingStage],
    lengths: Mapping[TimingKind, Normal],
    fits: Mapping[TimingKind, Fit],
    *,
    up_to_bounds: bool = False,
) -> tuple[float, float]:
    """Return the mean duration, and the half-width of its 90 % interval, wider if observations are few."""
    total = _total(stages, lengths, up_to_bounds=up_to_bounds)
    # Errors of a mean add up: a mean that is too low is too low for all machines.
    erring = {kind: length.plus(math.sqrt(length.variance / fits[kind].count)) for kind, length in lengths.items()}
    off = _total(stages, erring, up_to_bounds=up_to_bounds).mean - total.mean
    fewest = min((fit.count for fit in fits.values()), default=math.inf)
    return total.mean, reach(fewest) * math.sqrt(total.variance + off**2)


def _total(
    stages: Iterable[PendingStage], lengths: Mapping[TimingKind, Normal], *, up_to_bounds: bool = False
) -> Normal:
    """Return the sum of consecutive stages whose waits have these `lengths`.

    A wait of another kind takes its fixed seconds, or with `up_to_bounds` as long as its bound.
    """
    total = Normal()
    for stage in stages:
        ends: list[Normal] = []
        lanes: dict[LaneKey, list[tuple[PendingTrack, Normal]]] = {}
        for track in stage.tracks:
            end = Normal(track.for_permit)
            for wait in track.waits:
                if wait.kind and (length := lengths.get(wait.kind)):
                    end += length.rest(wait.passed)
                else:
                    seconds = max(wait.seconds, wait.at_most or 0.0) if up_to_bounds else wait.seconds
                    end += Normal(max(0.0, seconds - wait.passed))
            if track.needs_slot and track.lane in stage.widths:
                lanes.setdefault(track.lane, []).append((track, end))
            else:
                ends.append(end)
        total += _latest([*ends, *(_lane(tracks, stage.widths[lane]) for lane, tracks in lanes.items())])
    return total


def _lane(tracks: Iterable[tuple[PendingTrack, Normal]], width: int) -> Normal:
    """Return when the last track of a lane is done, if `width` tracks may be in progress at once.

    Waiting tracks share the slots evenly. If all take the same time, they run in rounds, and some slots have one round
    more. If not, a slot that is free early gets more tracks, so all slots begin their last track at about the same
    time, and the end is the latest of these.
    """
    under_way: list[Normal] = []
    waiting: list[Normal] = []
    for track, length in tracks:
        (under_way if track.has_begun else waiting).append(length)
    free_at = sorted([*under_way, *[Normal()] * (width - len(under_way))], key=attrgetter("mean"))
    if not waiting:
        return _latest(free_at)
    each = Normal(fmean(one.mean for one in waiting), fmean(one.variance for one in waiting))
    # 1 if all take the same time, 0 if the standard deviation is half of the mean or more.
    evenness = 1 - min(1.0, 2 * math.sqrt(each.variance) / each.mean) if each.mean else 1.0
    rounds, more = divmod(len(waiting), len(free_at))
    shared = max(0.0, len(waiting) / len(free_at) - 1)
    ends = []
    for slot, free in enumerate(free_at):
        count = rounds + (slot < more)
        before_the_last = evenness * (count - 1) + (1 - evenness) * shared
        ends.append(free + each.plus(before_the_last * each.mean) if count else free)
    return Normal(variance=shared * each.variance / len(free_at)) + _latest(ends)


def _latest(ends: Iterable[Normal]) -> Normal:
    return reduce(Normal.or_later, ends, Normal())
