"""The servers that are compared, each in a process of its own, and a client that costs little.

The emulator has no rate limits, its machines start immediately, and their checks pass within a second.
"""

import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.shared.servers import answering, serving
from flyasync import Emulator

PATIENCE = 60.0
CHUNK = 1 << 20
GOOD = (b"200", b"201")
MACHINES = "/v1/apps/{app}/machines"
ROUTES = {
    "get": f"GET {MACHINES}/{{id}}",
    "list": f"GET {MACHINES}",
    "create": f"POST {MACHINES}",
    "wait": f"GET {MACHINES}/{{id}}/wait",
}


@frozen
class Server:
    """A server that runs."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Return the seconds of CPU that its threads have used, to the nanosecond, the kernel's work included."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@contextmanager
def emulator() -> Iterator[Server]:
    """Serve an emulator as long as the block lasts."""
    with serving(Emulator, limits=False, boot=(0, 0), speed=100) as server:
        yield Server(server.port, server.gauge.pid)


@contextmanager
def bare(responses: Mapping[str, bytes]) -> Iterator[Server]:
    """Serve these responses, by operation, with a handler that does nothing else, as long as the block lasts."""
    with answering({route: responses[name] for name, route in ROUTES.items()}) as server:
        yield Server(server.port, server.gauge.pid)


@contextmanager
def mudflaps(path: Path) -> Iterator[Server]:
    """Serve mudflaps as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(path), "-addr", f"127.0.0.1:{port}"]
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))  # noqa: S603
        stack.callback(process.terminate)
        # It tells nobody when it listens.
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, f"{path} ended with {process.returncode}"
            time.sleep(0.01)
        yield Server(port, process.pid)


# The client: ready bytes over some connections, a request in each, then the responses of all


def request(method: str, path: str, body: Any = None) -> bytes:
    """Give the bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} /v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer FlyV1 fm2_benchmark\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


@frozen
class Connections:
    """Some connections to one server."""

    sockets: tuple[socket.socket, ...]

    def exchange(self, requests: Iterable[bytes]) -> Iterator[bytes]:
        """Send the requests, one at a time over each connection, and yield the bodies of the responses, in order."""
        left = iter(requests)
        while batch := list(islice(left, len(self.sockets))):
            for connection, data in zip(self.sockets, batch, strict=False):
                connection.sendall(data)
            for connection in self.sockets[: len(batch)]:
                yield _received(connection)


@contextmanager
def connected(port: int, count: int) -> Iterator[Connections]:
    """Give so many connections, as long as the block lasts."""
    with ExitStack() as stack:
        address = ("127.0.0.1", port)
        made = [stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(count)]
        for one in made:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Connections(tuple(made))


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(CHUNK)
    while b"\r\n\r\n" not in data:
        data += connection.recv(CHUNK)
    head, _, body = data.partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    headers = dict(field.lower().split(b": ", 1) for field in fields)
    assert status.split()[1] in GOOD, data
    parts = [body]
    if b"content-length" in headers:
        left = int(headers[b"content-length"]) - len(body)
        while left:
            parts.append(connection.recv(min(left, CHUNK)))
            left -= len(parts[-1])
        return b"".join(parts)
    # In chunks, as Go sends what does not fit into its buffer. JSON contains no line break of this kind.
    while not b"".join(parts[-2:]).endswith(b"\r\n0\r\n\r\n"):
        parts.append(connection.recv(CHUNK))
    return b"".join(b"".join(parts).split(b"\r\n")[1:-3:2])
