"""How long machines take, as observed: in the events of those that are there, then in this deploy itself; pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import fmean, variance

from attrs import field, frozen

from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.models.machine import Machine, MachineEvent

ENOUGH = 2
"""How often something has to be observed before its length counts as known: once does not show how much it varies."""

ENOUGH_NOW = 3
"""How often in the deploy under way, before it can show that its image takes another time than the one before."""

LONGEST_CHECK = 300.0
"""Seconds after the start of a machine from which on a check that turns is not passing for the first time."""

_NINE_IN_TEN = 1.645
_FAR = 6.0  # standard deviations, from where on one of two normal lengths is certainly the later one


class TimingKind(StrEnum):
    """What a machine is waited for, by the words for it."""

    BOOT = "boots"  # from created, or updated, to started
    START = "starts"  # from stopped to started
    SETTLE = "updates of stopped machines"
    CHECKS = "checks"  # from started to all checks passing
    STOP = "stops"
    RELEASE = "the release command"
    FORK = "forks of volumes"
    REQUESTS = "requests"  # from its turn to its first change: the lease, and checking the others


@frozen
class Normal:
    """A length in seconds that varies: its mean and its variance."""

    mean: float = 0.0
    variance: float = 0.0

    def __add__(self, other: "Normal") -> "Normal":
        return Normal(self.mean + other.mean, self.variance + other.variance)

    def plus(self, seconds: float) -> "Normal":
        """Return a length that is longer by `seconds`."""
        return Normal(self.mean + seconds, self.variance)

    def or_later(self, other: "Normal") -> "Normal":
        """Return the later of two lengths that vary independently, as another normal one.

        After C. E. Clark, "The greatest of a finite set of random variables", Operations Research 9, 1961.
        """
        # Where one is certainly the later one, the formula would only add rounding errors.
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
        """Return what is left of it when it is not over after `passed` seconds."""
        # 1. It does not vary, or has not begun: subtract.
        if self.variance == 0 or passed <= 0:
            return Normal(max(0.0, self.mean - max(0.0, passed)), self.variance)
        # 2. The normal distribution, truncated at what has passed. The hazard is the share that ends just then of those
        #    that have not ended before; far out it comes close to the line that the other branch returns.
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
    """A length as `count` observations have it, at the low end and at the high end.

    They differ by what those that are not over yet come to. At the low end these take as long as the others have taken,
    or are over now; at the high end they go on for as long as, at the rate observed, it takes for one to be over. The
    quick are over first, so the truth is in between.
    """

    low: Normal
    high: Normal
    count: int

    @classmethod
    def of(cls, seen: Sequence[float], under_way: Sequence[float]) -> "Fit":
        """Fit a length to the times seen, and to the times for which others have been under way."""
        usual, shortest = fmean(seen), min(seen)
        beyond = (max(0.0, each - shortest) for each in (*seen, *under_way))
        further = sum(beyond) / (len(seen) - 1)
        low = _normal([*seen, *(max(each, usual) for each in under_way)])
        high = _normal([*seen, *(max(each, shortest) + further for each in under_way)])
        late = len(under_way) / (len(seen) + len(under_way))
        return cls(low, Normal(high.mean, high.variance + late * further**2), len(seen))


def reach(count: float) -> float:
    """Return how many standard deviations to each side hold nine in ten, where `count` observations gave them.

    These are the quantiles of Student's t, within two in a hundred.
    """
    few = 1 / (count - 1)
    return _NINE_IN_TEN * (1 + few + few**2 + 0.84 * few**6)


def _normal(lengths: Sequence[float]) -> Normal:
    return Normal(fmean(lengths), variance(lengths))


@frozen
class Timings:
    """The times observed, in seconds by their kind: `past` from machines' events, `present` in the deploy under way.

    The past no longer counts once the present, on average, is outside of it.
    """

    past: Mapping[TimingKind, Sequence[float]] = field(factory=dict)
    present: Mapping[TimingKind, Sequence[float]] = field(factory=dict)

    @classmethod
    def of(cls, fleet: Fleet | None, group: str | None) -> "Timings":
        """Read the events of a group's machines, and those of the whole app where these are too few."""
        if fleet is None:
            return cls()
        own = _collected(lapse for machine in fleet.group(group or "") for lapse in _lapses(machine))
        of_all = _collected(lapse for machine in fleet.machines for lapse in _lapses(machine))
        return cls({kind: own[kind] if len(own.get(kind, ())) >= ENOUGH else of_all[kind] for kind in of_all})

    def and_of(self, runs: Iterable[MachineRun]) -> "Timings":
        """Add what the machines of a deploy have shown so far."""
        return Timings(self.past, _collected(lapse for run in runs for lapse in _lapses_of(run)))

    def as_past(self) -> "Timings":
        """Return them for another deploy to begin with."""
        return Timings({kind: self.seen(kind) for kind in TimingKind})

    def seen(self, kind: TimingKind) -> Sequence[float]:
        """Return what has been observed of a kind, as far as it still counts."""
        past, present = self.past.get(kind, ()), self.present.get(kind, ())
        differs = past and len(present) >= ENOUGH_NOW and not min(past) <= fmean(present) <= max(past)
        return present if differs else (*past, *present)

    def fit(self, kind: TimingKind, under_way: Sequence[float] = ()) -> Fit | None:
        """Fit a length to what was observed; None when that is too little.

        A start, or an update of a stopped machine, is part of what a boot is, and counts as one until it has been
        observed itself.
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


# What the API remembers of a machine

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
    """Measure between the events of a machine, and from its last start to its checks."""
    events = sorted((each for each in machine.events or () if each.timestamp is not None), key=_timestamp)
    begun: tuple[TimingKind, float] | None = None
    started: float | None = None
    # 1. A lapse is from an event that begins one to the next event that ends one of its kind. What interrupts it in
    #    between ends it unmeasured.
    for event in events:
        what, at = (event.type, event.status), _timestamp(event) / 1000
        if begun and begun[0] in _ENDS.get(what, ()):
            yield begun[0], at - begun[1]
            begun = None
        elif kind := _BEGINS.get(what):
            # An update is followed by a launch of its own: what counts is the update.
            begun = begun if event.type == "launch" and begun and begun[0] is kind else (kind, at)
        elif event.type in _BREAKS:
            begun = None
        started = at if what == ("start", "started") else None if event.type in {"exit", "update"} else started
    # 2. Checks have no events of their own: what they tell is when each turned last. Where all pass, the last to turn
    #    made the machine healthy, unless that was so late that it had failed in between.
    checks = machine.reported_checks if machine.is_healthy else ()
    turned = [check.updated_at.datetime for check in checks if check.updated_at and check.updated_at.datetime]
    if started is not None and turned:
        seconds = max(each.timestamp() for each in turned) - started
        if 0 <= seconds <= LONGEST_CHECK:
            yield TimingKind.CHECKS, seconds


def _timestamp(event: MachineEvent) -> int:
    return event.timestamp or 0


# What this deploy has seen

_SEEN: Mapping[tuple[Phase, Phase], TimingKind] = {
    (Phase.CREATED, Phase.STARTED): TimingKind.BOOT,
    (Phase.UPDATING, Phase.STARTED): TimingKind.BOOT,
    (Phase.UPDATING, Phase.SETTLED): TimingKind.SETTLE,
    (Phase.SETTLED, Phase.STARTED): TimingKind.START,
    (Phase.CHECKING, Phase.HEALTHY): TimingKind.CHECKS,
    (Phase.STOPPING, Phase.STOPPED): TimingKind.STOP,
    (Phase.CREATED, Phase.ENDED): TimingKind.RELEASE,
}
_MARKS = frozenset(phase for lapse in _SEEN for phase in lapse) | {Phase.ADOPTED, Phase.REPLACING, Phase.HEDGING}


def _lapses_of(run: MachineRun) -> Iterator[Lapse]:
    """Measure between the phases of a run."""
    marks = [moment for moment in run.moments if moment.phase in _MARKS]
    for begin, end in pairwise(marks):
        if kind := _SEEN.get((begin.phase, end.phase)):
            yield kind, end.at - begin.at
    if run.begun_after is not None and run.adopted:
        first = next((moment.at for moment in run.moments if moment.at >= run.begun_after), None)
        if first is not None:
            yield TimingKind.REQUESTS, first - run.begun_after
