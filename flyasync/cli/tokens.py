"""`flyasync tokens`: the token in use, and deploy tokens for one app."""

from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.output import CommandOutput, Message, Table
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.tables import Columns

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

COLUMNS: Columns = {
    "ID": "token_id",
    "ORGANIZATION": lambda token: token.org_slug or token.organization,
    "USER": "user",
    "APPS": "apps",
    "MACHINE": "restricted_to_machine",
}

command = Group("tokens", help="Show the token in use, and create deploy tokens.")


@command.command("current")
@api_command
async def current(fly: "FlyClient") -> CommandOutput:
    """Show the token in use: its user and its scope.

    The token itself is never shown.
    """
    return Table(await fly.tokens.current(), COLUMNS)


@command.command("create-deploy")
@app_argument
@click.option("--expiry", metavar="DURATION", help="Lifetime of the token, such as 24h; the API sets the default.")
@api_command
async def create_deploy(fly: "FlyClient", *, app: str, expiry: str | None) -> CommandOutput:
    """Create a deploy token for APP and print it.

    The token gives full access to APP and to nothing else. It cannot be shown again.
    """
    token = await fly.apps.create_deploy_token(app, expiry=expiry)
    return Message(token, {"token": token})
