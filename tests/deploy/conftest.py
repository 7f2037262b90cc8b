"""An emulator, a client bound to it, and an app in it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from flyasync import DeployBuilder, Emulator, FlyClient, Machine
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
