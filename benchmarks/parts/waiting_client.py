"""One client that waits for many machines, in a process of its own: `python -m benchmarks.parts.waiting_client '{…}'`.

It starts its stand-in of the API, places all waits, has the machines come up, and prints what that took as JSON.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any

from attrs import define, field, frozen

from benchmarks.shared.children import Child, spawned
from benchmarks.shared.usage import resident, sockets
from flyasync import FlyClient
from flyasync.api.machines.poller import survey
from flyasync.api.machines.wait import DIRECT, Waits, most_pollers, most_readers
from flyasync.transport.session import Timeouts

POLLS, LISTS, CHOICE = "a long poll each", "a list a second", "flyasync's choice"
WAYS = {POLLS: (10**6, 10**6), LISTS: (0, 0), CHOICE: (DIRECT, most_pollers(Timeouts().polls))}
"""How many waits of one app may poll, and how many in all."""


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
    memory: int = field(factory=resident)


async def run(case: Case) -> dict[str, Any]:
    """Wait for all, and tell what it took."""
    # As many places for long polls as the case takes, where it does not leave the choice to the client.
    timeouts = Timeouts(polls=case.waits) if case.way == POLLS else Timeouts()
    words = ["-m", "benchmarks.parts.waiting_server", *([case.certificate] if case.certificate else [])]
    async with spawned("api", *words) as api:
        url = f"{'https' if case.certificate else 'http'}://127.0.0.1:{await api.hear()}"
        async with FlyClient("token", base_url=url, timeout=timeouts) as fly:
            machines, (direct, pollers) = fly.machines, WAYS[case.way]
            ask = machines.get, partial(survey, fly._caller), machines.wait_once  # noqa: SLF001
            # All that is replaced is the choice between polls, lists and single reads.
            readers = most_readers(Timeouts().calls)
            machines._waits = Waits(*ask, direct=direct, pollers=pollers, readers=readers)  # noqa: SLF001
            return await measured(case, api, fly)


async def measured(case: Case, api: Child, fly: FlyClient) -> dict[str, Any]:
    """Place all waits, have the machines come up, and tell what it took."""
    # Everything is done once before, so that only what each wait costs is measured.
    await api.ask(["begin", 1, 50, 0.1])
    await api.ask(["go"])
    await fly.machines.list("app-0")
    await asyncio.gather(*(fly.machines.wait("app-0", f"{number:014x}") for number in range(50)))
    await api.ask(["begin", case.apps, case.machines, case.over])
    reached: dict[str, float] = {}

    async def wait(app: str, name: str) -> None:
        await fly.machines.wait(app, name)
        reached[name] = asyncio.get_running_loop().time()

    gc.collect()
    began = Moment()
    waits = [asyncio.create_task(wait(app, name)) for app, name in case.names()]
    await asyncio.sleep(1)
    while case.way == POLLS and (await api.ask(["count"])).get("wait", 0) < case.waits:  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # until the last poll is held, by another process, in real time
    ready, most = Moment(), 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sockets())
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    up: Mapping[str, float] = await api.ask(["go"])
    await asyncio.gather(*waits)
    end = Moment()
    watching.cancel()
    return {
        "delays": sorted(reached[name] - moment for name, moment in up.items()),
        "bytes": (ready.memory - began.memory) / case.waits,
        "cpu": end.cpu - began.cpu,
        "seconds": end.at - began.at,
        "waiting_cpu": end.cpu - ready.cpu,
        "waiting_seconds": end.at - ready.at,
        "requests": await api.ask(["count"]),
        "sockets": most,
    }


if __name__ == "__main__":
    hard = getrlimit(RLIMIT_NOFILE)[1]
    setrlimit(RLIMIT_NOFILE, (hard, hard))  # the stand-in inherits it
    print(json.dumps(asyncio.run(run(Case(**json.loads(sys.argv[1]))))))
