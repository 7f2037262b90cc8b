"""Managed Postgres in the API's JSON."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import BackupRecord, ClusterRecord, PostgresUserRecord
from flyasync.emulator.world.postgres import EXTENSIONS, PLANS
from flyasync.emulator.world.world import World

# No database listens at these endpoints.
_PORT = 5432
_BYTES = 30_000_000
_GB = 1024**3
_SECONDS_UNTIL_MEASURED = 3600.0


def cluster(world: World, record: ClusterRecord) -> Json:
    """Return a cluster; its storage is null until it has been measured."""
    plan = PLANS[record.plan]
    is_measured = world.clock - record.created_at >= _SECONDS_UNTIL_MEASURED
    shown = _summary(world, record) | {
        "disk_size_gb": record.disk_size_gb,
        "cpus": plan.cpus,
        "cpu_kind": plan.cpu_kind,
        "memory_mb": plan.memory_mb,
        "replicas": 1,
        "pg_major_version": record.pg_major_version,
        "postgis_enabled": record.postgis_enabled,
        # The data is of the same size as every backup.
        "storage_used_bytes": _BYTES if is_measured else None,
        "storage_provisioned_bytes": record.disk_size_gb * _GB if is_measured else None,
        "organization": {"name": record.org_slug, "slug": record.org_slug},
    }
    direct = {"host": f"direct.{record.id}.flympg.net", "port": _PORT}
    pooler = {"host": f"pgbouncer.{record.id}.flympg.net", "port": _PORT}
    return shown | {"endpoints": {"primary": {"direct": direct, "pooler": pooler}}}


def cluster_row(world: World, record: ClusterRecord) -> Json:
    """Return a cluster as a list does."""
    deleted_at = None if record.deleted_at is None else world.stamp(record.deleted_at)
    return _summary(world, record) | {"deleted_at": deleted_at}


def user(record: PostgresUserRecord) -> Json:
    """Return a user without the password."""
    return {"username": record.username, "role": record.role}


def credentials(record: PostgresUserRecord) -> Json:
    """Return the credentials of a user."""
    return {"username": record.username, "password": record.password}


def backup(world: World, record: BackupRecord) -> Json:
    """Return a backup; an unfinished one has no size."""
    # The size of every backup is made up.
    is_done = record.finished_at <= world.clock
    return {
        "id": record.id,
        "type": record.type,
        "status": record.schedule.state(world.clock),
        "size_bytes": _BYTES if is_done else 0,
        "started_at": world.stamp(record.started_at),
        "finished_at": world.stamp(record.finished_at) if is_done else None,
    }


def attachment(world: World, record: ClusterRecord, app: str) -> Json:
    """Return the attachment of an app to a cluster."""
    return {
        "app_name": app,
        "postgres_cluster_id": record.id,
        "attached_at": world.stamp(record.attachments[app]),
    }


def extensions(installed: dict[str, str]) -> list[Json]:
    """Return all extensions, with whether a database has them."""
    return [
        {
            "name": name,
            "default_version": extension.default_version,
            "description": extension.description,
            "system": extension.is_system,
            "installed": {"schema": installed[name], "version": extension.default_version}
            if name in installed
            else None,
        }
        for name, extension in EXTENSIONS.items()
    ]


def _summary(world: World, record: ClusterRecord) -> Json:
    return {
        "id": record.id,
        "name": record.name,
        "status": record.schedule.state(world.clock),
        "region": record.region,
        "plan": record.plan,
        "created_at": world.stamp(record.created_at),
        "attached_apps": [{"name": app} for app in record.attachments],
    }
