"""DeployBuilder: the face that users see."""

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import closing
from typing import Self

from attrs import field, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.estimate import timed
from flyasync.deploy.plan.plan import Decision, Plan
from flyasync.deploy.plan.spec import (
    DeploySpec,
)
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.planning import Planner
from flyasync.deploy.reporting.events import Event
from flyasync.deploy.reporting.journal import Journal, JournalFile
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.resume import JournalReplay, read_journal
from flyasync.deploy.run.deploy_run import run_deploy
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.run.spans import deploying, reported
from flyasync.deploy.settings import Settings
from flyasync.deploy.undo.release_history import undoing


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

    _story: JournalReplay | None = field(default=None, kw_only=True, repr=False)

    @classmethod
    def resumed(cls, path: "str | os.PathLike[str]", *, env: Mapping[str, str] | None = None) -> Self:
        """Take up the last deploy in a journal: the same launch, so that what is there is found again.

            report = await DeployBuilder.resumed("deploy.jsonl", env=os.environ).execute(fly)

        It journals on into the same file, and leaves out the release command if that has ended well. No journal holds
        what may be secret: give the variables of `env` again, of which only those withheld are taken; for values
        elsewhere use `with_config` and its like. `plan` and `execute` raise InvalidInput, naming what was withheld, as
        long as the config is not the one in the journal. A rollback goes back to where this run began, `undo` to where
        the first one did. The journal names the API where it was written: at another one these raise InvalidInput too.
        Raises InvalidInput, by file and line, for what is no journal.
        """
        story = read_journal(path)
        wanted = story.spec
        builder = cls(
            wanted.app,
            config=wanted.config,
            regions=() if wanted.only_secrets else wanted.regions,
            counts={} if wanted.only_secrets else wanted.counts,
            launch=wanted.launch,
            fallback=wanted.fallback,
            goal=wanted.goal,
            timeout=wanted.timeout,
            requirement=wanted.requirement,
            rolls_back=wanted.rolls_back,
            strategy=wanted.strategy,
            group=wanted.group,
            waves=wanted.waves,
            retired_groups=wanted.retired_groups,
            is_visible_to_flyctl=wanted.is_visible_to_flyctl,
            volume=wanted.volume,
            release=None if story.is_released else wanted.release,
            smoke=wanted.smoke,
            hedge=wanted.hedge,
            secrets_version=wanted.secrets_version,
            replaces=wanted.replaces,
            verify_stopped=wanted.verify_stopped,
            digest=wanted.digest,
            only_secrets=wanted.only_secrets,
            journal=os.fspath(path),
            story=story,
        )
        known = {name: value for name, value in (env or {}).items() if name in story.withheld_env}
        return builder.with_env(known) if known else builder

    def deployment(self) -> DeploySpec:
        """Say what is wanted, as one value; raises InvalidInput for what the API would refuse as a whole."""
        spec = super().deployment()
        if self._story:
            self._story.check(spec)
        return spec

    async def plan(self, fly: FlyClient) -> Plan:
        """Say what `execute` would do now; changes nothing. Raises NotFound when there is no such app."""
        self._check_api(fly)
        return timed((await Planner(fly, self.deployment()).decide()).plan, fly)

    async def execute(self, fly: FlyClient) -> DeployReport:
        """Deploy, and report what runs where; `report.ok` says whether the requirement is met.

        Each machine is created exactly once, however many answers are lost, then waited for. Before the report, one
        look at the app tells what is there. Without a strategy regions go out together, and a machine or region that
        fails stops no other; with one, a failure lets the machines under way finish and no other begin.

        Raises InvalidInput, NotFound for an app that is not there, LeaseHeld when another deploy is at work on the
        group, and what else reading the app raises: nothing has happened then. It waits some seconds for that deploy,
        and plans anew from what it has left, if it is over by then. Afterwards failures are in the report;
        `raise_for_failure()` makes them a DeployFailed.

        Cancelled, it creates no further machine, hears creates under way out (as long as one exchange may take), looks
        at what is there, tells it as the event `Finished`, and raises the cancellation on. Machines that are up stay
        up, except those that were started only to be verified, and leases are given back. A second cancellation cuts
        this short.
        """
        spec = self.deployment()
        with closing(self._open_journal(fly)) as journal, deploying(fly, self.app, spec) as span:
            decide = Planner(fly, spec).decide
            report = await run_deploy(fly, spec, decide, Observers(self._onlookers), journal)
            return reported(span, report)

    def _open_journal(self, fly: FlyClient) -> Journal:
        self._check_api(fly)
        return Journal() if self._journal is None else JournalFile(self._journal, fly.base_url)

    def _check_api(self, fly: FlyClient) -> None:
        if self._story:
            self._story.check_api(fly.base_url)

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

    async def plan_undo(self, fly: FlyClient) -> Plan:
        """Say what `undo` would do now; changes nothing. Raises what `undo` raises."""
        self._check_api(fly)
        return timed((await self._undoing(fly, self._launch)).plan, fly)

    async def undo(self, fly: FlyClient) -> DeployReport:
        """Undo the last release of the group, from what the app itself remembers of it.

            report = await DeployBuilder("web").process_group("app").undo(fly)

        Of this builder count the app, the group, the launch if one is named, the strategy's `max_unavailable`, the
        fallback, the timeout and the onlookers. Each machine that the launch changed gets the config that it had before
        it. What the launch retired is made again under its old name, as long as the API still shows it: some days, as a
        rule. What the launch made goes, volumes excepted, and where it takes traffic only once all else of its region
        is well. A machine that fails stops no other. Undone again, it goes one launch further back; it never toggles.

        A stopped machine stays stopped, unless its process has failed. Remarks of the plan say what cannot be brought
        back. Raises InvalidInput when there is nothing to undo or when that would leave no machine of the group, else
        what `execute` raises. Cancelled, it ends as `execute` does; undo again to go on.
        """
        with closing(self._open_journal(fly)) as journal, deploying(fly, self.app) as span:
            first = await self._undoing(fly, self._launch)

            async def decide(*, by_id: bool, unlisted: Collection[str] = ()) -> Decision:
                return await self._undoing(fly, first.plan.launch, unlisted) if by_id else first

            report = await run_deploy(fly, first.spec, decide, Observers(self._onlookers), journal, presses_on=True)
            return reported(span, report)

    async def _undoing(self, fly: FlyClient, launch: str | None, unlisted: Collection[str] = ()) -> Decision:
        asked = DeploySpec(
            app=self.app,
            launch=launch or "",
            config=self.config,
            counts={},
            fallback=self._fallback,
            goal="healthy",
            timeout=self._timeout,
            strategy=Rolling() if self._strategy.only_adds else self._strategy,
            group=self._group,
            secrets_version=self._secrets_version,
        )
        return await undoing(fly, asked, launch=launch, story=self._story, unlisted=unlisted)
