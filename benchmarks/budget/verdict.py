"""What was seen of a row of the table: its figures, and which promises it breaks."""

from collections.abc import Iterator, Sequence
from functools import cached_property

from attrs import define

from benchmarks.budget.crew import Crew
from benchmarks.budget.incidents import Outage
from benchmarks.budget.judge import Turn, ideal, peak, recovered, spread
from flyasync.transport.ratelimit.rates import Rate

PART = 0.97
"""What part of the ideal is granted at least."""
EVEN = 1.5
"""How much more the luckiest process gets than the unluckiest, at most."""
ENOUGH = 50
"""Turns of a process from which on luck can be told from rounding."""
HEAD = (
    f"{'row':30} {'backing':7} {'grants / ideal':>20} {'peak':>7} {'left':>7} {'burst':>6} {'most/fewest':>16} "
    f"{'missing':>7} {'429s':>5} {'recovery':>8} {'lost/back':>9}"
)


@define(kw_only=True)
class Seen:
    """A row under one rate, in microseconds of the host's monotonic clock; its figures are in seconds.

    `left` is when tasks left with their turns. `missing` counts what processes that were not killed wanted and did not
    get; `refused` the 429s, where an API judges.
    """

    title: str
    backing: str
    rate: Rate
    crew: Crew
    turns: Sequence[Turn]
    left: Sequence[int]
    missing: int
    outage: Outage | None
    refused: int | None = None

    @cached_property
    def grants(self) -> int:
        return sum(turn.by != "nobody" for turn in self.turns)

    @cached_property
    def ideal(self) -> float:
        return ideal([turn.decided for turn in self.turns if turn.by != "nobody"], self.rate.interval, self.rate.usable)

    @cached_property
    def peak(self) -> float:
        """By the clock of what granted, or of the API where that judges."""
        return peak((turn.decided for turn in self.turns), self.rate.interval)

    @cached_property
    def peak_left(self) -> float:
        return peak(self.left, self.rate.interval)

    @cached_property
    def shares(self) -> tuple[int, int] | None:
        """The most and the fewest turns of a process; an API does not know who asks."""
        return spread(self.turns, (each.pid for each in self.crew.alive())) if self.refused is None else None

    @cached_property
    def recovery(self) -> float | None:
        """The seconds from the end of the trouble until the store grants the full rate again, to everyone."""
        if self.outage is None:
            return None
        noticed = max((at for worker in self.crew.alive() for at in worker.back), default=0)
        times = [turn.left for turn in self.turns if turn.by == "store" and turn.left >= noticed]
        return recovered(times, self.outage.over, self.rate.interval)

    @property
    def burst(self) -> float:
        """What may not be exceeded: all of the published burst where the API judges, else what may be used of it."""
        return self.rate.usable if self.refused is None else self.rate.burst

    def broken(self) -> Iterator[str]:
        """Name the promises that are broken, whatever else the host is busy with."""
        if self.backing == "memory":
            if self.peak <= self.burst:
                yield "each process for itself does not exceed the limit"
            return
        outage = self.outage
        beyond = outage.beyond * self.rate.per_second if outage else 0
        if self.refused is None and self.peak > self.burst + beyond:
            yield f"the limit is exceeded: {self.peak:.2f} of {self.burst}"
        if self.missing:
            yield f"{self.missing} calls are lost"
        # A server that is killed may leave out the last grant of each process; any other is in its record.
        unrecorded = sum(turn.by == "unrecorded" for turn in self.turns)
        if unrecorded > (len(self.crew.workers) if outage else 0):
            yield f"{unrecorded} turns are in no record"
        if outage and self.recovery is None:
            yield "the full rate does not come back"
        if outage and outage.told is not None:
            counts = [(len(worker.told["lost"]), len(worker.back)) for worker in self.crew.alive()]
            if wrong := [each for each in counts if set(each) != {outage.told}]:
                reasons = sorted({reason for worker in self.crew.alive() for _, reason in worker.told["lost"][-1:]})
                times = f"{sorted(set(wrong))} times, not {outage.told}"
                yield f"{len(wrong)} of {len(counts)} lose them and have them back {times}; {reasons}"

    def slow(self) -> Iterator[str]:
        """Name the promises that are broken, and that a busy host may break."""
        if self.backing == "memory":
            return
        if self.refused:
            # Where the clients or the API are kept waiting for longer than the margin is, turns that were in time meet.
            yield f"{self.refused} x 429: they left with a peak of {self.peak_left:.2f}, arrived with {self.peak:.2f}"
        if self.outage:
            return
        if self.grants < PART * self.ideal:
            yield f"{self.grants / self.ideal:.1%} of the ideal"
        if self.shares and self.shares[1] >= ENOUGH and self.shares[0] > EVEN * self.shares[1]:
            yield f"the luckiest process has {self.shares[0] / self.shares[1]:.2f} times what the unluckiest has"

    def __str__(self) -> str:
        most, fewest = self.shares or (0, 0)
        even = f"{most}/{fewest} {most / max(1, fewest):.2f}" if self.shares else "-"
        alive = self.crew.alive()
        told = f"{sum(len(each.told['lost']) for each in alive)}/{sum(len(each.back) for each in alive)}"
        return (
            f"{self.title:30} {self.backing:7} {self.grants:5} / {self.ideal:5.0f} {self.grants / self.ideal:6.3f} "
            f"{self.peak:7.2f} {self.peak_left:7.2f} {self.burst:6} {even:>16} {self.missing:7} "
            f"{'-' if self.refused is None else self.refused:>5} "
            f"{'-' if self.recovery is None else f'{self.recovery:.2f} s':>8} {told:>9}"
        )
