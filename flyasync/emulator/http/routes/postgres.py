"""Managed Postgres clusters over HTTP; every response body is wrapped in `data`."""

from typing import Any

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.records import ClusterRecord
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import postgres as views_postgres
from flyasync.emulator.world import postgres
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_CREATE = {
    "org_slug": "string", "plan": "string", "region": "string", "name": "string", "disk_size_gb": "int",
    "pg_major_version": "string", "postgis_enabled": "bool",
}  # fmt: skip
_RESTORE = {"name": "string", "backup_id": "string", "pitr_time": "string"}


@HANDLERS.serves("createPostgres")
def create(world: World, request: ApiRequest) -> ApiResponse:
    """Create a cluster."""
    body = request.body(_CREATE, "createClusterRequest")
    given: dict[str, Any] = {key: body[key] for key in _CREATE if body.get(key) is not None}
    new = postgres.NewCluster(**{"org_slug": "", "plan": "", "region": "", **given})
    return _created(world, postgres.create(world, new))


@HANDLERS.serves("listPostgres")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the clusters of an organization."""
    org_slug = request.query.get("org_slug")
    if not org_slug:
        raise bad_request("org_slug is required and must be a string")
    found = postgres.listed(world, org_slug, with_deleted=request.flag("include_deleted"))
    return data([views_postgres.cluster_row(world, cluster) for cluster in found])


@HANDLERS.serves("getPostgres")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show a cluster."""
    return data(views_postgres.cluster(world, cluster_of(world, request)))


@HANDLERS.serves("deletePostgres")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Delete a cluster."""
    postgres.delete(world, cluster_of(world, request))
    return ApiResponse(status=202)


@HANDLERS.serves("forkPostgres")
def fork(world: World, request: ApiRequest) -> ApiResponse:
    """Create a fork of a cluster."""
    name = request.body({"name": "string"}, "forkRequest", required=False).get("name") or ""
    return _created(world, postgres.fork(world, cluster_of(world, request), name))


@HANDLERS.serves("restorePostgres")
def restore(world: World, request: ApiRequest) -> ApiResponse:
    """Create a cluster from a backup or an earlier time of another."""
    body = request.body(_RESTORE, "restoreRequest")
    name, backup_id, pitr_time = (body.get(key) or "" for key in _RESTORE)
    source = cluster_of(world, request)
    return _created(world, postgres.restore(world, source, name, backup_id=backup_id, pitr_time=pitr_time))


@HANDLERS.serves("createPostgresAttachment")
def attach(world: World, request: ApiRequest) -> ApiResponse:
    """Attach an app to a cluster; this is idempotent."""
    name = request.body({"app_name": "string"}, "attachRequest").get("app_name") or ""
    cluster = cluster_of(world, request)
    is_new = postgres.attach(world, cluster, name)
    return data(views_postgres.attachment(world, cluster, name), status=201 if is_new else 200)


@HANDLERS.serves("deletePostgresAttachment")
def detach(world: World, request: ApiRequest) -> ApiResponse:
    """Detach an app from a cluster."""
    postgres.remove(cluster_of(world, request).attachments, request.app, "Attachment")
    return ApiResponse(status=204)


@HANDLERS.serves("listPostgresBackups")
def backups(world: World, request: ApiRequest) -> ApiResponse:
    """List the backups, newest first."""
    found = reversed(cluster_of(world, request).backups.values())
    return data([views_postgres.backup(world, backup) for backup in found])


@HANDLERS.serves("createPostgresBackup")
def back_up(world: World, request: ApiRequest) -> ApiResponse:
    """Start a backup, which the list shows."""
    kind = request.body({"type": "string"}, "backupRequest").get("type") or ""
    postgres.back_up(world, cluster_of(world, request), kind)
    return ApiResponse(status=202)


def cluster_of(world: World, request: ApiRequest) -> ClusterRecord:
    """Return the cluster in the path."""
    return postgres.find(world, request.params["postgres_cluster_id"])


def data(body: Any, *, status: int = 200) -> ApiResponse:
    """Return a response in the envelope of this part of the API."""
    return ApiResponse(status=status, body={"data": body})


def _created(world: World, cluster: ClusterRecord) -> ApiResponse:
    return data(views_postgres.cluster(world, cluster), status=201)
