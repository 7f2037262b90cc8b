"""What a pool has come to: what the emulator has seen of it, and which claims had one machine at the same time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Self

from attrs import frozen

from benchmarks.shared.served import requests
from flyasync import Emulator, Fault
from flyasync.pool.spec import KEY, POOL

APP = "sandboxes"
GONE = {"destroying", "destroyed"}


@frozen(kw_only=True)
class Made:
    """A machine of the emulated world."""

    name: str
    state: str
    key: str | None
    is_leased: bool


@frozen(kw_only=True)
class Seen:
    """What the emulator has seen: `most` is how many machines of a pool existed at once."""

    machines: tuple[Made, ...]
    most: int
    requests: Mapping[str, int]
    refused_creates: int
    limited: int

    @classmethod
    def of(cls, emulator: Emulator) -> Self:
        emulator.serving(APP)  # the world as of now
        now, asked = emulator.world.clock, requests(emulator)
        machines = tuple(
            Made(
                name=each.name,
                state=each.state,
                key=_metadata(each).get(KEY),
                is_leased=bool(each.lease and each.lease.expires_at > now),
            )
            for each in emulator.world.machines.values()
        )
        return cls(
            machines=machines,
            most=_most.get(id(emulator), 0),
            requests=asked,
            refused_creates=asked["createMachine"] - len(machines),
            limited=sum(emulator.refused_by_limit().values()),
        )

    @property
    def leaked(self) -> list[Made]:
        """The machines that are left, and that somebody seems to have."""
        return [each for each in self.machines if each.state not in GONE and (each.key is not None or each.is_leased)]


_most: dict[int, int] = {}
"""How many machines of a pool existed at once at most, by emulator."""


def watch(emulator: Emulator) -> None:
    """Count from now on how many machines of a pool exist at once."""
    alive: set[str] = set()

    def observe(machine: Any) -> None:
        if POOL in _metadata(machine):
            (alive.discard if machine.state == "destroyed" else alive.add)(machine.id)
            _most[id(emulator)] = max(_most.get(id(emulator), 0), len(alive))

    emulator.on_change(observe)


def lose(emulator: Emulator, probability: float) -> None:
    """Lose so many of the responses, or none any more."""
    emulator.faults.clear()
    if probability:
        emulator.faults.add(Fault(does="cut_after", probability=probability))


def _metadata(machine: Any) -> dict[str, str]:
    return machine.config.get("metadata") or {}


@frozen(kw_only=True)
class Held:
    """A machine in the hands of one claim, from `start` to `end` by the clock of the host."""

    machine: str
    user: str
    start: float
    end: float


def held(lines: Iterable[Mapping[str, Any]], killed: Mapping[int, float], now: float) -> Iterator[Held]:
    """Yield each claim that processes have told: it ends with its block, or when its process was killed."""
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
    for claim in sorted(claims, key=lambda claim: claim.start):
        by_machine[claim.machine].append(claim)
    return [(one, two) for each in by_machine.values() for one, two in pairwise(each) if two.start < one.end]
