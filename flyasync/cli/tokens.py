"""`flyasync tokens`: who one is, and tokens for one app."""

import click

from flyasync.api.client import FlyClient
from flyasync.cli.shared.client import asks
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.output import CommandOutput, Message, Table
from flyasync.cli.shared.parameters import app_argument
from flyasync.cli.shared.tables import Columns

COLUMNS: Columns = {
    "ID": "token_id",
    "ORGANIZATION": lambda token: token.org_slug or token.organization,
    "USER": "user",
    "APPS": "apps",
    "MACHINE": "restricted_to_machine",
}

command = Group("tokens", help="Say whose the token is, and make one for an app.")


@command.command("current")
@asks
async def current(fly: FlyClient) -> CommandOutput:
    """Say whose the token in use is.

    And to what it is bound; never the token itself.
    """
    return Table(await fly.tokens.current(), COLUMNS)


@command.command("create-deploy")
@app_argument
@click.option("--expiry", metavar="DURATION", help="How long it is good, such as 24h; by default the API decides.")
@asks
async def create_deploy(fly: FlyClient, *, app: str, expiry: str | None) -> CommandOutput:
    """Make a token for APP and print it.

    It may do everything to APP and nothing else. Nobody can show it again.
    """
    token = await fly.apps.create_deploy_token(app, expiry=expiry)
    return Message(token, {"token": token})
