"""DeployBuilder: the face that users see."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import closing
from functools import partial
from typing import cast

from attrs import frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.carry_out import carry_out
from flyasync.deploy.deployment import (
    Deployment,
)
from flyasync.deploy.events import Event
from flyasync.deploy.fleet import Fleet
from flyasync.deploy.journal import Journal, JournalFile
from flyasync.deploy.observe import check_regions, observe
from flyasync.deploy.onlookers import Onlookers
from flyasync.deploy.plan import Plan
from flyasync.deploy.report import DeployReport
from flyasync.deploy.settings import Settings
from flyasync.deploy.strategies import plan as plan_for

SMOKE = 10.0
"""Seconds that a started machine without checks has to stay up, where a strategy is used."""


@frozen
class DeployBuilder(Settings):
    """One image to many regions at once, each machine exactly once, and a true report at the end.

        report = await (
            DeployBuilder("web")
            .to_regions("iad", "lhr", "nrt")
            .with_image("registry.fly.io/web:v2")
            .with_guest(cpus=1, memory_mb=256)
            .execute(fly)
        )

    It is immutable: each method gives a new builder, so that one base serves many apps (`base.for_app(name)`). What the
    API would refuse is refused by the method it is given to, with InvalidInput, before any request.

    Without a strategy a deploy adds the machines of its launch and touches no others. With `rolling`, `canary`,
    `bluegreen` or `immediate` it brings a group of machines to what is wanted. Where a region has no room it is
    skipped, unless `fallback` says otherwise. An onlooker that raises is told of by the event loop's exception handler;
    the deploy goes on.
    """

    async def plan(self, fly: FlyClient) -> Plan:
        """Say what `execute` would do now; changes nothing. Raises NotFound when there is no such app."""
        return await _plan(fly, self.deployment())

    async def execute(self, fly: FlyClient) -> DeployReport:
        """Deploy, and report what runs where; `report.ok` says whether the requirement is met.

        Each machine is created exactly once, however many answers are lost, then waited for. Before the report, one
        look at the app tells what is there. Without a strategy regions go out together, and a machine or region that
        fails stops no other; with one, a failure lets the machines under way finish and no other begin.

        Raises InvalidInput, NotFound for an app that is not there, LeaseHeld when another deploy is at work on the
        group, and what else reading the app raises: nothing has happened then. Afterwards failures are in the report;
        `raise_for_failure()` makes them a DeployFailed.

        Cancelled, it creates no further machine, hears creates under way out (as long as one exchange may take), looks
        at what is there, tells it as the event `Finished`, and raises the cancellation on. Machines that are up stay
        up, and leases are given back. A second cancellation cuts this short.
        """
        deployment = self.deployment()
        journal = Journal() if self._journal is None else JournalFile(self._journal)
        with closing(journal):
            return await carry_out(
                fly, deployment, partial(_plan, fly, deployment), Onlookers(self._onlookers), journal
            )

    async def stream(self, fly: FlyClient) -> AsyncGenerator[Event, None]:
        """Deploy, and give each event as it happens; the last one is `Finished`, with the report.

        Raises what `execute` raises. Closed early, the deploy is cancelled, and ends as `execute` does then; a `break`
        closes it only if it is used in `contextlib.aclosing`.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        deploy = asyncio.ensure_future(self.on_event(events.put_nowait).execute(fly))
        deploy.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await deploy
        finally:
            deploy.cancel()
            await asyncio.gather(deploy, return_exceptions=True)


async def _plan(fly: FlyClient, deployment: Deployment) -> Plan:
    fleet, wrong = await asyncio.gather(
        observe(fly, deployment), check_regions(fly, deployment), return_exceptions=True
    )
    for outcome in (wrong, fleet):
        if isinstance(outcome, BaseException):
            raise outcome
    return plan_for(deployment, cast("Fleet", fleet))
