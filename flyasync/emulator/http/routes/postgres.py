"""Managed Postgres clusters over HTTP; every answer with a body is wrapped in `data`."""

from collections.abc import Mapping
from typing import Any

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.resources import ClusterRecord
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import postgres as views_postgres
from flyasync.emulator.world import postgres
from flyasync.emulator.world.world import World

_CREATE = {
    "org_slug": "string", "plan": "string", "region": "string", "name": "string", "disk_size_gb": "int",
    "pg_major_version": "string", "postgis_enabled": "bool",
}  # fmt: skip
_RESTORE = {"name": "string", "backup_id": "string", "pitr_time": "string"}


def create(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a cluster."""
    body = ask.body(_CREATE, "createClusterRequest")
    said: dict[str, Any] = {key: body[key] for key in _CREATE if body.get(key) is not None}
    wish = postgres.NewCluster(**{"org_slug": "", "plan": "", "region": "", **said})
    return _cluster(world, postgres.create(world, wish))


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List the clusters of an organization."""
    org_slug = ask.query.get("org_slug")
    if not org_slug:
        raise bad_request("org_slug is required")
    found = postgres.listed(world, org_slug, with_deleted=ask.flag("include_deleted"))
    return data([views_postgres.cluster_row(world, cluster) for cluster in found])


def get(world: World, ask: ApiRequest) -> ApiResponse:
    """Show a cluster."""
    return _cluster(world, cluster_of(world, ask))


def delete(world: World, ask: ApiRequest) -> ApiResponse:
    """Delete a cluster."""
    postgres.delete(world, cluster_of(world, ask))
    return ApiResponse(status=204)


def fork(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a cluster like another."""
    name = ask.body({"name": "string"}, "forkRequest", required=False).get("name") or ""
    return _cluster(world, postgres.copy(world, cluster_of(world, ask), name))


def restore(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a cluster out of the past of another."""
    body = ask.body(_RESTORE, "restoreRequest")
    name, backup_id, pitr_time = (body.get(key) or "" for key in _RESTORE)
    source = cluster_of(world, ask)
    return _cluster(world, postgres.restore(world, source, name, backup_id=backup_id, pitr_time=pitr_time))


def attach(world: World, ask: ApiRequest) -> ApiResponse:
    """Let an app use a cluster; doing it twice changes nothing."""
    name = ask.body({"app_name": "string"}, "attachRequest").get("app_name") or ""
    cluster = cluster_of(world, ask)
    cluster.attachments.setdefault(world.app(name).name, world.clock)
    return data(views_postgres.attachment(world, cluster, name))


def detach(world: World, ask: ApiRequest) -> ApiResponse:
    """Let an app use a cluster no longer."""
    attachments = cluster_of(world, ask).attachments
    postgres.found(attachments, ask.app, "attachment")
    del attachments[ask.app]
    return ApiResponse(status=204)


def backups(world: World, ask: ApiRequest) -> ApiResponse:
    """List the backups, newest first."""
    found = reversed(cluster_of(world, ask).backups.values())
    return data([views_postgres.backup(world, backup) for backup in found])


def back_up(world: World, ask: ApiRequest) -> ApiResponse:
    """Begin a backup."""
    kind = ask.body({"type": "string"}, "backupRequest").get("type") or ""
    return data(views_postgres.backup(world, postgres.back_up(world, cluster_of(world, ask), kind)))


def cluster_of(world: World, ask: ApiRequest) -> ClusterRecord:
    """Find the cluster in the path."""
    return postgres.find(world, ask.params["postgres_cluster_id"])


def data(body: Any) -> ApiResponse:
    """Wrap an answer as this part of the API does."""
    return ApiResponse(body={"data": body})


def _cluster(world: World, cluster: ClusterRecord) -> ApiResponse:
    return data(views_postgres.cluster(world, cluster))


HANDLERS: Mapping[str, Handler] = {
    "createPostgres": create,
    "listPostgres": listing,
    "getPostgres": get,
    "deletePostgres": delete,
    "forkPostgres": fork,
    "restorePostgres": restore,
    "createPostgresAttachment": attach,
    "deletePostgresAttachment": detach,
    "listPostgresBackups": backups,
    "createPostgresBackup": back_up,
}
