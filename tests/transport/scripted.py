"""What the tests of this room share: requests, replies, a scripted exchange and a raw server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from flyasync.testing import VirtualTimeLoop
from flyasync.transport.credentials import Token
from flyasync.transport.request import Repeat, Request, Response
from flyasync.transport.session import Session, Timeouts

SECRET = "fo1_top_secret"
HEAD_END = b"\r\n\r\n"


def now() -> float:
    return asyncio.get_running_loop().time()


def burn(seconds: float) -> None:
    """Let time pass as a computation does: the loop can do nothing meanwhile, and all its timers come late."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._jumping.jumped += seconds


def rounded(times: list[float]) -> list[float]:
    """Forget the microsecond by which the virtual clock passes each timer."""
    return [round(time, 2) for time in times]


def a_request(operation: str = "machines.start", identifier: str = "m1", **more: Any) -> Request:
    given = {"method": "POST", "path": "/v1/apps/web/machines/m1/start", "repeat": Repeat.ANYTIME, **more}
    return Request(operation=operation, identifier=identifier, **given)


def a_response(status: int = 200, body: Any = None, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Response(status=status, body=raw, headers={name.replace("_", "-"): text for name, text in headers.items()})


Step = Response | Exception | Callable[[], Awaitable[Response]]


class ScriptedExchange(Session):
    """A session that plays its script, the last step indefinitely, and records what was sent when."""

    def __init__(self, *script: Step) -> None:
        super().__init__("http://127.0.0.1:1", Token(SECRET), Timeouts())
        self.script = list(script)
        self.sent: list[tuple[float, Request]] = []
        self.closed_with: list[float] = []

    @property
    def times(self) -> list[float]:
        return rounded([time for time, _ in self.sent])

    async def exchange(self, request: Request) -> Response:
        self.sent.append((now(), request))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Response) else await step()

    async def close(self, *, grace: float = 5.0) -> None:
        self.closed_with.append(grace)
        await super().close(grace=grace)


Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Reads each request to its end, notes it, and leaves the rest to `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.heard: list[bytes] = []
        self.port = 0
        self._answer = answer
        self._open: dict[asyncio.Task[Any], asyncio.StreamReader] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Count the clients that have not hung up."""
        return sum(not reader.at_eof() for reader in self._open.values())

    @property
    def targets(self) -> list[str]:
        return [request.split(b" ", 2)[1].decode() for request in self.heard]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open[task] = reader
        try:
            while True:
                request = await _whole(reader)
                self.heard.append(request)
                await self._answer(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # a cancelled handler would be reported as a failed callback
        finally:
            del self._open[task]
            writer.close()

    async def hang_up(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def _whole(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(HEAD_END)
    _, found, length = head.lower().partition(b"content-length:")
    return head + await reader.readexactly(int(length.split(b"\r", 1)[0]) if found else 0)


@asynccontextmanager
async def raw_server(answer: Answer) -> AsyncIterator[RawServer]:
    server = RawServer(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=2000)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.hang_up()


@asynccontextmanager
async def a_session(url: str, **timeouts: Any) -> AsyncIterator[Session]:
    session = Session(url, Token(SECRET), Timeouts(**timeouts))
    try:
        yield session
    finally:
        await session.close(grace=0)


def http(status: str = "200 OK", body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {text}" for name, text in (headers or {}).items()]
    return "\r\n".join(lines).encode() + HEAD_END + body


async def ok(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(http())


async def never(_: bytes, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def after(seconds: float) -> Answer:
    async def late(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(http())

    return late
