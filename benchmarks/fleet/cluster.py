"""Everyone who takes part, in real time: an emulator, a Dask cluster that deploys to it, a server for its limits."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
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


@frozen
class Stage:
    """Who is there, the environment in which they find each other, and a directory that goes with them."""

    directory: Path
    environment: Mapping[str, str]
    emulator: Served
    limits: Gauge
    scheduler: Child
    workers: tuple[Child, ...]
    address: str
    """Of the scheduler."""

    def client(self) -> Any:
        """Make a client of the cluster, to be used in `async with`."""
        make: Any = Client  # which has no types
        return make(self.address, asynchronous=True)

    @property
    def gauges(self) -> list[Gauge]:
        return [self.emulator.gauge, self.limits, *(each.gauge for each in (self.scheduler, *self.workers))]


@asynccontextmanager
async def staged(workers: int, *, boot: tuple[float, float], latency: tuple[float, float]) -> AsyncIterator[Stage]:
    """Have all of them, with so many workers, ready to work until the block ends; they write their logs there."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        limits = await stack.enter_async_context(Server())
        emulator = await stack.enter_async_context(served(boot=boot, latency=latency, retired=()))
        environment = {**emulator.environment, "FLYASYNC_LIMITS": limits.url}

        async def dask(name: str, file: str, *words: str) -> Child:
            command = ("-m", "dask", *words, *ALONE)
            log = directory / f"{file}.log"
            return await stack.enter_async_context(spawned(name, *command, env=environment, log=log))

        told = directory / "scheduler.json"
        scheduler = await dask("scheduler", "scheduler", "scheduler", "--port", "0", "--scheduler-file", str(told))
        address = await _address(told, scheduler)
        each = ["worker", address, "--no-nanny", "--nthreads", "1", "--memory-limit", "0"]
        each += ["--local-directory", str(directory), "--name"]
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        children = [await dask("workers", name, *each, name) for name in names]
        stage = Stage(directory, environment, emulator, limits.gauge, scheduler, tuple(children), address)
        async with stage.client() as client:
            await client.wait_for_workers(workers, timeout=60)
        try:
            yield stage
        finally:
            await asyncio.gather(*(child.end() for child in children))


async def _address(told: Path, scheduler: Child) -> str:
    async with asyncio.timeout(60):
        while scheduler.is_running:
            with suppress(FileNotFoundError, ValueError):  # it is not written yet, or not to its end
                return str(json.loads(told.read_text())["address"])  # noqa: ASYNC240 - once, and small
            await asyncio.sleep(0.05)
    raise RuntimeError("the scheduler did not start")
