"""What is done in a row of the table."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

from attrs import evolve, field, frozen

from benchmarks.budget.crew import Crew, Files, Relay, crew
from benchmarks.budget.incidents import EARLY, Outage, Scene
from benchmarks.budget.judge import SECOND, Turn, by_the_server
from benchmarks.budget.verdict import Seen
from benchmarks.budget.worker import APP, Order
from benchmarks.shared.served import served
from benchmarks.shared.valkey import Server
from flyasync import Emulator, MachineConfig
from flyasync.transport.ratelimit.rates import Limits, Rate

PATIENCE = 60.0
"""Seconds that a row may take beyond its own, before what is missing counts as lost."""
GRACE = 0.3
"""Seconds for all processes to hear when they are to begin."""
STORM = Rate(per_second=200, burst=50)
PUBLISHED = {name: Limits().rate(f"machines.{name}") for name in ("get", "list")}
ACTIONS = {"getMachine": "get", "listMachines": "list"}


@frozen(kw_only=True)
class Row:
    """So many processes under one rate for so many seconds, and what befalls them; or clients under the API's own."""

    name: str
    backing: str
    seconds: float
    processes: int
    tasks: int = 1
    rate: Rate | None = field(default=STORM)
    incident: Callable[[Scene], Awaitable[Outage]] | None = None
    relayed: int = 0
    """How many of the processes reach the server by a relay."""

    def each(self, rate: Rate) -> int:
        """Give how many turns are each process's part of what the rate allows."""
        return -(-round(rate.usable + rate.per_second * self.seconds) // self.processes)


async def fly(row: Row, together: asyncio.Barrier) -> list[Seen]:
    """Run a row; give what was seen of it, for each rate that it was under."""
    return [await _take(row, row.rate, together)] if row.rate else await _call(row, together)


async def _take(row: Row, rate: Rate, together: asyncio.Barrier) -> Seen:
    ahead = (time.time_ns() - time.monotonic_ns()) // 1000
    async with _store(row.backing) as store:
        order = Order(
            backing=store.url if store else "memory",
            rate=(rate.per_second, rate.burst, rate.spare),
            turns=row.each(rate),
            tasks=row.tasks,
        )
        async with Relay(store.port) if isinstance(store, Server) else nullcontext() as relay:
            others = [evolve(order, backing=relay.url)] * row.relayed if relay else []
            orders = [*others, *[order] * (row.processes - len(others))]
            team, outage = await _run(row, store, relay, orders, together, rest=rate.refill)
    turns = team.turns()
    if isinstance(store, Server):
        turns = by_the_server(turns, store.grants(rate.interval, [worker.pid for worker in team.workers]), ahead)
    return Seen(
        title=row.name,
        backing=row.backing,
        rate=rate,
        crew=team,
        turns=turns,
        left=[turn.left for turn in turns],
        missing=sum(worker.missing() for worker in team.alive()),
        outage=outage,
    )


async def _call(row: Row, together: asyncio.Barrier) -> list[Seen]:
    """Have clients ask an API, which judges them by the limits as published."""
    async with _store(row.backing) as store, served() as api:
        backing = store.url if store else "memory"
        async with api.client(limits="memory") as client:
            await client.apps.create(APP, org_slug="personal")
            machine = await client.machines.create(APP, MachineConfig(image="shop:1"), region="iad")
        async with api.client(limits=backing) as client:  # from now on the buckets are known
            await asyncio.gather(client.machines.get(APP, machine.id), client.machines.list(APP))
        order = Order(
            backing=backing,
            url=api.url,
            token=api.token,
            machine=machine.id,
            gets=row.each(PUBLISHED["get"]),
            lists=row.each(PUBLISHED["list"]),
        )
        longest = max(rate.refill for rate in PUBLISHED.values())
        team, outage = await _run(row, store, None, [order] * row.processes, together, rest=longest)
        arrived = await api.ask(_arrived)
    return [_asked(row, name, team, arrived[name], outage) for name in PUBLISHED]


def _arrived(emulator: Emulator) -> dict[str, list[Turn]]:
    """Give the requests that have arrived so far, by its clock; those that it refused are nobody's turns."""
    emulator.serving(APP)  # its world is as of now then
    began = asyncio.get_running_loop().time() - emulator.world.clock
    found: dict[str, list[Turn]] = {name: [] for name in ACTIONS.values()}
    for entry in emulator.log:
        if entry.action in ACTIONS:
            at = round((began + entry.at) * SECOND)
            found[ACTIONS[entry.action]].append(Turn(0, "nobody" if entry.is_limited else "store", at, at, at))
    return found


def _asked(row: Row, name: str, team: Crew, arrived: list[Turn], outage: Outage | None) -> Seen:
    turns = [turn for turn in arrived if turn.decided >= team.start]
    left = [at for worker in team.workers for what, at in worker.told["left"] if what == f"machines.{name}"]
    return Seen(
        title=f"{row.name}, {name}",
        backing=row.backing,
        rate=PUBLISHED[name],
        crew=team,
        turns=turns,
        left=[at for at in left if at >= team.start],
        missing=sum(worker.missing(name) for worker in team.alive()),
        outage=outage,
        refused=sum(turn.by == "nobody" for turn in turns),
    )


def _store(backing: str) -> AbstractAsyncContextManager[Files | Server | None]:
    if backing == "memory":
        return nullcontext()
    return Files() if backing == "file" else Server(is_recorded=True)


async def _run(
    row: Row,
    store: Files | Server | None,
    relay: Relay | None,
    orders: Sequence[Order],
    together: asyncio.Barrier,
    *,
    rest: float,
) -> tuple[Crew, Outage | None]:
    """Let processes do as ordered, once those of all rows are ready and the buckets had a rest."""
    async with crew(orders) as team:
        await team.ready()
        place = await together.wait()
        team.begin(rest + GRACE * (1 + place))  # one row after the other, or the host would be the judge
        outage = None
        if row.incident:
            await asyncio.sleep(team.start / SECOND + EARLY - asyncio.get_running_loop().time())
            outage = await row.incident(Scene(team, store, relay))
        with suppress(TimeoutError):
            async with asyncio.timeout(row.seconds + PATIENCE):
                await team.finish()
    return team, outage
