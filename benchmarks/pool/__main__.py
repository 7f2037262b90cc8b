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
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.pool.api import APP, Api, Seen, api
from benchmarks.pool.costs import costs
from benchmarks.pool.crew import Crew, read
from benchmarks.pool.ensure import one_create
from benchmarks.pool.overlaps import held, percentile, twice
from benchmarks.pool.worker import Order, pool
from benchmarks.table import Table
from flyasync import FlyClient
from flyasync.pool.events import ClaimSource

MOST = 80
TTL = 6
"""Seconds until the claim of a process that was killed ends."""

POOL: dict[str, Any] = {
    "ready": 50, "max": MOST, "regions": ["iad", "lhr", "nrt"], "on_release": "stop", "claim_ttl": TTL,
}  # fmt: skip


async def storm(users: int, processes: int, in_flight: int, kills: int) -> int:
    """Serve the users, kill processes, and print the result; return the number of broken promises."""
    with tempfile.TemporaryDirectory(prefix="flyasync-pool-") as folder:
        async with api(lost=0.1, capacity={"iad": 5}, boot=(0.3, 1.0)) as server:
            limits = f"file:{folder}/limits"
            async with FlyClient(server.token, base_url=server.url, limits=limits) as fly:
                await fly.apps.create(APP, org_slug="personal")
            orders = [
                Order(
                    url=server.url,
                    token=server.token,
                    limits=limits,
                    journal=f"{folder}/journal-{number}",
                    users=tuple(f"user-{user}" for user in range(number, users, processes)),
                    in_flight=in_flight // processes + (number < in_flight % processes),
                    hold=1.0,
                    pool=POOL,
                )
                for number in range(processes)
            ]
            crew, began = Crew(orders), time.monotonic()
            await crew.run(kills=kills)
            print(f"{users} users in {time.monotonic() - began:.0f} s, {processes} processes, {len(crew.killed)} kills")
            await server.heal()
            await _settle(server, limits)
            lines = [line for order in orders for line in read(Path(order.journal))]
            return _print_result(await server.seen(), lines, crew, users)


async def _settle(server: Api, limits: str) -> None:
    """Wait until the leases of the dead have expired, and do what a cron job would do."""
    await asyncio.sleep(TTL + 1)
    async with FlyClient(server.token, base_url=server.url, limits=limits) as fly:
        for _ in range(2):
            await pool(fly, POOL).reconcile()
            await asyncio.sleep(8)


def _print_result(seen: Seen, lines: Sequence[dict[str, Any]], crew: Crew, users: int) -> int:
    """Print the result of a storm; return the number of broken promises."""
    claims = list(held(lines, crew.killed, time.monotonic()))
    leaked = [each for each in seen.alive if each.key is not None or each.is_leased]
    unserved = users - len({line["user"] for line in lines if line["what"] == "released"})
    broken = {
        "machines claimed twice": len(twice(claims)),
        "machines left that nobody has": len(leaked),
        "429s": seen.limited,
        "machines beyond max": max(0, seen.most - MOST),
        "users without a machine": unserved,
        "processes that failed": crew.failures.total(),
    }
    print(f"{len(claims)} claims, at most {seen.most} machines of {MOST}, {seen.refused_creates} creates refused")
    print(*(f"  {name}: {number}" for name, number in broken.items()), sep="\n")
    print(*leaked, *crew.errors, sep="\n")
    for source in ClaimSource:
        took = [line["seconds"] for line in lines if line["what"] == "event" and line["source"] == source]
        spread = f", p50 {percentile(took, 0.5):.1f} s, p99 {percentile(took, 0.99):.1f} s" if took else ""
        print(f"  {source}: {len(took)} claims{spread}")
    print(*(f"  {action}: {number}" for action, number in sorted(seen.requests.items())), sep="\n")
    return sum(broken.values())


def _show(table: Table) -> int:
    print(table.title, *table.notes, sep="\n")
    print("".join(f"{title:>17}" for title in (table.subject, *(column.name for column in table.columns))))
    for row in table.rows:
        cells = [row.name, *(column.write(row.figures[column.name]) for column in table.columns)]
        print("".join(f"{cell:>17}" for cell in cells))
    missed = [f"MISSED: {row.name}: {goal.column} {goal}" for row, goal in table.missed]
    print(*missed, sep="\n")
    return len(missed)


def main() -> int:
    """Run all parts; return the number of broken promises."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description="Machines on demand.")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=50, help="claims at once, of all processes")
    parser.add_argument("--kills", type=int, default=60, help="one a second")
    options = parser.parse_args()
    broken = _show(costs())
    broken += asyncio.run(one_create())
    return broken + asyncio.run(storm(options.users, options.processes, options.in_flight, options.kills))


if __name__ == "__main__":
    sys.exit(bool(main()))
