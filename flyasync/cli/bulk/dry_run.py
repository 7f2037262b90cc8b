"""The output of a dry run of `flyasync bulk`: apps, machines, regions, strategies, and the minimum duration."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from flyasync.cli.bulk.job import BulkJob, Remaining
from flyasync.cli.bulk.journal import BulkHistory
from flyasync.cli.bulk.summary import BulkInvocation, apps_text
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.estimate import CreateRate, estimate, estimate_many
from flyasync.deploy.plan.duration import duration
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import plan
from flyasync.deploy.timings import Timings


@frozen
class RowEstimate:
    """The machines by region, the strategy and the minimum seconds of a row."""

    regions: Counter[str]
    strategy: str
    seconds: float

    @classmethod
    def of(cls, builder: DeployBuilder, at: CreateRate) -> "RowEstimate":
        """Return the estimate of a deploy to an app without machines."""
        spec = builder.deployment()
        strategy = spec.strategy_name or "none"
        takes = estimate(plan(spec, Fleet(spec.app, ())), at, Timings())  # without requests, boot times are unknown
        return cls(Counter(dict(spec.counts)), strategy, takes.least)


@frozen(kw_only=True)
class BulkPlan:
    """What a run would do: apps, machines by region, and the minimum seconds if all machines are created."""

    rows: int
    kept: int
    changed: int
    machines: int
    regions: Mapping[str, int]
    strategies: Mapping[str, int]
    seconds: float
    at_once: int
    makes_apps_in: str | None = None

    @classmethod
    def of(cls, job: BulkJob, history: BulkHistory | None, at: CreateRate) -> "BulkPlan":
        """Return what the run of a job would do if no machine exists yet."""
        remaining = Remaining.of(job, history or BulkHistory(launch=""))
        regions: Counter[str] = Counter()
        strategies: Counter[str] = Counter()
        seconds: list[float] = []
        # Planning takes milliseconds, and a file may have 100,000 rows, so each shape is planned once.
        known: dict[str, RowEstimate] = {}
        for app in remaining.apps:
            base = job.builders.base(job.rows[app])
            row = known.get(base.text) or known.setdefault(base.text, RowEstimate.of(base.builder, at))
            regions += row.regions
            strategies[row.strategy] += 1
            seconds.append(row.seconds)
        creating = 0.0 if job.org is None else len(seconds)  # the limit is one new app per second
        return cls(
            rows=len(job.rows),
            kept=len(job.rows) - len(remaining.apps),
            changed=remaining.changed.count,
            machines=regions.total(),
            regions=regions,
            strategies=strategies,
            seconds=max(creating, estimate_many(seconds, job.at_once)),
            at_once=job.at_once,
            makes_apps_in=job.org,
        )


def plan_as_text(called: BulkInvocation, plan: BulkPlan) -> Iterator[str]:
    """Yield the lines of the plan."""
    to_do = apps_text(plan.rows - plan.kept)
    yield f"{called.source}: {to_do} to deploy, {plan.at_once} at once, launch {called.launch}"
    if plan.kept:
        yield f"  already done, by the journal: {plan.kept} of {plan.rows}"
    if plan.changed:
        yield f"  changed since the journal was written, to be deployed again: {plan.changed}"
    by_region = f": {_counted(plan.regions)}" if plan.regions else ""
    yield f"  machines: {plan.machines}{by_region}"
    yield f"  by strategy: {_counted(plan.strategies) or 'none'}"
    if plan.makes_apps_in is not None:
        where = plan.makes_apps_in or "the token's only organization, otherwise personal"
        yield f"  missing apps are created in {where}, one per second"
    least = duration(plan.seconds, math.floor)
    yield f"  takes at least {least} if all machines have to be created; boot times are not included"
    yield "dry run: no request was sent, and nothing was changed"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(counts).most_common())


def plan_as_json(called: BulkInvocation, plan: BulkPlan) -> dict[str, Any]:
    """Return the plan as JSON."""
    return {
        "event": "planned",
        "launch": called.launch,
        "apps": plan.rows,
        "kept": plan.kept,
        "changed": plan.changed,
        "machines": plan.machines,
        "regions": dict(plan.regions),
        "strategies": dict(plan.strategies),
        "at_once": plan.at_once,
        "seconds": None,
        "seconds_least": round(plan.seconds, 1),
    }
