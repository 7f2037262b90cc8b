"""`flyasync volumes`: disks, each on one host and for one machine at a time."""

from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command, confirmed
from flyasync.cli.shared.command_group import Group
from flyasync.cli.shared.output import CommandOutput, Details, Message, Table
from flyasync.cli.shared.parameters import app_argument, needed_region, volume_argument

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

LIST = {
    "ID": "id",
    "NAME": "name",
    "STATE": "state",
    "REGION": "region",
    "SIZE GB": "size_gb",
    "MACHINE": "attached_machine_id",
    "CREATED": "created_at",
}
SHOW = {
    **LIST,
    "ZONE": "zone",
    "ENCRYPTED": "encrypted",
    "FILESYSTEM": "fstype",
    "SNAPSHOTS KEPT, DAYS": "snapshot_retention",
    "HOST": "host_status",
}
SNAPSHOTS = {
    "ID": "id",
    "STATUS": "status",
    "BYTES": "size",
    "VOLUME BYTES": "volume_size",
    "KEPT, DAYS": "retention_days",
    "CREATED": "created_at",
}

command = Group("volumes", help="Create, list, extend and destroy volumes.")

size_option = click.option("--size", "size_gb", type=click.IntRange(min=1), metavar="GB", help="Size in GB.")

retention_option = click.option(
    "--snapshot-retention", type=click.IntRange(1, 60), metavar="DAYS", help="How many days snapshots are kept."
)


@command.command("list")
@app_argument
@api_command
async def list_(fly: "FlyClient", *, app: str) -> CommandOutput:
    """List the volumes of APP."""
    return Table(await fly.volumes.list(app), LIST)


@command.command("create")
@app_argument
@click.argument("name")
@needed_region
@size_option
@click.option("--snapshot", metavar="ID", help="Snapshot to restore into the volume.")
@retention_option
@click.option("--unencrypted", is_flag=True, help="Do not encrypt the volume.")
@api_command
async def create(
    fly: "FlyClient",
    *,
    app: str,
    name: str,
    region: str,
    size_gb: int | None,
    snapshot: str | None,
    snapshot_retention: int | None,
    unencrypted: bool,
) -> CommandOutput:
    """Create the volume NAME in APP.

    The machine that mounts it must run in the same region.
    """
    made = await fly.volumes.create(
        app,
        name=name,
        region=region,
        size_gb=size_gb,
        snapshot_id=snapshot,
        snapshot_retention=snapshot_retention,
        encrypted=False if unencrypted else None,  # the API encrypts by default
    )
    return Details(made, SHOW)


@command.command("show")
@app_argument
@volume_argument
@api_command
async def show(fly: "FlyClient", *, app: str, volume_id: str) -> CommandOutput:
    """Show one volume."""
    return Details(await fly.volumes.get(app, volume_id), SHOW)


@command.command("extend")
@app_argument
@volume_argument
@click.option("--size", "size_gb", type=click.IntRange(min=1), required=True, metavar="GB", help="New size in GB.")
@api_command
async def extend(fly: "FlyClient", *, app: str, volume_id: str, size_gb: int) -> CommandOutput:
    """Grow a volume; it cannot shrink."""
    extended = await fly.volumes.extend(app, volume_id, size_gb=size_gb)
    # The API returns whether the machine that mounts it has to restart to use the new size.
    hint = "; restart its machine to use the new size" if extended.needs_restart else ""
    return Message(f"{volume_id} has {extended.volume.size_gb} GB{hint}", extended)


@command.command("update")
@app_argument
@volume_argument
@retention_option
@click.option(
    "--scheduled-snapshots/--no-scheduled-snapshots", default=None, help="Whether snapshots are taken automatically."
)
@api_command
async def update(
    fly: "FlyClient", *, app: str, volume_id: str, snapshot_retention: int | None, scheduled_snapshots: bool | None
) -> CommandOutput:
    """Change the snapshot settings of a volume."""
    if snapshot_retention is None and scheduled_snapshots is None:
        raise click.UsageError("nothing to change: pass --snapshot-retention, or --[no-]scheduled-snapshots")
    changed = await fly.volumes.update(
        app, volume_id, snapshot_retention=snapshot_retention, auto_backup_enabled=scheduled_snapshots
    )
    return Details(changed, SHOW)


@command.command("destroy")
@app_argument
@volume_argument
@confirmed("Destroy the volume {volume_id} of {app}?")
@api_command
async def destroy(fly: "FlyClient", *, app: str, volume_id: str) -> CommandOutput:
    """Destroy a volume that is not attached to a machine."""
    volume = await fly.volumes.delete(app, volume_id)
    return Message(f"destroyed the volume {volume_id}", volume)


@command.command("snapshots")
@app_argument
@volume_argument
@api_command
async def snapshots(fly: "FlyClient", *, app: str, volume_id: str) -> CommandOutput:
    """List the snapshots of a volume."""
    return Table(await fly.volumes.snapshots(app, volume_id), SNAPSHOTS)
