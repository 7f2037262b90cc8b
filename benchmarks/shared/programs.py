"""Programs of others, unmodified, each with an environment of its own, a proxy, and nothing left running."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from attrs import frozen

Meanwhile = Callable[[asyncio.subprocess.Process], Awaitable[None]]


@frozen(kw_only=True)
class Ended:
    """How a program ended: None for one that ran until it was ended, and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The line that says why it failed."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("Error")]
        return (errors or lines or [""])[-1].removeprefix("Error: ")


async def run(
    words: list[str],
    directory: Path,
    environment: Mapping[str, str],
    text: str = "",
    seconds: float | None = None,
    *,
    meanwhile: Meanwhile | None = None,
) -> Ended:
    """Run a program in a directory until it ends, at most these seconds, and end what it has started."""
    streams = [directory / name for name in ("stdin", "stdout", "stderr")]
    streams[0].write_text(text)
    # Files, because what a program leaves running may hold the end of a pipe.
    with streams[0].open() as given, streams[1].open("w") as out, streams[2].open("w") as err:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=directory, env=environment, stdin=given, stdout=out, stderr=err, start_new_session=True
        )
        code: int | None = None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    if meanwhile:
                        await meanwhile(process)
                    code = await process.wait()
        finally:
            if code is None:
                with suppress(ProcessLookupError):
                    process.kill()
            if config := environment.get("FLY_CONFIG_DIR"):
                _end_left(config)
            await process.wait()
    printed, complained = (each.read_text(errors="replace") for each in streams[1:])
    return Ended(code=code, out=printed, err=complained)


def _end_left(config: str) -> None:
    """End what a program left running, such as flyctl's agent: the processes that have its own config directory."""
    mark = f"FLY_CONFIG_DIR={config}".encode()
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (each / "environ").read_bytes().split(b"\0"):
                os.kill(int(each.name), signal.SIGKILL)


@asynccontextmanager
async def proxied(refused: list[str], ports: Mapping[str, int] | None = None) -> AsyncIterator[str]:
    """Serve a proxy that connects these hosts to ports of this one, and notes all others, which it refuses."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            method, host = (await reader.readline()).decode(errors="replace").split()[:2]
            port = (ports or {}).get(host)
            if method == "CONNECT" and port:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                there = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
            else:
                refused.append(f"{method} {host}")
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def relayed(port: int, is_open: asyncio.Event) -> AsyncIterator[str]:
    """Serve another way to a port of this host, on which nothing passes while `is_open` is not set."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, questions, is_open), _copy(answers, writer, is_open))

    is_open.set()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield "{}:{}".format(*server.sockets[0].getsockname())
    server.close()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event | None = None
) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            if is_open:
                await is_open.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
