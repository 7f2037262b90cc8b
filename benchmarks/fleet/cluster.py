"""A Dask cluster that deploys to an emulator in real time, with a server for its limits; each is a process."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen
from distributed import Client

from benchmarks.shared.children import Child, spawned
from benchmarks.shared.served import Served, served
from benchmarks.shared.usage import Gauge
from benchmarks.shared.valkey import Server

# Without the dashboard there is still an HTTP server, which would listen everywhere, and on one port for all.
ALONE = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
LATENCY = (0.005, 0.02)


@frozen
class Stage:
    """What takes part, its environment, and the directory of its logs; `address` is the scheduler's."""

    directory: Path
    environment: Mapping[str, str]
    emulator: Served
    address: str
    workers: tuple[Child, ...]
    gauges: tuple[Gauge, ...]

    def client(self) -> Any:
        """Make a client of the cluster, to be used in `async with`."""
        make: Any = Client  # which has no types
        return make(self.address, asynchronous=True)


@asynccontextmanager
async def staged(
    workers: int, *, boot: tuple[float, float], latency: tuple[float, float] = LATENCY
) -> AsyncIterator[Stage]:
    """Have a cluster of so many workers, ready to work until the block ends."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        limits = await stack.enter_async_context(Server())
        emulator = await stack.enter_async_context(served(boot=boot, latency=latency, retired=()))
        environment = {**emulator.environment, "FLYASYNC_LIMITS": limits.url}

        async def dask(name: str, file: str, *words: str) -> Child:
            child = spawned(name, "-m", "dask", *words, *ALONE, env=environment, log=directory / f"{file}.log")
            return await stack.enter_async_context(child)

        found = directory / "scheduler.json"
        scheduler = await dask("scheduler", "scheduler", "scheduler", "--port", "0", "--scheduler-file", str(found))
        async with asyncio.timeout(60):
            while not (text := found.read_text() if found.exists() else "").endswith("}"):  # not written to its end
                assert scheduler.is_running, "the scheduler did not start"
                await asyncio.sleep(0.05)
        address = str(json.loads(text)["address"])
        words = ("--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--local-directory", str(directory), "--name")
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        children = [await dask("workers", name, "worker", address, *words, name) for name in names]
        gauges = (emulator.gauge, limits.gauge, *(each.gauge for each in (scheduler, *children)))
        stage = Stage(directory, environment, emulator, address, tuple(children), gauges)
        async with stage.client() as client:
            await client.wait_for_workers(workers, timeout=60)
        try:
            yield stage
        finally:
            await asyncio.gather(*(child.end() for child in children))
