"""Who launches machines for `benchmarks.launch` in asyncio, what is asked of all, and what an emulator saw of it.

As a program, `python -m benchmarks.parts.launch_rivals`, flyasync is asked and answers as every program here: it says
that it is ready, reads where the API is and what is wanted, launches that, and says in how many seconds.
"""

import asyncio
import json
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from itertools import count, groupby

import aiohttp
from aiolimiter import AsyncLimiter
from attrs import frozen

from benchmarks.shared.served import begin, requests
from flyasync import DeployBuilder, Emulator, Fault, FlyClient, deploy_many
from flyasync.emulator.core.regions import CODES

IMAGE = "nginx"
REGIONS = CODES[:30]
"""Codes alone, no aliases; the emulator accepts the retired ones among them too."""
LATENCY = (0.02, 0.25)
"""Bounds of the seconds that each request travels."""
CREATE, WAIT = "createMachine", "waitMachine"
BASE = DeployBuilder("shop").with_image(IMAGE).require("all")
PINNED = BASE.with_image(f"{IMAGE}@sha256:{'7' * 64}")
BOOTING = aiohttp.ClientTimeout(total=90)
"""Longer than the API's longest wait, which is 60 s."""


@frozen
class Wanted:
    """One machine: which app it belongs to, and where it shall run."""

    app: str
    region: str


def wanted(machines: int, *, apps: int) -> list[Wanted]:
    """Ask for so many machines: each app gets the same number of them, in regions that follow each other."""
    each = machines // apps
    return [Wanted(f"shop-{number // each}", REGIONS[number % len(REGIONS)]) for number in range(each * apps)]


async def with_flyasync(url: str, token: str, wanted: Sequence[Wanted], base: DeployBuilder = BASE) -> None:
    """Launch all by a deploy for one app, by `deploy_many` for several."""
    builders = builders_of(wanted, base)
    async with FlyClient(token, base_url=url) as fly:
        if len(builders) == 1:
            await builders[wanted[0].app].execute(fly)
        else:
            _ = [each async for each in deploy_many(fly, builders.__getitem__, builders, at_once=len(builders))]


def builders_of(wanted: Sequence[Wanted], base: DeployBuilder) -> dict[str, DeployBuilder]:
    """Make the builder of each app."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in wanted:
        counts[each.app][each.region] += 1
    return {app: base.for_app(app).to_regions(*regions).count(**regions) for app, regions in counts.items()}


async def by_hand(
    url: str,
    token: str,
    wanted: Sequence[Wanted],
    *,
    tries: float = math.inf,
    pause: float | None = None,
    is_paced: bool = False,
) -> None:
    """Launch all as one would without flyasync, with room for any number of requests: aiohttp's 100 would delay waits.

    A create is sent up to `tries` times while the API responds with 429; what is refused then is not started. The
    `pause` before each further try is by default as many seconds as the API asks for, or else one, in which one more
    create is allowed. With `is_paced`, creates keep to the published limit of their app, the most that few lines do.
    """
    limiters: defaultdict[str, AsyncLimiter] = defaultdict(lambda: AsyncLimiter(3, 3))
    headers, connector = {"Authorization": f"Bearer {token}"}, aiohttp.TCPConnector(limit=0)

    async def one(each: Wanted) -> None:
        machines = f"/v1/apps/{each.app}/machines"
        body = {"region": each.region, "config": {"image": IMAGE}}
        for number in count(1):
            async with limiters[each.app] if is_paced else nullcontext(), session.post(machines, json=body) as response:
                status, machine = response.status, await response.json()
                asked = float(response.headers.get("Retry-After", 1))
            if status != 429 or number >= tries:
                break
            if delay := asked if pause is None else pause:
                await asyncio.sleep(delay)
        status = 408 if status < 400 else status
        while status == 408:  # what a wait ends with after a minute
            query = {"state": "started", "timeout": "60", "instance_id": machine["instance_id"]}
            async with session.get(f"{machines}/{machine['id']}/wait", params=query) as response:
                status = response.status

    async with aiohttp.ClientSession(url, headers=headers, timeout=BOOTING, connector=connector) as session:
        await asyncio.gather(*map(one, wanted))


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
            path=_path(emulator, seconds),
        )


def _path(emulator: Emulator, seconds: float) -> str:
    """Write what was asked for the machine that was created last, for its app, and for all apps together."""
    log = sorted(emulator.log, key=lambda each: each.at)
    *_, created = (each for each in log if each.action == CREATE and not each.is_limited)
    last = [each for each in log if each.action == WAIT and each.path.startswith(created.path)][-1:]
    app, others = f"/apps/{created.identifier}/", (each for each in log if each.action not in {CREATE, WAIT})
    beside = (each for each in others if app in f"{each.path}/" or "/apps/" not in each.path)
    moments = groupby(sorted([created, *beside, *last], key=lambda each: each.at), lambda each: round(each.at, 2))
    steps = [f"{at:.2f} {', '.join(sorted({each.action for each in sent}))}" for at, sent in moments]
    refused = sum(each.action == CREATE and each.is_limited and each.path == created.path for each in log)
    return " -> ".join([*steps, f"{seconds:.2f} over"]) + (f" (after {refused} x 429)" if refused else "")


if __name__ == "__main__":
    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())
    began = time.monotonic()
    machines = [Wanted(order["app"], region) for region in order["regions"]]
    asyncio.run(with_flyasync(order["url"], order["token"], machines))
    print(time.monotonic() - began)
