"""Between a client and the emulator: what was asked goes on as it came, and its body is kept."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, web
from attrs import Factory, define, frozen

from flyasync import Emulator, FlyClient

HOP = {"host", "content-length", "transfer-encoding", "connection", "date", "server"}


@frozen
class Asked:
    """One request with its body, and how it was answered."""

    line: str
    body: Any
    status: int
    query: dict[str, str]


@define
class Relay:
    """Passes requests on; one of a method in `instead` gets that answer, and goes no further.

    `edit` may change the body of a request on its way, and `alter` an answer on its way back.
    """

    url: str
    session: ClientSession
    asked: list[Asked] = Factory(list)
    instead: dict[str, Any] = Factory(dict)
    edit: Callable[[str, dict[str, Any]], None] | None = None
    alter: Callable[[web.Request, Any], Any] | None = None

    def bodies(self, line: str) -> list[Any]:
        """Give the bodies of the requests whose method and path begin so."""
        return [each.body for each in self.asked if each.line.startswith(line)]

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.method in self.instead:
            return web.json_response(self.instead[request.method])
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP}
        if self.edit and body:
            edited = json.loads(body)
            self.edit(request.path, edited)
            body = json.dumps(edited).encode()
        async with self.session.request(
            request.method, self.url + request.raw_path, data=body or None, headers=headers
        ) as answer:
            said = await answer.read()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP}
            line = f"{request.method} {request.path}"
            self.asked.append(Asked(line, await request.json() if body else None, answer.status, dict(request.query)))
            if self.alter and answer.ok and answer.content_type == "application/json":
                return web.json_response(self.alter(request, json.loads(said)), status=answer.status)
            return web.Response(body=said, status=answer.status, headers=kept)


@asynccontextmanager
async def relayed(emulator: Emulator) -> AsyncIterator[tuple[Relay, FlyClient]]:
    """A client of the emulator whose requests can be read."""
    async with ClientSession() as session:
        relay = Relay(emulator.url, session)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", relay.serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with FlyClient(emulator.token, base_url=f"http://127.0.0.1:{runner.addresses[0][1]}") as fly:
                yield relay, fly
        finally:
            await runner.cleanup()


MACHINES = "/v1/apps/web/machines"


@asynccontextmanager
async def lagging(emulator: Emulator, seconds: float) -> AsyncIterator[FlyClient]:
    """A client whose lists of machines show them as they were some seconds ago; all else is as it is.

    It lists them itself all the time, so the emulator must not limit that.
    """
    rows: list[tuple[float, list[Any]]] = []
    clock = asyncio.get_running_loop().time

    def alter(request: web.Request, answer: Any) -> Any:
        if request.method != "GET" or request.path != MACHINES:
            return answer
        old = [those for at, those in rows if at <= clock() - seconds][-1]
        return [row for row in old if _is_asked_for(request, row)]

    async def follow(relay: Relay) -> None:
        headers = {"Authorization": f"Bearer {emulator.token}"}
        while True:
            url = f"{relay.url}{MACHINES}?include_deleted=true"
            async with relay.session.get(url, headers=headers) as answer:
                rows.append((clock(), await answer.json()))
            await asyncio.sleep(0.5)

    async with relayed(emulator) as (relay, fly):
        following = asyncio.create_task(follow(relay))
        try:
            await asyncio.sleep(seconds + 1)
            relay.alter = alter
            yield fly
        finally:
            following.cancel()
            await asyncio.wait([following])


def _is_asked_for(request: web.Request, row: dict[str, Any]) -> bool:
    metadata = row["config"].get("metadata", {})
    has_tags = all(
        metadata.get(key[9:]) == value for key, value in request.query.items() if key.startswith("metadata.")
    )
    return has_tags and (row["state"] != "destroyed" or "include_deleted" in request.query)
