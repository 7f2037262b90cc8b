"""`flyasync machines lease`: show the lease on a machine, which is the right to change it, and release it."""

from typing import TYPE_CHECKING

from flyasync.cli.machines.names import resolve_names
from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.output import CommandOutput, Details, Message
from flyasync.cli.shared.parameters import app_argument, machine_argument
from flyasync.cli.shared.tables import Columns

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

COLUMNS: Columns = {
    "OWNER": "owner",
    "DESCRIPTION": "description",
    "VERSION": "version",
    "EXPIRES": lambda lease: lease.expires and lease.expires.isoformat(),
}

lease = Group("lease", help="Show and clear the lease on a machine.")


@lease.command("show")
@app_argument
@machine_argument
@api_command
@resolve_names
async def show(fly: "FlyClient", *, app: str, machine_id: str) -> CommandOutput:
    """Show who holds the lease on a machine.

    Only --json shows the nonce.
    """
    return Details(await fly.leases.get(app, machine_id), COLUMNS)


@lease.command("clear")
@app_argument
@machine_argument
@confirmed("Release the lease on {machine_id}, whoever holds it?")
@api_command
@resolve_names
async def clear(fly: "FlyClient", *, app: str, machine_id: str) -> CommandOutput:
    """Release the lease on a machine, whoever holds it."""
    # Only the nonce releases a lease, and the API returns it to any token of the app.
    held = await fly.leases.get(app, machine_id)
    await fly.leases.release(app, machine_id, held.nonce)
    data = {"machine": machine_id, "owner": held.owner, "cleared": True}
    return Message(f"cleared the lease of {held.owner or 'an unknown owner'} on {machine_id}", data)
