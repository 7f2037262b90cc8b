"""The emulator in a process of its own: `python -m benchmarks.shared.served` reads its options, and tells where it is.

`Served.ask` calls a function of a benchmark in that process, with the emulator, and gives what it returns: so a
benchmark makes apps without the API, which makes one a second, and sees what no response shows.
"""

import asyncio
import pickle
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from attrs import frozen

from benchmarks.shared.children import Child, say, spawned, told
from flyasync import Emulator, FlyClient
from flyasync.emulator.world import apps

Result = TypeVar("Result")


@frozen
class Served:
    """The emulator, as seen from another process."""

    child: Child
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.environment["FLY_FLAPS_BASE_URL"]

    @property
    def token(self) -> str:
        return self.environment["FLY_API_TOKEN"]

    def client(self, **options: Any) -> FlyClient:
        """Make a client of it."""
        return FlyClient(self.token, base_url=self.url, **options)

    async def ask(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function there, with the emulator and these arguments."""
        assert function.__module__ != "__main__", "there `__main__` is the emulator"
        result: Result = _unpacked(await self.child.ask(_packed((function, arguments))))
        return result


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Served]:
    """Serve an emulator with these options until the block ends."""
    async with spawned("emulator", "-W", "error", "-m", "benchmarks.shared.served") as child:
        yield Served(child, await child.ask(_packed(options)))


def _packed(value: Any) -> str:
    return b64encode(pickle.dumps(value)).decode()


def _unpacked(text: str) -> Any:
    return pickle.loads(b64decode(text))  # noqa: S301 - from the process that we started


@asynccontextmanager
async def world(app: str = "web", **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    """Serve an emulator with these options and an app in this process, with a client of it."""
    async with Emulator(**options) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create(app, org_slug="personal")
        yield emulator, fly


# What benchmarks have an emulator do, wherever it is


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


async def main() -> None:
    """Be the emulator, until nobody asks any more."""
    asked = told()
    async with Emulator(**_unpacked(await anext(asked))) as emulator:
        say(dict(emulator.environment()))
        async for each in asked:
            function, arguments = _unpacked(each)
            say(_packed(function(emulator, *arguments)))


if __name__ == "__main__":
    asyncio.run(main())
