"""Machines on demand, claimed by many processes that are killed, and what they cost.

python -m benchmarks.pool [--users N] [--kills N] [--only PART]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pool.api import APP, Api, Seen, api
from benchmarks.pool.crew import Crew, read
from benchmarks.pool.judge import held, percentile, twice
from benchmarks.pool.worker import Order, pool
from flyasync import FlyClient

MOST = 80
TTL = 6
POOL: dict[str, Any] = {
    "ready": 50, "max": MOST, "regions": ["iad", "lhr", "nrt"], "on_release": "stop", "claim_ttl": TTL,
}  # fmt: skip


async def storm(users: int, processes: int, in_flight: int, kills: int) -> int:
    """Serve the users, kill processes, and print what came of it; return the number of broken promises."""
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
            crew = Crew(orders)
            began = time.monotonic()
            await crew.run(kills=kills)
            seconds = time.monotonic() - began
            await server.heal()
            settled = await _settle(server, limits)
            lines = [line for order in orders for line in read(Path(order.journal))]
            return _print(await server.seen(), lines, crew, seconds, settled)


async def _settle(server: Api, limits: str) -> list[str]:
    """Wait until the leases of the dead have expired, and reconcile until nothing is left to do."""
    await asyncio.sleep(TTL + 1)
    done = []
    async with FlyClient(server.token, base_url=server.url, limits=limits) as fly:
        machines = pool(fly, POOL)
        for _ in range(5):
            done.append(str(await machines.reconcile()))
            await asyncio.sleep(8)
    return done


def _print(seen: Seen, lines: list[dict[str, Any]], crew: Crew, seconds: float, settled: list[str]) -> int:
    claims = list(held(lines, crew.killed, time.monotonic()))
    pairs = twice(claims)
    leaked = [each for each in seen.alive if each.key is not None or each.is_leased]
    served = {line["user"] for line in lines if line["what"] == "released"}
    exhausted = sum(line["what"] == "exhausted" for line in lines)
    print(f"{len(served)} users in {seconds:.0f} s, {len(claims)} claims, {len(crew.killed)} kills, {exhausted} late")
    print(f"claimed twice: {len(pairs)}, leaked: {len(leaked)}, 429s: {seen.limited}, most machines: {seen.most}")
    for source in ("warm", "kept", "cold"):
        took = [line["seconds"] for line in lines if line["what"] == "event" and line["source"] == source]
        print(f"{source}: {len(took)} p50 {percentile(took, 0.5):.1f} s p99 {percentile(took, 0.99):.1f} s")
    print(dict(sorted(seen.requests.items(), key=lambda each: -each[1])), "refused creates", seen.refused_creates)
    print(*settled, *pairs, *leaked, crew.failures, sep="\n")
    return len(pairs) + len(leaked) + seen.limited + (seen.most > MOST) + len(crew.failures)


def main() -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description="Machines on demand.")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=50)
    parser.add_argument("--kills", type=int, default=60)
    options = parser.parse_args()
    return asyncio.run(storm(options.users, options.processes, options.in_flight, options.kills))


if __name__ == "__main__":
    sys.exit(bool(main()))
