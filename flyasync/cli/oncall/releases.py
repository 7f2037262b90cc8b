"""`flyasync releases`: which releases an app has had, when, by whom, and what became of them."""

from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command
from flyasync.cli.shared.output import CommandOutput
from flyasync.cli.shared.parameters import app_argument

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient


EPILOG = """\b
Examples:
  flyasync releases web
  flyasync releases web --json

The launches are those in the versions of the machines, the newest first; destroyed machines count as long as the API
shows them. If flyctl manages machines of APP, its own releases are in the list too: fly deploy makes them. To undo the
last launch: flyasync deploy APP --undo.

RESULT is what the machines show now: current, on 2 of 3 machines, replaced, or rolled back; for flyctl's releases it
begins with the status that flyctl has recorded.

Exit status: 0 if the releases could be read, 1 if they or a part of them could not be read, 2 for a wrong command line.
"""


@click.command("releases", epilog=EPILOG)
@app_argument
@api_command
async def command(fly: "FlyClient", *, app: str) -> CommandOutput:
    """List the releases of APP: when, by whom, from which commit, with which image, and their results."""
    from flyasync.cli.oncall.release_output import read_releases
    from flyasync.models.lint.linter import check_app_name, refuse

    refuse(check_app_name(app))
    return await read_releases(fly, app)
