"""A row of the table: a store, the processes that share a budget by it, an API if they ask one, and what was seen."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from tempfile import TemporaryDirectory

from attrs import define, field, frozen

from benchmarks.budget.turns import Turn, by_the_server, ideal, peak, recovered, spread
from benchmarks.shared.children import Child, spawned
from benchmarks.shared.programs import relayed
from benchmarks.shared.served import served
from benchmarks.shared.table import Figure, Goal, Row
from benchmarks.shared.valkey import Server
from flyasync import Emulator, MachineConfig
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.ratelimit.shared import PATIENCE, PROBE, SECOND

APP, ACTIONS = "web", {"getMachine": "get", "listMachines": "list"}
STORM = Rate(per_second=200, burst=50)
PUBLISHED = {name: Limits().rate(f"machines.{name}") for name in ACTIONS.values()}
EARLY, AWAY = 1.5, 3.0
"""Seconds from the start to the trouble, and those for which a server or a lock is out of reach."""
GRACE, LATE = 0.3, 60.0
"""Seconds to tell all when to begin, and those after which what is missing counts as lost."""
ENOUGH = 50
"""Turns of a process from which on luck can be told from rounding."""


@frozen
class Case:
    """So many processes under one rate for so many seconds, or clients under the API's own rates; and their trouble.

    `losses` is how often each process has to lose the limits by it, if that is known. If the first one `is_cut_off`, it
    reaches the server by a relay.
    """

    name: str
    backing: str
    seconds: float
    processes: int
    tasks: int = 1
    rate: Rate | None = None
    trouble: "Callable[[Run], Awaitable[None]] | None" = None
    losses: int | None = None
    is_cut_off: bool = False

    def each(self, rate: Rate) -> int:
        """Return how many turns are each process's part of what the rate allows."""
        return -(-round(rate.usable + rate.per_second * self.seconds) // self.processes)


@define(eq=False)
class Run:
    """A case under way: the URLs of its store and of the relay, which is open or not; its start, its trouble's end."""

    case: Case
    url: str
    server: Server | None = None
    relay: str = ""
    is_open: asyncio.Event = field(factory=asyncio.Event)
    workers: list[Child] = field(factory=list)
    start: int = 0
    over: int = 0

    @property
    def alive(self) -> list[Child]:
        return [worker for worker in self.workers if not worker.killed_at]


@frozen
class Seen:
    """What is known of a run under one rate.

    `left` is when tasks left with their turns. `missing` counts what processes that were not killed wanted and did not
    get. `is_api` where an API counts, and refuses.
    """

    name: str
    run: Run
    rate: Rate
    turns: Sequence[Turn]
    left: Sequence[int]
    missing: int
    is_api: bool = False

    @property
    def row(self) -> Row:
        """The figures, with a goal for each that promises something; some are there for their goal only."""
        case, alive, interval = self.run.case, self.run.alive, self.rate.interval
        # All of the published burst where an API counts, else what may be used of it.
        burst = self.rate.burst if self.is_api else self.rate.usable
        granted = [turn for turn in self.turns if turn.by != "refused"]
        best = ideal([turn.decided for turn in granted], interval, self.rate.usable)
        lost, back = ([each.said(word) for each in alive] for word in ("lost", "back"))
        figures: dict[str, Figure] = {
            "backing": case.backing,
            "grants": len(granted),
            "ideal": best,
            "grants/ideal": len(granted) / best,
            "peak": peak((turn.decided for turn in self.turns), interval),
            "left": peak(self.left, interval),
            "burst": burst,
            "missing": self.missing,
            "lost": sum(map(len, lost)),
            "back": sum(map(len, back)),
            "unrecorded": sum(turn.by == "unrecorded" for turn in self.turns),
        }
        # A server that is killed may leave out the last grant of each process; any other is in its record.
        goals = ["missing <= 0", f"unrecorded <= {case.processes if case.trouble else 0}"]
        if self.is_api:
            # Where the clients or the API wait for longer than the margin is, turns that were in time meet.
            figures["429s"] = len(self.turns) - len(granted)
            goals.append("429s <= 0")
        else:
            most, fewest = spread(self.turns, (each.process.pid for each in alive))
            figures |= {"most": most, "fewest": fewest, "most/fewest": most / max(1, fewest)}
            goals += ["most/fewest <= 1.5"] if fewest >= ENOUGH and not case.trouble else []
            # One that is cut off sends its share, until it has noticed that it is not any more.
            beyond = self.rate.per_second * (AWAY + PROBE + 2 * PATIENCE) / case.processes if case.is_cut_off else 0
            goals.append(f"peak <= {burst + beyond}")
        if case.trouble:
            # The store grants the full rate again to all, each of which has noticed.
            noticed = max((at for each in back for (at,) in each), default=0)
            times = [turn.left for turn in self.turns if turn.by == "store" and turn.left >= noticed]
            figures["recovery"] = recovered(times, self.run.over, interval)
            counts = [{len(one), len(other)} for one, other in zip(lost, back, strict=True)]
            figures["losses of others"] = sum(each != {case.losses} for each in counts)
            goals += ["recovery >= 0", *(["losses of others <= 0"] if case.losses is not None else [])]
        else:
            goals.append("grants/ideal >= 0.97")
        if case.backing == "memory":
            goals = [f"peak >= {burst}"]
        reasons = sorted({reason for each in lost for _, reason in each})
        return Row(self.name, figures, [Goal(each, "; ".join(reasons)) for each in goals])


async def take(case: Case, rate: Rate, together: asyncio.Barrier) -> list[Seen]:
    """Have processes take the permits of one bucket."""
    ahead, count = (time.time_ns() - time.monotonic_ns()) // 1000, case.each(rate)
    numbers = (rate.per_second, rate.burst, rate.spare)
    async with staged(case) as run:
        await done(run, together, rate.refill, rate=numbers, turns=count, tasks=case.tasks)
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
            machine = (await client.machines.create(APP, MachineConfig(image="shop:1"), region="iad")).id
        async with api.client(limits=run.url) as client:  # from now on the buckets are known
            await asyncio.gather(client.machines.get(APP, machine), client.machines.list(APP))
        rest = max(rate.refill for rate in PUBLISHED.values())
        await done(run, together, rest, url=api.url, token=api.token, app=APP, machine=machine, calls=calls)
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
    """Have the store of a case until the block ends; no processes yet."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="budget-"))
        run = Run(case, "memory" if case.backing == "memory" else f"file:{folder}")
        if case.backing == "redis":
            run.server = await stack.enter_async_context(Server(is_recorded=True))
            run.url = run.server.url
            run.relay = f"redis://{await stack.enter_async_context(relayed(run.server.port, run.is_open))}/0"
        yield run


async def done(run: Run, together: asyncio.Barrier, rest: float, **order: object) -> None:
    """Have the processes do as ordered, once those of all cases are ready and the buckets had a rest."""
    case, clock = run.case, asyncio.get_running_loop().time
    async with AsyncExitStack() as stack:
        for number in range(case.processes):
            order["backing"] = run.relay if case.is_cut_off and number == 0 else run.url
            words = ("-W", "error", "-m", "benchmarks.budget.worker", json.dumps(order))
            run.workers.append(await stack.enter_async_context(spawned("worker", *words)))
        for worker in run.workers:
            while (await worker.hear())[0] != "ready":
                pass
        # One case after the other, or the host would be the judge.
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
