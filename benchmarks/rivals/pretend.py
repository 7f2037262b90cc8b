"""The emulator that each launch has to itself, and what it saw of it; the rival is not asked."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

from attrs import frozen

from benchmarks.rivals.wanted import Wanted
from benchmarks.shared.served import begin, requests
from flyasync import Emulator, Fault
from flyasync.emulator.http.request_log import LoggedRequest

LATENCY = (0.02, 0.25)
"""Bounds of the seconds that each request travels."""
CREATE = "createMachine"
WAIT = "waitMachine"


@asynccontextmanager
async def pretended(wanted: Sequence[Wanted], *, boot: float, faults: Sequence[Fault] = ()) -> AsyncIterator[Emulator]:
    """Have an emulator that keeps the published limits, and whose machines boot for so many seconds.

    The apps are there already: the API makes one of them a second, and that is not the point here.
    """
    async with Emulator(seed=3, boot=(boot, boot), latency=LATENCY, retired=(), faults=faults) as emulator:
        begin(emulator, dict.fromkeys(each.app for each in wanted))
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
        """Look into an emulator."""
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
    created = max((each for each in log if each.action == CREATE and not each.is_limited), key=lambda each: each.at)
    waits = [each for each in log if each.action == WAIT and each.path.startswith(created.path)]
    last = [max(waits, key=lambda each: each.at)] if waits else []
    refused = sum(each.action == CREATE and each.is_limited and each.path == created.path for each in log)
    others = (each for each in log if each.action not in {CREATE, WAIT} and _is_of(each, created.identifier))
    path = sorted([created, *others, *last], key=lambda each: each.at)
    steps = [
        f"{at:.2f} {', '.join(sorted({each.action for each in sent}))}"
        for at, sent in groupby(path, lambda each: round(each.at, 2))
    ]
    return " -> ".join([*steps, f"{seconds:.2f} over"]) + (f" (after {refused} x 429)" if refused else "")


def _is_of(entry: LoggedRequest, app: str) -> bool:
    """Whether a request is about an app, or about none."""
    return f"/apps/{app}/" in f"{entry.path}/" or "/apps/" not in entry.path
