"""What a machine for a user costs: a dozen users at once, in virtual time, in requests and seconds.

It is compared with a plain create, and with what one would write without the pool.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Literal

from attrs import frozen

from benchmarks.pool.seen import APP, GONE
from benchmarks.pool.worker import SANDBOX
from benchmarks.shared.served import world
from benchmarks.shared.table import Goal, Row, Table
from flyasync import AlreadyStarting, FlyClient, MachinePool, WrongState
from flyasync.testing import run_virtual

USERS = [f"user-{number}" for number in range(12)]
BOOT = 0.3
"""Seconds from an accepted start to `started`: the emulator's, the same for all rows, so that the rest is ours."""
Serve = Callable[[str], Awaitable[Any]]


@frozen(kw_only=True)
class Way:
    """A way to get a machine for each user: what is there before, and what is done for one of them."""

    name: str
    before: Literal["nothing", "of the user", "stopped", "suspended", "started"]
    serve: Callable[[FlyClient, AsyncExitStack], Serve]
    goals: tuple[Goal, ...] = ()


def _former(fly: FlyClient, _: AsyncExitStack) -> Serve:
    """Do what the example did before there was a pool."""

    async def serve(user: str) -> None:
        machine = await fly.machines.create_once(APP, SANDBOX, name=user, launch="sandboxes")
        for _ in range(10):
            try:
                await fly.machines.start(APP, machine.id)
            except AlreadyStarting:
                break
            except WrongState:  # it is still being created, or still stopping
                await asyncio.sleep(1)
            else:
                break
        await fly.machines.wait(APP, machine.id, timeout=60, just_created=True)

    return serve


def _create(fly: FlyClient, _: AsyncExitStack) -> Serve:
    async def serve(user: str) -> None:
        machine = await fly.machines.create(APP, SANDBOX, name=f"new-{user}")
        await fly.machines.wait(APP, machine.id, timeout=60, just_created=True)

    return serve


def _ensure(fly: FlyClient, _: AsyncExitStack) -> Serve:
    return lambda user: fly.machines.ensure_running(APP, user, SANDBOX)


def _claim(fly: FlyClient, claims: AsyncExitStack) -> Serve:
    machines = MachinePool(fly, APP, SANDBOX, ready=0, max=len(USERS))
    return lambda user: claims.enter_async_context(machines.acquire(user))


WAYS = (
    Way(name="plain create", before="nothing", serve=_create),
    Way(name="former example", before="nothing", serve=_former),
    Way(name="ensure_running", before="nothing", serve=_ensure),
    Way(name="claim", before="nothing", serve=_claim),
    Way(name="former example", before="of the user", serve=_former),
    Way(name="ensure_running", before="of the user", serve=_ensure, goals=(Goal("last, s <= 1"), Goal("creates <= 0"))),
    Way(name="claim", before="stopped", serve=_claim, goals=(Goal("requests <= 5"),)),
    Way(name="claim", before="suspended", serve=_claim, goals=(Goal("requests <= 5"),)),
    Way(name="claim", before="started", serve=_claim, goals=(Goal("requests <= 3"),)),
)


def costs() -> Table:
    return Table(
        title=f"{len(USERS)} users at once: requests of each, without shared lists, and seconds until they have it",
        subject="way",
        columns={
            "machines before": "",
            "requests": ".1f",
            "lists": "d",
            "creates": "d",
            "first, s": ".1f",
            "last, s": ".1f",
        },
        rows=[run_virtual(_measured(way)) for way in WAYS],
        notes=[f"The emulator has the published limits; a machine starts within {BOOT} s."],
    )


async def _prepare(fly: FlyClient, way: Way) -> None:
    if way.before == "of the user":
        for user in USERS:
            machine = await fly.machines.create_once(APP, SANDBOX, name=user, launch="sandboxes")
            await fly.machines.wait(APP, machine.id, just_created=True)
            await fly.machines.stop(APP, machine.id)
    elif way.before != "nothing":
        count = len(USERS)
        await MachinePool(fly, APP, SANDBOX, ready=count, max=count, standby=way.before).reconcile()
    await asyncio.sleep(30)  # all buckets are full again


async def _measured(way: Way) -> Row:
    async with world(APP, boot=(BOOT, BOOT)) as (emulator, fly), AsyncExitStack() as claims:
        await _prepare(fly, way)
        before, clock = emulator.counts(), asyncio.get_running_loop().time
        serve, began = way.serve(fly, claims), clock()
        seconds: list[float] = []

        async def one(user: str) -> None:
            await serve(user)
            seconds.append(clock() - began)

        await asyncio.gather(*map(one, USERS))
        sent = emulator.counts() - before
        alive = [each for each in emulator.world.machines.values() if each.state not in GONE]
        assert len(alive) == len(USERS), way
        lists, creates = sent["listMachines", APP], sent["createMachine", APP]
        figures = {
            "machines before": "stopped" if way.before == "of the user" else way.before,
            "requests": (sent.total() - lists) / len(USERS),
            "lists": lists,
            "creates": creates,
            "first, s": min(seconds),
            "last, s": max(seconds),
        }
        return Row(name=way.name, figures=figures, goals=way.goals)
