"""A stand-in for the Machines API that knows only what waiting takes: `python -m benchmarks.waiting_server`.

It is a process of its own and as light as can be, for what is measured is the client. Three paths are for whoever
measures. `/_begin?apps=A&machines=M&over=S` makes a new world, whose machines are all starting. `/_go` has each come up
at a moment of its own within the next S seconds, by a clock that all processes of a host share, and says when.
`/_count` says how many requests there were.
"""

import asyncio
import json
import random
import ssl
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import Factory, define

REASONS = {200: b"OK", 404: b"Not Found", 408: b"Request Timeout"}
NEVER = float("inf")


def identity(number: int, state: str) -> dict[str, Any]:
    """Give what a summary shows of a machine."""
    return {
        "id": f"{number:014x}",
        "name": f"machine-{number}",
        "state": state,
        "region": "iad",
        "image_ref": {
            "registry": "registry-1.docker.io",
            "repository": "library/nginx",
            "tag": "latest",
            "digest": "sha256:a484819eb60211f5299034ac80f6a681b06f89e65866ce91f356ed7c72af059c",
            "labels": {"maintainer": "NGINX Docker Maintainers <docker-maint@nginx.com>"},
        },
        "instance_id": "01HEPA330HZ37A78TK080NAK1M",
        "private_ip": "fdaa:0:1:a7b:195:e229:8038:2",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:05Z",
        "host_status": "ok",
    }


def details(number: int) -> dict[str, Any]:
    """Give what a list shows of it besides."""
    check = {"type": "http", "port": 8080, "method": "GET", "path": "/health", "interval": "15s", "timeout": "2s"}
    service = {
        "protocol": "tcp",
        "internal_port": 8080,
        "autostop": True,
        "autostart": True,
        "min_machines_running": 0,
        "ports": [{"port": 80, "handlers": ["http"], "force_https": True}, {"port": 443, "handlers": ["tls", "http"]}],
        "concurrency": {"type": "requests", "soft_limit": 200, "hard_limit": 250},
        "checks": [check],
    }
    return {
        "config": {
            "image": "nginx:latest",
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "env": {"FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "iad", "NUMBER": str(number)},
            "metadata": {"fly_process_group": "app", "fly_platform_version": "v2", "flyasync_launch": "v1"},
            "services": [service],
            "restart": {"policy": "on-failure", "max_retries": 10},
            "stop_config": {"timeout": "5s", "signal": "SIGINT"},
        },
        "events": [
            {"id": f"{each:026d}", "type": kind, "status": status, "source": source, "timestamp": 1767225600000 + each}
            for each, (kind, status, source) in enumerate(
                [("start", "starting", "flyd"), ("launch", "created", "user")]
            )
        ],
        "checks": [
            {
                "name": "servicecheck-00-http-8080",
                "status": "passing",
                "output": "ok",
                "updated_at": "2026-01-01T00:00:05Z",
            }
        ],
    }


@define
class Fleet:
    """The machines of one app: what each looks like as JSON in either state, and when it comes up."""

    first: int
    up_at: list[float]
    shown: dict[tuple[str, bool], Sequence[bytes]] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        numbers = range(self.first, self.first + len(self.up_at))
        for state in ("starting", "started"):
            for summary in (False, True):
                self.shown[state, summary] = [
                    json.dumps(identity(number, state) | ({} if summary else details(number))).encode()
                    for number in numbers
                ]

    def show(self, index: int, now: float, *, summary: bool) -> bytes:
        """Show one machine."""
        return self.shown["started" if now >= self.up_at[index] else "starting", summary][index]

    def list(self, now: float, *, summary: bool) -> bytes:
        """Show all of them."""
        shown = (self.show(index, now, summary=summary) for index in range(len(self.up_at)))
        return b"[" + b",".join(shown) + b"]"


class World:
    """All apps, and what was asked about them."""

    def __init__(self) -> None:
        self.fleets: dict[str, Fleet] = {}
        self.over = 0.0
        self.counts = Counter[str]()
        self.held: set[Poll] = set()

    def begin(self, apps: int, machines: int, over: float) -> None:
        """Make a new one."""
        self.fleets = {f"app-{app}": Fleet(app * machines, [NEVER] * machines) for app in range(apps)}
        self.over = over
        self.counts.clear()
        self.held.clear()

    def go(self, now: float) -> dict[str, float]:
        """Have all machines come up; say when."""
        dice = random.Random(1)
        for fleet in self.fleets.values():
            fleet.up_at[:] = [now + dice.uniform(0, self.over) for _ in fleet.up_at]
        for poll in self.held:
            poll.hold()
        return {
            f"{fleet.first + index:014x}": moment
            for fleet in self.fleets.values()
            for index, moment in enumerate(fleet.up_at)
        }


@define(eq=False)
class Poll:
    """A long poll that is held."""

    asked: "Asked"
    fleet: Fleet
    index: int
    until: float
    timer: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        """Answer when the machine is up or the time is."""
        if self.timer:
            self.timer.cancel()
        self.timer = self.asked.loop.call_at(min(self.fleet.up_at[self.index], self.until), self.answer)

    def answer(self) -> None:
        """Say that it is up, or that it is not yet."""
        self.asked.world.held.discard(self)
        is_up = self.asked.loop.time() >= self.fleet.up_at[self.index]
        body = {"ok": True, "state": "started"} if is_up else {"error": "deadline_exceeded: machine failed to reach"}
        self.asked.answer(200 if is_up else 408, json.dumps(body).encode())


class Asked(asyncio.Protocol):
    """A connection; one request at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop = asyncio.get_running_loop()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer by."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Read the request; none that is asked here has a body."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.hear(head.split(b" ", 2)[1].decode())

    def hear(self, target: str) -> None:
        """Answer one request, or hold it."""
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        now = self.loop.time()
        match url.path.strip("/").split("/"):
            case ["_begin"]:
                self.world.begin(int(query["apps"]), int(query["machines"]), float(query["over"]))
                self.answer(200, b"{}")
            case ["_go"]:
                self.answer(200, json.dumps(self.world.go(now)).encode())
            case ["_count"]:
                self.answer(200, json.dumps(self.world.counts).encode())
            case ["v1", "apps", app, "machines"]:
                self.world.counts["list"] += 1
                self.answer(200, self.world.fleets[app].list(now, summary=query.get("summary") == "true"))
            case ["v1", "apps", app, "machines", name]:
                self.world.counts["get"] += 1
                fleet = self.world.fleets[app]
                self.answer(200, fleet.show(int(name, 16) - fleet.first, now, summary=False))
            case ["v1", "apps", app, "machines", name, "wait"]:
                self.world.counts["wait"] += 1
                fleet = self.world.fleets[app]
                poll = Poll(self, fleet, int(name, 16) - fleet.first, now + float(query["timeout"]))
                self.world.held.add(poll)
                poll.hold()
            case _:
                self.answer(404, b'{"error":"not found"}')

    def answer(self, status: int, body: bytes) -> None:
        """Send an answer."""
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, REASONS[status], len(body)))
        self.transport.write(body)


async def main(certificate: str | None = None) -> None:
    """Serve until stdin ends, and say where; over TLS with a certificate, a file that has its key too."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    world, loop = World(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Asked(world), "127.0.0.1", 0, backlog=4096, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
