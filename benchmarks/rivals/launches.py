"""What all rivals are asked for, the emulator that each launch has to itself, and what it saw; no rival is asked."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

from attrs import frozen

from benchmarks.shared.served import begin, requests
from flyasync import Emulator, Fault
from flyasync.emulator.core.regions import CODES
from flyasync.emulator.http.request_log import LoggedRequest

IMAGE = "nginx"
REGIONS = CODES[:30]
"""Codes alone, no aliases; the emulator accepts the retired ones among them too."""
LATENCY = (0.02, 0.25)
"""Bounds of the seconds that each request travels."""
CREATE, WAIT = "createMachine", "waitMachine"


@frozen
class Wanted:
    """One machine: which app it belongs to, and where it shall run."""

    app: str
    region: str


def wanted(machines: int, *, apps: int) -> list[Wanted]:
    """Ask for so many machines: each app gets the same number of them, in regions that follow each other."""
    each = machines // apps
    return [Wanted(f"shop-{number // each}", REGIONS[number % len(REGIONS)]) for number in range(each * apps)]


@asynccontextmanager
async def emulated(apps: Iterable[str], *, boot: float, faults: Sequence[Fault] = ()) -> AsyncIterator[Emulator]:
    """Serve an emulator that keeps the published limits, has these apps, and boots machines in so many seconds.

    The apps are there already: the API makes one of them a second, and that is not the point here.
    """
    async with Emulator(seed=3, boot=(boot, boot), latency=LATENCY, retired=(), faults=faults) as emulator:
        begin(emulator, apps)
        yield emulator


@frozen(kw_only=True)
class Launched:
    """What came of a launch: machines that run, the seconds until it was over, and what the API was asked.

    `path` are the requests that its last machine needed, with the seconds after which each was sent.
    """

    started: int
    seconds: float
    limited: int
    requests: int
    waits: int
    path: str = ""

    @classmethod
    def of(cls, emulator: Emulator, seconds: float) -> "Launched":
        counts = requests(emulator)
        return cls(
            started=sum(machine.state == "started" for machine in emulator.world.machines.values()),
            seconds=seconds,
            limited=sum(emulator.refused_by_limit().values()),
            requests=counts.total() - counts[WAIT],
            waits=counts[WAIT],
            path=_path(emulator.log, seconds),
        )


def _path(log: Sequence[LoggedRequest], seconds: float) -> str:
    """Write what was asked for the machine that was created last, for its app, and for all apps together."""
    creates = [each for each in log if each.action == CREATE]
    created = max((each for each in creates if not each.is_limited), key=lambda each: each.at)
    waits = (each for each in log if each.action == WAIT and each.path.startswith(created.path))
    last = sorted(waits, key=lambda each: each.at)[-1:]
    app, others = f"/apps/{created.identifier}/", (each for each in log if each.action not in {CREATE, WAIT})
    beside = (each for each in others if app in f"{each.path}/" or "/apps/" not in each.path)
    steps = [
        f"{at:.2f} {', '.join(sorted({each.action for each in sent}))}"
        for at, sent in groupby(
            sorted([created, *beside, *last], key=lambda each: each.at), lambda each: round(each.at, 2)
        )
    ]
    refused = sum(each.is_limited and each.path == created.path for each in creates)
    return " -> ".join([*steps, f"{seconds:.2f} over"]) + (f" (after {refused} x 429)" if refused else "")
