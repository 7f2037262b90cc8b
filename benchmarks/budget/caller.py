"""A process that calls an API through a client of its own: `python -m benchmarks.budget.caller ORDER`."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from benchmarks.budget.errand import Begin, Loop, Order, do, on_event, say
from flyasync import FlyClient, FlyError


async def call(order: Order, _loop: Loop, begin: Begin) -> None:
    """Make all calls at once, and tell of each that went well."""
    async with FlyClient(order.token, base_url=order.url, limits=order.backing, on_event=on_event) as fly:
        with suppress(FlyError):
            await fly.machines.list(f"nobody-{os.getpid()}")  # opens the connections
        await begin()
        gets = (_told("get", fly.machines.get(order.app, order.machine)) for _ in range(order.gets))
        lists = (_told("list", fly.machines.list(order.app)) for _ in range(order.lists))
        await asyncio.gather(*gets, *lists)


async def _told(name: str, answer: Awaitable[Any]) -> None:
    with suppress(FlyError):
        await answer
        say("call", name)


if __name__ == "__main__":
    do(call)
