"""What a machine for a user costs, in requests and seconds, compared with what one would write without the pool."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from attrs import frozen

from benchmarks.pool.api import APP, GONE
from benchmarks.pool.worker import SANDBOX
from benchmarks.table import Column, Figure, Goal, Row, Table
from flyasync import AlreadyStarting, Emulator, FlyClient, MachinePool, WrongState
from flyasync.testing import run_virtual

USERS = 12
BOOT = 0.3
"""Seconds from an accepted start to `started`: the emulator's, the same for all rows, so that the rest is ours."""

Prepare = Callable[[FlyClient], Awaitable[None]]
Serve = Callable[[FlyClient, AsyncExitStack, str], Awaitable[None]]


@frozen(kw_only=True)
class Way:
    """A way to get a machine for each user: what is there before, and what is done for one of them."""

    name: str
    before: str
    prepare: Prepare
    serve: Callable[[FlyClient], Serve]
    most: int | None = None
    within: float | None = None


# What the example did before there was a pool.


async def ready(fly: FlyClient, user: str) -> str:
    """Return the id of the user's machine once it has started."""
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
    return machine.id


def _former(_: FlyClient) -> Serve:
    async def serve(fly: FlyClient, _: AsyncExitStack, user: str) -> None:
        await ready(fly, user)

    return serve


def _create(_: FlyClient) -> Serve:
    async def serve(fly: FlyClient, _: AsyncExitStack, user: str) -> None:
        machine = await fly.machines.create(APP, SANDBOX, name=f"new-{user}")
        await fly.machines.wait(APP, machine.id, timeout=60, just_created=True)

    return serve


def _ensure(_: FlyClient) -> Serve:
    async def serve(fly: FlyClient, _: AsyncExitStack, user: str) -> None:
        await fly.machines.ensure_running(APP, user, SANDBOX)

    return serve


def _claim(fly: FlyClient) -> Serve:
    machines = MachinePool(fly, APP, SANDBOX, ready=0, max=USERS)

    async def serve(_: FlyClient, claims: AsyncExitStack, user: str) -> None:
        await claims.enter_async_context(machines.acquire(user))

    return serve


async def _nothing(_: FlyClient) -> None: ...


async def _returning(fly: FlyClient) -> None:
    for user in _users():
        machine = await fly.machines.create_once(APP, SANDBOX, name=user, launch="sandboxes")
        await fly.machines.wait(APP, machine.id, just_created=True)
        await fly.machines.stop(APP, machine.id)


def _warm(standby: str) -> Prepare:
    async def prepare(fly: FlyClient) -> None:
        await MachinePool(fly, APP, SANDBOX, ready=USERS, max=USERS, standby=standby).reconcile()  # type: ignore[arg-type]

    return prepare


WAYS = (
    Way(name="plain create", before="nothing", prepare=_nothing, serve=_create),
    Way(name="former example", before="nothing", prepare=_nothing, serve=_former),
    Way(name="ensure_running", before="nothing", prepare=_nothing, serve=_ensure),
    Way(name="claim", before="nothing", prepare=_nothing, serve=_claim),
    Way(name="former example", before="stopped", prepare=_returning, serve=_former),
    Way(name="ensure_running", before="stopped", prepare=_returning, serve=_ensure, within=1),
    Way(name="claim", before="stopped", prepare=_warm("stopped"), serve=_claim, most=5),
    Way(name="claim", before="suspended", prepare=_warm("suspended"), serve=_claim, most=5),
    Way(name="claim", before="started", prepare=_warm("started"), serve=_claim, most=3),
)


def costs() -> Table:
    """Measure each way for a dozen users who come at once, in virtual time."""
    return Table(
        title=f"{USERS} users at once: requests for each, without the shared lists, and seconds until they have it",
        subject="way",
        columns=[
            Column(name="machines before"),
            Column(name="requests", form=".1f"),
            Column(name="lists", form="d"),
            Column(name="creates", form="d"),
            Column(name="first, s", form=".1f"),
            Column(name="last, s", form=".1f"),
        ],
        rows=[run_virtual(_measured(way)) for way in WAYS],
        notes=[f"The emulator has the published limits; a machine starts within {BOOT} s."],
    )


async def _measured(way: Way) -> Row:
    async with (
        Emulator(boot=(BOOT, BOOT)) as emulator,
        FlyClient(emulator.token, base_url=emulator.url) as fly,
        AsyncExitStack() as claims,
    ):
        await fly.apps.create(APP, org_slug="personal")
        await way.prepare(fly)
        await asyncio.sleep(30)  # all buckets are full again
        before, clock = emulator.counts(), asyncio.get_running_loop().time
        serve, began = way.serve(fly), clock()
        seconds: list[float] = []

        async def one(user: str) -> None:
            await serve(fly, claims, user)
            seconds.append(clock() - began)

        await asyncio.gather(*map(one, _users()))
        sent = emulator.counts() - before
        alive = [each for each in emulator.world.machines.values() if each.state not in GONE]
        assert len(alive) == USERS, way
        lists, creates = sent["listMachines", APP], sent["createMachine", APP]
        requests = (sent.total() - lists) / USERS
        goals = [Goal(column="requests", at_most=way.most)] if way.most else []
        if way.within:
            goals += [Goal(column="last, s", at_most=way.within), Goal(column="creates", at_most=0)]
        figures: dict[str, Figure] = {
            "machines before": way.before,
            "requests": requests,
            "lists": lists,
            "creates": creates,
            "first, s": min(seconds),
            "last, s": max(seconds),
        }
        return Row(name=way.name, figures=figures, goals=goals)


def _users() -> list[str]:
    return [f"user-{number}" for number in range(USERS)]
