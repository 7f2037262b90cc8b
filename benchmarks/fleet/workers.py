"""So many apps deployed by so many Dask workers, in real time; each worker has the same number of them under way."""

import os
from collections.abc import Iterable
from contextlib import aclosing

from attrs import frozen

from benchmarks.fleet.floor import floor
from benchmarks.fleet.judge import judge
from benchmarks.fleet.orders import VARIABLE, Asked, orders
from benchmarks.fleet.processes import Gauge, Meter, Usage
from benchmarks.fleet.stage import Stage
from flyasync import DeployBuilder, FlyClient, deploy_many
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


@frozen(kw_only=True)
class Lap:
    """What came of it: so many apps, and what they took."""

    apps: int
    usage: Usage

    @property
    def rate(self) -> float:
        """Apps a second."""
        return self.apps / self.usage.seconds


async def lap(stage: Stage, load: Load) -> Lap:
    """Deploy once; all apps have to be exactly as asked for, without a 429."""
    workers = len(stage.cluster.workers)
    count = workers * load.in_flight * load.rounds
    rows = orders(workers * WARM_UP + count, CODES[: load.machines])
    await stage.pretend.begin([row.app for row in rows])
    await _deployed(stage, rows[count:], at_once=load.in_flight * workers)
    meter = Meter([*stage.gauges, Gauge("this process", os.getpid())])
    await _deployed(stage, rows[:count], at_once=load.in_flight * workers)
    usage = meter.read()
    verdict = judge(rows, LAUNCH, await stage.pretend.holdings())
    assert verdict.is_flawless, verdict
    return Lap(apps=count, usage=usage)


async def _deployed(stage: Stage, rows: Iterable[Asked], *, at_once: int) -> None:
    by_app = {row.app: row for row in rows}

    def builder(app: str) -> DeployBuilder:
        row = by_app[app]
        base = DeployBuilder(app).to_regions(*row.regions).with_launch(LAUNCH).require("all")
        return base.with_image(row.image).with_env({VARIABLE: row.tenant})

    async with (
        stage.cluster.client() as client,
        FlyClient("none", base_url=stage.environment["FLY_FLAPS_BASE_URL"], limits="memory") as fly,
        aclosing(deploy_many(fly, builder, by_app, at_once=at_once, executor=DaskExecutor(client))) as reports,
    ):
        async for report in reports:
            assert report.ok, report
