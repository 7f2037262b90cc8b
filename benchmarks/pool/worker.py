"""A process of the storm, or of many calls for one machine: `python -m benchmarks.pool.worker ORDER`.

It reports at once what it has done, since it may be killed at any time; all processes have one clock.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from attrs import Factory, frozen

from benchmarks.pool.seen import APP
from benchmarks.shared.children import say
from flyasync import FlyClient, MachineConfig, MachinePool, PoolExhausted
from flyasync.pool.events import MachineClaimed, PoolEvent

SANDBOX = MachineConfig(image="sandbox")


@frozen(kw_only=True)
class Order:
    """What a process is to do: claim machines of a `pool` for `users`, or `ensure` one machine by so many calls."""

    url: str
    token: str
    limits: str
    ensure: int = 0
    users: tuple[str, ...] = ()
    in_flight: int = 0
    pool: Mapping[str, Any] = Factory(dict)


def pool(fly: FlyClient, options: Mapping[str, Any], **others: Any) -> MachinePool:
    """Return the pool of the benchmark."""
    return MachinePool(fly, APP, SANDBOX, **options, **others)


def observe(event: PoolEvent) -> None:
    if isinstance(event, MachineClaimed):
        say([event.source, event.seconds])


async def work(order: Order) -> None:
    async with FlyClient(order.token, base_url=order.url, limits=order.limits) as fly:
        if order.ensure:
            calls = (fly.machines.ensure_running(APP, "user-7", SANDBOX) for _ in range(order.ensure))
            say(["ensured", *{each.machine.id for each in await asyncio.gather(*calls)}])
            return
        users = iter(order.users)
        async with pool(fly, order.pool, on_event=observe) as machines, asyncio.TaskGroup() as tasks:
            for _ in range(order.in_flight):
                tasks.create_task(_serve(machines, users))


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


if __name__ == "__main__":
    asyncio.run(work(Order(**json.loads(sys.argv[1]))))
