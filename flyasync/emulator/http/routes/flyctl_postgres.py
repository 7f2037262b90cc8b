"""Managed Postgres as `flyctl mpg` asks api.fly.io for it, where that differs from the Machines API."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import BackupRecord, ClusterRecord, PostgresUserRecord
from flyasync.emulator.core.regions import REGIONS
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.routes.postgres import cluster_of, data
from flyasync.emulator.world import orgs, postgres
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_CREATE = {
    "name": "string", "region": "string", "plan": "string", "pg_major_version": "string", "storage_in_gb": "int",
    "postgis_enabled": "bool",
}  # fmt: skip


@HANDLERS.serves("mpgList")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the clusters of an organization."""
    found = postgres.listed(world, _org(world, request), with_deleted=False)
    return data([_cluster(world, each) for each in found])


@HANDLERS.serves("mpgListDeleted")
def deleted(world: World, request: ApiRequest) -> ApiResponse:
    """List the deleted clusters of an organization."""
    found = postgres.listed(world, _org(world, request), with_deleted=True)
    return data([_cluster(world, each) for each in found if each.deleted_at is not None])


@HANDLERS.serves("mpgGet")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show a cluster, and the credentials of its first user."""
    cluster = cluster_of(world, request)
    user, database = next(iter(cluster.users.values()), None), next(iter(cluster.databases), "")
    shown: Json = {"status": "pending"} if user is None else {"status": "ready", **_uri(cluster, user, database)}
    return ApiResponse(body={"data": _cluster(world, cluster), "credentials": shown})


@HANDLERS.serves("mpgCreate")
def create(world: World, request: ApiRequest) -> ApiResponse:
    """Create a cluster."""
    body = request.body(_CREATE, "createClusterInput")
    new = postgres.NewCluster(
        org_slug=_org(world, request),
        name=body.get("name") or "",
        plan=body.get("plan") or "",
        region=body.get("region") or "",
        disk_size_gb=body.get("storage_in_gb") or 10,
        pg_major_version=body.get("pg_major_version") or "16",
        postgis_enabled=body.get("postgis_enabled") or False,
    )
    made = postgres.create(world, new)
    return ApiResponse(status=201, body={"ok": True, "data": _cluster(world, made)})


@HANDLERS.serves("mpgDelete")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Delete a cluster."""
    postgres.delete(world, cluster_of(world, request))
    return ApiResponse(status=204)


@HANDLERS.serves("mpgRegions")
def regions(_: World, __: ApiRequest) -> ApiResponse:
    """List the regions, and whether each can have clusters."""
    return data([{"code": each.code, "available": each.gateway_available} for each in REGIONS if not each.deprecated])


@HANDLERS.serves("mpgDetach")
def detach(world: World, request: ApiRequest) -> ApiResponse:
    """Detach an app from a cluster."""
    postgres.remove(cluster_of(world, request).attachments, request.app, "Attachment")
    return data({"message": f"detached {request.app}"})


@HANDLERS.serves("mpgBackups")
def backups(world: World, request: ApiRequest) -> ApiResponse:
    """List the backups, newest first."""
    return data([_backup(world, each) for each in reversed(cluster_of(world, request).backups.values())])


@HANDLERS.serves("mpgBackUp")
def back_up(world: World, request: ApiRequest) -> ApiResponse:
    """Start a backup, a full one unless its type is given."""
    kind = request.body({"type": "string"}, "createBackupInput").get("type") or "full"
    return data(_backup(world, postgres.back_up(world, cluster_of(world, request), kind)))


@HANDLERS.serves("mpgRestore")
def restore(world: World, request: ApiRequest) -> ApiResponse:
    """Create a cluster from a backup of another."""
    body = request.body({"backup_id": "string", "name": "string", "pitr_time": "string"}, "restoreInput")
    backup_id, name, pitr_time = (body.get(key) or "" for key in ("backup_id", "name", "pitr_time"))
    source = cluster_of(world, request)
    made = postgres.restore(world, source, name, backup_id=backup_id, pitr_time=pitr_time)
    return data(_cluster(world, made))


@HANDLERS.serves("mpgUsers")
def users(world: World, request: ApiRequest) -> ApiResponse:
    """List the users."""
    return data([_user(each) for each in cluster_of(world, request).users.values()])


@HANDLERS.serves("mpgCreateUser")
def create_user(world: World, request: ApiRequest) -> ApiResponse:
    """Add a user; one for a database, as flyctl does for an app that it attaches, also gets a connection URI."""
    body = request.body({"user_name": "string", "role": "string", "db_name": "string"}, "createUserInput")
    cluster = cluster_of(world, request)
    user = postgres.add_user(world, cluster, body.get("user_name") or "", body.get("role") or "writer")
    uri = _uri(cluster, user, body.get("db_name") or "fly-db")["pgbouncer_uri"]
    return ApiResponse(status=201, body={"ok": True, "data": _user(user), "connection_uri": uri})


@HANDLERS.serves("mpgSetRole")
def set_role(world: World, request: ApiRequest) -> ApiResponse:
    """Change the role of a user."""
    role = request.body({"role": "string"}, "updateUserInput").get("role") or ""
    user = postgres.found(cluster_of(world, request).users, request.params["username"], "User")
    postgres.change_role(user, role)
    return data(_user(user))


@HANDLERS.serves("mpgCredentials")
def credentials(world: World, request: ApiRequest) -> ApiResponse:
    """Show the credentials of a user."""
    user = postgres.found(cluster_of(world, request).users, request.params["username"], "User")
    return data({"user": user.username, "password": user.password})


def _org(world: World, request: ApiRequest) -> str:
    return orgs.find(world, slug=request.params["org_slug"])


def _cluster(world: World, cluster: ClusterRecord) -> Json:
    return {
        "id": cluster.id,
        # Clusters of the second version have an id of their own here; flyctl treats these as the first version.
        "mpgd_cluster_id": "",
        "version": 1,
        "name": cluster.name,
        "region": cluster.region,
        "status": cluster.schedule.state(world.clock),
        "plan": cluster.plan,
        "disk": cluster.disk_size_gb,
        "replicas": 1,
        "organization": {
            "id": orgs.key(cluster.org_slug),
            "slug": cluster.org_slug,
            "name": orgs.name(world, cluster.org_slug),
        },
        "ip_assignments": {"direct": f"direct.{cluster.id}.flympg.net"},
        "attached_apps": [
            {"name": app, "id": world.apps[app].number} for app in cluster.attachments if app in world.apps
        ],
    }


def _uri(cluster: ClusterRecord, user: PostgresUserRecord, database: str) -> Json:
    host = f"pgbouncer.{cluster.id}.flympg.net"
    return {
        "user": user.username,
        "password": user.password,
        "dbname": database,
        "pgbouncer_uri": f"postgresql://{user.username}:{user.password}@{host}/{database}",
    }


def _backup(world: World, backup: BackupRecord) -> Json:
    is_done = backup.finished_at <= world.clock
    return {
        "id": backup.id,
        "status": backup.schedule.state(world.clock),
        "type": backup.type,
        "start": world.stamp(backup.started_at),
        "stop": world.stamp(backup.finished_at) if is_done else "",
    }


def _user(user: PostgresUserRecord) -> Json:
    return {"name": user.username, "role": user.role}
