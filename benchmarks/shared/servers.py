"""Servers in processes of their own, so that their CPU is not taken for a client's; one has bytes that are ready."""

import asyncio
import signal
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from aiohttp import web
from attrs import frozen

from benchmarks.shared.children import PATIENCE
from benchmarks.shared.usage import Gauge

Result = TypeVar("Result")
JSON = {"Content-Type": "application/json; charset=utf-8"}


@frozen
class Server:
    """A server that runs in another process."""

    url: str
    gauge: Gauge
    pipe: Connection

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def ask(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function there, with the server and these arguments; one at a time."""
        self.pipe.send((function, arguments))
        result: Result = await asyncio.to_thread(self.pipe.recv)
        return result


@contextmanager
def serving(
    start: Callable[..., AbstractAsyncContextManager[Any]], *arguments: Any, **options: Any
) -> Iterator[Server]:
    """Run a server, with a `url`, in a process of its own until the block ends."""
    context = get_context("spawn")  # a fork would have what this process holds
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, start, arguments, options), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Server(ours.recv(), Gauge("emulator", process.pid or 0), ours)
    finally:
        ours.close()  # so it ends
        process.join(PATIENCE)
        process.kill()


def _serve(pipe: Connection, start: Callable[..., Any], arguments: Iterable[Any], options: Mapping[str, Any]) -> None:
    async def serve() -> None:
        async with start(*arguments, **options) as server:
            pipe.send(server.url)
            while True:
                function, rest = await asyncio.to_thread(pipe.recv)
                pipe.send(function(server, *rest))

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too, before the parent ends it
    warnings.simplefilter("error")
    # Once a larger block was freed, glibc keeps the memory that asyncio reads into: without this, whether each request
    # costs page faults is luck.
    bytes(1 << 20)
    with suppress(EOFError):  # the parent is gone
        asyncio.run(serve())


# Ready bytes


@frozen
class Site:
    """An application that is served."""

    url: str


@asynccontextmanager
async def site(app: web.Application) -> AsyncIterator[Site]:
    """Serve an application on a free port until the block ends."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        yield Site(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def answering(bodies: Mapping[str, bytes], headers: Mapping[str, str] = JSON) -> AbstractContextManager[Server]:
    """Answer with these bodies, by method and path such as `GET /v1/apps`, as long as the block lasts."""
    return serving(_answers, bodies, headers)


def _answers(bodies: Mapping[str, bytes], headers: Mapping[str, str]) -> AbstractAsyncContextManager[Site]:
    def answer(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if request.method == "POST":
                await request.read()
            return web.Response(body=body, headers=headers)

        return handle

    app = web.Application()
    for route, body in bodies.items():
        method, path = route.split()
        app.router.add_route(method, path, answer(body))
    return site(app)
