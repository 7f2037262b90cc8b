"""The records of the world in the API's JSON."""

from typing import Any

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import image_ref
from flyasync.emulator.core.records import AppRecord, EventRecord, LeaseRecord, MachineRecord, VolumeRecord
from flyasync.emulator.core.regions import RegionRecord
from flyasync.emulator.world import checks, leases, orgs
from flyasync.emulator.world.apps import PLENTY
from flyasync.emulator.world.volumes import listed
from flyasync.emulator.world.world import World

_EVENTS_SHOWN = 20
_BLOCK = 4096
_GB = 1024**3


def app(world: World, record: AppRecord) -> Json:
    """Show an app."""
    return {
        "id": record.id,
        "internal_numeric_id": record.number,
        "name": record.name,
        "status": "deployed" if record.is_deployed else "pending",
        "organization": {
            "name": record.org_slug,
            "slug": record.org_slug,
            "internal_numeric_id": orgs.number(record.org_slug),
        },
        "network": record.network,
        "cname_target": f"{record.id[:7]}.{record.name}.fly.dev",
        "created_at": world.milliseconds(record.created_at),
        **({"app_role": record.role} if record.role else {}),
        **_counts(world, record),
    }


def app_row(world: World, record: AppRecord) -> Json:
    """Show an app as a list does."""
    return {"id": record.id, "name": record.name, **_counts(world, record), "network": record.network}


def machine(
    world: World, record: MachineRecord, *, summary: bool = False, with_lease: bool = False, behind: float = 0.0
) -> Json:
    """Show a machine, its checks as they were `behind` seconds ago; a summary leaves out config, events and checks.

    A lease is shown without its nonce, which belongs to the holder.
    """
    lease = leases.current(world, record)
    shown = _identity(world, record)
    if not summary:
        shown |= _details(world, record, world.clock - behind)
    if lease is not None and with_lease:
        shown["lease"] = _stripped(world, lease)
    return shown


def event(world: World, record: EventRecord) -> Json:
    """Show one line of a machine's history."""
    shown = {
        "id": record.id,
        "type": record.type,
        "status": record.status,
        "source": record.source,
        "timestamp": world.milliseconds(record.at),
    }
    return shown if record.request is None else shown | {"request": record.request}


def events(world: World, record: MachineRecord, limit: int = _EVENTS_SHOWN) -> list[Json]:
    """Show a machine's history, newest first."""
    return [event(world, item) for item in list(record.events)[:limit]]


def lease(world: World, record: LeaseRecord) -> Json:
    """Show a lease in its envelope."""
    return {
        "status": "success",
        "data": {"nonce": record.nonce, "version": record.version, **_stripped(world, record)},
    }


def volume(world: World, record: VolumeRecord) -> Json:
    """Show a volume."""
    blocks = record.size_gb * _GB // _BLOCK
    return {
        "id": record.id,
        "name": record.name,
        "state": record.schedule.state(world.clock),
        "size_gb": record.size_gb,
        "region": record.region,
        "zone": record.zone,
        "encrypted": record.encrypted,
        "attached_machine_id": record.machine_id,
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
        "host_status": record.host_status,
    }


def region(world: World, record: RegionRecord) -> Json:
    """Show a region and the room it has left."""
    room = world.room(record.code)
    return {
        "code": record.code,
        "name": record.name,
        "latitude": record.latitude,
        "longitude": record.longitude,
        "gateway_available": record.gateway_available,
        "requires_paid_plan": record.requires_paid_plan,
        "deprecated": record.deprecated,
        "capacity": PLENTY if room is None else room,
        "geo_region": record.geo_region,
        "mpg_available": record.gateway_available,
    }


def _identity(world: World, record: MachineRecord) -> Json:
    return {
        "id": record.id,
        "name": record.name,
        "state": record.state,
        "region": record.region,
        "image_ref": image_ref(record.config.get("image") or "", record.digest),
        "instance_id": record.instance_id,
        "version": record.instance_id,
        "private_ip": record.private_ip,
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
        "host_status": record.host_status,
        "cordoned": record.is_cordoned,
    }


def _details(world: World, record: MachineRecord, now: float) -> dict[str, Any]:
    containers = [{"name": item.get("name"), "state": record.state} for item in record.config.get("containers") or ()]
    return {
        "config": record.config if record.has_host else None,
        **({} if record.has_host else {"incomplete_config": record.config}),
        **({"containers": containers} if containers else {}),
        "events": events(world, record),
        "checks": checks.rows(world, record, now),
    }


def _counts(world: World, record: AppRecord) -> Json:
    machines = [item for item in world.machines_of(record.name) if not item.is_destroyed]
    return {"machine_count": len(machines), "volume_count": len(listed(world, record.name))}


def _stripped(world: World, record: LeaseRecord) -> Json:
    return {
        "expires_at": world.unix(record.expires_at),
        "owner": record.owner,
        "description": record.description,
    }
