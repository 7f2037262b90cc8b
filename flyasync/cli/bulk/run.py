"""Run `flyasync bulk` after its command line is parsed: deploy to all apps that are not done."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, aclosing, closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TextIO

import click
from attrs import Factory, define, evolve

from flyasync.cli.bulk.dry_run import BulkPlan
from flyasync.cli.bulk.executor import open_executor
from flyasync.cli.bulk.job import BulkJob, Remaining, client_without_token
from flyasync.cli.bulk.journal import BulkJournal, BulkJournalFile, fingerprint, read_history
from flyasync.cli.bulk.lines import BulkDisplay, BulkJSONLines, BulkLines
from flyasync.cli.bulk.options import BulkOptions
from flyasync.cli.bulk.results import AppNames, AppResult, BulkProgress
from flyasync.cli.bulk.summary import BulkInvocation, BulkSummary, changed_text, summary_as_json
from flyasync.cli.deploy.create_app import AppCreatingBuilder
from flyasync.cli.deploy.next_steps import LOCAL_NOTICE, Invocation
from flyasync.cli.deploy.run import show_error_aside
from flyasync.cli.github.job import GitHubJob
from flyasync.cli.github.workflow_commands import without_commands
from flyasync.cli.shared.actions import is_in_actions
from flyasync.cli.shared.client import PUBLIC_URL
from flyasync.cli.shared.exit_codes import FAILED, OK
from flyasync.cli.shared.live_page import client_observer, listed_regions
from flyasync.cli.shared.organizations import default_org
from flyasync.cli.shared.signals import run, until_signalled
from flyasync.cli.shared.streams import can_draw, sturdy
from flyasync.cli.shared.ticker import refreshing
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.estimate import CreateRate
from flyasync.deploy.many.many import deploy_many
from flyasync.deploy.run.notification import post

if TYPE_CHECKING:
    from flyasync.cli.bulk.bulk_page import BulkPage
    from flyasync.web.event_feed import EventFeed

STOPPING = (
    "stopping: no further app is started, and no further machine is created; a second signal stops at once",
    "stopping at once",
)


def bulk(ctx: click.Context) -> None:
    """Run the command line, and exit with its exit code."""
    options = BulkOptions.of(ctx.params)
    job = BulkJob.of(ctx, options)
    called = Invocation(is_local=job.rehearsal is not None)
    github = GitHubJob.of(sturdy(sys.stderr)) if is_in_actions(options.output.github) else None
    display = display_for(sys.stdout, sys.stderr, as_json=options.output.as_json, called=called, github=github)
    raise click.exceptions.Exit(run(run_until_signalled(job, display)))


async def run_until_signalled(job: BulkJob, display: AbstractAsyncContextManager[BulkDisplay]) -> int:
    """Run a job on a display, with signals as cancellation, and return the exit code."""
    async with display as opened:
        asyncio.get_running_loop().set_exception_handler(partial(show_error_aside, opened))
        return await until_signalled(
            run_bulk(job, opened), lambda times: opened.note(STOPPING[min(times, len(STOPPING)) - 1])
        )


async def run_bulk(job: BulkJob, display: BulkDisplay) -> int:
    """Deploy to all apps of a job that are not done yet, and return the exit code; a dry run only shows the plan.

    When cancelled, it starts no further app, cancels those in progress and waits for them, and shows the summary before
    the cancellation propagates.
    """
    if job.is_dry:
        await show_plan(job, display)
        return OK
    loop = asyncio.get_running_loop()
    notice = LOCAL_NOTICE if job.rehearsal else ""
    serving = job.web.serving(display.note, of_many=True, notice=notice) if job.web else nullcontext()
    async with serving as feed, job.client(client_observer(feed)) as fly:
        if feed:
            feed.locate(await listed_regions(fly))
        # Each worker of a cluster has a token of its own, which decides the organization.
        if job.org == "" and job.executor is None:
            job = evolve(job, org=await default_org(fly))
        if job.journal is None:
            journal = BulkJournal(job.launch)
        else:
            journal = BulkJournalFile(job.journal, job.launch, fly.base_url, display.note)
        with closing(journal):
            # The journal is read here, while this run holds its lock.
            this = BulkRun.of(job, journal, feed)
            if this.remaining.changed.count:
                display.note(changed_text(this.remaining.changed))
            if job.rehearsal is None and fly.base_url != PUBLIC_URL:
                display.show_api(fly.base_url)
            async with open_executor(job.executor, display.note) as executor:
                display.begin(this.called, this.progress)
                if this.page:
                    this.page.begin(this.called, job.rows, this.remaining.apps)
                begun, is_cut = loop.time(), True
                # The summary is shown even if a signal or a bug ends the run.
                try:
                    many = deploy_many(fly, this.begin, this.next_apps(), at_once=job.at_once, executor=executor)
                    async with aclosing(many) as reports:
                        async for report in reports:
                            display.show(this.record(AppResult.of(report)))
                    is_cut = False
                finally:
                    summary = this.summary(round(loop.time() - begun, 3), is_cut=is_cut)
                    display.finish(summary)
                    if this.page:
                        this.page.finish(summary)
                    local = {"local": True} if job.rehearsal else {}
                    await post(job.webhooks, {**summary_as_json(summary), **local})
    # One code for all that is not ok: the status of each app is in its report.
    return FAILED if this.progress.failed or this.progress.left else OK


async def show_plan(job: BulkJob, display: BulkDisplay) -> None:
    """Show what a run would do, from the file and the journal; no request is sent, and nothing is written."""
    async with client_without_token() as fly:
        exists = job.journal is not None and job.journal.exists()
        history = read_history(job.journal, job.launch, fly.base_url) if job.journal and exists else None
        plan = BulkPlan.of(job, history, CreateRate.of(fly))
    # Without a journal and --launch, the launch is random and not known yet.
    launch = history.launch if history else job.launch or "with a random name"
    display.show_plan(job.called(launch), plan)


@define
class BulkRun:
    """The run of a job: starts one app after the other, counts the results, and writes the journal and the live page.

    `renamed` are the apps with a new config, each with its new launch, and `abandoned` the earlier launches, each with
    its app, whose machines stay as they are.
    """

    job: BulkJob
    journal: BulkJournal
    remaining: Remaining
    progress: BulkProgress
    page: "BulkPage | None" = None
    renamed: AppNames = Factory(AppNames)
    abandoned: AppNames = Factory(AppNames)

    @property
    def called(self) -> BulkInvocation:
        """How the run was called, with the launch of the journal."""
        return self.job.called(self.journal.history.launch)

    @classmethod
    def of(cls, job: BulkJob, journal: BulkJournal, feed: "EventFeed | None" = None) -> "BulkRun":
        """Return the run of the apps that are not done in the journal, with the live page that reads the feed."""
        remaining = Remaining.of(job, journal.history)
        total = len(job.rows)
        progress = BulkProgress(total, job.at_once, kept=total - len(remaining.apps))
        if feed is None:
            return cls(job, journal, remaining, progress)
        from flyasync.cli.bulk.bulk_page import BulkPage  # only a run with a page needs it

        return cls(job, journal, remaining, progress, BulkPage(feed, job.executor, progress))

    def next_apps(self) -> Iterator[str]:
        """Yield the apps one by one, until too many have failed."""
        # The next app is requested when a slot becomes free, so that a failure stops those that have not started.
        for app in self.remaining.apps:
            if self.job.max_failures is not None and self.progress.failed >= self.job.max_failures:
                return
            yield app

    def begin(self, app: str) -> DeployBuilder:
        """Start an app: record it in the journal with its launch, and return its builder."""
        self.progress.begin()
        history, row = self.journal.history, self.job.rows[app]
        builder = self.job.builders.of(row)
        spec = builder.deployment()
        adds = spec.strategy.only_adds
        config = fingerprint(history, spec.fingerprint)
        launch = history.launch_for(app, config, adds=adds)
        # A new config has a new launch. The machines of the earlier launch stay, unless a strategy updates them, and
        # the summary lists it.
        if history.last_launch(app) not in {None, launch}:
            self.renamed.add(f"{app} ({launch})")
        for left in history.launches_left_by(app, launch, adds=adds):
            self.abandoned.add(f"{app} --launch {left}")
        # The launch is recorded before its first machine is created, so that a crash cannot lose any.
        row_fingerprint = self.job.builders.fingerprint(row, history.key)
        self.journal.began(app, row=row_fingerprint, config=config, launch=launch, adds=adds)
        builder = AppCreatingBuilder.of(builder, self.job.org) if self.job.org is not None else builder
        builder = self.page.observed(app, builder) if self.page else builder
        origin = self.job.origin
        return builder.with_launch(launch).with_message(origin.message, commit=origin.commit, by=origin.by)

    def record(self, result: AppResult) -> AppResult:
        """Count the result of an app, record it in the journal, show it on the page, and return it."""
        self.progress.record(result)
        if self.page:
            self.page.show(result)
        self.journal.ended(result.app, ok=result.ok, why=result.why, seconds=result.seconds)
        return result

    def summary(self, seconds: float, *, is_cut: bool) -> BulkSummary:
        """Return the summary of the run."""
        return BulkSummary(
            called=self.called,
            progress=self.progress,
            seconds=seconds,
            is_cut=is_cut,
            renamed=self.renamed,
            abandoned=self.abandoned,
        )


def display_for(
    out: TextIO, err: TextIO, *, as_json: bool, called: Invocation, github: GitHubJob | None = None
) -> AbstractAsyncContextManager[BulkDisplay]:
    """Return the display of a run: JSON lines if requested, live counts in a capable terminal, else lines.

    With a job of GitHub Actions it writes there too, and nothing that it shows is a command to the runner.
    """
    out, err = sturdy(out), sturdy(err)
    if github:
        from flyasync.cli.bulk.github_display import GitHubBulkDisplay

        streams = without_commands(out, as_json=as_json), without_commands(err)
        lines = BulkJSONLines(*streams, called) if as_json else BulkLines(*streams)
        return refreshing(GitHubBulkDisplay(lines, github))
    # JSON first: a program may read it through a pseudo-terminal.
    if as_json:
        return nullcontext(BulkJSONLines(out, err, called))
    if not can_draw(out):
        return refreshing(BulkLines(out, err))
    from flyasync.cli.bulk.live import BulkScreen  # rich loads slowly, and only a terminal needs it

    return refreshing(BulkScreen(out))
