"""Volumes over HTTP."""

from typing import Any

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.go_json import check
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import volumes as views
from flyasync.emulator.world import snapshots, volumes
from flyasync.emulator.world.world import World

_CREATE = {
    "name": "string", "region": "string", "size_gb": "int", "encrypted": "bool", "fstype": "string",
    "snapshot_retention": "int", "auto_backup_enabled": "bool", "source_volume_id": "string",
    "require_unique_zone": "bool", "unique_zone_app_wide": "bool", "snapshot_id": "string", "compute": "MachineGuest",
    "compute_image": "string",
}  # fmt: skip
_UPDATE = {"snapshot_retention": "int", "auto_backup_enabled": "bool"}
# Official clients send null for omitted fields. The other fields concern hosts, which are not emulated.
_READ = (
    "name", "region", "size_gb", "encrypted", "fstype", "snapshot_retention", "auto_backup_enabled", "source_volume_id",
    "snapshot_id",
)  # fmt: skip

HANDLERS = Handlers[Handler]()


@HANDLERS.serves("createVolume")
def create(world: World, request: ApiRequest) -> ApiResponse:
    """Create a volume."""
    body = request.body(_CREATE, "CreateVolumeRequest")
    given: dict[str, Any] = {key: body[key] for key in _READ if body.get(key) is not None}
    # Of the machine that will mount it, only what its host must have matters here.
    compute = body.get("compute") or {}
    check(compute, {"required_host_features": "[]string"}, "MachineGuest", "compute.")
    features = tuple(compute.get("required_host_features") or ())
    new = volumes.NewVolume(**{"name": "", **given, "required_host_features": features})
    volume = volumes.create(world, request.app, new)
    return ApiResponse(body=views.volume(world, volume))


@HANDLERS.serves("listVolumes")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List volumes as a bare array."""
    found = volumes.listed(world, request.app, behind=request.behind)
    return ApiResponse(body=[views.volume(world, volume, behind=request.behind) for volume in found])


@HANDLERS.serves("getVolumeById")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show a volume, deleted ones included."""
    return ApiResponse(body=views.volume(world, world.volume(request.app, request.params["volume_id"])))


@HANDLERS.serves("updateVolume")
def update(world: World, request: ApiRequest) -> ApiResponse:
    """Change the backup settings of a volume."""
    body = request.body(_UPDATE, "UpdateVolumeRequest")
    volume = world.volume(request.app, request.params["volume_id"])
    volumes.update(
        world,
        volume,
        snapshot_retention=body.get("snapshot_retention"),
        auto_backup_enabled=body.get("auto_backup_enabled"),
    )
    return ApiResponse(body=views.volume(world, volume))


@HANDLERS.serves("extendVolume")
def extend(world: World, request: ApiRequest) -> ApiResponse:
    """Extend a volume."""
    size_gb = request.body({"size_gb": "int"}, "ExtendVolumeRequest").get("size_gb")
    if size_gb is None:
        raise bad_request("size_gb is required")
    volume = world.volume(request.app, request.params["volume_id"])
    # A machine can use the new size after its next boot.
    needs_restart = volumes.extend(world, volume, size_gb)
    return ApiResponse(body={"volume": views.volume(world, volume), "needs_restart": needs_restart})


@HANDLERS.serves("deleteVolume")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Delete a volume."""
    volume = world.volume(request.app, request.params["volume_id"])
    volumes.delete(world, volume)
    return ApiResponse(body=views.volume(world, volume))


@HANDLERS.serves("listVolumeSnapshots")
def list_snapshots(world: World, request: ApiRequest) -> ApiResponse:
    """List the snapshots of a volume, deleted or not, as a bare array."""
    found = snapshots.listed(world, world.volume(request.app, request.params["volume_id"]))
    return ApiResponse(body=[views.snapshot(world, item) for item in found])


@HANDLERS.serves("createVolumeSnapshot")
def take_snapshot(world: World, request: ApiRequest) -> ApiResponse:
    """Start a snapshot; the response has the job, only the list has the snapshot."""
    snapshots.take(world, world.volume(request.app, request.params["volume_id"]))
    # As documented; clients ignore it and poll the list.
    return ApiResponse(body={"Msg": {"backup": {"id": str(world.random.randint(10_000, 99_999)), "state": "prepare"}}})
