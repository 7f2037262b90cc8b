"""The servers that are compared, each in a process of its own, and a client that costs little."""

import json
import random
import socket
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, suppress
from io import BufferedRWPair
from itertools import islice
from pathlib import Path
from typing import Any

from aiohttp import web
from attrs import frozen

from benchmarks.shared.servers import JSON, Site, answering, serving, site
from flyasync import Emulator

PATIENCE = 60.0
CONNECTIONS = 16
GOOD = (b"200", b"201")
MACHINES = "/v1/apps/{app}/machines"
MACHINE = f"{MACHINES}/{{id}}"
ROUTES = {
    "get": f"GET {MACHINE}",
    "list": f"GET {MACHINES}",
    "create": f"POST {MACHINES}",
    "wait": f"GET {MACHINE}/wait",
}


@frozen
class Server:
    """A server that runs, and connections to it."""

    pid: int
    connections: Sequence[BufferedRWPair]

    def cpu(self) -> float:
        """Return the seconds of CPU that its threads have used, to the nanosecond, the kernel's work included."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def exchange(self, requests: Iterable[bytes]) -> Iterator[bytes]:
        """Send the requests, one at a time over each connection, and yield the bodies of the responses, in order."""
        left = iter(requests)
        while batch := list(zip(self.connections, islice(left, len(self.connections)), strict=False)):
            for connection, data in batch:
                connection.write(data)
                connection.flush()
            for connection, _ in batch:
                yield _received(connection)


@contextmanager
def emulator() -> Iterator[Server]:
    """Serve an emulator without limits, whose machines start at once and pass their checks within a second."""
    with serving(Emulator, limits=False, boot=(0, 0), speed=100) as own, _connected(own.port, own.gauge.pid) as server:
        yield server


@contextmanager
def bare(responses: Mapping[str, bytes]) -> Iterator[Server]:
    """Serve these responses, by operation, with a handler that does nothing else."""
    bodies = {route: responses[name] for name, route in ROUTES.items()}
    with answering(bodies) as own, _connected(own.port, own.gauge.pid) as server:
        yield server


@contextmanager
def floor(machines: Sequence[str], body: bytes) -> Iterator[Server]:
    """Serve gets of these machines with the steps that an emulator cannot do without, and no others."""
    with serving(indispensable, machines, body) as own, _connected(own.port, own.gauge.pid) as server:
        yield server


def indispensable(machines: Sequence[str], body: bytes) -> AbstractAsyncContextManager[Site]:
    """Check the token, find the machine's ready bytes, draw the id of the request, log and count it."""
    texts = {f"/v1{path}": bytes(bytearray(body)) for path in machines}  # each its own, as in a world
    log: deque[tuple[Any, ...]] = deque(maxlen=100_000)
    counts: Counter[tuple[str, str]] = Counter()

    async def get(request: web.Request) -> web.Response:
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            raise web.HTTPUnauthorized
        text, now = texts[request.path], time.time()
        request_id = f"{round(now * 1000):012x}{random.getrandbits(80):020x}-iad"
        log.append((len(log), now, "getMachine", request.match_info["id"], request.method, request.path, 200))
        counts["getMachine", request.match_info["id"]] += 1
        return web.Response(body=text, headers={**JSON, "fly-request-id": request_id})

    app = web.Application()
    app.router.add_get(MACHINE, get)
    return site(app)


@contextmanager
def mudflaps(path: Path) -> Iterator[Server]:
    """Serve mudflaps."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(path), "-addr", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            while True:  # it tells nobody when it listens
                with suppress(ConnectionRefusedError), _connected(port, process.pid) as server:
                    yield server
                    return
                assert process.poll() is None, f"{path} ended with {process.returncode}"
                time.sleep(0.01)
        finally:
            process.terminate()


# The client: ready bytes over some connections, a request in each, then the responses of all


def request(method: str, path: str, body: Any = None) -> bytes:
    """Return the bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} /v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer FlyV1 fm2_benchmark\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


@contextmanager
def _connected(port: int, pid: int) -> Iterator[Server]:
    with ExitStack() as stack:
        files = []
        for _ in range(CONNECTIONS):
            made = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            files.append(stack.enter_context(made.makefile("rwb")))
        yield Server(pid, files)


def _received(connection: BufferedRWPair) -> bytes:
    status, headers = connection.readline().split()[1], {}
    while line := connection.readline().strip().lower():
        name, _, value = line.partition(b": ")
        headers[name] = value
    if b"content-length" in headers:
        body = connection.read(int(headers[b"content-length"]))
    else:  # in chunks, as Go sends what does not fit into its buffer
        body = b""
        while size := int(connection.readline(), 16):
            body += connection.read(size)
            connection.readline()
        connection.readline()
    assert status in GOOD, body
    return body
