"""Apps, their resources except machines and volumes, and regions, in the API's JSON."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import AddressRecord, AppRecord, LogRecord, ReleaseRecord
from flyasync.emulator.core.regions import RegionRecord
from flyasync.emulator.world import orgs, volumes
from flyasync.emulator.world.apps import PLENTY
from flyasync.emulator.world.world import World


def app(world: World, record: AppRecord) -> Json:
    """Return an app."""
    return {
        "id": record.id,
        "internal_numeric_id": record.number,
        "name": record.name,
        # `pending` until the first machine: flyctl uses it to distinguish first and later deploys.
        "status": "deployed" if record.is_deployed else "pending",
        "organization": {
            "name": orgs.name(world, record.org_slug),
            "slug": record.org_slug,
            "internal_numeric_id": orgs.number(record.org_slug),
        },
        "network": record.network,
        "cname_target": f"{record.id[:7]}.{record.name}.fly.dev",
        # Milliseconds, as in events; all other times are text.
        "created_at": world.milliseconds(record.created_at),
        **({"app_role": record.role} if record.role else {}),
        **_counts(world, record),
    }


def app_row(world: World, record: AppRecord) -> Json:
    """Return an app as a list does."""
    return {"id": record.id, "name": record.name, **_counts(world, record), "network": record.network}


def region(world: World, record: RegionRecord) -> Json:
    """Return a region and its remaining capacity."""
    room = world.room(record.code)
    return {
        "code": record.code,
        "name": record.name,
        "latitude": record.latitude,
        "longitude": record.longitude,
        "gateway_available": record.gateway_available,
        "requires_paid_plan": record.requires_paid_plan,
        "deprecated": record.code in world.retired,
        # Only for tokens with permission; here every token has it.
        "capacity": PLENTY if room is None else room,
        "geo_region": record.geo_region,
        "mpg_available": record.gateway_available,
    }


def address(world: World, app: AppRecord, record: AddressRecord) -> Json:
    """Return an IP address of an app; only a Flycast address has a network, whose name is empty for the default one."""
    name = record.network or ("" if app.network == "default" else app.network)
    network = {"name": name, "org_slug": record.network_org or app.org_slug}
    return {
        "ip": record.ip,
        "type": record.type,
        "region": record.region,
        "service_name": record.service_name,
        "shared": record.is_shared,
        "egress": record.is_egress,
        "network": network if record.type == "private_v6" else None,
        "created_at": world.stamp(record.created_at),
    }


def release(world: World, record: ReleaseRecord) -> Json:
    """Return a release, as api.fly.io does outside of GraphQL."""
    return {
        "id": record.id,
        "version": record.version,
        "stable": record.status == "complete",
        "in_progress": record.status in {"pending", "running"},
        "status": record.status,
        "strategy": record.strategy,
        "user": "emulator@example.com",
        "created_at": world.stamp(record.created_at),
        "image_ref": record.image,
    }


def log_line(world: World, record: LogRecord) -> Json:
    """Return a line of an app's log."""
    # The JSON:API format of api.fly.io, which serves logs, not the format of the Machines API.
    return {
        "id": str(record.serial),
        "type": "log",
        "attributes": {
            "timestamp": world.stamp(record.at),
            "message": record.message,
            "level": record.level,
            "instance": record.instance,
            "region": record.region,
            "meta": {"instance": record.instance, "region": record.region, "event": {"provider": record.provider}},
        },
    }


def _counts(world: World, record: AppRecord) -> Json:
    machines = [item for item in world.machines_of(record.name) if not item.is_destroyed]
    return {"machine_count": len(machines), "volume_count": len(volumes.listed(world, record.name))}
