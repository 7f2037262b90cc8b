from collections.abc import AsyncIterator

import pytest_asyncio

from tests.emulator.driver import Api, serving


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(limits=False, boot=(1, 1)) as api:
        await api.app()
        yield api
