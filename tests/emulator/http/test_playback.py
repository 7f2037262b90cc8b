"""An emulator that replays: recorded responses at recorded times, then a world that continues from the recording."""

import asyncio
from typing import Any

import aiohttp
import pytest

from flyasync.emulator import Emulator
from flyasync.emulator.replay.playback import Playback
from flyasync.emulator.replay.recording import Exchange, RecordedDeploy, Recording

MACHINE = {"id": "m1", "name": "app-iad-1", "region": "iad", "state": "started", "config": {"image": "shop:1"}}
LIST = "/v1/apps/web/machines"


def exchange(number: int, path: str = LIST, **more: Any) -> Exchange:
    given = {"at": 10.0 * number, "seconds": 2.0, "operation": "", "identifier": "", "method": "GET", "status": 200}
    return Exchange(number=number, path=path, **{**given, **more})


def replaying(*exchanges: Exchange) -> tuple[Emulator, Playback]:
    deploy = RecordedDeploy(at=0.0, until=100.0, line={"app": "web", "launch": "v1", "kind": "deploy"})
    header = {"started": "2026-01-01T00:00:00+00:00"}
    recording = Recording(source="r", header=header, deploys=(deploy,), exchanges=exchanges, ends="closed")
    playback = Playback(recording, deploy, {})
    return Emulator.replaying(playback), playback


async def test_a_response_comes_as_recorded_and_when_it_was() -> None:
    headers = {"fly-request-id": "r1", "retry-after": "3", "date": "Mon, 30 Nov 2026 22:56:40 GMT"}
    emulator, _ = replaying(exchange(0, status=503, response={"error": "no"}, headers=headers))
    async with emulator, aiohttp.ClientSession(emulator.url) as session:
        before = asyncio.get_running_loop().time()
        async with session.get(LIST) as reply:
            assert (reply.status, await reply.json()) == (503, {"error": "no"})
            assert (reply.headers["fly-request-id"], reply.headers["retry-after"]) == ("r1", "3")
        assert asyncio.get_running_loop().time() - before == pytest.approx(2.0, abs=0.01)
        assert [each.status for each in emulator.log] == [503]


async def test_a_connection_breaks_as_recorded_and_a_held_request_stays_open() -> None:
    # A POST, since aiohttp itself sends a GET again when its connection breaks.
    lost = exchange(0, f"{LIST}/m1/stop", method="POST", status=None, error="ConnectionLost")
    held = exchange(1, status=None, error="NoReplyInTime", is_cut=True, at=2.0)
    emulator, _ = replaying(lost, held)
    async with emulator, aiohttp.ClientSession(emulator.url) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(f"{LIST}/m1/stop")
        with pytest.raises(TimeoutError):
            await session.get(LIST, timeout=aiohttp.ClientTimeout(60))


async def test_after_a_request_that_was_not_recorded_the_world_continues() -> None:
    emulator, playback = replaying(
        exchange(0, response=[MACHINE]),
        exchange(1, f"{LIST}/m1/stop", method="POST", status=500, response={"error": "x"}),
    )
    async with emulator, aiohttp.ClientSession(emulator.url, headers={"Authorization": "Bearer x"}) as session:
        async with session.get(LIST) as reply:
            assert await reply.json() == [MACHINE]
        async with session.post(f"{LIST}/m1/cordon") as reply:
            assert reply.status == 200
        assert str(playback.divergence) == "at 2.0 s: POST /v1/apps/web/machines/m1/cordon: not in the recording"
        async with session.get(f"{LIST}/m1") as reply:
            assert (await reply.json())["cordoned"]
        # It was refused in the recording, so it is now, and only once.
        assert [(await session.post(f"{LIST}/m1/stop")).status for _ in range(2)] == [500, 200]
