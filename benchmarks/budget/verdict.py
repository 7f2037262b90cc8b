"""A row of the table: the figures of what was seen, and which promises it breaks."""

from collections.abc import Iterator

from attrs import field, frozen

from benchmarks.budget.judge import ideal, peak, recovered, spread
from benchmarks.budget.rows import Seen

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


@frozen(kw_only=True)
class Verdict:
    """The figures of one row; times in seconds.

    `peak` is by the clock of what granted, or of the API where that judges; `left` as the turns left.
    """

    seen: Seen
    grants: int = field(init=False)
    ideal: float = field(init=False)
    peak: float = field(init=False)
    left: float = field(init=False)
    spread: tuple[int, int] | None = field(init=False)
    recovery: float | None = field(init=False)

    @grants.default
    def _grants(self) -> int:
        return sum(turn.by != "nobody" for turn in self.seen.turns)

    @ideal.default
    def _ideal(self) -> float:
        times = [turn.decided for turn in self.seen.turns if turn.by != "nobody"]
        rate = self.seen.rate
        return ideal(times, rate.interval, rate.usable)

    @peak.default
    def _peak(self) -> float:
        return peak((turn.decided for turn in self.seen.turns), self.seen.rate.interval)

    @left.default
    def _left(self) -> float:
        return peak(self.seen.left, self.seen.rate.interval)

    @spread.default
    def _spread(self) -> tuple[int, int] | None:
        if self.seen.refused is not None:
            return None  # an API does not know who asks
        return spread(self.seen.turns, (worker.process.pid for worker in self.seen.crew.alive()))

    @recovery.default
    def _recovery(self) -> float | None:
        """Give the seconds from the end of the trouble until the store grants the full rate again, to everyone."""
        if self.seen.outage is None:
            return None
        noticed = max((at for worker in self.seen.crew.alive() for at in worker.back), default=0)
        times = [turn.left for turn in self.seen.turns if turn.by == "store" and turn.left >= noticed]
        return recovered(times, self.seen.outage.over, self.seen.rate.interval)

    @property
    def burst(self) -> float:
        """What may not be exceeded: all of the published burst where the API judges, else what may be used of it."""
        rate = self.seen.rate
        return rate.usable if self.seen.refused is None else rate.burst

    def broken(self) -> Iterator[str]:
        """Name the promises that are broken, whatever else the host is busy with."""
        seen = self.seen
        if seen.row.backing == "memory":
            if self.peak <= self.burst:
                yield "each process for itself does not exceed the limit"
            return
        beyond = seen.outage.beyond * seen.rate.per_second if seen.outage else 0
        if seen.refused is None and self.peak > self.burst + beyond:
            yield f"the limit is exceeded: {self.peak:.2f} of {self.burst}"
        if seen.missing:
            yield f"{seen.missing} calls are lost"
        # A server that is killed may leave out the last grant of each process; any other is in its record.
        unrecorded = sum(turn.by == "unrecorded" for turn in seen.turns)
        if unrecorded > (seen.row.processes if seen.outage else 0):
            yield f"{unrecorded} turns are in no record"
        if seen.outage:
            yield from self._unnoticed(seen.outage.told)

    def _unnoticed(self, told: int | None) -> Iterator[str]:
        if self.recovery is None:
            yield "the full rate does not come back"
        if told is None:
            return
        alive = self.seen.crew.alive()
        if wrong := [worker for worker in alive if {len(worker.lost), len(worker.back)} != {told}]:
            counts = sorted({(len(worker.lost), len(worker.back)) for worker in wrong})
            reasons = sorted({worker.reasons[-1] for worker in wrong if worker.reasons})
            yield f"{len(wrong)} of {len(alive)} lose them and have them back {counts} times, not {told}; {reasons}"

    def slow(self) -> Iterator[str]:
        """Name the promises that are broken, and that a busy host may break."""
        if self.seen.row.backing == "memory":
            return
        if self.seen.refused:
            # Where the clients or the API are kept waiting for longer than the margin is, turns that were in time meet.
            yield f"{self.seen.refused} x 429: they left with a peak of {self.left:.2f}, arrived with {self.peak:.2f}"
        if self.seen.outage:
            return
        if self.grants < PART * self.ideal:
            yield f"{self.grants / self.ideal:.1%} of the ideal"
        if self.spread and self.spread[1] >= ENOUGH and self.spread[0] > EVEN * self.spread[1]:
            yield f"the luckiest process has {self.spread[0] / self.spread[1]:.2f} times what the unluckiest has"

    def __str__(self) -> str:
        seen, alive = self.seen, self.seen.crew.alive()
        even = (
            f"{self.spread[0]}/{self.spread[1]} {self.spread[0] / max(1, self.spread[1]):.2f}" if self.spread else "-"
        )
        lost = sum(len(worker.lost) for worker in alive)
        back = sum(len(worker.back) for worker in alive)
        return (
            f"{seen.title:30} {seen.row.backing:7} {self.grants:5} / {self.ideal:5.0f} {self.grants / self.ideal:6.3f} "
            f"{self.peak:7.2f} {self.left:7.2f} {self.burst:6} {even:>16} {seen.missing:7} "
            f"{'-' if seen.refused is None else seen.refused:>5} "
            f"{'-' if self.recovery is None else f'{self.recovery:.2f} s':>8} {f'{lost}/{back}':>9}"
        )
