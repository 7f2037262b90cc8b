"""`flyasync regions`: where machines can run."""

from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command
from flyasync.cli.shared.output import CommandOutput, Table

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

COLUMNS = {
    "CODE": "code",
    "NAME": "name",
    "AREA": "geo_region",
    "PAID PLAN ONLY": "requires_paid_plan",
    "DEPRECATED": "deprecated",
}


@click.command("regions")
@api_command
async def command(fly: "FlyClient") -> CommandOutput:
    """List the regions where machines can run."""
    return Table((await fly.platform.regions()).regions, COLUMNS)
