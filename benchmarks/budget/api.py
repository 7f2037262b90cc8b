"""A pretend API in a process of its own, so that nothing but the host keeps it from looking at a request at once."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define

from benchmarks.budget.judge import SECOND, Turn
from flyasync import Emulator, FlyClient, MachineConfig

ROOT = Path(__file__).parents[2]
ACTIONS = {"getMachine": "get", "listMachines": "list"}
APP = "web"


@define(eq=False)
class Api:
    """The process from outside: where it is, and what it saw."""

    url: str
    token: str
    machine: str
    _process: asyncio.subprocess.Process

    async def arrived(self) -> dict[str, list[Turn]]:
        """Ask for the requests that have arrived so far, by its clock; those that it refused are nobody's turns."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        found: dict[str, list[Turn]] = {name: [] for name in ACTIONS.values()}
        for name, at, is_limited in await _line(self._process):
            found[name].append(Turn(0, "nobody" if is_limited else "store", at, at, at))
        return found


@asynccontextmanager
async def api(backing: str) -> AsyncIterator[Api]:
    """Start an API, ask it for an app with a machine, and about them: from then on their buckets are known."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "benchmarks.budget.api"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        url, token = await _line(process)
        async with FlyClient(token, base_url=url, limits="memory") as fly:
            await fly.apps.create(APP, org_slug="personal")
            machine = await fly.machines.create(APP, MachineConfig(image="shop:1"), region="iad")
        async with FlyClient(token, base_url=url, limits=backing) as fly:
            await asyncio.gather(fly.machines.get(APP, machine.id), fly.machines.list(APP))
        yield Api(url, token, machine.id, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout
    return json.loads(await process.stdout.readline())


async def serve() -> None:
    """Serve until stdin ends; for each line of it, tell what has arrived."""
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    began = loop.time()
    async with Emulator() as emulator:
        _say([emulator.url, emulator.token])
        while await asked.readline():
            seen = [entry for entry in emulator.log if entry.action in ACTIONS]
            _say([(ACTIONS[e.action], round((began + e.at) * SECOND), e.is_limited) for e in seen])
    pipe.close()


def _say(content: Any) -> None:
    os.set_blocking(1, True)
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
