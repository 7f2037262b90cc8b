"""Observed durations, from the events of existing machines and from the deploy in progress; pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import fmean, variance

from attrs import field, frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.garbage import PausedCollection
from flyasync.models.machine import Machine, MachineEvent

ENOUGH = 2
"""The number of observations from which a duration counts as known: one does not show how much it varies."""

ENOUGH_NOW = 3
"""The number of observations in this deploy that can show that the new image takes another time than the old one."""

LONGEST_CHECK = 300.0
"""Seconds after the start of a machine; a check that changes later is not passing for the first time."""

_NINE_IN_TEN = 1.645
_FAR = 6.0  # standard deviations; if two normal durations differ by more, one is certainly the later


class TimingKind(StrEnum):
    """The kinds of durations, with the words for them."""

    BOOT = "boots"  # from created, or updated, to started
    START = "starts"  # from stopped to started
    SETTLE = "updates of stopped machines"
    CHECKS = "checks"  # from started to all checks passing
    STOP = "stops"
    RELEASE = "the release command"
    FORK = "forks of volumes"
    VERIFICATION = "verifications"
    REQUESTS = "requests"  # from the start of its steps to its first change: the lease, and the check of other machines


@frozen
class Normal:
    """A varying duration in seconds: its mean and variance."""

    mean: float = 0.0
    variance: float = 0.0

    def __add__(self, other: "Normal") -> "Normal":
        return Normal(self.mean + other.mean, self.variance + other.variance)

    def plus(self, seconds: float) -> "Normal":
        """Return the duration plus `seconds`."""
        return Normal(self.mean + seconds, self.variance)

    def or_later(self, other: "Normal") -> "Normal":
        """Return the maximum of two independent durations, approximated as a normal one.

        After C. E. Clark, "The greatest of a finite set of random variables", Operations Research 9, 1961.
        """
        # If one is certainly the later, the formula would only add rounding errors.
        first, second = (self, other) if self.mean >= other.mean else (other, self)
        spread = math.sqrt(first.variance + second.variance)
        apart = first.mean - second.mean
        if spread == 0 or apart > _FAR * spread:
            return first
        share, density = _below(apart / spread), _density(apart / spread)
        mean = second.mean + apart * share + spread * density
        square = (
            (first.mean**2 + first.variance) * share
            + (second.mean**2 + second.variance) * (1 - share)
            + (first.mean + second.mean) * spread * density
        )
        return Normal(mean, max(0.0, square - mean**2))

    def rest(self, passed: float) -> "Normal":
        """Return the rest of a duration that is not over after `passed` seconds."""
        # 1. It does not vary, or it has not begun: subtract.
        if self.variance == 0 or passed <= 0:
            return Normal(max(0.0, self.mean - max(0.0, passed)), self.variance)
        # 2. The normal distribution truncated at `passed`. The hazard is the rate at which durations end then, among
        #    those that have not ended before; for large values it approaches the line in the other branch.
        deviation = math.sqrt(self.variance)
        late = (passed - self.mean) / deviation
        hazard = _density(late) / (1 - _below(late)) if late < _FAR else late + 1 / late
        return Normal(
            max(0.0, self.mean - passed + deviation * hazard), self.variance * max(0.0, 1 - hazard * (hazard - late))
        )


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _below(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


@frozen
class Fit:
    """A duration estimated from `count` observations: a low and a high estimate.

    They differ in what they assume of durations that are still in progress. The low estimate assumes that these take as
    long as the others did, or end now; the high one that they last as long as it takes, at the observed rate, for one
    to end. Short durations end first, so the truth is in between.
    """

    low: Normal
    high: Normal
    count: int

    @classmethod
    def of(cls, seen: Sequence[float], under_way: Sequence[float]) -> "Fit":
        """Estimate a duration from the observed ones, and from the time passed of those that are in progress."""
        usual, shortest = fmean(seen), min(seen)
        beyond = (max(0.0, each - shortest) for each in (*seen, *under_way))
        further = sum(beyond) / (len(seen) - 1)
        low = _normal([*seen, *(max(each, usual) for each in under_way)])
        high = _normal([*seen, *(max(each, shortest) + further for each in under_way)])
        late = len(under_way) / (len(seen) + len(under_way))
        return cls(low, Normal(high.mean, high.variance + late * further**2), len(seen))


def reach(count: float) -> float:
    """Return the half-width of the 90 % interval in standard deviations, if these are from `count` observations.

    These are the quantiles of Student's t-distribution, to within 2 %.
    """
    few = 1 / (count - 1)
    return _NINE_IN_TEN * (1 + few + few**2 + 0.84 * few**6)


def _normal(lengths: Sequence[float]) -> Normal:
    return Normal(fmean(lengths), variance(lengths))


@frozen
class Timings:
    """Observed durations in seconds by kind: `past` ones from machines' events, `present` ones from this deploy.

    The past ones no longer count once the mean of the present ones is outside their range.
    """

    past: Mapping[TimingKind, Sequence[float]] = field(factory=dict)
    present: Mapping[TimingKind, Sequence[float]] = field(factory=dict)

    @classmethod
    def of(cls, fleet: Fleet | None, group: str | None) -> "Timings":
        """Return the durations from the events of a group's machines, or of the whole app if those are too few."""
        if fleet is None:
            return cls()
        with PausedCollection():
            own = _collected(lapse for machine in fleet.group(group or "") for lapse in _lapses(machine))
            of_all = _collected(lapse for machine in fleet.machines for lapse in _lapses(machine))
        return cls({kind: own[kind] if len(own.get(kind, ())) >= ENOUGH else of_all[kind] for kind in of_all})

    def and_of(self, runs: Iterable[MachineRun]) -> "Timings":
        """Return the timings with the durations observed in a deploy so far."""
        return Timings(self.past, _collected(lapse for run in runs for lapse in _lapses_of(run)))

    def as_past(self) -> "Timings":
        """Return all of them as past ones, for another deploy."""
        return Timings({kind: self.seen(kind) for kind in TimingKind})

    def seen(self, kind: TimingKind) -> Sequence[float]:
        """Return the observed durations of a kind that still count."""
        past, present = self.past.get(kind, ()), self.present.get(kind, ())
        differs = past and len(present) >= ENOUGH_NOW and not min(past) <= fmean(present) <= max(past)
        return present if differs else (*past, *present)

    def fit(self, kind: TimingKind, under_way: Sequence[float] = ()) -> Fit | None:
        """Return the estimate of a kind; None if there are too few observations.

        A start, or an update of a stopped machine, is estimated as a boot until it has been observed itself.
        """
        seen = self.seen(kind)
        if len(seen) < ENOUGH:
            return self.fit(TimingKind.BOOT) if kind in {TimingKind.START, TimingKind.SETTLE} else None
        return Fit.of(seen, under_way)


Lapse = tuple[TimingKind, float]


def _collected(lapses: Iterable[Lapse]) -> dict[TimingKind, list[float]]:
    found: dict[TimingKind, list[float]] = {}
    for kind, seconds in lapses:
        found.setdefault(kind, []).append(seconds)
    return found


# Durations from the events of a machine

_BEGINS: Mapping[tuple[str | None, str | None], TimingKind] = {
    ("launch", "created"): TimingKind.BOOT,
    ("update", "replacing"): TimingKind.BOOT,
    ("start", "starting"): TimingKind.START,
    ("stop", "stopping"): TimingKind.STOP,
}
_ENDS: Mapping[tuple[str | None, str | None], frozenset[TimingKind]] = {
    ("start", "started"): frozenset({TimingKind.BOOT, TimingKind.START}),
    ("exit", "stopped"): frozenset({TimingKind.STOP}),
}
_BREAKS = frozenset({"restart", "stop", "suspend", "resume", "destroy"})


def _lapses(machine: Machine) -> Iterator[Lapse]:
    """Yield the durations between the events of a machine, and from its last start to its passing checks."""
    events = sorted((each for each in machine.events or () if each.timestamp is not None), key=_timestamp)
    begun: tuple[TimingKind, float] | None = None
    started: float | None = None
    # 1. A duration is from an event that begins its kind to the next event that ends it. It is discarded if another
    #    event interrupts it.
    for event in events:
        what, at = (event.type, event.status), _timestamp(event) / 1000
        if begun and begun[0] in _ENDS.get(what, ()):
            yield begun[0], at - begun[1]
            begun = None
        elif kind := _BEGINS.get(what):
            # An update is followed by a launch event: the update counts.
            begun = begun if event.type == "launch" and begun and begun[0] is kind else (kind, at)
        elif event.type in _BREAKS:
            begun = None
        started = at if what == ("start", "started") else None if event.type in {"exit", "update"} else started
    # 2. Checks have no events, only the time of their last change. If all pass, the last change made the machine
    #    healthy, unless it was so late that the check must have failed in between.
    checks = machine.reported_checks if machine.is_healthy else ()
    turned = [check.updated_at.datetime for check in checks if check.updated_at and check.updated_at.datetime]
    if started is not None and turned:
        seconds = max(each.timestamp() for each in turned) - started
        if 0 <= seconds <= LONGEST_CHECK:
            yield TimingKind.CHECKS, seconds


def _timestamp(event: MachineEvent) -> int:
    return event.timestamp or 0


# Durations from the phases of this deploy

_SEEN: Mapping[tuple[Phase, Phase], TimingKind] = {
    (Phase.CREATED, Phase.STARTED): TimingKind.BOOT,
    (Phase.UPDATING, Phase.STARTED): TimingKind.BOOT,
    (Phase.UPDATING, Phase.SETTLED): TimingKind.SETTLE,
    (Phase.SETTLED, Phase.STARTED): TimingKind.START,
    (Phase.CHECKING, Phase.HEALTHY): TimingKind.CHECKS,
    (Phase.STOPPING, Phase.STOPPED): TimingKind.STOP,
    (Phase.CREATED, Phase.ENDED): TimingKind.RELEASE,
    (Phase.VERIFYING, Phase.VERIFIED): TimingKind.VERIFICATION,
}
_MARKS = frozenset(phase for lapse in _SEEN for phase in lapse) | {Phase.ADOPTED, Phase.REPLACING, Phase.HEDGING}


def _lapses_of(run: MachineRun) -> Iterator[Lapse]:
    """Yield the durations between the phases of a run."""
    marks = [moment for moment in run.moments if moment.phase in _MARKS]
    for begin, end in pairwise(marks):
        if kind := _SEEN.get((begin.phase, end.phase)):
            yield kind, end.at - begin.at
    if run.begun_after is not None and run.adopted:
        first = next((moment.at for moment in run.moments if moment.at >= run.begun_after), None)
        if first is not None:
            yield TimingKind.REQUESTS, first - run.begun_after
