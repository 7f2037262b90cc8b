"""`flyasync apps`: apps, which own machines, volumes and addresses."""

from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.organizations import apps_of, default_org
from flyasync.cli.shared.output import CommandOutput, Details, Message, Table
from flyasync.cli.shared.parameters import app_argument, org_option, owner_option

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

LIST = {"NAME": "name", "ID": "id", "MACHINES": "machine_count", "VOLUMES": "volume_count", "NETWORK": "network"}
SHOW = {
    "NAME": "name",
    "ID": "id",
    "STATUS": "status",
    "ORGANIZATION": "organization.slug",
    "MACHINES": "machine_count",
    "VOLUMES": "volume_count",
    "NETWORK": "network",
}

command = Group("apps", help="Create, list, show and destroy apps.")


@command.command("list")
@org_option
@api_command
async def list_(fly: "FlyClient", *, org: str | None) -> CommandOutput:
    """List the apps of one organization, or of all."""
    return Table(await apps_of(fly, org), LIST)


@command.command("create")
@click.argument("app", metavar="NAME")
@owner_option
@click.option("--network", metavar="NAME", help="Name of a separate private network; it cannot be changed later.")
@api_command
async def create(fly: "FlyClient", *, app: str, org: str | None, network: str | None) -> CommandOutput:
    """Create an app."""
    org = org or await default_org(fly)
    made = await fly.apps.create(app, org_slug=org, network=network)
    return Message(f"created the app {app} in {org}", made)


@command.command("show")
@app_argument
@api_command
async def show(fly: "FlyClient", *, app: str) -> CommandOutput:
    """Show one app."""
    return Details(await fly.apps.get(app), SHOW)


@command.command("destroy")
@app_argument
@click.option("--force", is_flag=True, help="Stop its machines first.")
@confirmed("Destroy the app {app} and everything in it?")
@api_command
async def destroy(fly: "FlyClient", *, app: str, force: bool) -> CommandOutput:
    """Destroy an app and everything in it."""
    await fly.apps.delete(app, force=force or None)
    return Message(f"destroyed the app {app}", {"app": app, "destroyed": True})
