"""The world as the console in the browser shows it."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import MachineRecord, VolumeRecord
from flyasync.emulator.world import checks, leases, volumes
from flyasync.emulator.world.world import World


def overview(world: World) -> Json:
    """Return the apps, machines, volumes and capacity, without configs, secrets, nonces and the time."""
    return {
        "apps": [{"name": app.name, "org": app.org_slug} for app in world.apps.values()],
        "machines": [_machine(world, each) for each in world.machines.values() if each.state != "destroyed"],
        "volumes": [_volume(world, each) for each in world.volumes.values()],
        "capacity": world.capacity,
    }


def _machine(world: World, record: MachineRecord) -> Json:
    lease = leases.current(world, record)
    return {
        "id": record.id,
        "app": record.app,
        "name": record.name,
        "region": record.region,
        "state": record.state,
        "host": record.host_status,
        "cordoned": record.is_cordoned,
        "image": record.config.get("image") or "",
        "lease": lease and {"owner": lease.owner, "seconds_left": round(lease.expires_at - world.clock, 1)},
        "checks": [
            {"name": each["name"], "status": each["status"]} for each in checks.rows(world, record, world.clock)
        ],
    }


def _volume(world: World, record: VolumeRecord) -> Json:
    return {
        "id": record.id,
        "app": record.app,
        "name": record.name,
        "region": record.region,
        "size_gb": record.size_gb,
        "state": record.schedule.state(world.clock),
        "machine": volumes.holder_id(world, record, behind=0.0),
    }
