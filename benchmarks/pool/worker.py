"""A process that claims machines for its users: `python -m benchmarks.pool.worker ORDER`, where the order is JSON."""

import asyncio
import json
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from benchmarks.pool.api import APP
from flyasync import FlyClient, MachineConfig, MachinePool, PoolExhausted
from flyasync.pool.events import MachineClaimed, PoolEvent

SANDBOX = MachineConfig(image="sandbox")


@frozen(kw_only=True)
class Order:
    """What a process is to do; `users` are those that it still has to serve, `in_flight` of them at once."""

    url: str
    token: str
    limits: str
    journal: str
    users: tuple[str, ...]
    in_flight: int
    hold: float
    pool: dict[str, Any]


def pool(fly: FlyClient, options: dict[str, Any], **others: Any) -> MachinePool:
    """Return the pool of the benchmark."""
    return MachinePool(fly, APP, SANDBOX, **options, **others)


class Journal:
    """What a process has done, written at once, since it may be killed at any time; all processes have one clock."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, what: str, **fields: Any) -> None:
        """Append a line."""
        line = {"what": what, "at": time.monotonic(), "pid": os.getpid(), **fields}
        os.write(self._file, f"{json.dumps(line)}\n".encode())


async def work(order: Order) -> None:
    """Claim a machine for each user."""
    journal = Journal(Path(order.journal))
    users = iter(order.users)

    def observe(event: PoolEvent) -> None:
        if isinstance(event, MachineClaimed):
            journal.write("event", source=event.source, seconds=event.seconds)

    async with (
        FlyClient(order.token, base_url=order.url, limits=order.limits) as fly,
        pool(fly, order.pool, on_event=observe) as machines,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(order.in_flight):
            tasks.create_task(_serve(machines, users, order.hold, journal))


async def _serve(machines: MachinePool, users: Any, hold: float, journal: Journal) -> None:
    for user in users:
        done = False
        while not done:
            with suppress(PoolExhausted):
                async with machines.acquire(user, timeout=120) as machine:
                    journal.write("claimed", user=user, machine=machine.id)
                    await asyncio.sleep(hold * random.uniform(0.5, 1.5))
                    journal.write("released", user=user, machine=machine.id)
                done = True
            if not done:
                journal.write("exhausted", user=user)


def command(order: Order) -> tuple[str, ...]:
    """Return the command of a process."""
    return sys.executable, "-W", "error", "-m", "benchmarks.pool.worker", json.dumps(asdict(order))


if __name__ == "__main__":
    asyncio.run(work(Order(**json.loads(sys.argv[1]))))
