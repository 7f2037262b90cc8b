"""Machines on demand: what they cost, and what is left of them when processes are killed.

    python -m benchmarks.pool [--users N] [--processes N] [--in-flight N] [--kills N]

- Costs: a dozen users at once, in virtual time: requests and seconds, against a plain create and against what one would
  write without a pool.
- One machine by its name: 200 calls of `ensure_running` in four processes.
- Storm: processes that claim machines for users, one of which is killed with SIGKILL each second and started again. The
  emulator runs in a process of its own, with the published limits, 10 % of its responses lost and a region that is
  full; the processes share the limits through files. No machine may be claimed twice, none may be left that is claimed
  by nobody, there may be no 429 and never more machines than `max`.

The exit status is 1 for a broken promise.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

from attrs import asdict, define, evolve, field

from benchmarks.pool.costs import costs
from benchmarks.pool.seen import APP, Seen, held, lose, twice, watch
from benchmarks.pool.worker import Order, pool
from benchmarks.shared.children import Child, spawned
from benchmarks.shared.served import Served, served
from benchmarks.shared.table import percentile, show
from flyasync.pool.events import ClaimSource

MOST = 80
TTL = 6
"""Seconds until the claim of a process that was killed ends."""
POOL: dict[str, Any] = {
    "ready": 50, "max": MOST, "regions": ["iad", "lhr", "nrt"], "on_release": "stop", "claim_ttl": TTL,
}  # fmt: skip
COMMAND = ("-W", "error", "-m", "benchmarks.pool.worker")
PROCESSES, CALLS = 4, 50


@asynccontextmanager
async def stage(**options: Any) -> AsyncIterator[tuple[Served, Order]]:
    """Serve an emulator with an app; give it, and what all processes are told."""
    with TemporaryDirectory(prefix="flyasync-pool-") as folder:
        async with served(**options) as server:
            order = Order(url=server.url, token=server.token, limits=f"file:{folder}/limits", pool=POOL)
            async with server.client(limits=order.limits) as fly:
                await fly.apps.create(APP, org_slug="personal")
            await server.ask(watch)
            yield server, order


async def one_create() -> int:
    """Have processes ask for one machine at once; print the result, and return the number of broken promises."""
    async with stage() as (server, order):
        crew = Crew([evolve(order, ensure=CALLS)] * PROCESSES)
        await asyncio.gather(*(crew.run_once(number) for number in range(PROCESSES)))
        found = {each for line in crew.lines for each in line["machines"]}
        seen = await server.ask(Seen.of)
    print(
        f"{PROCESSES * CALLS} calls of ensure_running in {PROCESSES} processes: {len(seen.machines)} machine created, "
        f"{seen.refused_creates} creates refused since its name was taken, {len(found)} returned, 429s: {seen.limited}"
    )
    return (len(seen.machines) != 1) + (len(found) != 1) + seen.limited + crew.failures


@define(eq=False)
class Crew:
    """Processes that each serve their part of the users, and are started again after a kill; what they have told."""

    orders: list[Order]
    lines: list[dict[str, Any]] = field(factory=list)
    killed: dict[int, float] = field(factory=dict)
    """When each process was killed, by its id."""
    failures: int = 0
    """How many ended by themselves with an error."""
    _children: dict[int, Child] = field(factory=dict)

    async def run(self, *, kills: int) -> None:
        """Serve all users, with so many kills, one a second."""
        dice = random.Random(1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(len(self.orders)):
                tasks.create_task(self._keep(number))
            for _ in range(kills):
                await asyncio.sleep(1)
                if alive := [each for each in self._children.values() if each.is_running]:
                    victim = dice.choice(alive)
                    await victim.kill()
                    self.killed[victim.process.pid] = time.monotonic()

    async def _keep(self, number: int) -> None:
        while True:
            served = {line["user"] for line in self.lines if line["what"] == "released"}
            left = tuple(user for user in self.orders[number].users if user not in served)
            if not left:
                return
            self.orders[number] = evolve(self.orders[number], users=left)
            await self.run_once(number)

    async def run_once(self, number: int) -> None:
        async with spawned("worker", *COMMAND, json.dumps(asdict(self.orders[number]))) as child:
            self._children[number] = child
            await child.listen(self.lines.append)
            if await child.process.wait() and not child.is_killed:
                self.failures += 1
                await asyncio.sleep(1)


async def storm(users: int, processes: int, in_flight: int, kills: int) -> int:
    """Serve the users, kill processes, and print the result; return the number of broken promises."""
    async with stage(capacity={"iad": 5}, boot=(0.3, 1.0)) as (server, order):
        await server.ask(lose, 0.1)
        orders = [
            evolve(
                order,
                users=tuple(f"user-{user}" for user in range(number, users, processes)),
                in_flight=in_flight // processes + (number < in_flight % processes),
            )
            for number in range(processes)
        ]
        crew, began = Crew(orders), time.monotonic()
        await crew.run(kills=kills)
        print(f"{users} users in {time.monotonic() - began:.0f} s, {processes} processes, {len(crew.killed)} kills")
        await server.ask(lose, 0.0)
        # The leases of the dead expire, and then what a cron job would do.
        await asyncio.sleep(TTL + 1)
        async with server.client(limits=order.limits) as fly:
            for _ in range(2):
                await pool(fly, POOL).reconcile()
                await asyncio.sleep(8)
        return _result(await server.ask(Seen.of), crew, users)


def _result(seen: Seen, crew: Crew, users: int) -> int:
    """Print the result of a storm; return the number of broken promises."""
    claims = list(held(crew.lines, crew.killed, time.monotonic()))
    whats = Counter(line["what"] for line in crew.lines)
    broken = {
        "machines claimed twice": len(twice(claims)),
        "machines left that nobody has": len(seen.leaked),
        "429s": seen.limited,
        "machines beyond max": max(0, seen.most - MOST),
        "users without a machine": users - len({line["user"] for line in crew.lines if line["what"] == "released"}),
        "processes that failed": crew.failures,
    }
    print(f"{len(claims)} claims, at most {seen.most} machines of {MOST}, {seen.refused_creates} creates refused")
    print(*(f"  {name}: {count}" for name, count in broken.items()), *seen.leaked, sep="\n")
    for source in ClaimSource if whats["event"] else ():
        took = sorted(line["seconds"] for line in crew.lines if line["what"] == "event" and line["source"] == source)
        spread = f", p50 {percentile(took, 50):.1f} s, p99 {percentile(took, 99):.1f} s" if took else ""
        print(f"  {source}: {len(took)} claims{spread}")
    print(*(f"  {action}: {count}" for action, count in sorted(seen.requests.items())), sep="\n")
    return sum(broken.values())


def main() -> int:
    """Run all parts; return the number of broken promises."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description="Machines on demand.")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=50, help="claims at once, of all processes")
    parser.add_argument("--kills", type=int, default=60, help="one a second")
    options = parser.parse_args()
    show(table := costs())
    broken = len(list(table.missed)) + asyncio.run(one_create())
    return broken + asyncio.run(storm(options.users, options.processes, options.in_flight, options.kills))


if __name__ == "__main__":
    sys.exit(bool(main()))
