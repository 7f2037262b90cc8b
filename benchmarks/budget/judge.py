"""What the turns of many processes come to: by the clock that granted them, and as they left."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

from attrs import evolve, frozen

from benchmarks.shared.valkey import Grant

SECOND = 1_000_000
"""Microseconds in one; all times here are whole microseconds of the host's monotonic clock."""
DRIFT = 10_000
"""How far two clocks that were compared once may drift apart."""
FULL = 0.9
"""What part of a rate counts as all of it again, over a second."""


@frozen
class Turn:
    """A turn that a process was granted: by whom ("store", "own" or "memory", or "nobody" after all), and when.

    The store was asked at `asked`. `decided` is what the clock said that granted it; a server's is not known to the
    process, which says when it had the answer, until `by_the_server` knows better. `left` is when the task had it,
    which on a busy host may be later than the turn itself.
    """

    process: int
    by: str
    asked: int
    decided: int
    left: int


def peak(times: Iterable[int], interval: int) -> float:
    """Give the most that any window of time holds beyond what the rate allows for its length."""
    ordered = sorted(times)
    level = highest = interval if ordered else 0
    for before, at in pairwise(ordered):
        level = max(0, level - (at - before)) + interval
        highest = max(highest, level)
    return highest / interval


def ideal(times: Sequence[int], interval: int, burst: float) -> float:
    """Give how many could have been granted from a full bucket between the first of these times and the last."""
    return burst + (max(times) - min(times)) / interval if times else burst


def spread(turns: Iterable[Turn], among: Iterable[int]) -> tuple[int, int]:
    """Give the most and the fewest turns that one of these processes had when the first of them was through."""
    mine: dict[int, list[int]] = {process: [] for process in among}
    for turn in turns:
        mine.get(turn.process, []).append(turn.left)
    through = min(max(times, default=0) for times in mine.values())
    counts = [sum(at <= through for at in times) for times in mine.values()]
    return max(counts), min(counts)


def recovered(times: Iterable[int], since: int, interval: int) -> float | None:
    """Give the seconds from `since` to the first whole second with the full rate; None when there was none."""
    after = sorted(at for at in times if at >= since)
    wanted = max(1, round(FULL * SECOND / interval))
    for first, last in zip(after, after[wanted - 1 :], strict=False):
        if last - first <= SECOND:
            return (first - since) / SECOND
    return None


def by_the_server(turns: Sequence[Turn], grants: Iterable[Grant], ahead: int) -> list[Turn]:
    """Give the turns with the server's time for each that the server granted; its clock is `ahead` of the host's.

    A process asks one question at a time, so that its turns and its grants come in one order. A grant that no turn
    belongs to is one whose answer came too late: the process had given up by then. A turn that no grant belongs to is
    unrecorded: the server was killed when it had answered, and had not told yet.
    """
    mine: defaultdict[int, deque[int]] = defaultdict(deque)
    for grant in grants:
        mine[grant.process].append(grant.at - ahead)
    return [_found(turn, mine[turn.process]) if turn.by == "store" else turn for turn in turns]


def _found(turn: Turn, times: deque[int]) -> Turn:
    while times and times[0] < turn.asked - DRIFT:
        times.popleft()
    if times and times[0] <= turn.left + DRIFT:
        return evolve(turn, decided=times.popleft())
    return evolve(turn, by="unrecorded")
