"""DeployJob: the deploy or undo of a command line, and its API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from flyasync.api.client import FlyClient
from flyasync.api.client_events import OnClientEvent, log_event
from flyasync.api.webhook import Webhook
from flyasync.cli.deploy.options import DeployOptions
from flyasync.cli.deploy.rehearsal import Rehearsal
from flyasync.cli.shared.live_page import LivePage
from flyasync.cli.shared.webhooks import webhooks_of
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.event_json import event_as_json
from flyasync.deploy.reporting.events import Finished
from flyasync.deploy.reporting.wording import in_command_terms
from flyasync.errors import NotFound


@frozen(kw_only=True)
class DeployJob:
    """A deploy to execute, or with `undoes` one to undo; with `is_dry` only its plan is shown.

    With `every_group`, the release is undone in all groups that it changed, else in those of the builder.

    With `has_detailed_exit_code` a dry run that would change anything has an exit code of its own. `out` is the file
    for the plan of a dry run. A job that `applies` executes the plan of a file.

    `org` is the organization in which a missing app is created, empty for the default one of the token, and None if it
    is not created; `rehearsal` is the emulator that replaces Fly.io, `html` the file for the report as a page, and
    `record` that for a recording. The report is posted to the `webhooks`. `web` is the live page, None without one.
    """

    builder: DeployBuilder
    org: str | None = None
    is_dry: bool = False
    has_detailed_exit_code: bool = False
    out: Path | None = None
    undoes: bool = False
    every_group: bool = False
    applies: bool = False
    html: Path | None = None
    record: Path | None = None
    webhooks: tuple[Webhook, ...] = ()
    rehearsal: Rehearsal | None = None
    web: LivePage | None = None

    @classmethod
    def of(cls, options: DeployOptions) -> Self:
        """Return the job of a command line; raises UsageError and InvalidInput for invalid options."""
        # Emulator options without --local are checked first: the user meant to rehearse.
        rehearsal = Rehearsal.of(options.rehearsal)
        return cls(
            builder=options.builder(),
            org=options.desired.regions.create_app,
            is_dry=options.output.dry_run,
            has_detailed_exit_code=options.output.detailed_exitcode,
            out=options.output.out,
            undoes=options.release.undo,
            every_group=not (options.desired.change.group or options.release.resume),
            html=options.output.html,
            record=options.output.record,
            webhooks=webhooks_of(options.output.notify),
            rehearsal=rehearsal,
            web=LivePage.of(options.output.web, no_open=options.output.no_open),
        )

    def spec(self) -> DeploySpec | None:
        """Return the spec, None for an undo; raises InvalidInput for an invalid one."""
        return None if self.undoes else self.builder.deployment()

    def notification(self, event: Finished) -> dict[str, Any]:
        """Return what is posted: the last line of `--json`."""
        local = {"local": True} if self.rehearsal else {}
        return {**event_as_json(in_command_terms(event)), **local}

    @asynccontextmanager
    async def client(self, on_event: OnClientEvent = log_event) -> AsyncIterator[FlyClient]:
        """Open the API of the job: Fly.io as the environment names it, or an emulator with the app in it."""
        if self.rehearsal is None:
            async with FlyClient(record=self.record, on_event=on_event) as fly:
                yield fly
            return
        async with (
            self.rehearsal.emulator() as emulator,
            # Limits in memory: a rehearsal must not use up limits that are shared with other programs.
            FlyClient(
                emulator.token, base_url=emulator.url, limits="memory", record=self.record, on_event=on_event
            ) as fly,
        ):
            await fly.apps.create(self.builder.app, org_slug=self.org or "personal")
            # Without --create-app, the app stands for an existing one, which has an address.
            if self.org is None:
                await fly.ip_assignments.create(self.builder.app, type="shared_v4")
            yield fly

    def advised(self, error: NotFound) -> NotFound:
        """Return the error for an app that does not exist, with advice."""
        or_create = "" if self.undoes or self.applies else " To create the app first, add: --create-app"
        return error.explained(f"Is the app's name right?{or_create}")
