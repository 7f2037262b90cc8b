"""A row of the table under way: a store, the processes that share a budget by it, and an API if they ask one."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from tempfile import TemporaryDirectory

from attrs import asdict, evolve

from benchmarks.budget.seen import Case, Run, Seen, Turn, by_the_server
from benchmarks.budget.worker import APP, Order
from benchmarks.shared.children import spawned
from benchmarks.shared.programs import relayed
from benchmarks.shared.served import served
from benchmarks.shared.valkey import Server
from flyasync import Emulator, MachineConfig
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.ratelimit.shared import SECOND

PUBLISHED = {name: Limits().rate(f"machines.{name}") for name in ("get", "list")}
ACTIONS = {"getMachine": "get", "listMachines": "list"}
EARLY, GRACE, LATE = 1.5, 0.3, 60.0
"""Seconds from the start to the trouble; to tell all when to begin; after which what is missing counts as lost."""


async def take(case: Case, rate: Rate, together: asyncio.Barrier) -> list[Seen]:
    """Have processes take the permits of one bucket."""
    ahead, count = (time.time_ns() - time.monotonic_ns()) // 1000, case.each(rate)
    numbers = (rate.per_second, rate.burst, rate.spare)
    async with staged(case) as run:
        await done(run, Order(backing=run.url, rate=numbers, turns=count, tasks=case.tasks), together, rate.refill)
    turns = [Turn(each.process.pid, *turn) for each in run.workers for turn in each.said("turn")]
    turns.sort(key=lambda turn: turn.left)
    if run.server:
        processes = [worker.process.pid for worker in run.workers]
        turns = by_the_server(turns, run.server.grants(rate.interval, processes), ahead)
    missing = sum(count - len(worker.said("turn")) for worker in run.alive)
    return [Seen(case.name, run, rate, turns, [turn.left for turn in turns], missing)]


async def call(case: Case, together: asyncio.Barrier) -> list[Seen]:
    """Have clients ask an API, which counts by the limits as published."""
    calls = {name: case.each(rate) for name, rate in PUBLISHED.items()}
    async with staged(case) as run, served() as api:
        async with api.client(limits="memory") as client:
            await client.apps.create(APP, org_slug="personal")
            machine = await client.machines.create(APP, MachineConfig(image="shop:1"), region="iad")
        async with api.client(limits=run.url) as client:  # from now on the buckets are known
            await asyncio.gather(client.machines.get(APP, machine.id), client.machines.list(APP))
        order = Order(backing=run.url, url=api.url, token=api.token, machine=machine.id, calls=calls)
        await done(run, order, together, rest=max(rate.refill for rate in PUBLISHED.values()))
        arrived = await api.ask(arrivals)
    seen = []
    for name, rate in PUBLISHED.items():
        turns = [Turn(0, by, at, at, at) for each, by, at in arrived if each == name and at >= run.start]
        said = [each for worker in run.workers for each in worker.said("left")]
        left = [at for operation, at in said if operation == f"machines.{name}" and at >= run.start]
        missing = sum(calls[name] - worker.said("call").count([name]) for worker in run.alive)
        seen.append(Seen(f"{case.name}, {name}", run, rate, turns, left, missing, is_api=True))
    return seen


def arrivals(emulator: Emulator) -> list[tuple[str, str, int]]:
    """Return the requests that have arrived: their calls, whether they were refused, and when."""
    emulator.serving(APP)  # its world is as of now then
    began = asyncio.get_running_loop().time() - emulator.world.clock
    return [
        (ACTIONS[each.action], "refused" if each.is_limited else "store", round((began + each.at) * SECOND))
        for each in emulator.log
        if each.action in ACTIONS
    ]


@asynccontextmanager
async def staged(case: Case) -> AsyncIterator[Run]:
    """Have the store of a row until the block ends; no processes yet."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="budget-"))
        run = Run(case, "memory" if case.backing == "memory" else f"file:{folder}")
        if case.backing == "redis":
            run.server = await stack.enter_async_context(Server(is_recorded=True))
            run.url = run.server.url
            run.relay = await stack.enter_async_context(relayed(run.server.port, run.is_open))
        yield run


async def done(run: Run, order: Order, together: asyncio.Barrier, rest: float) -> None:
    """Have the processes do as ordered, once those of all rows are ready and the buckets had a rest."""
    case, clock = run.case, asyncio.get_running_loop().time
    orders = [order] * case.processes
    if case.is_cut_off:
        orders[0] = evolve(order, backing=f"redis://{run.relay}/0")
    async with AsyncExitStack() as stack:
        for each in orders:
            words = ("-W", "error", "-m", "benchmarks.budget.worker", json.dumps(asdict(each)))
            run.workers.append(await stack.enter_async_context(spawned("worker", *words)))
        for worker in run.workers:
            while (await worker.hear())[0] != "ready":
                pass
        # One row after the other, or the host would be the judge.
        start = clock() + rest + GRACE * (1 + await together.wait())
        for worker in run.workers:
            worker.tell(start)
        through = asyncio.gather(*(worker.listen() for worker in run.workers))
        run.start = round(start * SECOND)
        if case.trouble:
            await asyncio.sleep(start + EARLY - clock())
            await case.trouble(run)
            run.over = round(clock() * SECOND)
        with suppress(TimeoutError):
            async with asyncio.timeout(case.seconds + LATE):
                await through
