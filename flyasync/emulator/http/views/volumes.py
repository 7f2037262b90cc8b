"""Volumes and their snapshots in the API's JSON."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import SnapshotRecord, VolumeRecord
from flyasync.emulator.world import volumes
from flyasync.emulator.world.world import World

# Sizes are in gigabytes, bytes and blocks; no data is written here, so all space is free.
_BLOCK = 4096
_GB = 1024**3


def volume(world: World, record: VolumeRecord, *, behind: float = 0.0) -> Json:
    """Return a volume, with its state and its machine of `behind` seconds ago."""
    blocks = record.size_gb * _GB // _BLOCK
    return {
        "id": record.id,
        "name": record.name,
        "state": record.schedule.state(world.clock - behind),
        "size_gb": record.size_gb,
        "region": record.region,
        "zone": record.zone,
        "encrypted": record.encrypted,
        # flyctl regards a volume as free only if both ids are null and the host status is `ok`.
        "attached_machine_id": volumes.holder_id(world, record, behind=behind),
        "attached_alloc_id": None,
        "created_at": world.stamp(record.created_at),
        "blocks": blocks,
        "block_size": _BLOCK,
        "blocks_free": blocks,
        "blocks_avail": blocks,
        "bytes_total": record.size_gb * _GB,
        "bytes_used": 0,
        "fstype": record.fstype,
        "snapshot_retention": record.snapshot_retention,
        "auto_backup_enabled": record.auto_backup_enabled,
        "host_dedication_key": "",
        "type": "local",
        # Every host has what its volumes require.
        "host_features": list(record.required_host_features),
        "required_host_features": list(record.required_host_features),
        "host_status": record.host_status,
    }


def org_volume(world: World, record: VolumeRecord, *, behind: float = 0.0) -> Json:
    """Return a volume as an organization's list does."""
    changed = world.stamp(volumes.changed_at(world, record))
    return volume(world, record, behind=behind) | {"app_name": record.app, "updated_at": changed}


def snapshot(world: World, record: SnapshotRecord) -> Json:
    """Return a snapshot; its size is known when it is finished."""
    state = record.schedule.state(world.clock)
    return {
        "id": record.id,
        "status": state,
        "size": record.size if state == "created" else 0,
        "volume_size": record.volume_gb * _GB,
        "digest": record.digest,
        "created_at": world.stamp(record.created_at),
        "retention_days": record.retention_days,
    }
