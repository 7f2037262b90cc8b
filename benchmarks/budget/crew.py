"""The processes that share a budget, seen from their parent."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from benchmarks.budget.errand import Order
from benchmarks.budget.judge import Turn

ROOT = Path(__file__).parents[2]


@define(eq=False)
class Worker:
    """A process, and what it has told so far."""

    process: asyncio.subprocess.Process
    order: Order
    turns: list[Turn] = field(factory=list)
    calls: Counter[str] = field(factory=Counter)
    left: list[tuple[str, int]] = field(factory=list)
    lost: list[int] = field(factory=list)
    reasons: list[str] = field(factory=list)
    back: list[int] = field(factory=list)
    is_ready: asyncio.Event = field(factory=asyncio.Event)
    is_over: asyncio.Event = field(factory=asyncio.Event)
    is_killed: bool = False

    def missing(self, call: str | None = None) -> int:
        """Count the turns, or the calls of that name, that have come to nothing."""
        if call is None:
            return self.order.turns - len(self.turns)
        return {"get": self.order.gets, "list": self.order.lists}[call] - self.calls[call]

    def kill(self) -> None:
        """Kill it; it can do nothing about that."""
        self.is_killed = True
        with suppress(ProcessLookupError):  # it was through already
            self.process.kill()

    async def listen(self) -> None:
        """Note what it tells, to its end."""
        assert self.process.stdout
        async for line in self.process.stdout:
            if line.endswith(b"\n"):
                self._note(*json.loads(line))
        self.is_ready.set()
        self.is_over.set()

    def _note(self, word: str, *rest: Any) -> None:
        match word:
            case "turn":
                self.turns.append(Turn(self.process.pid, *rest))
            case "call":
                self.calls[rest[0]] += 1
            case "left":
                self.left.append((rest[0], rest[1]))
            case "lost":
                self.lost.append(rest[0])
                self.reasons.append(rest[1])
            case "back":
                self.back.append(rest[0])
            case "ready":
                self.is_ready.set()
            case "done":
                self.is_over.set()


@define(eq=False)
class Crew:
    """Processes that begin at one moment."""

    workers: list[Worker]
    start: int = 0
    """The moment, in microseconds of the monotonic clock."""

    async def ready(self) -> None:
        """Wait until all of them are ready."""
        await asyncio.gather(*(worker.is_ready.wait() for worker in self.workers))

    def begin(self, after: float) -> None:
        """Have all of them begin `after` seconds from now."""
        start = asyncio.get_running_loop().time() + after
        self.start = round(start * 1_000_000)
        for worker in self.workers:
            assert worker.process.stdin
            worker.process.stdin.write(f"{start}\n".encode())

    async def finish(self) -> None:
        """Wait until all of them are through."""
        await asyncio.gather(*(worker.is_over.wait() for worker in self.workers))

    def turns(self) -> list[Turn]:
        """Give all turns of all of them, in the order in which they left."""
        return sorted((turn for worker in self.workers for turn in worker.turns), key=lambda turn: turn.left)

    def alive(self) -> list[Worker]:
        """Give those that were not killed."""
        return [worker for worker in self.workers if not worker.is_killed]


@asynccontextmanager
async def crew(orders: Iterable[Order]) -> AsyncIterator[Crew]:
    """Start a process for each of these orders; none is left behind."""
    workers: list[Worker] = []
    listening: list[asyncio.Task[None]] = []
    try:
        for order in orders:
            worker = Worker(await _spawn(order), order)
            workers.append(worker)
            listening.append(asyncio.create_task(worker.listen()))
        yield Crew(workers)
    finally:
        for worker in workers:
            if not worker.is_over.is_set():
                worker.kill()
        await asyncio.gather(*listening, *(worker.process.wait() for worker in workers))


async def _spawn(order: Order) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", order.module, json.dumps(asdict(order))),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
