"""A stand-in for the Machines API that knows only what waiting takes, as light as can be: the client is measured.

It runs in a process of its own, where `begin` makes a new world, whose machines are all starting, and `go` has each
come up at a moment of its own within some seconds, by a clock that all processes of a host share.
"""

import asyncio
import json
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

from aiohttp import web
from attrs import Factory, define

from benchmarks.parts.decoding_documents import machine
from benchmarks.shared.servers import JSON, site

SUMMARY = ("region", "image_ref", "instance_id", "private_ip", "created_at", "updated_at", "host_status")
"""What a summary shows of a machine, beside its id, name and state."""


def template(names: Collection[str]) -> bytes:
    """Return the JSON of a machine with these members, in which its number, twice, and its state are to be filled."""
    rest = json.dumps({name: value for name, value in machine(1).items() if name in names})
    return b'{"id": "%014x", "name": "machine-%d", "state": "%s", ' + rest.replace("%", "%%").encode()[1:]


BRIEF = template(SUMMARY)
WHOLE = template(machine(1).keys() - {"id", "name", "state"})


@define
class World:
    """All machines of all apps, when each comes up, and how often they were asked about."""

    url: str = ""
    of_app: int = 0
    over: float = 0.0
    up_at: list[float] = Factory(list)
    gone: asyncio.Event = Factory(asyncio.Event)
    counts: Counter[str] = Factory(Counter)

    def begin(self, apps: int, machines: int, over: float) -> None:
        """Begin anew, with so many machines in each app; they will come up within `over` seconds."""
        self.of_app, self.over = machines, over
        self.up_at = [float("inf")] * (apps * machines)
        self.gone.clear()
        self.counts.clear()

    def go(self) -> dict[str, float]:
        """Have all machines come up; return when, by id."""
        dice, now = random.Random(1), asyncio.get_running_loop().time()
        self.up_at = [now + dice.uniform(0, self.over) for _ in self.up_at]
        self.gone.set()
        return {f"{number:014x}": at for number, at in enumerate(self.up_at)}

    def asked(self) -> Counter[str]:
        """Return how many requests there were."""
        return self.counts

    def _show(self, number: int, form: bytes = WHOLE) -> bytes:
        is_up = asyncio.get_running_loop().time() >= self.up_at[number]
        return form % (number, number, b"started" if is_up else b"starting")

    async def list(self, request: web.Request) -> web.Response:
        self.counts["list"] += 1
        form = BRIEF if request.query.get("summary") == "true" else WHOLE
        first = int(request.match_info["app"].removeprefix("app-")) * self.of_app
        shown = b",".join(self._show(number, form) for number in range(first, first + self.of_app))
        return web.Response(body=b"[" + shown + b"]", headers=JSON)

    async def get(self, request: web.Request) -> web.Response:
        self.counts["get"] += 1
        return web.Response(body=self._show(int(request.match_info["id"], 16)), headers=JSON)

    async def wait(self, request: web.Request) -> web.Response:
        """Hold the request until the machine is up, or the time is."""
        self.counts["wait"] += 1
        number, loop = int(request.match_info["id"], 16), asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(float(request.query["timeout"])):
                await self.gone.wait()
                await asyncio.sleep(self.up_at[number] - loop.time())
            return web.Response(body=b'{"ok": true, "state": "started"}', headers=JSON)
        error = b'{"error": "deadline_exceeded: machine failed to reach"}'
        return web.Response(status=408, body=error, headers=JSON)


@asynccontextmanager
async def stand_in(certificate: str | None) -> AsyncIterator[World]:
    """Serve a world; over TLS with a certificate, a file that has its key too."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    world, app, machines = World(), web.Application(), "/v1/apps/{app}/machines"
    app.router.add_get(machines, world.list)
    app.router.add_get(f"{machines}/{{id}}", world.get)
    app.router.add_get(f"{machines}/{{id}}/wait", world.wait)
    async with site(app, tls) as served:
        world.url = served.url
        yield world
