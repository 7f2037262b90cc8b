"""`flyasync ips`: the addresses under which an app can be reached."""

import click

from flyasync.api.client import FlyClient
from flyasync.cli.shared.client import asks, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.output import CommandOutput, Details, Message, Table
from flyasync.cli.shared.parameters import app_argument, region_option

SHOW = {
    "IP": "ip",
    "TYPE": "type",
    "REGION": "region",
    "SHARED": "shared",
    "EGRESS": "egress",
    "CREATED": "created_at",
}
MADE = {**SHOW, "PAIR V4": "ip_pair.v4", "PAIR V6": "ip_pair.v6"}

command = Group("ips", help="List, allocate and release the addresses of an app.")


@command.command("list")
@app_argument
@asks
async def list_(fly: FlyClient, *, app: str) -> CommandOutput:
    """List the addresses of APP."""
    return Table(await fly.ip_assignments.list(app), SHOW)


@command.command("allocate")
@app_argument
@click.option(
    "--type",
    "kind",
    type=click.Choice(["shared_v4", "v6", "v4", "private_v6", "egress-pair"]),
    required=True,
    help="Kind of address; a v4 of its own costs money.",
)
@region_option
@asks
async def allocate(fly: FlyClient, *, app: str, kind: str, region: str | None) -> CommandOutput:
    """Give APP an address."""
    return Details(await fly.ip_assignments.create(app, type=kind, region=region), MADE)


@command.command("release")
@app_argument
@click.argument("ip")
@confirmed("Take the address {ip} from {app}? A dedicated one will not come back.")
@asks
async def release(fly: FlyClient, *, app: str, ip: str) -> CommandOutput:
    """Take an address from APP."""
    await fly.ip_assignments.delete(app, ip)
    return Message(f"released {ip}", {"app": app, "ip": ip, "released": True})
