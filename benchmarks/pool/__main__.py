"""Machines on demand: what they cost, and what is left of them when processes are killed.

    python -m benchmarks.pool [--users N] [--processes N] [--in-flight N] [--kills N]

- Costs: a dozen users at once, in virtual time: requests and seconds, against a plain create and against what one would
  write without a pool.
- One machine by its name: 200 calls of `ensure_running` in four processes.
- Storm: processes that claim machines for users, at most `in-flight` at once, one of which is killed with SIGKILL each
  second, `kills` times, and started again. The emulator runs in a process of its own, with the published limits, 10 %
  of its responses lost and a region that is full; the processes share the limits through files. No machine may be
  claimed twice, none may be left that is claimed by nobody, there may be no 429 and never more machines than `max`.

The exit status is 1 for a broken promise.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.pool.costs import costs
from benchmarks.pool.seen import APP, Seen, held, lose, twice, watch
from benchmarks.pool.worker import pool
from benchmarks.shared.children import Child, spawned
from benchmarks.shared.options import options
from benchmarks.shared.served import Served, served
from benchmarks.shared.table import percentile, show
from flyasync import FlyClient
from flyasync.pool.events import ClaimSource

MOST = 80
TTL = 6
"""Seconds until the claim of a process that was killed ends."""
POOL: dict[str, Any] = {
    "ready": 50, "max": MOST, "regions": ["iad", "lhr", "nrt"], "on_release": "stop", "claim_ttl": TTL,
}  # fmt: skip
PROCESSES, CALLS = 4, 50


@asynccontextmanager
async def staged(**options: Any) -> AsyncIterator[tuple[Served, dict[str, Any]]]:
    """Serve an emulator with an app; yield it, and the options of all clients."""
    with TemporaryDirectory(prefix="flyasync-pool-") as folder:
        async with served(**options) as server:
            client: dict[str, Any] = {"token": server.token, "base_url": server.url, "limits": f"file:{folder}/limits"}
            async with FlyClient(**client) as fly:
                await fly.apps.create(APP, org_slug="personal")
            await server.ask(watch)
            yield server, client


async def run(children: list[Child], **order: Any) -> None:
    """Run a process to its end, among these."""
    async with spawned("worker", "-W", "error", "-m", "benchmarks.pool.worker", json.dumps(order)) as child:
        children.append(child)
        await child.listen()


def failures(children: list[Child]) -> int:
    """Count the processes that ended by themselves with an error."""
    return sum(bool(child.process.returncode) and not child.killed_at for child in children)


async def one_create() -> int:
    """Have processes ask for one machine at once; print the result, and return the number of broken promises."""
    children: list[Child] = []
    async with staged() as (server, client):
        await asyncio.gather(*(run(children, client=client, calls=CALLS) for _ in range(PROCESSES)))
        seen = await server.ask(Seen.of)
    found = {machine for child in children for machines in child.said("ensured") for machine in machines}
    print(
        f"{PROCESSES * CALLS} calls of ensure_running in {PROCESSES} processes: {seen.machines} machine created, "
        f"{seen.refused_creates} creates refused since its name was taken, {len(found)} returned, 429s: {seen.limited}"
    )
    return (seen.machines != 1) + (len(found) != 1) + seen.limited + failures(children)


async def storm(users: int, processes: int, in_flight: int, kills: int) -> int:
    """Serve the users, kill processes, and print the result; return the number of broken promises."""
    children, dice, began = list[Child](), random.Random(1), time.monotonic()

    async def keep(users: set[str], share: int) -> None:
        while users:
            await run(children, client=client, options=POOL, users=sorted(users), in_flight=share)
            if children[-1].process.returncode and not children[-1].killed_at:
                await asyncio.sleep(1)
            users = users.difference(user for child in children for user, _ in child.said("released"))

    async with staged(capacity={"iad": 5}, boot=(0.3, 1.0)) as (server, client):
        await server.ask(lose, 0.1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(processes):
                mine = {f"user-{user}" for user in range(number, users, processes)}
                share = in_flight // processes + (number < in_flight % processes)
                tasks.create_task(keep(mine, share))
            for _ in range(kills):
                await asyncio.sleep(1)
                if alive := [child for child in children if child.is_running]:
                    await dice.choice(alive).kill()
        killed = sum(child.killed_at is not None for child in children)
        print(f"{users} users in {time.monotonic() - began:.0f} s, {processes} processes, {killed} kills")
        await server.ask(lose, 0.0)
        # The leases of the dead expire, and then what a cron job would do.
        await asyncio.sleep(TTL + 1)
        async with FlyClient(**client) as fly:
            for _ in range(2):
                await pool(fly, POOL).reconcile()
                await asyncio.sleep(8)
        return result(await server.ask(Seen.of), children, users)


def result(seen: Seen, children: list[Child], users: int) -> int:
    """Print the result of a storm; return the number of broken promises."""
    claims = [each for child in children for each in held(child.heard, child.killed_at or time.monotonic())]
    served = {user for child in children for user, _ in child.said("released")}
    broken = {
        "machines claimed twice": len(twice(claims)),
        "machines left that nobody has": len(seen.leaked),
        "429s": seen.limited,
        "machines beyond max": max(0, seen.most - MOST),
        "users without a machine": users - len(served),
        "processes that failed": failures(children),
    }
    print(f"{len(claims)} claims, at most {seen.most} machines of {MOST}, {seen.refused_creates} creates refused")
    print(*(f"  {name}: {count}" for name, count in broken.items()), *seen.leaked, sep="\n")
    for source in ClaimSource:
        took = sorted(seconds for child in children for (seconds,) in child.said(source))
        spread = f", p50 {percentile(took, 50):.1f} s, p99 {percentile(took, 99):.1f} s" if took else ""
        print(f"  {source}: {len(took)} claims{spread}")
    print(*(f"  {action}: {count}" for action, count in sorted(seen.requests.items())), sep="\n")
    return sum(broken.values())


if __name__ == "__main__":
    given = options(__doc__, users=1000, processes=8, in_flight=50, kills=60)
    show(table := costs())
    broken = len(list(table.missed)) + asyncio.run(one_create())
    sys.exit(bool(broken + asyncio.run(storm(**vars(given)))))
