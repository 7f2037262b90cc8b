"""Everyone who takes part, in real time: an emulator, a Dask cluster that deploys to it, a server for its limits."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from benchmarks.fleet.cluster import Cluster, LimitsServer, clustered, limits_server
from benchmarks.fleet.pretend import Pretend, pretending
from benchmarks.fleet.processes import Gauge


@frozen
class Stage:
    """Who is there, the environment in which they find each other, and a directory that goes with them."""

    directory: Path
    environment: Mapping[str, str]
    pretend: Pretend
    limits: LimitsServer
    cluster: Cluster

    @property
    def gauges(self) -> list[Gauge]:
        """What each of them uses."""
        return [self.pretend.child.gauge, self.limits.gauge, *(child.gauge for child in self.cluster.children)]


@asynccontextmanager
async def staged(workers: int, *, boot: tuple[float, float], latency: tuple[float, float]) -> AsyncIterator[Stage]:
    """Have all of them, with so many workers, until the block ends."""
    with TemporaryDirectory() as path, limits_server() as limits:
        async with pretending(boot=boot, latency=latency) as pretend:
            environment = {**pretend.environment, "FLYASYNC_LIMITS": limits.url}
            async with clustered(workers, Path(path), environment) as cluster:
                yield Stage(Path(path), environment, pretend, limits, cluster)
