"""What the permits of many processes add up to, and what of it must not be; all times are whole microseconds."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise

from attrs import define, evolve, field, frozen

from benchmarks.shared.children import Child
from benchmarks.shared.table import Figure, Goal, Row, number
from benchmarks.shared.valkey import Grant, Server
from flyasync.transport.ratelimit.rates import Rate
from flyasync.transport.ratelimit.shared import PATIENCE, PROBE, SECOND

STORM = Rate(per_second=200, burst=50)
DRIFT = 10_000
"""How far two clocks that were compared once may drift apart."""
FULL = 0.9
"""What part of a rate counts as all of it again, over a second."""
AWAY = 3.0
"""Seconds for which a server or a lock is out of reach."""
ENOUGH = 50
"""Turns of a process from which on luck can be told from rounding."""
FORMS = {
    "backing": "", "grants": "d", "ideal": ".0f", "grants/ideal": ".3f", "peak": ".2f", "left": ".2f", "burst": "g",
    "most": "d", "fewest": "d", "most/fewest": ".2f", "missing": "d", "429s": "d", "recovery": ".2f", "lost": "d",
    "back": "d",
}  # fmt: skip
"""How each column is written."""
BUSY = ("grants/ideal", "most/fewest", "429s")
"""The figures that a busy host may spoil."""


@frozen
class Turn:
    """A permit that a process was granted, by whom ("store", "own", "memory" or "unrecorded"), and when.

    The store was asked at `asked`. `decided` is what the clock said that granted it; of a server, which the process
    does not know, it is the time of the reply until `by_the_server` corrects it. `left` is when the task had it, which
    on a busy host may be later. What an API receives are turns as well: "refused" for a 429, else "store".
    """

    process: int
    by: str
    asked: int
    decided: int
    left: int


def peak(times: Iterable[int], interval: int) -> float:
    """Return the most that any window of time holds beyond what the rate allows for its length."""
    ordered = sorted(times)
    level = highest = interval if ordered else 0
    for before, at in pairwise(ordered):
        level = max(0, level - (at - before)) + interval
        highest = max(highest, level)
    return highest / interval


def ideal(times: Sequence[int], interval: int, burst: float) -> float:
    """Return how many could have been granted from a full bucket between the first of these times and the last."""
    return burst + (max(times) - min(times)) / interval if times else burst


def spread(turns: Iterable[Turn], among: Iterable[int]) -> tuple[int, int]:
    """Return the most and the fewest turns that one of these processes had when the first of them was through."""
    mine: dict[int, list[int]] = {process: [] for process in among}
    for turn in turns:
        mine.get(turn.process, []).append(turn.left)
    through = min(max(times, default=0) for times in mine.values())
    counts = [sum(at <= through for at in times) for times in mine.values()]
    return max(counts), min(counts)


def recovered(times: Iterable[int], since: int, interval: int) -> float | None:
    """Return the seconds from `since` to the first whole second with the full rate; None if there is none."""
    after = sorted(at for at in times if at >= since)
    enough = max(1, round(FULL * SECOND / interval))
    full = (first for first, last in zip(after, after[enough - 1 :], strict=False) if last - first <= SECOND)
    return next(((first - since) / SECOND for first in full), None)


def by_the_server(turns: Sequence[Turn], grants: Iterable[Grant], ahead: int) -> list[Turn]:
    """Return the turns with the server's time for each that the server granted; its clock is `ahead` of the host's.

    A process asks one question at a time, so its turns and its grants come in one order. A grant without a turn is one
    whose reply came too late: the process had given up by then. A turn without a grant is unrecorded: the server was
    killed after its reply, before its record.
    """
    mine: defaultdict[int, deque[int]] = defaultdict(deque)
    for grant in grants:
        mine[grant.process].append(grant.at - ahead)

    def found(turn: Turn, times: deque[int]) -> Turn:
        while times and times[0] < turn.asked - DRIFT:
            times.popleft()
        if times and times[0] <= turn.left + DRIFT:
            return evolve(turn, decided=times.popleft())
        return evolve(turn, by="unrecorded")

    return [found(turn, mine[turn.process]) if turn.by == "store" else turn for turn in turns]


@frozen
class Case:
    """So many processes under one rate for so many seconds, or clients under the API's own rates; and their trouble.

    `losses` is how often each process has to lose the limits by it, if that is known. If the first one `is_cut_off`, it
    reaches the server by a relay.
    """

    name: str
    backing: str
    seconds: float
    processes: int
    tasks: int = 1
    rate: Rate | None = None
    trouble: "Callable[[Run], Awaitable[None]] | None" = None
    losses: int | None = None
    is_cut_off: bool = False

    def each(self, rate: Rate) -> int:
        """Return how many turns are each process's part of what the rate allows."""
        return -(-round(rate.usable + rate.per_second * self.seconds) // self.processes)


@define(eq=False)
class Run:
    """A case under way: the URL of its store, and the relay that is open or not; from `start` to the trouble's end."""

    case: Case
    url: str
    server: Server | None = None
    relay: str = ""
    is_open: asyncio.Event = field(factory=asyncio.Event)
    workers: list[Child] = field(factory=list)
    start: int = 0
    over: int = 0

    @property
    def alive(self) -> list[Child]:
        return [worker for worker in self.workers if not worker.killed_at]


@frozen
class Seen:
    """What is known of a run under one rate.

    `left` is when tasks left with their turns. `missing` counts what processes that were not killed wanted and did not
    get. `is_api` where an API counts, and refuses.
    """

    name: str
    run: Run
    rate: Rate
    turns: Sequence[Turn]
    left: Sequence[int]
    missing: int
    is_api: bool = False

    @property
    def burst(self) -> float:
        """What may not be exceeded: all of the published burst where an API counts, else what may be used of it."""
        return self.rate.burst if self.is_api else self.rate.usable

    def figures(self) -> dict[str, Figure]:
        """Return the figures; those without a column are there for the goals."""
        interval, granted = self.rate.interval, [turn for turn in self.turns if turn.by != "refused"]
        best = ideal([turn.decided for turn in granted], interval, self.rate.usable)
        lost, back = ([each.said(word) for each in self.run.alive] for word in ("lost", "back"))
        figures: dict[str, Figure] = {
            "backing": self.run.case.backing,
            "grants": len(granted),
            "ideal": best,
            "grants/ideal": len(granted) / best,
            "peak": peak((turn.decided for turn in self.turns), interval),
            "left": peak(self.left, interval),
            "burst": self.burst,
            "missing": self.missing,
            "lost": sum(map(len, lost)),
            "back": sum(map(len, back)),
            "unrecorded": sum(turn.by == "unrecorded" for turn in self.turns),
        }
        if self.is_api:
            figures["429s"] = len(self.turns) - len(granted)
        else:
            most, fewest = spread(self.turns, (each.process.pid for each in self.run.alive))
            figures |= {"most": most, "fewest": fewest, "most/fewest": most / max(1, fewest)}
        if self.run.case.trouble:
            # The store grants the full rate again to all, each of which has noticed.
            noticed = max((at for each in back for (at,) in each), default=0)
            times = [turn.left for turn in self.turns if turn.by == "store" and turn.left >= noticed]
            figures["recovery"] = recovered(times, self.run.over, interval)
            counts = [{len(one), len(other)} for one, other in zip(lost, back, strict=True)]
            figures["lost/back of some"] = sum(each != {self.run.case.losses} for each in counts)
        return figures

    def row(self) -> Row:
        """Return the figures, and the goal for each that promises something."""
        case, figures = self.run.case, self.figures()
        if case.backing == "memory":
            return Row(self.name, figures, [Goal(f"peak >= {self.burst}")])
        # A server that is killed may leave out the last grant of each process; any other is in its record.
        goals = [Goal("missing <= 0"), Goal(f"unrecorded <= {case.processes if case.trouble else 0}")]
        # One that is cut off sends its share, until it has noticed that it is not any more. Where the clients or the
        # API wait for longer than the margin is, turns that were in time meet: 429s.
        beyond = self.rate.per_second * (AWAY + PROBE + 2 * PATIENCE) / case.processes if case.is_cut_off else 0
        goals.append(Goal("429s <= 0") if self.is_api else Goal(f"peak <= {self.burst + beyond}"))
        if case.trouble:
            goals.append(Goal("recovery >= 0", "the full rate does not come back"))
        else:
            goals.append(Goal("grants/ideal >= 0.97"))
            if (number(figures.get("fewest")) or 0) >= ENOUGH:
                goals.append(Goal("most/fewest <= 1.5"))
        if case.trouble and case.losses is not None:
            reasons = sorted({reason for each in self.run.alive for _, reason in each.said("lost")})
            goals.append(Goal("lost/back of some <= 0", f"not {case.losses} times each; {reasons}"))
        return Row(self.name, figures, goals)
