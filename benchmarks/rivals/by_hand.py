"""What one would write without flyasync: `asyncio.gather` over aiohttp, with some way to take a 429."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.rivals.launches import IMAGE, Wanted

BOOTING = aiohttp.ClientTimeout(total=90)
"""Longer than the API's longest wait, which is 60 s."""


async def launch(
    url: str,
    token: str,
    wanted: Sequence[Wanted],
    *,
    tries: float = math.inf,
    pause: float | None = None,
    is_paced: bool = False,
) -> None:
    """Launch all of them, with room for any number of requests: aiohttp's own bound of 100 would hold waits up.

    A create is sent up to `tries` times while the API responds with 429; what is refused then is not started. The
    `pause` before each further try is by default as many seconds as the API asks for, or else one, in which one more
    create is allowed. With `is_paced`, creates keep to the published limit of their app, the most that few lines do.
    """
    limiters: defaultdict[str, AsyncLimiter] = defaultdict(lambda: AsyncLimiter(3, 3))
    headers, connector = {"Authorization": f"Bearer {token}"}, aiohttp.TCPConnector(limit=0)

    async def one(each: Wanted) -> None:
        machines = f"/v1/apps/{each.app}/machines"
        body = {"region": each.region, "config": {"image": IMAGE}}
        for number in count(1):
            async with limiters[each.app] if is_paced else nullcontext(), session.post(machines, json=body) as response:
                status, machine = response.status, await response.json()
                asked = float(response.headers.get("Retry-After", 1))
            if status != 429 or number >= tries:
                break
            if delay := asked if pause is None else pause:
                await asyncio.sleep(delay)
        query = {"state": "started", "timeout": "60", "instance_id": machine.get("instance_id", "")}
        status = 408 if status < 400 else status
        while status == 408:  # what a wait ends with after a minute
            async with session.get(f"{machines}/{machine['id']}/wait", params=query) as response:
                status = response.status

    async with aiohttp.ClientSession(url, headers=headers, timeout=BOOTING, connector=connector) as session:
        await asyncio.gather(*map(one, wanted))
