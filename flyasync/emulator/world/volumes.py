"""Volumes: create, fork, extend and delete them, and the machine that claims each."""

from attrs import frozen

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError, aborted, bad_request, failed_precondition
from flyasync.emulator.core.records import VolumeRecord
from flyasync.emulator.core.state_schedule import StateSchedule
from flyasync.emulator.world import snapshots
from flyasync.emulator.world.capacity import accepting
from flyasync.emulator.world.world import World

_USUAL_GB, _MOST_GB = 3, 500
_RETENTION = range(1, 61)
_GONE = frozenset({"pending_destroy", "destroyed"})
_MOUNTABLE = frozenset({"created", "hydrating"})
# Recoverable for a day.
_SECONDS_PENDING = 24 * 3600.0
# In seconds.
_CREATING, _RESTORING, _EXPORTING, _HYDRATING = (0.5, 1.5), (2.0, 6.0), (1.0, 3.0), (5.0, 20.0)
# The id that the platform shows while a destroyed machine still claims a volume: zero bytes.
_NO_MACHINE = "\0" * 14


@frozen(kw_only=True)
class NewVolume:
    """The parameters of a new volume."""

    name: str
    region: str | None = None
    size_gb: int | None = None
    encrypted: bool = True
    fstype: str = "ext4"
    snapshot_retention: int = 5
    auto_backup_enabled: bool = True
    source_volume_id: str | None = None
    snapshot_id: str | None = None
    required_host_features: tuple[str, ...] = ()


def create(world: World, app: str, new: NewVolume) -> VolumeRecord:
    """Create a volume in the first region of its expression that has capacity."""
    world.app(app)
    # 1. The size: as requested, else that of the source, else the API's default.
    source = world.volume(app, new.source_volume_id) if new.source_volume_id else None
    size = new.size_gb
    if not size and new.snapshot_id:
        size = snapshots.find(world, app, new.snapshot_id).volume_gb
    elif not size:
        size = source.size_gb if source else _USUAL_GB
    _check(new.name, size, new.snapshot_retention)
    # 2. A fork is placed in the region of its source by default.
    expression = new.region or (source.region if source else None)
    region = next((code for code in accepting(world, expression) if world.has_room(code)), None)
    if region is None:
        raise aborted("no capacity")

    # 3. A copy takes some time; a `hydrating` volume can already be mounted.
    volume = VolumeRecord(
        id=f"vol_{ids.token(world.random, 16)}",
        app=app,
        name=new.name,
        region=region,
        zone=ids.hexadecimal(world.random, 4),
        size_gb=size,
        encrypted=new.encrypted,
        fstype=new.fstype,
        snapshot_retention=new.snapshot_retention,
        auto_backup_enabled=new.auto_backup_enabled,
        required_host_features=new.required_host_features,
        created_at=world.clock,
        updated_at=world.clock,
        schedule=StateSchedule.start(world.clock, "creating" if source or new.snapshot_id else "created"),
    )
    if source:
        for state, bounds in (
            ("enabling_remote_export", _CREATING),
            ("hydrating", _EXPORTING),
            ("created", _HYDRATING),
        ):
            volume.schedule = volume.schedule.then(world.draw(bounds), state)
    elif new.snapshot_id:
        for state, bounds in (("restoring", _CREATING), ("created", _RESTORING)):
            volume.schedule = volume.schedule.then(world.draw(bounds), state)
    world.volumes[volume.id] = volume
    return volume


def listed(world: World, app: str, *, behind: float = 0.0) -> list[VolumeRecord]:
    """Return the volumes that existed, and were not deleted, `behind` seconds ago."""
    return [volume for volume in world.volumes_of(app) if existed(world, volume, behind=behind)]


def existed(world: World, volume: VolumeRecord, *, behind: float) -> bool:
    """Whether a volume had been created and not been deleted `behind` seconds ago."""
    then = world.clock - behind
    return volume.created_at <= then and volume.schedule.state(then) not in _GONE


def is_gone(world: World, volume: VolumeRecord) -> bool:
    """Whether a volume has been deleted."""
    return volume.schedule.state(world.clock) in _GONE


def holder_id(world: World, volume: VolumeRecord, *, behind: float) -> str | None:
    """Return the machine that held a volume `behind` seconds ago."""
    if not behind:
        return volume.machine_id
    for machine in world.machines_of(volume.app):
        then = world.as_of(machine, world.clock - behind) if machine.volume_id == volume.id else None
        if then is not None and not then.is_destroyed:
            return machine.id
    return None


def changed_at(world: World, volume: VolumeRecord) -> float:
    """Return the time of the last change, by a request or by a schedule."""
    return max(volume.updated_at, volume.schedule.since(world.clock))


def update(
    world: World, volume: VolumeRecord, *, snapshot_retention: int | None, auto_backup_enabled: bool | None
) -> None:
    """Change the backup settings of a volume."""
    if snapshot_retention is not None:
        _check(volume.name, volume.size_gb, snapshot_retention)
        volume.snapshot_retention = snapshot_retention
    if auto_backup_enabled is not None:
        volume.auto_backup_enabled = auto_backup_enabled
    volume.updated_at = world.clock


def extend(world: World, volume: VolumeRecord, size_gb: int) -> bool:
    """Extend a volume; return whether its machine must restart to use the space."""
    if size_gb <= volume.size_gb:
        raise bad_request(f"volume can only be extended: {size_gb} GB is not more than {volume.size_gb} GB")
    _check(volume.name, size_gb, volume.snapshot_retention)
    volume.size_gb = size_gb
    volume.updated_at = world.clock
    machine = world.machines.get(volume.machine_id or "")
    return machine is not None and machine.state == "started"


def delete(world: World, volume: VolumeRecord) -> None:
    """Delete a volume that no machine is bound to; it stays readable."""
    if volume.machine_id is not None:
        raise failed_precondition(f"volume is currently bound to machine: {volume.machine_id}")
    if not is_gone(world, volume):
        volume.schedule = volume.schedule.change(world.clock, "pending_destroy").then(_SECONDS_PENDING, "destroyed")


def claimable(world: World, app: str, volume_id: str) -> VolumeRecord:
    """Return a volume that a new machine may mount; raise 400 or 412 if it cannot."""
    # A deleted volume can still be read, but not mounted: 400, as for an unknown volume.
    volume = world.volumes.get(volume_id)
    if volume is None or volume.app != app or is_gone(world, volume):
        raise bad_request("volume not found")
    if volume.machine_id is not None or world.clock < volume.claimed_until:
        raise failed_precondition(f"volume already claimed by machine {volume.machine_id or _NO_MACHINE}")
    if (state := volume.schedule.state(world.clock)) not in _MOUNTABLE:
        raise failed_precondition(f"volume {volume_id} can not be mounted in state: {state!r}")
    return volume


def _check(name: str, size_gb: int, retention: int) -> None:
    if not name:
        raise bad_request("name is required")
    if not 1 <= size_gb <= _MOST_GB:
        raise ApiError(422, f"size_gb must be between 1 and {_MOST_GB}")
    if retention not in _RETENTION:
        raise ApiError(422, "snapshot_retention must be between 1 and 60")
