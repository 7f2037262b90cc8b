"""One command of flyctl in a sandbox: its own home, no way to the network, and nothing left running."""

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from attrs import frozen

LONGEST = 90.0
"""Seconds until a command is ended. A deploy asks a public DNS server for about half of them."""


@frozen(kw_only=True)
class Ended:
    """How a command ended: None for one that ran until it was ended, and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The line that says why it failed."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("Error")]
        return (errors or lines or [""])[-1].removeprefix("Error: ")


@asynccontextmanager
async def no_network(reached: list[str]) -> AsyncIterator[str]:
    """Serve a proxy that refuses every host and notes it, and yield its URL; loopback addresses do not pass it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):
            method, host = (await reader.readline()).decode(errors="replace").split()[:2]
            reached.append(f"{method} {host}")
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"


def home(directory: Path, given: Mapping[str, str], proxy: str) -> dict[str, str]:
    """Return the environment of a command that knows only this directory, the emulator and the proxy."""
    browser = directory / "bin" / "xdg-open"
    browser.parent.mkdir(parents=True)
    browser.write_text("#!/bin/sh\nexit 0\n")
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    config = directory / "config"
    config.mkdir()
    (config / "config.yml").touch()
    claude = directory / ".config" / "Claude" / "claude_desktop_config.json"
    claude.parent.mkdir(parents=True)
    claude.write_text(
        '{"mcpServers": {"web": {"command": "flyctl", "args": ["mcp", "proxy", "--url", "https://web.fly.dev/"]}}}'
    )
    return {
        **given,
        "HOME": str(directory),
        "FLY_CONFIG_DIR": str(config),
        "PATH": f"{browser.parent}:/usr/bin:/bin",
        "HTTPS_PROXY": proxy,
        "HTTP_PROXY": proxy,
        "NO_COLOR": "1",
    }


async def run(words: list[str], directory: Path, environment: Mapping[str, str], text: str, seconds: float) -> Ended:
    """Run a command until it ends, at most these seconds, and end what it has started."""
    streams = [directory / name for name in ("stdin", "stdout", "stderr")]
    streams[0].write_text(text)
    # Files, because what a command leaves running may hold the end of a pipe.
    with streams[0].open() as given, streams[1].open("w") as out, streams[2].open("w") as err:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=directory, env=environment, stdin=given, stdout=out, stderr=err, start_new_session=True
        )
        code: int | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                code = await process.wait()
    _end_left(environment["FLY_CONFIG_DIR"])
    await process.wait()
    said, complained = (each.read_text(errors="replace") for each in streams[1:])
    return Ended(code=code, out=said, err=complained)


def _end_left(config: str) -> None:
    """End what the command left running, such as flyctl's agent: the processes that have its own config directory."""
    mark = f"FLY_CONFIG_DIR={config}".encode()
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (each / "environ").read_bytes().split(b"\0"):
                os.kill(int(each.name), signal.SIGKILL)
