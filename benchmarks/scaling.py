"""How deploys of many apps scale: `python -W error -m benchmarks.scaling [--only workers|simulation] [--apps 100000]`.

- With workers: apps a second by one, two and four Dask workers, in real time, as ratios to one worker; they take turns,
  so that a host whose speed drifts slows all of them alike. Each worker has the same number of apps under way, as a
  deploy waits for Fly.io most of its time: two workers have twice as many. Where CPUs are full, that ends: so there are
  two loads, one that waits and one that keeps everyone busy, and it is told who was. The emulator is one process.
- By simulation: one client and up to 100,000 apps in virtual time, each judged when its report comes. The seconds that
  they take, beside the floor; what of the client is in memory at each power of ten; the requests. Then some of them by
  a client as it is made without a word, which has 64 calls and 1,000 long polls under way at the most.

Each half takes some minutes; 100,000 apps take ten times as long as the 10,000 that are usual here.

The floor is what the published limits and the boots allow; `benchmarks.fleet.floor` says in plain words how it is
reckoned. Apps are made in the emulator's world directly: that the API makes one a second is not the point here.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from benchmarks.fleet.simulation import Mark, Run, Seen, simulate
from benchmarks.fleet.stage import staged
from benchmarks.fleet.workers import BOOT, LATENCY, Lap, Load, lap
from flyasync.cli.shared.signals import until_signalled
from flyasync.testing import run_virtual

WAITS, IS_BUSY = Load(in_flight=20, rounds=2), Load(in_flight=100, rounds=2)


@frozen(kw_only=True)
class Options:
    """What to measure, and how long."""

    only: str | None = None
    workers: Sequence[int] = (1, 2, 4)
    repeats: int = 3
    apps: int = 10_000
    at_once: int = 1000
    machines: int = 3


# With workers


async def by_workers(loads: Sequence[Load], counts: Sequence[int], repeats: int) -> int:
    """Measure each number of workers in turn, and print a table for each load; 0, unless something fails."""
    laps: dict[Load, dict[int, list[Lap]]] = {load: {count: [] for count in counts} for load in loads}
    for _ in range(repeats):
        for count in counts:
            async with staged(count, boot=(BOOT, BOOT), latency=LATENCY) as stage:
                for load in loads:
                    laps[load][count].append(await lap(stage, load))
    for load in loads:
        _tell_laps(load, laps[load])
    return 0


def _tell_laps(load: Load, laps: Mapping[int, Sequence[Lap]]) -> None:
    print(f"{load.in_flight} apps in flight for each worker, {load.machines} machines an app, boots of {load.boot:g} s")
    print("  workers   apps/s   of the floor   of one worker: min  median    max")
    first = next(iter(laps.values()))
    for count, each in laps.items():
        typical = sorted(each, key=lambda one: one.rate)[len(each) // 2]
        ratios = [one.rate / alone.rate for one, alone in zip(each, first, strict=True)]
        print(
            f"  {count:7} {typical.rate:8.1f} {typical.rate / load.floor(count):14.2f} {min(ratios):20.2f} "
            f"{statistics.median(ratios):7.2f} {max(ratios):6.2f}"
        )
        print(f"          CPUs busy: {typical.usage.busy}")
        print(f"          ms of CPU for each app: {typical.usage.each(typical.apps)}", flush=True)


# By simulation


def by_simulation(run: Run) -> int:
    """Run it once, print the table as it goes, and give 0 if no app came out wrong and nothing was told 429."""
    room = "as it is" if run.is_usual else "with room for all calls"
    print(f"{run.machines} machines an app, {run.at_once} apps at once by one client {room}, in virtual time")
    print(
        "     apps   seconds   of the floor: published  kept   1,000 more: seconds   CPU    in memory  client's objects"
    )
    marks = [Mark(apps=0, virtual=0, cpu=0, memory_mb=0, objects=0)]

    def tell(mark: Mark) -> None:
        print(_row(run, marks[-1], mark), flush=True)
        marks.append(mark)

    seen = run_virtual(simulate(run, tell))
    _tell_requests(run, seen)
    return int(bool(seen.wrong or seen.limited))


def _row(run: Run, before: Mark, mark: Mark) -> str:
    floor, thousands = run.floor(mark.apps), (mark.apps - before.apps) / 1000
    return (
        f"  {mark.apps:7} {mark.virtual:9.1f} {mark.virtual / floor.published:25.2f} {mark.virtual / floor.kept:5.2f} "
        f"{(mark.virtual - before.virtual) / thousands:20.2f} {(mark.cpu - before.cpu) / thousands:7.1f} "
        f"{mark.memory_mb:8.0f} MB {mark.objects:17}"
    )


def _tell_requests(run: Run, seen: Seen) -> None:
    told = ", ".join(f"{action} {count / run.apps:.2f}" for action, count in seen.requests.most_common())
    print(f"  requests for each app {seen.requests.total() / run.apps:.2f}: {told}")
    print(f"  {run.apps - len(seen.wrong)} apps exactly as asked for, {len(seen.wrong)} wrong, {seen.limited} x 429")


def options_of(words: list[str]) -> Options:
    """Read the command line."""
    usual = Options()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--only", choices=["workers", "simulation"])
    parser.add_argument("--workers", type=int, nargs="+", default=usual.workers, metavar="N")
    for name in ("repeats", "apps", "at_once", "machines"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(usual, name), metavar="N")
    return Options(**vars(parser.parse_args(words)))


def main(words: list[str]) -> int:
    """Measure what is asked for, and give 0 if all of it came out right."""
    options = options_of(words)
    run = Run(apps=options.apps, at_once=options.at_once, machines=options.machines)
    status = 0
    if options.only != "simulation":
        laps = by_workers((WAITS, IS_BUSY), options.workers, options.repeats)
        status = asyncio.run(until_signalled(laps, lambda _: None))
    if options.only != "workers":
        status = status or by_simulation(run)
        status = status or by_simulation(evolve(run, apps=min(run.apps, 2 * run.at_once), is_usual=True))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
