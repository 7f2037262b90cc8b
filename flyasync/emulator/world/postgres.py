"""Managed Postgres: clusters with a delay until they are ready, users, databases, extensions and backups."""

from typing import TypeVar

from attrs import frozen

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError, bad_request, not_found
from flyasync.emulator.core.records import BackupRecord, ClusterRecord, PostgresUserRecord
from flyasync.emulator.core.regions import CODES
from flyasync.emulator.core.state_schedule import StateSchedule
from flyasync.emulator.world.world import World

T = TypeVar("T")

ROLES = ("schema_admin", "writer", "reader")
# In seconds; real clusters take minutes.
_CREATING, _INITIALIZING, _DELETING = (5.0, 15.0), (15.0, 45.0), (5.0, 15.0)
_BACKING_UP = (2.0, 10.0)
_MOST_GB = 1000


@frozen
class PostgresPlan:
    """The size of the machines of a cluster."""

    cpu_kind: str
    cpus: int
    memory_mb: int


@frozen
class ExtensionRecord:
    """An extension that a database can have."""

    default_version: str
    description: str
    is_system: bool = False


PLANS = {
    "basic": PostgresPlan("shared", 2, 1024),
    "starter": PostgresPlan("shared", 2, 2048),
    "launch": PostgresPlan("performance", 2, 8192),
    "scale": PostgresPlan("performance", 4, 32768),
    "performance": PostgresPlan("performance", 8, 65536),
}
EXTENSIONS = {
    "plpgsql": ExtensionRecord("1.0", "PL/pgSQL procedural language", is_system=True),
    "pg_trgm": ExtensionRecord("1.6", "text similarity measurement and index searching based on trigrams"),
    "pgcrypto": ExtensionRecord("1.3", "cryptographic functions"),
    "postgis": ExtensionRecord("3.5.0", "PostGIS geometry and geography spatial types and functions"),
    "uuid-ossp": ExtensionRecord("1.1", "generate universally unique identifiers (UUIDs)"),
    "vector": ExtensionRecord("0.8.0", "vector data type and ivfflat and hnsw access methods"),
}


@frozen(kw_only=True)
class NewCluster:
    """The parameters of a new cluster."""

    org_slug: str
    plan: str
    region: str
    name: str = ""
    disk_size_gb: int = 10
    pg_major_version: str = "16"
    postgis_enabled: bool = False


def create(world: World, new: NewCluster) -> ClusterRecord:
    """Create a cluster with one user and one database."""
    if not new.org_slug:
        raise bad_request("org_slug is required and must be a string")
    if new.plan not in PLANS:
        raise ApiError(422, f"invalid plan: {new.plan!r}")
    if new.region not in CODES:
        raise ApiError(422, f"invalid region: {new.region!r}")
    if not 1 <= new.disk_size_gb <= _MOST_GB:
        raise ApiError(422, f"disk_size_gb must be between 1 and {_MOST_GB}")
    cluster = ClusterRecord(
        id=ids.token(world.random, 16),
        name=new.name or ids.machine_name(world.random),
        org_slug=new.org_slug,
        region=new.region,
        plan=new.plan,
        disk_size_gb=new.disk_size_gb,
        pg_major_version=new.pg_major_version,
        postgis_enabled=new.postgis_enabled,
        created_at=world.clock,
        schedule=StateSchedule.start(world.clock, "creating")
        .then(world.draw(_CREATING), "initializing")
        .then(world.draw(_INITIALIZING), "ready"),
        databases={"fly-db": _extensions()},
    )
    add_user(world, cluster, "fly-user", "schema_admin")
    world.clusters[cluster.id] = cluster
    return cluster


def copy(world: World, source: ClusterRecord, name: str) -> ClusterRecord:
    """Create a cluster with the content of another; users get new passwords."""
    new = NewCluster(
        org_slug=source.org_slug,
        plan=source.plan,
        region=source.region,
        name=name or f"{source.name}-copy",
        disk_size_gb=source.disk_size_gb,
        pg_major_version=source.pg_major_version,
        postgis_enabled=source.postgis_enabled,
    )
    cluster = create(world, new)
    cluster.databases = {database: dict(extensions) for database, extensions in source.databases.items()}
    cluster.users = {}
    for user in source.users.values():
        add_user(world, cluster, user.username, user.role)
    return cluster


def fork(world: World, source: ClusterRecord, name: str) -> ClusterRecord:
    """Create a fork of a cluster, which must be ready."""
    if source.schedule.state(world.clock) != "ready":
        raise ApiError(409, "The source cluster is not ready to be forked yet")
    return copy(world, source, name or f"{source.name}-fork")


def find(world: World, cluster_id: str) -> ClusterRecord:
    """Return a cluster; raise 410 for one that is deleted or is being deleted, 404 for an unknown one."""
    cluster = found(world.clusters, cluster_id, "Cluster")
    if cluster.deleted_at is not None:
        is_gone = cluster.schedule.state(world.clock) == "deleted"
        raise ApiError(410, f"This cluster {'has been' if is_gone else 'is being'} deleted")
    return cluster


def listed(world: World, org_slug: str, *, with_deleted: bool) -> list[ClusterRecord]:
    """Return the clusters of an organization, oldest first."""
    return [
        cluster
        for cluster in world.clusters.values()
        if cluster.org_slug == org_slug and (with_deleted or cluster.deleted_at is None)
    ]


def delete(world: World, cluster: ClusterRecord) -> None:
    """Delete a cluster permanently."""
    cluster.deleted_at = world.clock
    cluster.schedule = StateSchedule.start(world.clock, "deleting").then(world.draw(_DELETING), "deleted")


def add_user(world: World, cluster: ClusterRecord, username: str, role: str) -> PostgresUserRecord:
    """Add a user with a generated password."""
    if not username or not role:
        raise ApiError(422, "username and role are required")
    demand_role(role)
    if username in cluster.users:
        raise ApiError(409, "User already exists")
    cluster.users[username] = PostgresUserRecord(username=username, role=role, password=ids.token(world.random, 24))
    return cluster.users[username]


def rotate_password(world: World, user: PostgresUserRecord) -> None:
    """Replace the password of a user."""
    user.password = ids.token(world.random, 24)


def add_database(cluster: ClusterRecord, name: str) -> None:
    """Create an empty database."""
    if not name:
        raise ApiError(422, "name is required")
    # The document has no 409 for databases.
    if name in cluster.databases:
        raise bad_request(f"Database {name} already exists")
    cluster.databases[name] = _extensions()


def enable(cluster: ClusterRecord, database: str, extension: str, schema: str) -> None:
    """Enable an extension in a database; PostGIS needs a cluster with it."""
    if extension not in EXTENSIONS:
        raise ApiError(422, "Unknown or unsupported extension")
    installed = found(cluster.databases, database, "Database")
    if extension in installed:
        raise ApiError(409, f"Extension {extension} is already installed in schema {installed[extension]}")
    if extension == "postgis" and not cluster.postgis_enabled:
        raise ApiError(409, "PostGIS is not enabled on this cluster")
    installed[extension] = schema


def disable(cluster: ClusterRecord, database: str, extension: str) -> None:
    """Disable an extension; raise an error for those that the system needs."""
    installed = found(cluster.databases, database, "Database")
    found(installed, extension, "Extension")
    if EXTENSIONS[extension].is_system:
        raise bad_request("System extensions cannot be disabled")
    del installed[extension]


def back_up(world: World, cluster: ClusterRecord, kind: str) -> BackupRecord:
    """Start a backup; raise 409 while another one is running."""
    if kind not in {"full", "incr", "diff"}:
        raise bad_request(f"invalid type: {kind!r}")
    if any(backup.finished_at > world.clock for backup in cluster.backups.values()):
        raise ApiError(409, "A backup is currently running")
    seconds = world.draw(_BACKING_UP)
    backup = BackupRecord(
        id=ids.token(world.random, 16),
        type=kind,
        schedule=StateSchedule.start(world.clock, "in_progress").then(seconds, "completed"),
        started_at=world.clock,
        finished_at=world.clock + seconds,
    )
    cluster.backups[backup.id] = backup
    return backup


def restore(world: World, cluster: ClusterRecord, name: str, *, backup_id: str, pitr_time: str) -> ClusterRecord:
    """Create a cluster from a backup, or from an earlier time of this one."""
    if bool(backup_id) == bool(pitr_time):
        raise ApiError(422, "exactly one of backup_id and pitr_time is required")
    # Earlier states are not stored: in both cases the new cluster has the present content of the old one.
    if backup_id and backup_id not in cluster.backups:
        raise ApiError(404, f"Backup {backup_id} not found for cluster {cluster.id}")
    if backup_id and cluster.backups[backup_id].finished_at > world.clock:
        raise ApiError(422, "the backup is not finished")
    return copy(world, cluster, name)


def demand_role(role: str) -> None:
    """Raise 422 for a role that does not exist."""
    if role not in ROLES:
        raise ApiError(422, f"invalid role: {role!r}")


def change_role(user: PostgresUserRecord, role: str) -> None:
    """Change the role of a user."""
    demand_role(role)
    user.role = role


def attach(world: World, cluster: ClusterRecord, app: str) -> bool:
    """Attach an app to a cluster; return False if it is attached already."""
    found(world.apps, app, "App")
    is_new = app not in cluster.attachments
    cluster.attachments.setdefault(app, world.clock)
    return is_new


def remove(things: dict[str, T], name: str, what: str) -> None:
    """Remove an item by name; raise 404 for an unknown one."""
    found(things, name, what)
    del things[name]


def found(things: dict[str, T], name: str, what: str) -> T:
    """Return an item by name; raise 404 for an unknown one."""
    if name not in things:
        raise not_found(what)
    return things[name]


def _extensions() -> dict[str, str]:
    return {name: "pg_catalog" for name, extension in EXTENSIONS.items() if extension.is_system}
