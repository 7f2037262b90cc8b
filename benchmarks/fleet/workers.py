"""Apps deployed by Dask workers, in real time: apps a second by one, two and four workers, as ratios to one.

They take turns, so that a host whose speed drifts slows all of them alike. Each worker has the same number of apps
under way, as a deploy waits for Fly.io most of its time: two workers have twice as many. Where CPUs are full, that
ends: so there are two loads, one that waits and one that keeps everyone busy, and it is told who was. The emulator is
one process. All apps have to be exactly as asked for, without a 429.
"""

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from attrs import frozen

from benchmarks.fleet.cluster import Stage, staged
from benchmarks.fleet.floor import floor
from benchmarks.fleet.judge import Asked, Holdings, base, judge, orders
from benchmarks.shared.served import begin
from benchmarks.shared.usage import Gauge, Meter, Usage
from flyasync import deploy_many
from flyasync.deploy.many.dask_executor import DaskExecutor
from flyasync.emulator.core.regions import CODES

LAUNCH = "lap-1"
BOOT = 2.0
LATENCY = (0.005, 0.02)
WARM_UP = 4
"""Apps for each worker before it counts: its modules are loaded then, and its client is made."""


@frozen(kw_only=True)
class Load:
    """What each worker is given: so many apps at any time, `rounds` times as many in all; the machines boot so long."""

    in_flight: int
    rounds: int
    boot: float = BOOT
    machines: int = 3

    def floor(self, workers: int) -> float:
        """Say how many apps a second the limits and the boots allow so many workers."""
        apps = self.rounds * self.in_flight * workers
        return apps / floor(apps, at_once=self.in_flight * workers, machines=self.machines, boot=self.boot).kept


WAITS, IS_BUSY = Load(in_flight=20, rounds=2), Load(in_flight=100, rounds=2)


@frozen(kw_only=True)
class Lap:
    """What came of it: so many apps, and what they took."""

    apps: int
    usage: Usage

    @property
    def rate(self) -> float:
        """Apps a second."""
        return self.apps / self.usage.seconds


async def by_workers(counts: Sequence[int], repeats: int) -> int:
    """Measure each number of workers in turn, and print a table for each load; 0, unless something fails."""
    loads = (WAITS, IS_BUSY)
    laps: dict[Load, dict[int, list[Lap]]] = {load: {count: [] for count in counts} for load in loads}
    for _ in range(repeats):
        for count in counts:
            async with staged(count, boot=(BOOT, BOOT), latency=LATENCY) as stage:
                for load in loads:
                    laps[load][count].append(await lap(stage, load))
    for load in loads:
        _show(load, laps[load])
    return 0


def _show(load: Load, laps: Mapping[int, Sequence[Lap]]) -> None:
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


async def lap(stage: Stage, load: Load) -> Lap:
    """Deploy once."""
    workers = len(stage.workers)
    count = workers * load.in_flight * load.rounds
    rows = orders(workers * WARM_UP + count, CODES[: load.machines])
    await stage.emulator.ask(begin, [row.app for row in rows])
    await _deployed(stage, rows[count:], at_once=load.in_flight * workers)
    meter = Meter([*stage.gauges, Gauge("this process", os.getpid())])
    await _deployed(stage, rows[:count], at_once=load.in_flight * workers)
    usage = meter.read()
    verdict = judge(rows, LAUNCH, await stage.emulator.ask(Holdings.of))
    assert verdict.is_flawless, verdict
    return Lap(apps=count, usage=usage)


async def _deployed(stage: Stage, rows: Iterable[Asked], *, at_once: int) -> None:
    builders = {row.app: row.builder(base(row.regions, LAUNCH)) for row in rows}
    async with (
        stage.client() as client,
        stage.emulator.client(limits="memory") as fly,
        aclosing(
            deploy_many(fly, builders.__getitem__, builders, at_once=at_once, executor=DaskExecutor(client))
        ) as reports,
    ):
        async for report in reports:
            assert report.ok, report
