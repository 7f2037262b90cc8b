from collections.abc import AsyncIterator

import pytest_asyncio

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from tests.api.client_on_emulator import client


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(seed=1) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def fly(emulator: Emulator) -> AsyncIterator[FlyClient]:
    async with client(emulator) as fly:
        yield fly


@pytest_asyncio.fixture
async def app(fly: FlyClient) -> str:
    await fly.apps.create("web", org_slug="personal")
    return "web"
