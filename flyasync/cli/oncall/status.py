"""`flyasync status`: what runs of an app, and what is wrong with it, once or repeatedly."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
from flyasync.cli.oncall.following import run_until_stopped
from flyasync.cli.shared.client import in_json, show_api
from flyasync.cli.shared.output import note, show
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.streams import sturdy

EPILOG = """\b
Examples:
  flyasync status web
  flyasync status web --watch
\b
  # as one JSON document; with --watch, one JSON object per line for each change
  flyasync status web --json

Machines in trouble come first: those whose host is unreachable, that have failed or crashed, that restart
repeatedly, or whose checks fail. A machine serves if it is started, in routing, and all its checks pass.

In a pipe each line begins with its kind, group, machine, address or volume, and its fields are separated by tabs. Those
of a machine are its name, id, group, region, state, checks, remarks, launch, version and image. --watch reads the app
every two seconds: a terminal shows the current state, a pipe gets one line for each change.

Exit status: 0 if the state could be read, whatever it is, 1 if it or a part of it could not be read, 2 for a wrong
command line, 130 after Ctrl-C.
"""


@click.command("status", epilog=EPILOG)
@app_argument
@click.option("--watch", is_flag=True, help="Show changes until Ctrl-C.")
@in_json
def command(*, app: str, watch: bool, as_json: bool) -> None:
    """Show the groups, machines, addresses and volumes of APP, machines in trouble first."""
    from flyasync.cli.oncall.app_status import read_status
    from flyasync.cli.oncall.status_text import StatusOutput, unread_lines
    from flyasync.cli.oncall.watch import watch_display, watched
    from flyasync.models.lint.linter import check_app_name, refuse

    refuse(check_app_name(app))

    async def main(fly: "FlyClient") -> int:
        show_api(fly)
        if watch:
            return await watched(fly, app, watch_display(sturdy(sys.stdout), as_json=as_json))
        status = await read_status(fly, app)
        for lack in unread_lines(status):
            note(lack)
        return show(StatusOutput(status), as_json=as_json)

    run_until_stopped(main)
