"""The servers that are compared, each in a process of its own: the emulator, a bare handler, and mudflaps.

`python -m benchmarks.emulator_servers emulator` serves an emulator without rate limits, whose machines start
immediately, and whose checks pass within a second. `python -m benchmarks.emulator_servers bare` reads one line of JSON,
a response for each operation, and returns these texts. Each prints its port, and ends when its stdin does.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aiohttp import web
from attrs import frozen

from flyasync import Emulator

ROOT = Path(__file__).parents[1]
PATIENCE = 10.0
NANOSECOND = 1e-9
ROUTES = {
    "get": ("GET", "/v1/apps/{app}/machines/{id}"),
    "list": ("GET", "/v1/apps/{app}/machines"),
    "create": ("POST", "/v1/apps/{app}/machines"),
    "wait": ("GET", "/v1/apps/{app}/machines/{id}/wait"),
}


@frozen
class Server:
    """A server that runs, and the CPU time that its process has used, that of the kernel included."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Give the seconds of CPU that all its threads have used, to the nanosecond."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) * NANOSECOND


@contextmanager
def emulator() -> Iterator[Server]:
    """Serve an emulator as long as the block lasts."""
    with _ours("emulator") as server:
        yield server


@contextmanager
def bare(responses: Mapping[str, bytes]) -> Iterator[Server]:
    """Serve these responses with a handler that does nothing else, as long as the block lasts."""
    told = json.dumps({name: body.decode() for name, body in responses.items()})
    with _ours("bare", told) as server:
        yield server


@contextmanager
def mudflaps(path: Path) -> Iterator[Server]:
    """Serve mudflaps as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(path), "-addr", f"127.0.0.1:{port}"]
    with _process(command, stderr=subprocess.DEVNULL) as process:
        # It tells nobody when it listens.
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, f"{path} ended with {process.returncode}"
            time.sleep(0.01)
        yield Server(port, process.pid)


@contextmanager
def _ours(kind: str, told: str = "") -> Iterator[Server]:
    with _process([sys.executable, "-m", "benchmarks.emulator_servers", kind], stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{told}\n".encode())
        process.stdin.flush()
        yield Server(int(process.stdout.readline()), process.pid)


@contextmanager
def _process(
    command: Sequence[str], stdout: int | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    # In a session of its own, Ctrl-C does not reach it before it is told to end.
    with subprocess.Popen(  # noqa: S603 - ours, or what the caller names
        command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


async def serve_emulator() -> None:
    """Serve an emulator until stdin ends."""
    async with Emulator(limits=False, boot=(0, 0), speed=100) as emulator:
        print(emulator.url.rpartition(":")[2], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def serve_bare() -> None:
    """Serve the responses that the first line of stdin has, until stdin ends."""
    responses = json.loads(sys.stdin.readline())
    app = web.Application()
    for name, (method, path) in ROUTES.items():
        app.router.add_route(method, path, _saying(responses[name].encode()))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    try:
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await runner.cleanup()


def _saying(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            await request.read()
        return web.Response(body=body, content_type="application/json")

    return answer


if __name__ == "__main__":
    asyncio.run(serve_bare() if sys.argv[1] == "bare" else serve_emulator())
