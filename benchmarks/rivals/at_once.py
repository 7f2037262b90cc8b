"""`asyncio.gather` over aiohttp: all creates at once, and what is refused is not started."""

import asyncio
from collections.abc import Sequence

import aiohttp

from benchmarks.rivals import bare
from benchmarks.rivals.wanted import Wanted


async def launch(url: str, token: str, wanted: Sequence[Wanted]) -> None:
    """Launch all of them."""
    async with bare.session(url, token) as session:
        await asyncio.gather(*(_one(session, each) for each in wanted))


async def _one(session: aiohttp.ClientSession, wanted: Wanted) -> None:
    status, machine, _ = await bare.create(session, wanted)
    if status < 400:
        await bare.wait(session, wanted, machine)
