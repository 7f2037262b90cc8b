"""What a pool has come to: what the emulator has seen of it, and which claims had one machine at the same time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

from attrs import frozen

from benchmarks.shared.served import requests
from flyasync import Emulator, Fault
from flyasync.pool.spec import KEY, POOL

APP = "sandboxes"
GONE = {"destroying", "destroyed"}
_most: dict[int, int] = {}
"""How many machines of a pool existed at once at most, by emulator."""


@frozen(kw_only=True)
class Seen:
    """What the emulator has seen: `most` machines of a pool at once, and those that are left and seem to be claimed."""

    machines: int
    leaked: Sequence[str]
    most: int
    requests: Mapping[str, int]
    limited: int

    @property
    def refused_creates(self) -> int:
        return self.requests["createMachine"] - self.machines

    @classmethod
    def of(cls, emulator: Emulator) -> Self:
        emulator.serving(APP)  # the world as of now
        machines, now = emulator.world.machines.values(), emulator.world.clock
        leaked = [
            f"{each.name} is {each.state}"
            for each in machines
            if each.state not in GONE and (KEY in _metadata(each) or (each.lease and each.lease.expires_at > now))
        ]
        return cls(
            machines=len(machines),
            leaked=leaked,
            most=_most.get(id(emulator), 0),
            requests=requests(emulator),
            limited=sum(emulator.refused_by_limit().values()),
        )


def watch(emulator: Emulator) -> None:
    """Count from now on how many machines of a pool exist at once."""
    alive: set[str] = set()

    def observe(machine: Any) -> None:
        if POOL in _metadata(machine):
            (alive.discard if machine.state == "destroyed" else alive.add)(machine.id)
            _most[id(emulator)] = max(_most.get(id(emulator), 0), len(alive))

    emulator.on_change(observe)


def lose(emulator: Emulator, probability: float) -> None:
    """Lose so many of the responses from now on."""
    emulator.faults.clear()
    emulator.faults.add(Fault(does="cut_after", probability=probability))


def _metadata(machine: Any) -> dict[str, str]:
    return machine.config.get("metadata") or {}


@frozen
class Held:
    """A machine in the hands of one claim, from `start` to `end` by the clock of the host."""

    machine: str
    user: str
    start: float
    end: float


def held(reported: Iterable[Sequence[Any]], end: float) -> Iterator[Held]:
    """Yield each claim that a process has reported: it ends with its block, or with its process at `end`."""
    claims: dict[str, tuple[str, float]] = {}
    for word, *rest in reported:
        if word == "claimed":
            user, machine, start = rest
            claims[user] = machine, start
        elif word == "released":
            user, released = rest
            machine, start = claims.pop(user)
            yield Held(machine, user, start, released)
    yield from (Held(machine, user, start, end) for user, (machine, start) in claims.items())


def twice(claims: Iterable[Held]) -> list[tuple[Held, Held]]:
    """Return the pairs of claims that had one machine at the same time."""
    by_machine: defaultdict[str, list[Held]] = defaultdict(list)
    for claim in sorted(claims, key=lambda claim: claim.start):
        by_machine[claim.machine].append(claim)
    return [(one, two) for each in by_machine.values() for one, two in pairwise(each) if two.start < one.end]
