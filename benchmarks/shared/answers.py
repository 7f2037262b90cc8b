"""A server of ready bytes, in a process of its own: `python -m benchmarks.shared.answers` reads them as JSON.

So it never limits a client, and its CPU is not taken for a client's. It prints its port, and ends when its stdin does.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web
from attrs import frozen

from benchmarks.shared.children import running

JSON = {"Content-Type": "application/json; charset=utf-8"}


@frozen
class Server:
    """A server that runs."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Give the seconds of CPU that its threads have used, to the nanosecond, the kernel's work included."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@contextmanager
def served(module: str, told: object = None) -> Iterator[Server]:
    """Run a module that reads a line of JSON and prints its port, as long as the block lasts."""
    with running([sys.executable, "-m", module]) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()
        yield Server(int(process.stdout.readline()), process.pid)


@contextmanager
def answering(bodies: Mapping[str, bytes], headers: Mapping[str, str] = JSON) -> Iterator[Server]:
    """Answer with these bodies, by method and path such as `GET /v1/apps`, as long as the block lasts."""
    routes = {route: body.decode() for route, body in bodies.items()}
    with served("benchmarks.shared.answers", [routes, {**headers}]) as server:
        yield server


async def main() -> None:
    """Answer until stdin ends."""
    (routes, headers), app = json.loads(sys.stdin.readline()), web.Application()
    for route, body in routes.items():
        method, path = route.split()
        app.router.add_route(method, path, _saying(body.encode(), headers))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def _saying(body: bytes, headers: Mapping[str, str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            await request.read()
        return web.Response(body=body, headers=headers)

    return answer


if __name__ == "__main__":
    asyncio.run(main())
