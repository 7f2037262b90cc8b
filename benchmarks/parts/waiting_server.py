"""A stand-in for the Machines API that knows only what waiting takes: `python -m benchmarks.parts.waiting_server`.

It is a process of its own and as light as can be, for what is measured is the client. Whoever started it tells it three
things. `begin` makes a new world, whose machines are all starting. `go` has each come up at a moment of its own within
some seconds, by a clock that all processes of a host share, and says when. `count` says how many requests there were.
"""

import asyncio
import json
import random
import ssl
import sys
from collections import Counter
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from attrs import Factory, define, field

from benchmarks.parts.decoding_documents import machine
from benchmarks.shared.children import say, told

REASONS = {200: b"OK", 404: b"Not Found", 408: b"Request Timeout"}
NEVER = float("inf")
SUMMARY = ("region", "image_ref", "instance_id", "private_ip", "created_at", "updated_at", "host_status")
"""What a summary shows of a machine, beside its id, name and state."""


def template(names: Sequence[str]) -> bytes:
    """Give the JSON of a machine with these members, in which its number, twice, and its state are to be filled in."""
    rest = json.dumps({name: machine(1)[name] for name in names})
    return b'{"id": "%014x", "name": "machine-%d", "state": "%s", ' + rest.replace("%", "%%").encode()[1:]


BRIEF = template(SUMMARY)
WHOLE = template([name for name in machine(1) if name not in {"id", "name", "state"}])


@define
class Fleet:
    """The machines of one app: the number of the first, and when each comes up."""

    first: int
    up_at: list[float]

    def show(self, index: int, now: float, form: bytes = WHOLE) -> bytes:
        number = self.first + index
        return form % (number, number, b"started" if now >= self.up_at[index] else b"starting")

    def list(self, now: float, form: bytes) -> bytes:
        return b"[" + b",".join(self.show(index, now, form) for index in range(len(self.up_at))) + b"]"


@define
class World:
    """All apps, what was asked about them, and the long polls that are held."""

    fleets: dict[str, Fleet] = Factory(dict)
    over: float = 0.0
    counts: Counter[str] = Factory(Counter)
    held: set["Poll"] = Factory(set)

    def begin(self, apps: int, machines: int, over: float) -> None:
        """Make a new one."""
        self.fleets = {f"app-{app}": Fleet(app * machines, [NEVER] * machines) for app in range(apps)}
        self.over = over
        self.counts.clear()
        self.held.clear()

    def go(self) -> dict[str, float]:
        """Have all machines come up; say when."""
        dice, now, fleets = random.Random(1), asyncio.get_running_loop().time(), self.fleets.values()
        for fleet in fleets:
            fleet.up_at[:] = [now + dice.uniform(0, self.over) for _ in fleet.up_at]
        for poll in self.held:
            poll.hold()
        return {f"{fleet.first + index:014x}": at for fleet in fleets for index, at in enumerate(fleet.up_at)}

    def count(self) -> Counter[str]:
        return self.counts


@define(eq=False)
class Poll:
    """A long poll that is held until the machine is up or the time is."""

    asked: "Asked"
    fleet: Fleet
    index: int
    until: float
    timer: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer = self.asked.loop.call_at(min(self.fleet.up_at[self.index], self.until), self.answer)

    def answer(self) -> None:
        self.asked.world.held.discard(self)
        if self.asked.loop.time() >= self.fleet.up_at[self.index]:
            self.asked.answer(200, b'{"ok": true, "state": "started"}')
        else:
            self.asked.answer(408, b'{"error": "deadline_exceeded: machine failed to reach"}')


@define(eq=False)
class Asked(asyncio.Protocol):
    """A connection; one request at a time, and none that is asked here has a body."""

    world: World
    loop: asyncio.AbstractEventLoop = Factory(asyncio.get_running_loop)
    buffer: bytes = b""
    transport: asyncio.Transport = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.hear(head.split(b" ", 2)[1].decode())

    def hear(self, target: str) -> None:
        """Answer one request, or hold it."""
        url, now = urlsplit(target), self.loop.time()
        query = parse_qs(url.query)
        match url.path.strip("/").split("/"):
            case ["v1", "apps", app, "machines"]:
                self.world.counts["list"] += 1
                form = BRIEF if query.get("summary") == ["true"] else WHOLE
                self.answer(200, self.world.fleets[app].list(now, form))
            case ["v1", "apps", app, "machines", name]:
                self.world.counts["get"] += 1
                fleet = self.world.fleets[app]
                self.answer(200, fleet.show(int(name, 16) - fleet.first, now))
            case ["v1", "apps", app, "machines", name, "wait"]:
                self.world.counts["wait"] += 1
                fleet = self.world.fleets[app]
                poll = Poll(self, fleet, int(name, 16) - fleet.first, now + float(query["timeout"][-1]))
                self.world.held.add(poll)
                poll.hold()
            case _:
                self.answer(404, b'{"error":"not found"}')

    def answer(self, status: int, body: bytes) -> None:
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, REASONS[status], len(body)))
        self.transport.write(body)


async def main(certificate: str | None = None) -> None:
    """Serve until stdin ends; over TLS with a certificate, a file that has its key too."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    world, loop = World(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Asked(world), "127.0.0.1", 0, backlog=4096, ssl=tls)
    say(server.sockets[0].getsockname()[1])
    async for word, *rest in told():
        say(getattr(world, word)(*rest))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
