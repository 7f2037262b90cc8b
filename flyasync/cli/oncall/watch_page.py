"""`flyasync watch`: a live page of an app, which is read every two seconds."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
from flyasync.cli.oncall.following import run_until_stopped
from flyasync.cli.shared.client import show_api
from flyasync.cli.shared.output import note
from flyasync.cli.shared.parameters import app_argument

EPILOG = """\b
Examples:
  flyasync watch web
  flyasync watch web --port 8000 --no-open

The page shows the machines of APP on a map, those in trouble first: see flyasync status. It is served on this machine
alone, at a path that cannot be guessed, and can change nothing. The page of a deploy is that of flyasync deploy --web.

Exit status: 1 if the app could not be read, 2 for a wrong command line, 130 after Ctrl-C.
"""


@click.command("watch", epilog=EPILOG)
@app_argument
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the page.  [default: any free port]")
@click.option("--no-open", is_flag=True, help="Open no browser.  [default: one is opened from a terminal]")
def command(*, app: str, port: int, no_open: bool) -> None:
    """Serve a live page of APP on this machine until Ctrl-C: a map with the state of each machine."""
    from flyasync.cli.oncall.watch import watched
    from flyasync.cli.oncall.watched_page import WatchedPage
    from flyasync.cli.shared.live_page import LivePage, listed_regions
    from flyasync.models.lint.linter import check_app_name, refuse

    refuse(check_app_name(app))

    async def main(fly: "FlyClient") -> int:
        show_api(fly)
        async with LivePage(port=port, may_open=not no_open).serving(note) as feed:
            feed.locate(await listed_regions(fly))
            return await watched(fly, app, WatchedPage(feed))

    run_until_stopped(main)
