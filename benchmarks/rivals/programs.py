"""Rivals that are programs, side by side in real time, each against an emulator of its own.

They begin together, once all of them have loaded what they need. From then on they mostly wait, and so they hardly
disturb each other.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from benchmarks.rivals.kits import Program
from benchmarks.rivals.pretend import Launched, pretended
from benchmarks.rivals.wanted import IMAGE, Wanted
from benchmarks.shared.children import spawned
from flyasync import Emulator

PATIENCE = 120.0
"""Seconds for a program to load, and again to launch; then it is given up."""


def side_by_side(programs: Mapping[str, Program], wanted: Sequence[Wanted], *, boot: float) -> dict[str, Launched]:
    """Have each of these programs launch the same, and tell what came of it by name; without those that broke."""
    return asyncio.run(_side_by_side(programs, wanted, boot))


async def _side_by_side(programs: Mapping[str, Program], wanted: Sequence[Wanted], boot: float) -> dict[str, Launched]:
    ready = asyncio.Barrier(len(programs))

    async def one(program: Program) -> Launched | None:
        name, *arguments = program.command
        async with (
            pretended(wanted, boot=boot) as emulator,
            spawned("rival", *arguments, program=name, env=program.environment, is_quiet=True) as child,
        ):
            assert child.process.stdout
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await child.process.stdout.readline()
            await ready.wait()
            with suppress(TimeoutError, ValueError, ConnectionError):
                async with asyncio.timeout(PATIENCE):
                    seconds = await child.ask(_order(emulator, wanted))
                return Launched.of(emulator, seconds)
        return None

    came = await asyncio.gather(*map(one, programs.values()))
    return {name: launched for name, launched in zip(programs, came, strict=True) if launched}


def _order(emulator: Emulator, wanted: Sequence[Wanted]) -> dict[str, Any]:
    """Tell a program where the API is, and what is wanted, all of one app."""
    regions = [each.region for each in wanted]
    return {"url": emulator.url, "token": emulator.token, "app": wanted[0].app, "image": IMAGE, "regions": regions}
