"""`flyasync logs`: what the machines of an app write, once or as it comes."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
from flyasync.cli.oncall.following import run_until_stopped
from flyasync.cli.shared.client import show_api
from flyasync.cli.shared.completion import groups, machines
from flyasync.cli.shared.parameters import app_argument, region_option

EPILOG = """\b
Examples:
  flyasync logs web
  flyasync logs web --region iad
  flyasync logs web -f --json
\b
  # new lines of one machine, by its name or id
  flyasync logs web -f --machine app-iad-1

Without -f the newest lines are written, as many as the API returns at once. With -f, new lines follow until Ctrl-C;
after trouble with the API the log continues where it was, and no line is lost or repeated.

A line has the time, the region, the machine's id, the level and the text, separated by spaces; with --json it is one
JSON object with everything that the API returned. Some tokens of a single app may not read logs.

Exit status: 0 on success, 1 if the log cannot be read, 2 for a wrong command line, 130 after Ctrl-C.
"""


@click.command("logs", epilog=EPILOG)
@app_argument
@click.option("-f", "--follow", is_flag=True, help="Write new lines as they come, until Ctrl-C.")
@click.option("--machine", metavar="MACHINE", shell_complete=machines, help="Only lines of this machine: a name or id.")
@region_option
@click.option("--group", metavar="NAME", shell_complete=groups, help="Only lines of machines of this process group.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one object each.")
def command(
    *, app: str, follow: bool, machine: str | None, region: str | None, group: str | None, as_json: bool
) -> None:
    """Write the log of APP."""
    from flyasync.cli.oncall.log_output import write_log
    from flyasync.deploy.plan.spec import check_region
    from flyasync.models.lint.linter import check_app_name, refuse

    refuse(check_app_name(app))
    if region is not None:
        check_region(region)

    async def main(fly: "FlyClient") -> int:
        show_api(fly)
        return await write_log(
            fly, app, machine=machine, region=region, group=group, is_followed=follow, as_json=as_json
        )

    run_until_stopped(main)
