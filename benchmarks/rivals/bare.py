"""The two calls that every hand-written launcher makes with aiohttp, written as the docs have them."""

from typing import Any

import aiohttp

from benchmarks.rivals.wanted import IMAGE, Wanted

BOOTING = aiohttp.ClientTimeout(total=90)
"""Longer than the API's longest wait, which is 60 s."""


def session(url: str, token: str) -> aiohttp.ClientSession:
    """Open a session with room for any number of requests at once; aiohttp's own bound of 100 would hold waits up."""
    headers = {"Authorization": f"Bearer {token}"}
    return aiohttp.ClientSession(url, headers=headers, timeout=BOOTING, connector=aiohttp.TCPConnector(limit=0))


async def create(session: aiohttp.ClientSession, wanted: Wanted) -> tuple[int, dict[str, Any], float]:
    """Create a machine; give the status, the machine, and the seconds that the API asks to be left alone for."""
    body = {"region": wanted.region, "config": {"image": IMAGE}}
    async with session.post(f"/v1/apps/{wanted.app}/machines", json=body) as answer:
        return answer.status, await answer.json(), float(answer.headers.get("Retry-After", 1))


async def wait(session: aiohttp.ClientSession, wanted: Wanted, machine: dict[str, Any]) -> None:
    """Wait until it is started; the API answers 408 after a minute, and is asked again."""
    query = {"state": "started", "timeout": "60", "instance_id": machine["instance_id"]}
    while True:
        async with session.get(f"/v1/apps/{wanted.app}/machines/{machine['id']}/wait", params=query) as answer:
            if answer.status != 408:
                return
