"""The processes that share a budget, seen from their parent, and where they keep it."""

import asyncio
import json
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from attrs import asdict, define, field

from benchmarks.budget.judge import SECOND, Turn
from benchmarks.budget.worker import Order
from benchmarks.shared.children import Child, spawned


@define(eq=False)
class Worker:
    """A process, and what it has told so far, by the word of it."""

    child: Child
    order: Order
    told: defaultdict[str, list[Any]] = field(factory=lambda: defaultdict(list))
    is_ready: asyncio.Event = field(factory=asyncio.Event)
    is_over: asyncio.Event = field(factory=asyncio.Event)

    @property
    def pid(self) -> int:
        return self.child.process.pid

    @property
    def back(self) -> list[int]:
        """When it had the limits back."""
        return [at for (at,) in self.told["back"]]

    def missing(self, call: str | None = None) -> int:
        """Count the turns, or the calls of that name, that have come to nothing."""
        if call is None:
            return self.order.turns - len(self.told["turn"])
        return {"get": self.order.gets, "list": self.order.lists}[call] - self.told["call"].count([call])

    async def listen(self) -> None:
        """Note what it tells, to its end."""
        await self.child.listen(self._note)
        self.is_ready.set()
        self.is_over.set()

    def _note(self, word: str, *rest: Any) -> None:
        self.told[word].append([*rest])
        if event := {"ready": self.is_ready, "done": self.is_over}.get(word):
            event.set()


@define(eq=False)
class Crew:
    """Processes that begin at one moment: `start`, in microseconds of the monotonic clock."""

    workers: list[Worker] = field(factory=list)
    start: int = 0

    async def ready(self) -> None:
        await asyncio.gather(*(worker.is_ready.wait() for worker in self.workers))

    def begin(self, after: float) -> None:
        """Have all of them begin `after` seconds from now."""
        start = asyncio.get_running_loop().time() + after
        self.start = round(start * SECOND)
        for worker in self.workers:
            worker.child.tell(start)

    async def finish(self) -> None:
        await asyncio.gather(*(worker.is_over.wait() for worker in self.workers))

    def turns(self) -> list[Turn]:
        """Give all turns of all of them, in the order in which they left."""
        turns = (Turn(worker.pid, *each) for worker in self.workers for each in worker.told["turn"])
        return sorted(turns, key=lambda turn: turn.left)

    def alive(self) -> list[Worker]:
        """Give those that were not killed."""
        return [worker for worker in self.workers if not worker.child.is_killed]


@asynccontextmanager
async def crew(orders: Iterable[Order]) -> AsyncIterator[Crew]:
    """Start a process for each of these orders; none is left behind."""
    team, command = Crew(), ("-W", "error", "-m", "benchmarks.budget.worker")
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as listening:
        for order in orders:
            child = await stack.enter_async_context(spawned("worker", *command, json.dumps(asdict(order))))
            worker = Worker(child, order)
            team.workers.append(worker)
            listening.create_task(worker.listen())
        try:
            yield team
        finally:
            late = [worker for worker in team.workers if not worker.is_over.is_set()]
            await asyncio.gather(*(worker.child.kill() for worker in late))


# Where the limits are, beside a server


@define(eq=False)
class Files:
    """A directory that holds the limits, from `async with` on, to its end."""

    _directory: TemporaryDirectory[str] = field(factory=lambda: TemporaryDirectory(prefix="budget-"))

    @property
    def url(self) -> str:
        return f"file:{self._directory.name}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._directory.cleanup()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Child]:
        """Have another process hold the lock of each bucket; it lets go of them when its stdin ends, or it does."""
        names = [name for name in os.listdir(self._directory.name) if name != "workers"]  # noqa: PTH208 - no more is needed
        async with spawned("holder", "-c", HOLD, *(str(Path(self._directory.name, name)) for name in names)) as holder:
            await holder.hear()
            yield holder


HOLD = """
import fcntl, os, sys
for path in sys.argv[1:]:
    fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
print(0, flush=True)
sys.stdin.read()
"""


async def go_on(holder: Child) -> None:
    """Have a holder that was stopped go on, and let go of the locks as it ends by itself."""
    holder.signal(signal.SIGCONT)
    assert holder.process.stdin
    holder.process.stdin.close()
    await holder.process.wait()


@define(eq=False)
class Relay:
    """A way to a port of this host, from `async with` on, that can be closed to those who take it."""

    _to: int
    is_open: asyncio.Event = field(factory=asyncio.Event)
    _server: asyncio.Server = field(init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        self.is_open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._carry(reader, questions), self._carry(answers, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while some := await reader.read(1 << 16):
                await self.is_open.wait()
                writer.write(some)
        writer.close()
