"""The emulator in a process of its own, where functions of a benchmark are called with it.

So a benchmark makes apps without the API, which makes one a second, and sees what no response shows.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen

from benchmarks.shared.servers import Server, serving
from flyasync import Emulator, FlyClient
from flyasync.emulator.world import apps


@frozen
class Served(Server):
    """An emulator in another process."""

    environment: Mapping[str, str]

    @property
    def token(self) -> str:
        return self.environment["FLY_API_TOKEN"]

    def client(self, **options: Any) -> FlyClient:
        """Make a client of it."""
        return FlyClient(self.token, base_url=self.url, **options)


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Served]:
    """Serve an emulator with these options until the block ends."""
    with serving(Emulator, **options) as server:
        yield Served(server.url, server.gauge, server.pipe, await server.ask(Emulator.environment))


@asynccontextmanager
async def world(app: str = "web", **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    """Serve an emulator with these options and an app in this process, with a client of it."""
    async with Emulator(**options) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create(app, org_slug="personal")
        yield emulator, fly


def begin(emulator: Emulator, names: Iterable[str]) -> None:
    """Forget everything, and have apps of these names."""
    emulator.reset()
    for name in names:
        apps.create(emulator.world, name, org_slug="personal", network="")


def machines(emulator: Emulator) -> int:
    """Count the machines by now."""
    return len(emulator.world.machines)


def requests(emulator: Emulator) -> Counter[str]:
    """Count the requests by their actions."""
    counts: Counter[str] = Counter()
    for (action, _), count in emulator.counts().items():
        counts[action] += count
    return counts
