"""What one would write without flyasync: `asyncio.gather` over aiohttp, and four ways to take a 429."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.rivals.wanted import IMAGE, Wanted

BOOTING = aiohttp.ClientTimeout(total=90)
"""Longer than the API's longest wait, which is 60 s."""
Way = Callable[[aiohttp.ClientSession, Wanted, AsyncLimiter], Awaitable[None]]
"""How one machine is launched; the limiter is that of its app, at the published limit."""


async def launch(way: Way, url: str, token: str, wanted: Sequence[Wanted]) -> None:
    """Launch all of them, with room for any number of requests: aiohttp's own bound of 100 would hold waits up."""
    limiters: defaultdict[str, AsyncLimiter] = defaultdict(lambda: AsyncLimiter(3, 3))
    headers, connector = {"Authorization": f"Bearer {token}"}, aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, headers=headers, timeout=BOOTING, connector=connector) as session:
        await asyncio.gather(*(way(session, each, limiters[each.app]) for each in wanted))


async def at_once(session: aiohttp.ClientSession, wanted: Wanted, _: AsyncLimiter) -> None:
    """Start nothing that is refused."""
    status, machine, _pause = await _create(session, wanted)
    if status < 400:
        await _wait(session, wanted, machine)


async def retry_once(session: aiohttp.ClientSession, wanted: Wanted, _: AsyncLimiter) -> None:
    """Follow the rule of many a first sketch: after a 429 try once more in two seconds."""
    status, machine, _pause = await _create(session, wanted)
    if status == 429:
        await asyncio.sleep(2)
        status, machine, _pause = await _create(session, wanted)
    if status < 400:
        await _wait(session, wanted, machine)


async def retry_for_ever(session: aiohttp.ClientSession, wanted: Wanted, _: AsyncLimiter) -> None:
    """Try again after a 429 for as long as it takes, each time after as long as the API asks for.

    Where the API says nothing of that it is a second, the time in which one more create is allowed. A `Retry-After` in
    whole seconds says the same at this rate.
    """
    status, machine, pause = await _create(session, wanted)
    while status == 429:
        await asyncio.sleep(pause)
        status, machine, pause = await _create(session, wanted)
    if status < 400:
        await _wait(session, wanted, machine)


async def paced(session: aiohttp.ClientSession, wanted: Wanted, limiter: AsyncLimiter) -> None:
    """Keep to the published limit, and try again after a 429: the most that few lines do."""
    status = 429
    while status == 429:
        async with limiter:
            status, machine, _pause = await _create(session, wanted)
    if status < 400:
        await _wait(session, wanted, machine)


# The two calls that all of them make, written as the docs have them


async def _create(session: aiohttp.ClientSession, wanted: Wanted) -> tuple[int, dict[str, Any], float]:
    """Create a machine; give the status, the machine, and the seconds that the API asks to be left alone for."""
    body = {"region": wanted.region, "config": {"image": IMAGE}}
    async with session.post(f"/v1/apps/{wanted.app}/machines", json=body) as answer:
        return answer.status, await answer.json(), float(answer.headers.get("Retry-After", 1))


async def _wait(session: aiohttp.ClientSession, wanted: Wanted, machine: dict[str, Any]) -> None:
    """Wait until it is started; the API answers 408 after a minute, and is asked again."""
    query = {"state": "started", "timeout": "60", "instance_id": machine["instance_id"]}
    while True:
        async with session.get(f"/v1/apps/{wanted.app}/machines/{machine['id']}/wait", params=query) as answer:
            if answer.status != 408:
                return
