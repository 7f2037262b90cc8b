"""A server for the benchmark of the session, in a process of its own: `python -m benchmarks.session_server MACHINES`.

It answers with bytes that are ready, so that it never limits a client and its CPU is not taken for a client's. It tells
its port on stdout, and ends when its stdin does: by then whoever started it has no more use for it, or is no more.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from benchmarks.children import running
from benchmarks.decoding_documents import listed, machine

HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Fly-Request-Id": "01K4AS19K057WY04RHM2N58YBV-yyz",
    "Fly-Span-Id": "6a1d0f1a7c3e9b52",
    "Server": "Fly/cc4ee5f1",
    "Via": "2 fly.io",
}


def one() -> bytes:
    """Give a machine of about 3 kB, with a dozen of its events."""
    shown = machine(1)
    return json.dumps({**shown, "events": shown["events"] * 6}, separators=(",", ":")).encode()


@contextmanager
def answering(machines: int) -> Iterator[str]:
    """Have it answer until the block ends, with lists of so many machines; give its URL."""
    with running([sys.executable, "-m", "benchmarks.session_server", str(machines)]) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


async def serve(machines: int) -> None:
    """Answer until stdin ends."""
    app = web.Application()
    paths = "/v1/apps/{app}/machines"
    app.add_routes(
        [
            web.get(paths, _saying(listed(machines))),
            web.post(paths, _saying(one())),
            web.get(paths + "/{id}", _saying(one())),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def _saying(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, headers=HEADERS)

    return answer


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
