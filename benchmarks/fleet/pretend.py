"""An emulator in a process of its own, which makes apps without the API, and can be looked into.

`python -m benchmarks.fleet.pretend` reads the options of an Emulator from stdin, and tells where it is. Then it answers
each line, as long as there are any: to a list of names it begins anew with apps of these names, and through the API
that would take a second for each; to `machines` it says how many there are, and to `holdings` all that it holds.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import asdict, frozen

from benchmarks.fleet.judge import Held, Holdings
from benchmarks.fleet.processes import Child, spawned
from flyasync import Emulator
from flyasync.emulator.world import apps

LONGEST = 1 << 28
"""Bytes of the longest line: a fleet is told in one."""


@frozen
class Pretend:
    """The emulator, as seen from another process."""

    child: Child
    environment: dict[str, str]

    async def begin(self, names: Sequence[str]) -> None:
        """Forget everything, and have apps of these names."""
        await _asked(self.child, names)

    async def machines(self) -> int:
        """Say how many machines there are by now."""
        return int(await _asked(self.child, "machines"))

    async def holdings(self) -> Holdings:
        """Say what it holds."""
        told = await _asked(self.child, "holdings")
        return Holdings(**{**told, "machines": [Held(**each) for each in told["machines"]]})


@asynccontextmanager
async def pretending(**options: Any) -> AsyncIterator[Pretend]:
    """Have an emulator with these options until the block ends."""
    async with spawned("emulator", "-m", "benchmarks.fleet.pretend", limit=LONGEST) as child:
        yield Pretend(child, await _asked(child, options))


async def _asked(child: Child, what: Any) -> Any:
    assert child.process.stdin
    assert child.process.stdout
    child.process.stdin.write(json.dumps(what).encode() + b"\n")
    await child.process.stdin.drain()
    return json.loads(await child.process.stdout.readline())


# What runs in the process.


async def main() -> None:
    """Be the emulator, until nobody asks any more."""
    lines = asyncio.StreamReader(limit=LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Emulator(retired=(), **json.loads(await lines.readline())) as emulator:
        _tell(emulator.environment())
        async for line in lines:
            _tell(_answer(emulator, json.loads(line)))


def _answer(emulator: Emulator, asked: Any) -> Any:
    if asked == "machines":
        return len(emulator.world.machines)
    if asked == "holdings":
        return asdict(Holdings.of(emulator))
    emulator.reset()
    for name in asked:
        apps.create(emulator.world, name, org_slug="personal", network="")
    return None


def _tell(said: Any) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
