"""Carry out an order: make its app if need be, deploy, and show it all."""

import asyncio
import os
import stat
from pathlib import Path

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.cli.deploy.create_app import make_app
from flyasync.cli.deploy.lines import Display
from flyasync.cli.deploy.order import Order, client
from flyasync.cli.shared.client import PUBLIC_URL
from flyasync.cli.shared.exit_codes import FAILED, NOT_VERIFIED, OK
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.stages import plan
from flyasync.deploy.reporting.events import Event, Finished
from flyasync.deploy.reporting.report import DeployReport, Status
from flyasync.deploy.run.addresses import no_address, serves
from flyasync.errors import NotFound

STOPPING = (
    "stopping: no further machine is created or changed, and what runs is looked up; once more cuts this short",
    "cutting it short",
)


class Onlooker:
    """Passes the events of a deploy on to a display, and knows whether there were any; the report may become a page."""

    def __init__(self, display: Display, html: Path | None = None) -> None:
        self._display = display
        self._html = html
        self.has_seen_any = False

    def show(self, event: Event) -> None:
        """Pass one event on."""
        self.has_seen_any = True
        self._display.show(event)
        if isinstance(event, Finished) and self._html:
            self._write(self._html, event.report)

    def _write(self, html: Path, report: DeployReport) -> None:
        try:
            write_private(html, report.to_html())
        except OSError as error:
            self._display.note(f"the page could not be written to {html}: {error.strerror}")
        else:
            self._display.note(f"the report as a page: {html}")


def write_private(path: Path, text: str) -> None:
    """Write a text to a file that its owner alone may read; what is there already is made so first."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            path.chmod(0o600)
        file.write(text)


async def roll_out(order: Order, display: Display) -> int:
    """Deploy what is ordered, or undo it, and give the exit code; a dry run only shows the plan.

    Cancelled, the display is told what runs before the cancellation goes on.
    """
    # What can never work is said before any token is looked for.
    wanted = None if order.undoes else order.builder.deployment()
    onlooker = Onlooker(display, order.html)
    try:
        async with client(order) as fly:
            if order.rehearsal is None:
                tell_where(fly, display)
            if order.is_dry:
                display.outline(await _plan(order, fly, display, wanted), wanted)
                return OK
            return await _deploy(order, fly, display, onlooker)
    except asyncio.CancelledError:
        if not onlooker.has_seen_any:
            display.note("interrupted before any machine was asked for")
        raise


def tell_where(fly: FlyClient, display: Display) -> None:
    """Say which API it is, unless it is the public one."""
    if fly.base_url != PUBLIC_URL:
        display.goes_to(fly.base_url)


async def _deploy(order: Order, fly: FlyClient, display: Display, onlooker: Onlooker) -> int:
    if order.org and await make_app(fly, order.builder.app, order.org):
        display.note(f"created the app {order.builder.app} in {order.org}")
    builder = order.builder.on_event(onlooker.show)
    try:
        report = await (builder.undo(fly) if order.undoes else builder.execute(fly))
    except NotFound as error:
        raise _advised(error, order) from error
    return NOT_VERIFIED if report.status is Status.NOT_VERIFIED else OK if report.ok else FAILED


async def _plan(order: Order, fly: FlyClient, display: Display, wanted: DeploySpec | None) -> Plan:
    try:
        return await (order.builder.plan(fly) if wanted else order.builder.plan_undo(fly))
    except NotFound as error:
        if not (order.org and wanted):
            raise _advised(error, order) from error
    display.note(f"the app {order.builder.app} would be created in {order.org}")
    made = plan(wanted, Fleet(order.builder.app, ()))
    return evolve(made, remarks=(*made.remarks, no_address(wanted.app))) if serves(wanted.config) else made


def _advised(error: NotFound, order: Order) -> NotFound:
    or_create = "" if order.undoes else " To create the app first, add: --create-app ORG"
    return error.explained(f"Is the app's name right?{or_create}")
