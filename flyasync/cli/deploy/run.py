"""Run `flyasync deploy` after its command line is parsed: deploy, undo, or show the plan."""

import asyncio
import shlex
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.cli.deploy.create_app import create_if_missing
from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.deploy.lines import Display, JSONLines, Lines, Notes
from flyasync.cli.deploy.next_steps import LOCAL_NOTICE, Invocation, restated
from flyasync.cli.deploy.option_rules import check_options
from flyasync.cli.deploy.options import DeployOptions
from flyasync.cli.github.job import GitHubJob
from flyasync.cli.github.workflow_commands import without_commands
from flyasync.cli.shared.actions import is_in_actions
from flyasync.cli.shared.client import PUBLIC_URL
from flyasync.cli.shared.exit_codes import CHANGES, OK
from flyasync.cli.shared.live_page import client_observer, listed_regions
from flyasync.cli.shared.organizations import default_org
from flyasync.cli.shared.output import note
from flyasync.cli.shared.signals import run, until_signalled
from flyasync.cli.shared.streams import can_draw, sturdy
from flyasync.deploy.plan import image_digest
from flyasync.deploy.plan.addresses import remark_on, suitable
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Event, Finished
from flyasync.deploy.reporting.private_file import write_private
from flyasync.deploy.reporting.wording import in_command_terms
from flyasync.deploy.run.notification import notifying
from flyasync.errors import FlyError, NotFound
from flyasync.models.region import Region

if TYPE_CHECKING:
    from flyasync.web.event_feed import EventFeed

STOPPING = (
    "stopping: no further machine is created or changed; the report follows; a second signal skips it",
    "stopping at once",
)


def deploy(ctx: click.Context) -> None:
    """Run the command line, and exit with its exit code."""
    options = DeployOptions.of(ctx.params)
    check_options(ctx, options)
    for warning in options.warnings():
        note(f"warning: {warning}")
    job = DeployJob.of(options)
    journal = options.release.resume or (str(options.release.journal) if options.release.journal else None)
    called = Invocation(
        is_local=job.rehearsal is not None,
        journal=journal,
        groups=options.desired.change.group,
        spec=job.builder.spec,
    )
    run_job(job, called, as_json=options.output.as_json, github=options.output.github)


def run_job(job: DeployJob, called: Invocation, *, as_json: bool, github: bool | None) -> NoReturn:
    """Run a job on the display that fits, and exit with its exit code."""
    actions = GitHubJob.of(sturdy(sys.stderr)) if is_in_actions(github) else None
    display = display_for(sys.stdout, sys.stderr, as_json=as_json, called=called, github=actions)
    raise click.exceptions.Exit(run(run_until_signalled(job, display)))


async def run_until_signalled(job: DeployJob, display: AbstractAsyncContextManager[Display]) -> int:
    """Run a job on a display, with signals as cancellation, and return the exit code."""
    async with display as opened:
        # Observers and the journal run in callbacks of the loop, so their errors end up there.
        asyncio.get_running_loop().set_exception_handler(partial(show_error_aside, opened))
        return await until_signalled(
            run_deploy(job, opened), lambda times: opened.note(STOPPING[min(times, len(STOPPING)) - 1])
        )


def show_error_aside(display: Notes, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Show an error outside the deploy in one line, such as of a journal on a full disk; the deploy continues."""
    match context.get("exception"):
        case OSError(strerror=reason) as error:
            display.note(f"{context['message']}: {reason or error}")
        case FlyError(for_command=reason):
            display.note(f"{context['message']}: {reason}")
        case _:
            loop.default_exception_handler(context)


async def run_deploy(job: DeployJob, display: Display) -> int:
    """Execute a job, and return the exit code; a dry run only shows the plan.

    When cancelled, it shows what runs before the cancellation propagates.
    """
    spec = job.spec()  # an invalid spec is refused before a token is needed
    notice = LOCAL_NOTICE if job.rehearsal else ""
    observer = DisplayObserver(display, job.html, notice)
    try:
        serving = job.web.serving(display.note, notice=notice) if job.web else nullcontext()
        async with serving as page, job.client(client_observer(page)) as fly:
            if page or job.html:
                await observer.draw_on(page, fly)
            if job.rehearsal is None and fly.base_url != PUBLIC_URL:
                display.show_api(fly.base_url)
            if job.is_dry:
                plan = in_command_terms(await _planned(job, spec, fly, display))
                display.show_plan(plan, spec)
                if job.out and spec:
                    apply = f"flyasync apply {shlex.quote(str(job.out))}{restated(spec)}"
                    display.note(f"the plan is in {job.out}; to apply it: {apply}")
                return CHANGES if job.has_detailed_exit_code and plan.has_changes else OK
            if job.org is not None and (org := await create_if_missing(fly, job.builder.app, job.org)):
                display.note(f"created the app {job.builder.app} in {org}")
            async with notifying(job.webhooks, job.notification) as notify:
                builder = job.builder.on_event(observer.show).on_event(notify)
                try:
                    report = await (
                        builder.undo(fly, every_group=job.every_group) if job.undoes else builder.execute(fly)
                    )
                except NotFound as error:
                    raise job.advised(error) from error
    except asyncio.CancelledError:
        # After the first event, the report shows what runs. Before it, there is nothing to report.
        if not observer.has_seen_any:
            display.note("interrupted before any change")
        raise
    return report.exit_code


async def _planned(job: DeployJob, spec: DeploySpec | None, fly: FlyClient, display: Display) -> Plan:
    """Return the plan; raises NotFound for an app that does not exist and would not be created."""
    builder = job.builder
    try:
        if spec and job.out:
            return await builder.save_plan(fly, job.out)
        return await (builder.plan(fly) if spec else builder.plan_undo(fly, every_group=job.every_group))
    except NotFound as error:
        if job.org is None or spec is None:
            raise job.advised(error) from error
    display.note(f"the app {spec.app} would be created in {job.org or await default_org(fly)}")
    made = image_digest.decide(spec, Fleet(spec.app, ())).plan  # a new app has no machines and no address
    configs = [group.config for group in spec.groups]
    types = suitable(configs) if spec.public_ips else ()
    remark = () if types else remark_on(spec.app, configs, ())
    return evolve(made, remarks=(*made.remarks, *remark), addresses=types)


class DisplayObserver:
    """Passes the events of a deploy on to a display, and to a live page; with `html` it writes the report as a page.

    The `notice` is shown on that page.
    """

    def __init__(self, display: Display, html: Path | None = None, notice: str = "") -> None:
        self._display = display
        self._html = html
        self._notice = notice
        self._events: list[Event] = []
        self._page: EventFeed | None = None
        self._regions: tuple[Region, ...] = ()
        self.has_seen_any = False

    async def draw_on(self, page: "EventFeed | None", fly: FlyClient) -> None:
        """Show the events on a live page too; its map, and that of the report's page, have the platform's regions."""
        self._page, self._regions = page, await listed_regions(fly)
        if page:
            page.locate(self._regions)

    def show(self, event: Event) -> None:
        """Pass one event on, in the terms of the command."""
        event = in_command_terms(event)
        self.has_seen_any = True
        self._display.show(event)
        if self._page:
            self._page.show(event)
        if self._html:
            self._events.append(event)
        if not (isinstance(event, Finished) and self._html):
            return
        # A page that cannot be written changes neither the report nor the exit code.
        try:
            page = event.report.to_html(self._events, regions=self._regions, notice=self._notice)
            write_private(self._html, page)
        except OSError as error:
            self._display.note(f"the page could not be written to {self._html}: {error.strerror}")
        else:
            self._display.note(f"the report as a page: {self._html}")


def display_for(
    out: TextIO, err: TextIO, *, as_json: bool, called: Invocation, github: GitHubJob | None = None
) -> AbstractAsyncContextManager[Display]:
    """Return the display of a deploy: JSON lines if requested, a table in a terminal that can draw one, else lines.

    With a job of GitHub Actions it writes there too, and nothing that it shows is a command to the runner.
    """
    out, err = sturdy(out), sturdy(err)
    if github:
        from flyasync.cli.deploy.github_display import GitHubDisplay

        streams = without_commands(out, as_json=as_json), without_commands(err)
        lines = JSONLines(*streams, called) if as_json else Lines(*streams, called)
        return nullcontext(GitHubDisplay(lines, github, called))
    # JSON first: a program may read it through a pseudo-terminal.
    if as_json:
        return nullcontext(JSONLines(out, err, called))
    if not can_draw(out):
        return nullcontext(Lines(out, err, called))
    from flyasync.cli.deploy.live import Screen  # rich loads slowly, and only a terminal needs it
    from flyasync.cli.shared.ticker import refreshing

    return refreshing(Screen(out, called=called))
