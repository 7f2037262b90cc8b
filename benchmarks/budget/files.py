"""A directory of files that hold the limits, and another process that holds their locks."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Self

from attrs import define, field

HOLD = """
import fcntl, os, sys
for path in sys.argv[1:]:
    fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@define(eq=False)
class Files:
    """A directory that is there from `async with` on, to its end."""

    _directory: TemporaryDirectory[str] = field(factory=lambda: TemporaryDirectory(prefix="budget-"))

    @property
    def url(self) -> str:
        """The word for it."""
        return f"file:{self._directory.name}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._directory.cleanup()

    @asynccontextmanager
    async def held(self) -> AsyncIterator["Holder"]:
        """Have another process hold the lock of each bucket; it lets go of them at the end."""
        names = [name for name in os.listdir(self._directory.name) if name != "workers"]  # noqa: PTH208 - no more is needed
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOLD, *names),
            cwd=self._directory.name,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout
            await process.stdout.readline()
            yield Holder(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@define(eq=False)
class Holder:
    """A process that holds locks."""

    _process: asyncio.subprocess.Process

    def stop(self) -> None:
        """Have it stand still, with the locks in its hands."""
        os.kill(self._process.pid, signal.SIGSTOP)

    async def go_on(self) -> None:
        """Have it go on, and let go of the locks as it ends by itself."""
        os.kill(self._process.pid, signal.SIGCONT)
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()

    async def kill(self) -> None:
        """Kill it; the kernel takes back the locks."""
        self._process.kill()
        await self._process.wait()
