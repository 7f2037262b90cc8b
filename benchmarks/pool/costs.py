"""What a machine for a user costs: a dozen users at once, in virtual time, in requests and seconds.

It is compared with a plain create, and with what one would write without the pool.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from attrs import frozen

from benchmarks.pool.seen import APP, GONE
from benchmarks.pool.worker import SANDBOX
from benchmarks.shared.served import world
from benchmarks.shared.table import Figure, Goal, Row, Table
from flyasync import AlreadyStarting, FlyClient, MachinePool, WrongState
from flyasync.testing import run_virtual

USERS = [f"user-{number}" for number in range(12)]
BOOT = 0.3
"""Seconds from an accepted start to `started`: the emulator's, the same for all rows, so that the rest is ours."""
COLUMNS = {"machines before": "", "requests": ".1f", "lists": "d", "creates": "d", "first, s": ".1f", "last, s": ".1f"}


@frozen
class Scene:
    """A client, a pool of it, and the claims that last until the end."""

    fly: FlyClient
    pool: MachinePool
    claims: AsyncExitStack


async def former(scene: Scene, user: str) -> None:
    """Do what the example did before there was a pool."""
    machines = scene.fly.machines
    machine = await machines.create_once(APP, SANDBOX, name=user, launch="sandboxes")
    for _ in range(10):
        try:
            await machines.start(APP, machine.id)
        except AlreadyStarting:
            break
        except WrongState:  # it is still being created, or still stopping
            await asyncio.sleep(1)
        else:
            break
    await machines.wait(APP, machine.id, timeout=60, just_created=True)


async def create(scene: Scene, user: str) -> None:
    machine = await scene.fly.machines.create(APP, SANDBOX, name=f"new-{user}")
    await scene.fly.machines.wait(APP, machine.id, timeout=60, just_created=True)


async def ensure(scene: Scene, user: str) -> None:
    await scene.fly.machines.ensure_running(APP, user, SANDBOX)


async def claim(scene: Scene, user: str) -> None:
    await scene.claims.enter_async_context(scene.pool.acquire(user))


WAYS = (
    ("plain create", "nothing", create, ()),
    ("former example", "nothing", former, ()),
    ("ensure_running", "nothing", ensure, ()),
    ("claim", "nothing", claim, ()),
    ("former example", "of the user", former, ()),
    ("ensure_running", "of the user", ensure, ("last, s <= 1", "creates <= 0")),
    ("claim", "stopped", claim, ("requests <= 5",)),
    ("claim", "suspended", claim, ("requests <= 5",)),
    ("claim", "started", claim, ("requests <= 3",)),
)
"""Ways to get a machine for each user: what is there before, what is done for one of them, and the goals."""


def costs() -> Table:
    return Table(
        title=f"{len(USERS)} users at once: requests of each, without shared lists, and seconds until they have it",
        subject="way",
        columns=COLUMNS,
        rows=[
            Row(name, run_virtual(measured(before, way)), [Goal(each) for each in goals])
            for name, before, way, goals in WAYS
        ],
        notes=[f"The emulator has the published limits; a machine starts within {BOOT} s."],
    )


async def measured(before: Any, way: Callable[[Scene, str], Awaitable[None]]) -> dict[str, Figure]:
    async with world(APP, boot=(BOOT, BOOT)) as (emulator, fly), AsyncExitStack() as claims:
        if before == "of the user":
            for user in USERS:
                machine = await fly.machines.create_once(APP, SANDBOX, name=user, launch="sandboxes")
                await fly.machines.wait(APP, machine.id, just_created=True)
                await fly.machines.stop(APP, machine.id)
        elif before != "nothing":
            pool = MachinePool(fly, APP, SANDBOX, ready=len(USERS), max=len(USERS), standby=before)
            await pool.reconcile()
        await asyncio.sleep(30)  # all buckets are full again
        counts, clock = emulator.counts(), asyncio.get_running_loop().time
        scene, began = Scene(fly, MachinePool(fly, APP, SANDBOX, ready=0, max=len(USERS)), claims), clock()
        seconds: list[float] = []

        async def one(user: str) -> None:
            await way(scene, user)
            seconds.append(clock() - began)

        await asyncio.gather(*map(one, USERS))
        sent = emulator.counts() - counts
        assert sum(each.state not in GONE for each in emulator.world.machines.values()) == len(USERS), (before, way)
    lists = sent["listMachines", APP]
    return {
        "machines before": "stopped" if before == "of the user" else before,
        "requests": (sent.total() - lists) / len(USERS),
        "lists": lists,
        "creates": sent["createMachine", APP],
        "first, s": min(seconds),
        "last, s": max(seconds),
    }
