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
from urllib.parse import parse_qs, urlsplit

from attrs import Factory, define, field

from benchmarks.parts.decoding_documents import machine

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
    held: set[asyncio.Task[None]] = Factory(set)

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

    def answer(self, target: str, connection: "Connection") -> None:
        """Answer one request, or hold it until its machine is up."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        match url.path.strip("/").split("/")[2:]:
            case [app, "machines"]:
                self.counts["list"] += 1
                form = BRIEF if query.get("summary") == ["true"] else WHOLE
                first = int(app.removeprefix("app-")) * self.of_app
                shown = b",".join(self._show(number, form) for number in range(first, first + self.of_app))
                connection.write(b"200 OK", b"[" + shown + b"]")
            case [_, "machines", name]:
                self.counts["get"] += 1
                connection.write(b"200 OK", self._show(int(name, 16)))
            case [_, "machines", name, "wait"]:
                self.counts["wait"] += 1
                held = asyncio.create_task(self._hold(int(name, 16), float(query["timeout"][-1]), connection))
                self.held.add(held)
                held.add_done_callback(self.held.discard)

    def _show(self, number: int, form: bytes = WHOLE) -> bytes:
        is_up = asyncio.get_running_loop().time() >= self.up_at[number]
        return form % (number, number, b"started" if is_up else b"starting")

    async def _hold(self, number: int, seconds: float, connection: "Connection") -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone.wait()
                await asyncio.sleep(self.up_at[number] - asyncio.get_running_loop().time())
            connection.write(b"200 OK", b'{"ok": true, "state": "started"}')
            return
        connection.write(b"408 Request Timeout", b'{"error": "deadline_exceeded: machine failed to reach"}')


@define(eq=False)
class Connection(asyncio.Protocol):
    """A connection; one request at a time, and none that is asked here has a body."""

    world: World
    buffer: bytes = b""
    transport: asyncio.Transport = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.world.answer(head.split(b" ", 2)[1].decode(), self)

    def write(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.writelines([head % (status, len(body)), body])


@asynccontextmanager
async def stand_in(certificate: str | None) -> AsyncIterator[World]:
    """Serve a world; over TLS with a certificate, a file that has its key too."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    world, loop = World(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", 0, backlog=4096, ssl=tls)
    world.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield world
