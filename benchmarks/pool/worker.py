"""A process of the storm, or of many calls for one machine: `python -m benchmarks.pool.worker ORDER`.

It reports at once what it has done, since it may be killed at any time; all processes have one clock.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from benchmarks.pool.seen import APP
from benchmarks.shared.children import say
from flyasync import FlyClient, MachineConfig, MachinePool, PoolExhausted
from flyasync.pool.events import MachineClaimed, PoolEvent

SANDBOX = MachineConfig(image="sandbox")


def pool(fly: FlyClient, options: Mapping[str, Any], **others: Any) -> MachinePool:
    """Return the pool of the benchmark."""
    return MachinePool(fly, APP, SANDBOX, **options, **others)


def observe(event: PoolEvent) -> None:
    if isinstance(event, MachineClaimed):
        say([event.source, event.seconds])


async def ensure(fly: FlyClient, calls: int) -> None:
    """Ask for one machine by so many calls at once."""
    results = await asyncio.gather(*(fly.machines.ensure_running(APP, "user-7", SANDBOX) for _ in range(calls)))
    say(["ensured", *{each.machine.id for each in results}])


async def claim(fly: FlyClient, options: Mapping[str, Any], users: Sequence[str], in_flight: int) -> None:
    """Claim a machine for each user, so many at once."""
    left = iter(users)
    async with pool(fly, options, on_event=observe) as machines, asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(_serve(machines, left))


async def _serve(machines: MachinePool, users: Iterator[str]) -> None:
    for user in users:
        is_served = False
        while not is_served:
            with suppress(PoolExhausted):
                async with machines.acquire(user, timeout=120) as machine:
                    say(["claimed", user, machine.id, time.monotonic()])
                    await asyncio.sleep(random.uniform(0.5, 1.5))
                    say(["released", user, time.monotonic()])
                is_served = True


async def main(client: Mapping[str, Any], **order: Any) -> None:
    async with FlyClient(**client) as fly:
        await (ensure(fly, **order) if "calls" in order else claim(fly, **order))


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
