"""Snapshots of volumes: taken one at a time, kept for some days, and restored into new volumes."""

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import failed_precondition, not_found
from flyasync.emulator.core.records import SnapshotRecord, VolumeRecord
from flyasync.emulator.core.state_schedule import StateSchedule
from flyasync.emulator.world.world import World

# The range of seconds that a snapshot takes; clients poll the list until it contains the snapshot.
_TAKING = (2.0, 8.0)
_DAY = 24 * 3600
# The assumed share of each volume that contains data.
_BYTES_FOR_GB = 36_007_729


def take(world: World, volume: VolumeRecord) -> SnapshotRecord:
    """Start a snapshot; raise 412 while another one is pending."""
    for other in volume.snapshots:
        if is_pending(world, other):
            raise failed_precondition(f"snapshot is already scheduled at {world.stamp(other.created_at)}")
    snapshot = SnapshotRecord(
        id=f"vs_{ids.token(world.random, 24)}",
        schedule=StateSchedule.start(world.clock, "pending").then(world.draw(_TAKING), "created"),
        size=volume.size_gb * _BYTES_FOR_GB,
        volume_gb=volume.size_gb,
        digest=ids.hexadecimal(world.random, 64),
        created_at=world.clock,
        retention_days=volume.snapshot_retention,
    )
    volume.snapshots.append(snapshot)
    return snapshot


def listed(world: World, volume: VolumeRecord) -> list[SnapshotRecord]:
    """Return the snapshots that have not expired, newest first; they outlive their volume."""
    kept = [item for item in volume.snapshots if world.clock < item.created_at + item.retention_days * _DAY]
    return kept[::-1]


def find(world: World, app: str, snapshot_id: str) -> SnapshotRecord:
    """Return a finished snapshot of any volume of an app, also a deleted one; raise 404 or 412 otherwise."""
    kept = [snapshot for volume in world.volumes_of(app) for snapshot in listed(world, volume)]
    found = next((snapshot for snapshot in kept if snapshot.id == snapshot_id), None)
    if found is None:
        raise not_found("snapshot")
    if is_pending(world, found):
        raise failed_precondition(f"snapshot {snapshot_id} is not finished")
    return found


def is_pending(world: World, snapshot: SnapshotRecord) -> bool:
    """Whether a snapshot is still being taken."""
    return snapshot.schedule.state(world.clock) == "pending"
