"""The processes of a benchmark: each is told and heard in lines of JSON, can be killed, and none is left behind."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from attrs import define, field

from benchmarks.shared.usage import Gauge

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
"""Seconds that a process has to end by itself when it is asked to."""
LONGEST = 1 << 28
"""Bytes of the longest line: a whole fleet."""


@define(eq=False)
class Child:
    """A process that a benchmark has started."""

    process: asyncio.subprocess.Process
    gauge: Gauge
    killed_at: float | None = None
    heard: list[list[Any]] = field(factory=list)

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    def tell(self, value: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(value).encode() + b"\n")

    async def hear(self) -> Any:
        assert self.process.stdout
        return json.loads(await self.process.stdout.readline())

    async def ask(self, value: Any) -> Any:
        self.tell(value)
        return await self.hear()

    async def listen(self) -> None:
        """Keep the words of each `say`, to the end of the process; what was said before a kill is not lost."""
        assert self.process.stdout
        async for line in self.process.stdout:
            if line.endswith(b"\n"):
                self.heard.append(json.loads(line))
        await self.process.wait()

    def said(self, word: str) -> list[list[Any]]:
        """Return what followed this word each time, of all that `listen` has kept."""
        return [rest for first, *rest in self.heard if first == word]

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it was through already
            self.process.send_signal(number)

    async def kill(self) -> None:
        """Kill it with `kill -9`, about which it can do nothing."""
        self.gauge.look()
        self.killed_at = time.monotonic()
        self.signal(signal.SIGKILL)
        await self.process.wait()

    async def end(self) -> None:
        """Ask it to end, and kill it when it does not."""
        if self.is_running:
            self.gauge.look()
            self.signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), PATIENCE)
            except TimeoutError:
                await self.kill()


@asynccontextmanager
async def spawned(
    name: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    is_quiet: bool = False,
    program: str = sys.executable,
) -> AsyncIterator[Child]:
    """Run this Python, or another `program`, with these arguments until the block ends.

    With a `log`, all that it prints goes there; of a process that `is_quiet`, nobody reads stderr.
    """
    with log.open("ab") if log else nullcontext() as file:
        process = await asyncio.create_subprocess_exec(
            *(program, *arguments),
            stdin=DEVNULL if log else PIPE,
            stdout=file or PIPE,
            stderr=file or (DEVNULL if is_quiet else None),
            env={**os.environ, **(env or {})},
            cwd=ROOT,
            limit=LONGEST,
        )
    child = Child(process, Gauge(name, process.pid))
    try:
        yield child
    finally:
        await child.end()


def say(value: Any) -> None:
    """Tell the parent something, in the process, at once, so that nothing of it is lost in a kill."""
    os.write(1, json.dumps(value).encode() + b"\n")


def processes(at_once: int = 1) -> ProcessPoolExecutor:
    """Make an executor that runs each call in a new process, whose memory and CPU are its alone."""
    return ProcessPoolExecutor(at_once, mp_context=get_context("spawn"), max_tasks_per_child=1)


def tails(paths: Iterable[Path], lines: int = 15) -> str:
    """Return the last lines of logs, to find out what went wrong."""
    texts = ((path, path.read_text(errors="replace").splitlines()[-lines:]) for path in paths)
    return "\n".join(f"--- {path.name}\n" + "\n".join(text) for path, text in texts if text)
