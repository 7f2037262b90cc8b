"""What is done in a row of the table, and what is seen of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

from attrs import evolve, field, frozen

from benchmarks.budget.api import APP, api
from benchmarks.budget.crew import Crew, crew
from benchmarks.budget.errand import Order
from benchmarks.budget.files import Files
from benchmarks.budget.judge import SECOND, Turn, by_the_server
from benchmarks.budget.server import Relay, Server
from flyasync.transport.ratelimit.rates import Limits, Rate

PATIENCE = 60.0
"""Seconds that a row may take beyond its own, before what is missing counts as lost."""
GRACE = 0.3
"""Seconds for all processes to hear when they are to begin."""
STORM = Rate(per_second=200, burst=50)
PUBLISHED = {name: Limits().rate(f"machines.{name}") for name in ("get", "list")}


Way = tuple[Files | Server | None, Relay | None]


@frozen
class Outage:
    """What befell a row: when it was over, and how often each process had to notice."""

    over: int
    told: int | None
    beyond: float = 0.0
    """Seconds of the whole rate that come on top, by those who cannot know that others still have the limits."""


@frozen
class Scene:
    """A row under way: its processes, and where their limits are."""

    crew: Crew
    store: Files | Server | None
    relay: Relay | None

    async def reach(self, seconds: float) -> None:
        """Wait until so long after the start."""
        await asyncio.sleep(self.crew.start / SECOND + seconds - asyncio.get_running_loop().time())


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

    @property
    def label(self) -> str:
        """What it is chosen by."""
        return f"{self.name}/{self.backing}"

    def each(self, rate: Rate) -> int:
        """Give how many turns are each process's part of what the rate allows."""
        return -(-round(rate.usable + rate.per_second * self.seconds) // self.processes)


@frozen(kw_only=True)
class Seen:
    """What was seen of a row under one rate, in microseconds of the host's monotonic clock.

    `missing` counts what processes that were not killed wanted and did not get; `refused` the 429s, where somebody
    gives them.
    """

    row: Row
    title: str
    rate: Rate
    crew: Crew
    turns: Sequence[Turn]
    left: Sequence[int]
    missing: int
    outage: Outage | None
    refused: int | None = None


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
            team, outage = await _run(row, (store, relay), orders, together, rate.refill)
    turns = team.turns()
    if isinstance(store, Server):
        processes = [worker.process.pid for worker in team.workers]
        turns = by_the_server(turns, store.grants(rate.interval, processes), ahead)
    missing = sum(worker.missing() for worker in team.alive())
    return Seen(
        row=row,
        title=row.name,
        rate=rate,
        crew=team,
        turns=turns,
        left=[turn.left for turn in turns],
        missing=missing,
        outage=outage,
    )


async def _call(row: Row, together: asyncio.Barrier) -> list[Seen]:
    """Have clients ask an API, which judges them by the limits as published."""
    async with _store(row.backing) as store:
        backing = store.url if store else "memory"
        async with api(backing) as pretend:
            order = Order(
                backing=backing,
                url=pretend.url,
                token=pretend.token,
                app=APP,
                machine=pretend.machine,
                gets=row.each(PUBLISHED["get"]),
                lists=row.each(PUBLISHED["list"]),
            )
            longest = max(rate.refill for rate in PUBLISHED.values())
            team, outage = await _run(row, (store, None), [order] * row.processes, together, longest)
            arrived = await pretend.arrived()
    return [_asked(row, name, team, arrived[name], outage) for name in PUBLISHED]


def _asked(row: Row, name: str, team: Crew, arrived: list[Turn], outage: Outage | None) -> Seen:
    turns = [turn for turn in arrived if turn.decided >= team.start]
    left = [at for worker in team.workers for what, at in worker.left if what == f"machines.{name}"]
    return Seen(
        row=row,
        title=f"{row.name}, {name}",
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
    return Files() if backing == "file" else Server()


async def _run(
    row: Row, way: Way, orders: Sequence[Order], together: asyncio.Barrier, rest: float
) -> tuple[Crew, Outage | None]:
    """Let processes do as ordered, once those of all rows are ready and the buckets had a rest."""
    async with crew(orders) as team:
        await team.ready()
        place = await together.wait()
        team.begin(rest + GRACE * (1 + place))  # one row after the other, or the host would be the judge
        outage = await row.incident(Scene(team, *way)) if row.incident else None
        with suppress(TimeoutError):
            async with asyncio.timeout(row.seconds + PATIENCE):
                await team.finish()
    return team, outage
