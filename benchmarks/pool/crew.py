"""The processes that share a pool, one of which is killed each second."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from benchmarks.pool.api import ROOT
from benchmarks.pool.worker import Order, command


@define(eq=False)
class Crew:
    """Processes that each serve their part of the users, and are started again after a kill."""

    orders: Sequence[Order]
    _processes: dict[int, asyncio.subprocess.Process] = field(factory=dict)
    killed: dict[int, float] = field(factory=dict)
    """When each process was killed, by its id."""

    failures: Counter[int] = field(factory=Counter)
    """The exit codes of processes that ended by themselves with an error."""

    errors: list[str] = field(factory=list)
    """The last lines that those have written to stderr."""

    async def run(self, *, kills: int) -> None:
        """Serve all users, with so many kills, one a second."""
        dice = random.Random(1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(len(self.orders)):
                tasks.create_task(self._keep(number))
            for _ in range(kills):
                await asyncio.sleep(1)
                if alive := [each for each in self._processes.values() if each.returncode is None]:
                    victim = dice.choice(alive)
                    victim.kill()
                    self.killed[victim.pid] = time.monotonic()

    async def _keep(self, number: int) -> None:
        while left := self._left(self.orders[number]):
            process = await asyncio.create_subprocess_exec(
                *command(evolve(self.orders[number], users=left)),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            self._processes[number] = process
            _, printed = await process.communicate()
            if process.returncode and process.pid not in self.killed:
                self.failures[process.returncode] += 1
                self.errors.append(printed.decode()[-2000:])
                await asyncio.sleep(1)

    def _left(self, order: Order) -> tuple[str, ...]:
        served = {line["user"] for line in read(Path(order.journal)) if line["what"] == "released"}
        return tuple(user for user in order.users if user not in served)


def read(path: Path) -> Iterable[dict[str, Any]]:
    """Yield the lines of a journal."""
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())
