"""The emulator that each launch has to itself, and what it saw of it; the rival is not asked."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from benchmarks.rivals.wanted import Wanted
from flyasync import Emulator
from flyasync.emulator.world import apps

LATENCY = (0.02, 0.25)
"""Bounds of the seconds that each request travels."""
WAIT = "waitMachine"


@asynccontextmanager
async def pretended(wanted: Sequence[Wanted], *, boot: float) -> AsyncIterator[Emulator]:
    """Have an emulator that keeps the published limits, and whose machines boot for so many seconds.

    The apps are there already: the API makes one of them a second, and that is not the point here.
    """
    async with Emulator(seed=3, boot=(boot, boot), latency=LATENCY, retired=()) as emulator:
        for app in dict.fromkeys(each.app for each in wanted):
            apps.create(emulator.world, app, org_slug="personal", network="")
        yield emulator


@frozen(kw_only=True)
class Launched:
    """What came of a launch: machines that run, the seconds until it was over, and what the API was asked."""

    started: int
    seconds: float
    limited: int
    requests: int
    waits: int

    @classmethod
    def of(cls, emulator: Emulator, seconds: float) -> "Launched":
        """Look into an emulator."""
        counts: Counter[str] = Counter()
        for (action, _), count in emulator.counts().items():
            counts[action] += count
        return cls(
            started=sum(machine.state == "started" for machine in emulator.world.machines.values()),
            seconds=seconds,
            limited=sum(emulator.refused_by_limit().values()),
            requests=counts.total() - counts[WAIT],
            waits=counts[WAIT],
        )
