"""`flyasync orphans`: what an organization pays for and nothing uses, and the commands that remove it."""

from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command
from flyasync.cli.shared.completion import org_slugs
from flyasync.cli.shared.output import CommandOutput

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

EPILOG = """\b
Examples:
  flyasync orphans personal
  flyasync orphans personal --json

An orphan is a volume that is not attached to a machine, an address of an app without machines, or a machine that a
launch of flyasync was to destroy and has left: that of a release command, or one that it retired. Each is listed with
the command that removes it; nothing is removed. Machines that other tools have created are not managed by flyasync:
they are counted, and never listed.

Lists can lag, so each app with a candidate is read twice, 10 seconds apart: an orphan is in both. What a deploy
may be using now, such as a release command that still runs or a machine with a lease, has no command.

Exit status: 0 whether there are orphans or not, 1 if a part of ORG could not be read, 2 for a wrong command line.
"""


@click.command("orphans", epilog=EPILOG)
@click.argument("org", shell_complete=org_slugs)
@api_command
async def command(fly: "FlyClient", *, org: str) -> CommandOutput:
    """List what ORG has and nothing uses: volumes, addresses, and leftovers of deploys.

    ORG is the slug of an organization, such as personal.
    """
    from flyasync.cli.oncall.orphan_output import read_orphans

    return await read_orphans(fly, org)
