"""An emulator, a client bound to it, and an app in it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from flyasync import DeployBuilder, Emulator, Fault, FlyClient, Machine
from flyasync.models.image import without_digest

World = Callable[..., AbstractAsyncContextManager[tuple[Emulator, FlyClient]]]


@asynccontextmanager
async def world(*, client: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    """An emulator with an app named `web` and the faults of `options`, which begin once the app is there."""
    async with (
        Emulator(**options) as emulator,
        FlyClient(emulator.token, base_url=emulator.url, **(client or {})) as fly,
    ):
        await fly.apps.create("web", org_slug="personal")
        yield emulator, fly


@pytest.fixture
def base() -> DeployBuilder:
    return DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("nginx").with_launch("v1")


def total(emulator: Emulator, action: str) -> int:
    """Count the requests of one action, whoever they were for."""
    return sum(count for (name, _), count in emulator.counts().items() if name == action)


def tag(machine: Machine) -> str:
    """Give the image that a machine runs, without the digest."""
    return without_digest(str(machine.image))


async def killed(emulator: Emulator, fly: FlyClient, builder: DeployBuilder, requests: int) -> None:
    """Kill a deploy after this many requests: no further request reaches the API."""
    cut = Fault(does="cut", after=requests)
    emulator.faults.add(cut)
    deploy = asyncio.ensure_future(builder.execute(fly))
    while not (deploy.done() or emulator.faults.hits(cut)):
        await asyncio.wait([deploy], timeout=0.1)
    while not deploy.done():
        deploy.cancel()
        await asyncio.wait([deploy], timeout=0.05)
    await asyncio.gather(deploy, return_exceptions=True)
    emulator.faults.remove(cut)
