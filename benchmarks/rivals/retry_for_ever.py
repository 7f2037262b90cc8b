"""The same, but after a 429 it tries again for as long as it takes, each time after as long as the API asks for.

Where the API says nothing of that it is a second, the time in which one more create is allowed. A `Retry-After` in
whole seconds says the same at this rate.
"""

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
    status, machine, pause = await bare.create(session, wanted)
    while status == 429:
        await asyncio.sleep(pause)
        status, machine, pause = await bare.create(session, wanted)
    if status < 400:
        await bare.wait(session, wanted, machine)
