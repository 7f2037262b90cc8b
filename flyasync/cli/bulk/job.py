"""BulkJob: the deploys of a command line to many apps, and their API."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import click
from attrs import field, frozen
from click.core import ParameterSource

from flyasync.api.client import FlyClient
from flyasync.api.client_events import OnClientEvent, log_event
from flyasync.api.webhook import Webhook
from flyasync.cli.bulk.builders import Defaults, RowBuilders, checked_rows
from flyasync.cli.bulk.journal import BulkHistory
from flyasync.cli.bulk.options import COLUMNS, BulkOptions
from flyasync.cli.bulk.results import AppNames
from flyasync.cli.bulk.rows_file import AppRow, read_rows
from flyasync.cli.bulk.summary import BulkInvocation
from flyasync.cli.deploy.rehearsal import Rehearsal
from flyasync.cli.shared.live_page import LivePage
from flyasync.cli.shared.webhooks import webhooks_of
from flyasync.deploy.plan.launch_origin import LaunchOrigin
from flyasync.deploy.plan.spec import check_launch
from flyasync.emulator.world import apps
from flyasync.errors import MissingToken


@frozen(kw_only=True)
class BulkJob:
    """The rows of a file by app, and how to deploy them; with `is_dry` only a plan is shown.

    `executor` is the address of a dask scheduler, None for this process; `org` is the organization in which missing
    apps are created, empty for the default one of the token, `rehearsal` the emulator that replaces Fly.io, and
    `record` the file for a recording. `web` is the live page, None without one.
    """

    source: str
    rows: Mapping[str, AppRow] = field(repr=False)
    builders: RowBuilders = field(repr=False)
    at_once: int
    max_failures: int | None = None
    launch: str | None = None
    origin: LaunchOrigin = field(factory=LaunchOrigin)
    journal: Path | None = None
    executor: str | None = None
    org: str | None = None
    is_dry: bool = False
    rehearsal: Rehearsal | None = None
    record: Path | None = None
    web: LivePage | None = None
    webhooks: tuple[Webhook, ...] = ()

    @classmethod
    def of(cls, ctx: click.Context, options: BulkOptions) -> Self:
        """Return the job of a command line; the whole file is read and checked.

        Raises UsageError and InvalidInput for invalid options, and WrongInput for invalid rows.
        """
        rehearsal, run = Rehearsal.of(options.rehearsal), options.run
        if rehearsal and run.executor:
            raise click.UsageError("--local runs in this process, so it cannot be combined with --executor dask://")
        if rehearsal and run.journal:
            raise click.UsageError("--local leaves nothing to continue, so it cannot be combined with --journal")
        if options.output.record and run.executor:
            raise click.UsageError("--record records this process, so it cannot be combined with --executor dask://")
        if options.output.web is not None and options.output.dry_run:
            raise click.UsageError("--web shows a run while it lasts, so it cannot be combined with --dry-run")
        if options.output.no_open and options.output.web is None:
            raise click.UsageError("--no-open needs --web")
        # The rows are checked without a launch, so its name is checked here.
        if run.launch is not None:
            check_launch(run.launch)
        source = getattr(options.file, "name", "<stdin>")
        # An option that is given for all rows excludes other options in a row; a default does not.
        given = frozenset(name for name in COLUMNS if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT)
        builders = RowBuilders(Defaults(options.defaults, given), ctx)
        return cls(
            source=source,
            rows=checked_rows(source, read_rows(options.file, tuple(COLUMNS)), builders),
            builders=builders,
            at_once=run.apps_in_flight,
            max_failures=run.max_failures,
            launch=run.launch,
            origin=options.origin.find(),
            journal=run.journal,
            executor=run.executor,
            org=options.create_app,
            is_dry=options.output.dry_run,
            rehearsal=rehearsal,
            record=options.output.record,
            web=LivePage.of(options.output.web, no_open=options.output.no_open),
            webhooks=webhooks_of(options.output.notify),
        )

    def called(self, launch: str) -> BulkInvocation:
        """Return how the run was called, as far as its output shows it."""
        journal = str(self.journal) if self.journal else None
        return BulkInvocation(source=self.source, launch=launch, journal=journal, is_local=self.rehearsal is not None)

    @asynccontextmanager
    async def client(self, on_event: OnClientEvent = log_event) -> AsyncIterator[FlyClient]:
        """Open the API of the job: Fly.io as the environment names it, or an emulator with the apps in it."""
        if self.rehearsal is None:
            # Each worker of an executor has its own token, so none is needed here.
            async with (
                client_without_token(on_event)
                if self.executor
                else FlyClient(record=self.record, on_event=on_event) as fly
            ):
                yield fly
            return
        # With --create-app the run itself creates the apps, within the rate limit of an organization.
        async with (
            self.rehearsal.emulator() as emulator,
            FlyClient(
                emulator.token, base_url=emulator.url, limits="memory", record=self.record, on_event=on_event
            ) as fly,
        ):
            for app in self.rows if self.org is None else ():
                # The API would take a second for each app.
                apps.create(emulator.world, app, org_slug="personal", network="")
            yield fly


@frozen
class Remaining:
    """The apps of a job that are not done, in the order of the file, and those whose rows have changed."""

    apps: tuple[str, ...] = field(repr=False)
    changed: AppNames

    @classmethod
    def of(cls, job: BulkJob, history: BulkHistory) -> Self:
        """Return the apps of a job except those that are done with the same row."""
        apps, changed = [], AppNames()
        for app, row in job.rows.items():
            if app in history.apps:  # a fingerprint takes time, and a file may have 100,000 rows
                desired = job.builders.fingerprint(row, history.key)
                if history.is_done(app, desired):
                    continue
                if history.has_changed(app, desired):
                    changed.add(app)
            apps.append(app)
        return cls(tuple(apps), changed)


def client_without_token(on_event: OnClientEvent = log_event) -> FlyClient:
    """Return a client for its URL and its rate limits; it may have no valid token."""
    try:
        return FlyClient(on_event=on_event)
    except MissingToken:
        return FlyClient("none", on_event=on_event)
