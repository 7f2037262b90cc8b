"""Rivals that are programs, side by side in real time, each against an emulator of its own.

They begin together, once all of them have loaded what they need. From then on they mostly wait, and so they hardly
disturb each other.
"""

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from attrs import frozen

from benchmarks.children import ROOT
from benchmarks.rivals.kits import Program
from benchmarks.rivals.pretend import Launched, pretended
from benchmarks.rivals.wanted import IMAGE, Wanted
from flyasync import Emulator

PATIENCE = 120.0
"""Seconds for a program to load, and again to launch; then it is given up."""


@frozen
class _Waiting:
    """A program that is ready, and the emulator that it will be sent to."""

    process: Process
    emulator: Emulator

    async def launch(self, wanted: Sequence[Wanted]) -> Launched | None:
        """Have it launch what is wanted, all of one app; None if it broke."""
        order = {
            "url": self.emulator.url,
            "token": self.emulator.token,
            "app": wanted[0].app,
            "image": IMAGE,
            "regions": [each.region for each in wanted],
        }
        with suppress(TimeoutError, ValueError, ConnectionError):
            async with asyncio.timeout(PATIENCE):
                told, _ = await self.process.communicate(json.dumps(order).encode() + b"\n")
            return Launched.of(self.emulator, float(told))
        return None


def side_by_side(programs: Mapping[str, Program], wanted: Sequence[Wanted], *, boot: float) -> dict[str, Launched]:
    """Have each of these programs launch the same, and tell what came of it by name; without those that broke."""
    return asyncio.run(_side_by_side(programs, wanted, boot))


async def _side_by_side(programs: Mapping[str, Program], wanted: Sequence[Wanted], boot: float) -> dict[str, Launched]:
    async with AsyncExitStack() as stack:
        waiting = {name: await stack.enter_async_context(_ready(each, wanted, boot)) for name, each in programs.items()}
        came = await asyncio.gather(*(each.launch(wanted) for each in waiting.values()))
        return {name: launched for name, launched in zip(waiting, came, strict=True) if launched}


@asynccontextmanager
async def _ready(program: Program, wanted: Sequence[Wanted], boot: float) -> AsyncIterator[_Waiting]:
    async with pretended(wanted, boot=boot) as emulator:
        process = await asyncio.create_subprocess_exec(
            *program.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, **program.environment},
            cwd=ROOT,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                assert process.stdout
                await process.stdout.readline()
            yield _Waiting(process, emulator)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
