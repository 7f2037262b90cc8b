"""What the permits of many processes add up to; all times are whole microseconds of the host's monotonic clock."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

from attrs import evolve, frozen

from benchmarks.shared.valkey import Grant
from flyasync.transport.ratelimit.shared import SECOND

DRIFT = 10_000
"""How far two clocks that were compared once may drift apart."""
FULL = 0.9
"""What part of a rate counts as all of it again, over a second."""


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
