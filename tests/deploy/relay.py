"""Between a client and the emulator: what was asked goes on as it came, and its body is kept."""

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

    `edit` may change the body of a request on its way, `show` what is answered.
    """

    url: str
    session: ClientSession
    asked: list[Asked] = Factory(list)
    instead: dict[str, Any] = Factory(dict)
    edit: Callable[[str, dict[str, Any]], None] | None = None
    show: Callable[[Any], Any] | None = None

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
            if self.show and answer.content_type == "application/json":
                said = json.dumps(self.show(json.loads(said))).encode()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP}
            line = f"{request.method} {request.path}"
            self.asked.append(Asked(line, await request.json() if body else None, answer.status, dict(request.query)))
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
