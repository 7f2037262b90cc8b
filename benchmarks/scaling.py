"""How deploys of many apps scale: `python -W error -m benchmarks.scaling [--only workers|simulation] [--apps 100000]`.

- By workers of a Dask cluster, in real time: apps a second, as ratios to one worker in the same repeat. Each worker has
  the same number of apps under way, as a deploy waits for Fly.io most of its time: two workers have twice as many. One
  load waits, the other keeps everyone busy. The goal is to scale nearly linearly up to the number of CPUs, on which all
  processes run: the emulator, which is one, the scheduler, the workers, the client and the server of the limits. All
  apps have to be exactly as asked for, without a 429. About three minutes.
- By simulation, one client and up to 100,000 apps in virtual time: see `benchmarks.fleet.simulation`. Then some of them
  by a client as it is made by default, which has 64 calls and 1,000 long polls under way at the most. 100,000 apps take
  ten times as long as the 10,000 that are usual here.

The floor is what the published limits and the boots allow; `benchmarks.fleet.floor` explains how it is calculated. Apps
are made in the emulator's world directly: that the API makes one a second is not the point here.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from attrs import evolve, frozen

from benchmarks.fleet.apps import Asked, base, checked, orders
from benchmarks.fleet.cluster import Stage, staged
from benchmarks.fleet.floor import floor
from benchmarks.fleet.simulation import Run, by_simulation
from benchmarks.shared.served import begin
from benchmarks.shared.table import Figure, Goal, Row, Spread, Table, show
from benchmarks.shared.usage import Gauge, Meter, Usage
from flyasync import deploy_many
from flyasync.cli.shared.signals import until_signalled
from flyasync.deploy.many.dask_executor import DaskExecutor
from flyasync.emulator.core.regions import CODES

LAUNCH = "lap-1"
BOOT = 2.0
CPUS = os.cpu_count() or 1
WARM_UP = 4
"""Apps for each worker before it counts: its modules are loaded then, and its client is made."""
NEARLY = 0.9
COLUMNS = {
    "apps/s": ".1f",
    "of the floor": ".2f",
    "of one worker": ".2f",
    "busy": ".2f",
    "others": ".2f",
    "ms/app": ".1f",
}
PROCESSES = ("emulator", "limits", "scheduler", "workers", "client")


@frozen(kw_only=True)
class Load:
    """What each worker is given: so many apps at any time, `rounds` times as many in all; the machines boot so long."""

    in_flight: int
    rounds: int
    boot: float = BOOT
    machines: int = 3

    def floor(self, workers: int) -> float:
        """Return how many apps a second the limits and the boots allow so many workers."""
        apps = self.rounds * self.in_flight * workers
        return apps / floor(apps, at_once=self.in_flight * workers, machines=self.machines, boot=self.boot).kept


@frozen
class Lap:
    """What came of a load: so many apps, and what they used."""

    apps: int
    usage: Usage

    @property
    def rate(self) -> float:
        """Apps a second."""
        return self.apps / self.usage.seconds


WAITS, IS_BUSY = Load(in_flight=20, rounds=2), Load(in_flight=100, rounds=2)


async def by_workers(counts: Sequence[int], repeats: int) -> int:
    """Measure each number of workers in turn, and print a table for each load."""
    laps: dict[Load, dict[int, list[Lap]]] = {load: {count: [] for count in counts} for load in (WAITS, IS_BUSY)}
    for _ in range(repeats):
        for count in counts:
            async with staged(count, boot=(BOOT, BOOT)) as stage:
                for load, measured in laps.items():
                    measured[count].append(await lap(stage, load))
    for load, measured in laps.items():
        show(table(load, measured))
    return 0


def table(load: Load, laps: Mapping[int, Sequence[Lap]]) -> Table:
    rows, first = [], next(iter(laps.values()))
    for count, each in laps.items():
        typical = sorted(each, key=lambda one: one.rate)[len(each) // 2]
        usage, own = typical.usage, sum(typical.usage.cpu.values())
        figures: dict[str, Figure] = {
            "apps/s": typical.rate,
            "of the floor": typical.rate / load.floor(count),
            "of one worker": Spread.of(one.rate / alone.rate for one, alone in zip(each, first, strict=True)),
            "busy": own / usage.seconds,
            "others": (usage.host - own) / usage.seconds,
            "ms/app": 1000 * own / typical.apps,
            **{name: 1000 * spent / typical.apps for name, spent in usage.cpu.items()},
        }
        why = f"of {CPUS} CPUs, {figures['others']:.2f} did other work"
        goals = [Goal(f"of one worker >= {NEARLY * min(count, CPUS):.2f}", why)] if count > 1 else []
        rows.append(Row(str(count), figures, goals))
    return Table(
        title=f"{load.in_flight} apps in flight a worker, {load.machines} machines an app, boots of {load.boot:g} s",
        subject="workers",
        columns=COLUMNS | dict.fromkeys(PROCESSES, ".1f"),
        rows=rows,
        notes=[f"busy, others: CPUs that did this and other work, of {CPUS}. ms/app: of CPU; then by process."],
    )


async def lap(stage: Stage, load: Load) -> Lap:
    """Deploy once."""
    workers = len(stage.workers)
    count, at_once = workers * load.in_flight * load.rounds, workers * load.in_flight
    rows = orders(workers * WARM_UP + count, CODES[: load.machines])
    await stage.emulator.ask(begin, [row.app for row in rows])
    await deploy(stage, rows[count:], at_once)
    meter = Meter([*stage.gauges, Gauge("client", os.getpid())])
    await deploy(stage, rows[:count], at_once)
    usage = meter.read()
    check = await stage.emulator.ask(checked, rows, LAUNCH)
    assert check.is_flawless, check
    return Lap(count, usage)


async def deploy(stage: Stage, rows: Iterable[Asked], at_once: int) -> None:
    builders = {row.app: row.builder(base(row.regions, LAUNCH)) for row in rows}
    async with stage.client() as client, stage.emulator.client(limits="memory") as fly:
        executor = DaskExecutor(client)
        many = deploy_many(fly, builders.__getitem__, builders, at_once=at_once, executor=executor)
        async with aclosing(many) as reports:
            async for report in reports:
                assert report.ok, report


def main(words: list[str]) -> int:
    """Measure what is asked for, and return 0 if all of it came out right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--only", choices=["workers", "simulation"])
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2, 4, 8), metavar="N")
    for name, usual in {"repeats": 2, "apps": 10_000, "at-once": 1000, "machines": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=usual, metavar="N")
    options = parser.parse_args(words)
    if options.only != "simulation":
        laps = by_workers(options.workers, options.repeats)
        if (status := asyncio.run(until_signalled(laps, lambda _: None))) or options.only:
            return status
    run = Run(apps=options.apps, at_once=options.at_once, machines=options.machines)
    return by_simulation(run) or by_simulation(evolve(run, apps=min(run.apps, 2 * run.at_once), is_usual=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
