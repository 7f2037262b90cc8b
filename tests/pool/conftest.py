"""An emulator with an app, and pools that one or several processes would share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from flyasync.models.config import MachineConfig
from flyasync.pool.pool import MachinePool

SANDBOX = MachineConfig(image="sandbox")


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(seed=1) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def fly(emulator: Emulator) -> AsyncIterator[FlyClient]:
    async with FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("web", org_slug="personal")
        yield fly


MakePool = Callable[..., MachinePool]


@pytest.fixture
def make_pool(fly: FlyClient) -> MakePool:
    """Makes a pool that is not open, as another process would have: with claims of its own."""

    def make(config: MachineConfig = SANDBOX, *, ready: Any = 0, max: int = 5, **options: Any) -> MachinePool:  # noqa: A002
        return MachinePool(fly, "web", config, ready=ready, max=max, **options)

    return make


async def settle(pool: MachinePool) -> None:
    """Reconcile, and wait until the machines that were created are in their state."""
    await pool.reconcile()
    await asyncio.sleep(30)
