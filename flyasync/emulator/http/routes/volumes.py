"""Volumes over HTTP."""

from collections.abc import Mapping
from typing import Any

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import machines as views
from flyasync.emulator.http.views.resources import snapshot
from flyasync.emulator.world import snapshots, volumes
from flyasync.emulator.world.world import World

_CREATE = {
    "name": "string", "region": "string", "size_gb": "int", "encrypted": "bool", "fstype": "string",
    "snapshot_retention": "int", "auto_backup_enabled": "bool", "source_volume_id": "string",
    "require_unique_zone": "bool", "unique_zone_app_wide": "bool", "snapshot_id": "string", "compute": "MachineGuest",
    "compute_image": "string",
}  # fmt: skip
_UPDATE = {"snapshot_retention": "int", "auto_backup_enabled": "bool"}
# What a null means as much as a missing key; everything else in the body is about hosts, which this world has none of.
_READ = (
    "name", "region", "size_gb", "encrypted", "fstype", "snapshot_retention", "auto_backup_enabled", "source_volume_id",
    "snapshot_id",
)  # fmt: skip


def create(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a volume."""
    body = ask.body(_CREATE, "CreateVolumeRequest")
    said: dict[str, Any] = {key: body[key] for key in _READ if body.get(key) is not None}
    volume = volumes.create(world, ask.app, volumes.NewVolume(**{"name": "", **said}))
    return ApiResponse(body=views.volume(world, volume))


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List volumes as a bare array."""
    then = world.clock - ask.behind
    found = [volume for volume in volumes.listed(world, ask.app) if volume.created_at <= then]
    return ApiResponse(body=[views.volume(world, volume) for volume in found])


def get(world: World, ask: ApiRequest) -> ApiResponse:
    """Show a volume, deleted ones included."""
    return ApiResponse(body=views.volume(world, world.volume(ask.app, ask.params["volume_id"])))


def update(world: World, ask: ApiRequest) -> ApiResponse:
    """Change how a volume is backed up."""
    body = ask.body(_UPDATE, "UpdateVolumeRequest")
    volume = world.volume(ask.app, ask.params["volume_id"])
    volumes.update(
        world,
        volume,
        snapshot_retention=body.get("snapshot_retention"),
        auto_backup_enabled=body.get("auto_backup_enabled"),
    )
    return ApiResponse(body=views.volume(world, volume))


def extend(world: World, ask: ApiRequest) -> ApiResponse:
    """Grow a volume."""
    size_gb = ask.body({"size_gb": "int"}, "ExtendVolumeRequest").get("size_gb")
    if size_gb is None:
        raise bad_request("size_gb is required")
    volume = world.volume(ask.app, ask.params["volume_id"])
    needs_restart = volumes.extend(world, volume, size_gb)
    return ApiResponse(body={"volume": views.volume(world, volume), "needs_restart": needs_restart})


def delete(world: World, ask: ApiRequest) -> ApiResponse:
    """Delete a volume."""
    volume = world.volume(ask.app, ask.params["volume_id"])
    volumes.delete(world, volume)
    return ApiResponse(body=views.volume(world, volume))


def list_snapshots(world: World, ask: ApiRequest) -> ApiResponse:
    """List the snapshots of a volume, deleted or not, as a bare array."""
    found = snapshots.listed(world, world.volume(ask.app, ask.params["volume_id"]))
    return ApiResponse(body=[snapshot(world, item) for item in found])


def take_snapshot(world: World, ask: ApiRequest) -> ApiResponse:
    """Begin a snapshot; the answer names the job, only the list names the snapshot."""
    snapshots.take(world, world.volume(ask.app, ask.params["volume_id"]))
    return ApiResponse(body={"Msg": {"backup": {"id": str(world.random.randint(10_000, 99_999)), "state": "prepare"}}})


HANDLERS: Mapping[str, Handler] = {
    "createVolume": create,
    "listVolumes": listing,
    "getVolumeById": get,
    "updateVolume": update,
    "extendVolume": extend,
    "deleteVolume": delete,
    "listVolumeSnapshots": list_snapshots,
    "createVolumeSnapshot": take_snapshot,
}
