"""Which claims had one machine at the same time, by the journals of the processes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class Held:
    """A machine in the hands of one claim, from `start` to `end` by the clock of the host."""

    machine: str
    user: str
    start: float
    end: float


def held(lines: Iterable[Mapping[str, Any]], killed: Mapping[int, float], now: float) -> Iterator[Held]:
    """Yield each claim: it ends with its block, or when its process was killed."""
    open_: dict[tuple[int, str], Mapping[str, Any]] = {}
    for line in lines:
        place = line["pid"], line.get("user", "")
        if line["what"] == "claimed":
            open_[place] = line
        elif line["what"] == "released" and (begun := open_.pop(place, None)):
            yield Held(machine=begun["machine"], user=begun["user"], start=begun["at"], end=line["at"])
    for (pid, user), begun in open_.items():
        yield Held(machine=begun["machine"], user=user, start=begun["at"], end=killed.get(pid, now))


def twice(claims: Iterable[Held]) -> list[tuple[Held, Held]]:
    """Return the pairs of claims that had one machine at the same time."""
    by_machine: defaultdict[str, list[Held]] = defaultdict(list)
    for claim in claims:
        by_machine[claim.machine].append(claim)
    pairs = []
    for each in by_machine.values():
        each.sort(key=lambda claim: claim.start)
        pairs += [(one, two) for one, two in pairwise(each) if two.start < one.end]
    return pairs


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values lies; nan if there is none."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
