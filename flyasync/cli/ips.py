"""`flyasync ips`: the IP addresses of an app."""

from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.output import CommandOutput, Details, Message, Table
from flyasync.cli.shared.parameters import app_argument, region_option

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

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
@api_command
async def list_(fly: "FlyClient", *, app: str) -> CommandOutput:
    """List the addresses of APP."""
    return Table(await fly.ip_assignments.list(app), SHOW)


@command.command("allocate")
@app_argument
@click.option(
    "--type",
    "kind",
    type=click.Choice(["shared_v4", "v6", "v4", "private_v6", "egress_v4", "egress_v6", "egress_pair", "egress-pair"]),
    required=True,
    help="Type of address; a dedicated v4 is billed.",
)
@region_option
@api_command
async def allocate(fly: "FlyClient", *, app: str, kind: str, region: str | None) -> CommandOutput:
    """Allocate an address for APP."""
    return Details(await fly.ip_assignments.create(app, type=kind, region=region), MADE)


@command.command("release")
@app_argument
@click.argument("ip")
@confirmed("Release the address {ip} of {app}? A dedicated address cannot be recovered.")
@api_command
async def release(fly: "FlyClient", *, app: str, ip: str) -> CommandOutput:
    """Release an address of APP."""
    await fly.ip_assignments.delete(app, ip)
    return Message(f"released {ip}", {"app": app, "ip": ip, "released": True})
