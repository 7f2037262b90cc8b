"""One client that waits for many machines, in a process of its own: `python -m benchmarks.waiting_client '{…}'`.

It starts its stand-in of the API, places all waits, has the machines come up, and prints what that took as JSON.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any

import aiohttp
from attrs import define, field, frozen

from benchmarks.children import spawned
from flyasync import FlyClient
from flyasync.api.machines.poller import survey
from flyasync.api.machines.wait import DIRECT, Waits, most_pollers, most_readers
from flyasync.transport.session import Timeouts

PAGE = 4096


@frozen
class Way:
    """How many waits of one app may poll, and how many in all."""

    direct: int
    pollers: int


POLLS, LISTS, CHOICE = "a long poll each", "a list a second", "flyasync's choice"
LOOKERS = most_readers(Timeouts().calls)
WAYS = {POLLS: Way(10**6, 10**6), LISTS: Way(0, 0), CHOICE: Way(DIRECT, most_pollers(Timeouts().polls))}


@frozen(kw_only=True)
class Case:
    """So many machines of so many apps, all waited for at once in one way; they come up within `over` seconds.

    With a `certificate`, a file that has its key too, the connections are made over TLS.
    """

    way: str
    apps: int = 1
    machines: int = 10
    over: float = 3.0
    certificate: str | None = None

    @property
    def waits(self) -> int:
        """How many waits that are."""
        return self.apps * self.machines

    def names(self) -> Iterator[tuple[str, str]]:
        """Give the app and the id of each machine."""
        for app in range(self.apps):
            for index in range(self.machines):
                yield f"app-{app}", f"{app * self.machines + index:014x}"


@define
class Moment:
    """What this process had used by then."""

    at: float = field(factory=lambda: asyncio.get_running_loop().time())
    cpu: float = field(factory=time.process_time)
    memory: int = field(factory=lambda: int(Path("/proc/self/statm").read_text().split()[1]) * PAGE)


class Api:
    """The stand-in, asked for what no client asks."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def ask(self, target: str) -> Any:
        """Ask, and read the answer."""
        async with self._session.get(self.url + target) as reply:
            return await reply.json()


@asynccontextmanager
async def served(case: Case) -> AsyncIterator[Api]:
    """Serve a stand-in while the block runs."""
    words = ["-m", "benchmarks.waiting_server", *([case.certificate] if case.certificate else [])]
    async with spawned("api", *words) as child, aiohttp.ClientSession() as session:
        assert child.process.stdout is not None
        port = int(await child.process.stdout.readline())
        yield Api(f"{'https' if case.certificate else 'http'}://127.0.0.1:{port}", session)


async def run(case: Case) -> dict[str, Any]:
    """Wait for all, and tell what it took."""
    async with served(case) as api, FlyClient("token", base_url=api.url, timeout=Timeouts(polls=places(case))) as fly:
        machines, way = fly.machines, WAYS[case.way]
        ask = machines.get, partial(survey, fly._caller), machines.wait_once  # noqa: SLF001
        # All that is replaced is the choice between polls, lists and single reads.
        machines._waits = Waits(*ask, direct=way.direct, pollers=way.pollers, readers=LOOKERS)  # noqa: SLF001
        await warm_up(api, fly)
        await api.ask(f"/_begin?apps={case.apps}&machines={case.machines}&over={case.over}")
        reached: dict[str, float] = {}
        gc.collect()
        began = Moment()
        waits = [asyncio.create_task(wait(fly, app, name, reached)) for app, name in case.names()]
        await placed(api, case)
        ready = Moment()
        up: Mapping[str, float] = await api.ask("/_go")
        await asyncio.gather(*waits)
        end = Moment()
        return {
            "delays": sorted(reached[name] - moment for name, moment in up.items()),
            "bytes": (ready.memory - began.memory) / case.waits,
            "cpu": end.cpu - began.cpu,
            "seconds": end.at - began.at,
            "waiting_cpu": end.cpu - ready.cpu,
            "waiting_seconds": end.at - ready.at,
            "requests": await api.ask("/_count"),
        }


def places(case: Case) -> int:
    """Give as many places for long polls as the case takes, where it does not leave the choice to the client."""
    return case.waits if case.way == POLLS else Timeouts().polls


async def wait(fly: FlyClient, app: str, name: str, reached: dict[str, float]) -> None:
    """Wait for one machine, and note when it was known to be up."""
    await fly.machines.wait(app, name)
    reached[name] = asyncio.get_running_loop().time()


async def warm_up(api: Api, fly: FlyClient) -> None:
    """Do everything once, so that only what each wait costs is measured."""
    await api.ask("/_begin?apps=1&machines=50&over=0.1")
    await api.ask("/_go")
    await fly.machines.list("app-0")
    await asyncio.gather(*(fly.machines.wait("app-0", f"{number:014x}") for number in range(50)))


async def placed(api: Api, case: Case) -> None:
    """Give the waits time to be placed; polls until the last one is held."""
    await asyncio.sleep(1)
    while case.way == POLLS and (await api.ask("/_count")).get("wait", 0) < case.waits:  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # another process, in real time


def main(words: list[str]) -> None:
    """Run the case that is given as JSON, and print what it took."""
    hard = getrlimit(RLIMIT_NOFILE)[1]
    setrlimit(RLIMIT_NOFILE, (hard, hard))  # the stand-in inherits it
    print(json.dumps(asyncio.run(run(Case(**json.loads(words[0]))))))


if __name__ == "__main__":
    main(sys.argv[1:])
