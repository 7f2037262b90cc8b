"""Commands that run until Ctrl-C, which comes after some seconds of virtual time; others may act meanwhile."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from click.testing import Result

from flyasync.api.client import FlyClient
from tests.cli.driver import Shop, flyasync

Meanwhile = Callable[[FlyClient], Awaitable[object]]


async def idle(_: FlyClient) -> None:
    pass


def until_interrupted(shop: Shop, *args: str, seconds: float, meanwhile: Meanwhile = idle, delay: float = 5) -> Result:
    """Run a command line, and press Ctrl-C after `seconds`; `meanwhile` begins after `delay`."""

    async def act() -> None:
        await asyncio.sleep(delay)
        async with FlyClient() as fly:
            await meanwhile(fly)

    def drive(work: Coroutine[Any, Any, Any]) -> Any:
        async def main() -> Any:
            acting = asyncio.ensure_future(act())
            asyncio.get_running_loop().call_later(seconds, signal.raise_signal, signal.SIGINT)
            try:
                return await work
            finally:
                await acting

        return shop.drive(main())

    return flyasync(*args, drive=drive)
