"""Volumes: making, copying, growing and deleting them, and the one machine that may claim each."""

from attrs import frozen

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError, aborted, bad_request, failed_precondition
from flyasync.emulator.core.records import VolumeRecord
from flyasync.emulator.core.regions import expand
from flyasync.emulator.core.state_schedule import StateSchedule
from flyasync.emulator.world import snapshots
from flyasync.emulator.world.world import World

_USUAL_GB, _MOST_GB = 3, 500
_RETENTION = range(1, 61)
_GONE = frozenset({"pending_destroy", "destroyed"})
_MOUNTABLE = frozenset({"created", "hydrating"})
# Recoverable for a day.
_SECONDS_PENDING = 24 * 3600.0
_CREATING, _RESTORING, _EXPORTING, _HYDRATING = (0.5, 1.5), (2.0, 6.0), (1.0, 3.0), (5.0, 20.0)
# What the platform says while a machine that is gone still holds a volume: an id of zero bytes.
_NOBODY = "\0" * 14


@frozen(kw_only=True)
class NewVolume:
    """What a new volume shall be."""

    name: str
    region: str | None = None
    size_gb: int | None = None
    encrypted: bool = True
    fstype: str = "ext4"
    snapshot_retention: int = 5
    auto_backup_enabled: bool = True
    source_volume_id: str | None = None
    snapshot_id: str | None = None


def create(world: World, app: str, wish: NewVolume) -> VolumeRecord:
    """Make a volume in the first region of its wish that has room."""
    world.app(app)
    source = world.volume(app, wish.source_volume_id) if wish.source_volume_id else None
    size = wish.size_gb or _least(world, app, source, wish.snapshot_id)
    _check(wish.name, size, wish.snapshot_retention)
    volume = VolumeRecord(
        id=f"vol_{ids.token(world.random, 16)}",
        app=app,
        name=wish.name,
        region=_region(world, wish.region or (source.region if source else None)),
        zone=ids.hexadecimal(world.random, 4),
        size_gb=size,
        encrypted=wish.encrypted,
        fstype=wish.fstype,
        snapshot_retention=wish.snapshot_retention,
        auto_backup_enabled=wish.auto_backup_enabled,
        created_at=world.clock,
        updated_at=world.clock,
        schedule=_course(world, wish),
    )
    world.volumes[volume.id] = volume
    return volume


def listed(world: World, app: str) -> list[VolumeRecord]:
    """List the volumes that are not deleted."""
    return [volume for volume in world.volumes_of(app) if not is_gone(world, volume)]


def is_gone(world: World, volume: VolumeRecord) -> bool:
    """Tell whether a volume was deleted."""
    return volume.schedule.state(world.clock) in _GONE


def changed_at(world: World, volume: VolumeRecord) -> float:
    """Give the moment of the last change, made by somebody or come by itself."""
    return max(volume.updated_at, volume.schedule.since(world.clock))


def update(
    world: World, volume: VolumeRecord, *, snapshot_retention: int | None, auto_backup_enabled: bool | None
) -> None:
    """Change how a volume is backed up."""
    if snapshot_retention is not None:
        _check(volume.name, volume.size_gb, snapshot_retention)
        volume.snapshot_retention = snapshot_retention
    if auto_backup_enabled is not None:
        volume.auto_backup_enabled = auto_backup_enabled
    volume.updated_at = world.clock


def extend(world: World, volume: VolumeRecord, size_gb: int) -> bool:
    """Grow a volume; tell whether its machine must restart to see the space."""
    if size_gb <= volume.size_gb:
        raise bad_request(f"volume can only be extended: {size_gb} GB is not more than {volume.size_gb} GB")
    _check(volume.name, size_gb, volume.snapshot_retention)
    volume.size_gb = size_gb
    volume.updated_at = world.clock
    machine = world.machines.get(volume.machine_id or "")
    return machine is not None and machine.state == "started"


def delete(world: World, volume: VolumeRecord) -> None:
    """Delete a volume no machine is bound to; it stays readable."""
    if volume.machine_id is not None:
        raise failed_precondition(f"volume is currently bound to machine: {volume.machine_id}")
    if not is_gone(world, volume):
        volume.schedule = StateSchedule.start(world.clock, "pending_destroy").then(_SECONDS_PENDING, "destroyed")


def claimable(world: World, app: str, volume_id: str) -> VolumeRecord:
    """Find a volume that a new machine may mount."""
    volume = world.volumes.get(volume_id)
    if volume is None or volume.app != app or is_gone(world, volume):
        raise bad_request("volume not found")
    if volume.machine_id is not None or world.clock < volume.claimed_until:
        raise failed_precondition(f"volume already claimed by machine {volume.machine_id or _NOBODY}")
    if (state := volume.schedule.state(world.clock)) not in _MOUNTABLE:
        raise failed_precondition(f"volume {volume_id} can not be mounted in state: {state!r}")
    return volume


def _course(world: World, wish: NewVolume) -> StateSchedule:
    if wish.source_volume_id:
        begun = StateSchedule.start(world.clock, "creating").then(world.draw(_CREATING), "enabling_remote_export")
        return begun.then(world.draw(_EXPORTING), "hydrating").then(world.draw(_HYDRATING), "created")
    if wish.snapshot_id:
        begun = StateSchedule.start(world.clock, "creating").then(world.draw(_CREATING), "restoring")
        return begun.then(world.draw(_RESTORING), "created")
    return StateSchedule.start(world.clock, "created")


def _least(world: World, app: str, source: VolumeRecord | None, snapshot_id: str | None) -> int:
    if snapshot_id:
        return snapshots.find(world, app, snapshot_id).volume_gb
    return source.size_gb if source else _USUAL_GB


def _region(world: World, expression: str | None) -> str:
    for region in expand(expression):
        if world.has_room(region):
            return region
    raise aborted("no capacity")


def _check(name: str, size_gb: int, retention: int) -> None:
    if not name:
        raise bad_request("name is required")
    if not 1 <= size_gb <= _MOST_GB:
        raise ApiError(422, f"size_gb must be between 1 and {_MOST_GB}")
    if retention not in _RETENTION:
        raise ApiError(422, "snapshot_retention must be between 1 and 60")
