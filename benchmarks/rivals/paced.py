"""The same behind a limiter for each app, at the published limit, and again after a 429: the most that few lines do."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.rivals import bare
from benchmarks.rivals.wanted import Wanted


async def launch(url: str, token: str, wanted: Sequence[Wanted]) -> None:
    """Launch all of them."""
    limiters: defaultdict[str, AsyncLimiter] = defaultdict(lambda: AsyncLimiter(3, 3))
    async with bare.session(url, token) as session:
        await asyncio.gather(*(_one(session, limiters[each.app], each) for each in wanted))


async def _one(session: aiohttp.ClientSession, limiter: AsyncLimiter, wanted: Wanted) -> None:
    status = 429
    while status == 429:
        async with limiter:
            status, machine, _ = await bare.create(session, wanted)
    if status < 400:
        await bare.wait(session, wanted, machine)
