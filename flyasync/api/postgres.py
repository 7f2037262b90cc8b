"""Managed Postgres: clusters that Fly.io runs."""

from attrs import frozen

from flyasync.api.postgres_databases import PostgresDatabases, asks
from flyasync.api.resource import given, request
from flyasync.errors import InvalidInput
from flyasync.models.postgres import PostgresAttachment, PostgresBackup, PostgresCluster
from flyasync.transport.request import Repeat


@frozen
class Postgres(PostgresDatabases):
    """`fly.postgres`: managed Postgres clusters, their databases and users (docs: mpg/api).

    A new cluster is not ready at once: poll it until `is_ready`. A deleted one raises NotFound.
    """

    async def list(self, org_slug: str, *, include_deleted: bool | None = None) -> tuple[PostgresCluster, ...]:
        """List an organization's clusters, without their sizes and endpoints."""
        ask = request(
            "postgres.list",
            org_slug,
            to="GET postgres",
            repeat=Repeat.ANYTIME,
            query={"org_slug": org_slug, "include_deleted": include_deleted},
        )
        return await self._read(ask, tuple[PostgresCluster, ...])

    async def create(
        self,
        org_slug: str,
        *,
        region: str,
        plan: str,
        name: str | None = None,
        disk_size_gb: int | None = None,
        pg_major_version: str | None = None,
        pool_mode: str | None = None,
        postgis_enabled: bool | None = None,
    ) -> PostgresCluster:
        """Create a cluster.

        Not repeated after a lost response, since each request creates another cluster, which costs money: list them to
        find out. If cancelled, it may have been created.

        Args:
            org_slug: the organization.
            region: the region's code.
            plan: the plan, such as `basic`.
            name: the name of the cluster.
            disk_size_gb: the size of its disk in gigabytes.
            pg_major_version: the major version of Postgres.
            pool_mode: the mode of the connection pooler.
            postgis_enabled: whether PostGIS is available.
        """
        body = given(
            name=name,
            disk_size_gb=disk_size_gb,
            pg_major_version=pg_major_version,
            pool_mode=pool_mode,
            postgis_enabled=postgis_enabled,
        )
        ask = request(
            "postgres.create",
            org_slug,
            to="POST postgres",
            repeat=Repeat.UNSENT,
            body={"org_slug": org_slug, "region": region, "plan": plan, **body},
        )
        return await self._read(ask, PostgresCluster)

    async def get(self, cluster_id: str) -> PostgresCluster:
        """Get one cluster. Raises NotFound for one that is deleted."""
        return await self._read(asks("get", "GET {}", cluster_id), PostgresCluster)

    async def delete(self, cluster_id: str) -> None:
        """Delete a cluster with everything in it.

        Repeated after a lost response.
        """
        await self._caller.ask(asks("delete", "DELETE {}", cluster_id))

    async def fork(self, cluster_id: str, *, name: str | None = None) -> PostgresCluster:
        """Create a cluster with the current content of this one, which must be ready.

        Not repeated after a lost response: list the clusters to find out. If cancelled, it may have been created.
        """
        ask = asks("fork", "POST {}/fork", cluster_id, body=given(name=name), repeat=Repeat.UNSENT)
        return await self._read(ask, PostgresCluster)

    async def restore(
        self,
        cluster_id: str,
        *,
        backup_id: str | None = None,
        pitr_time: str | None = None,
        name: str | None = None,
    ) -> PostgresCluster:
        """Create a cluster from a backup of this one, or with its content at `pitr_time` (RFC 3339).

        Raises InvalidInput unless exactly one of the two is given. Not repeated after a lost response.
        """
        if (backup_id is None) == (pitr_time is None):
            raise InvalidInput("pass either backup_id or pitr_time, as the source of the restore")
        body = given(backup_id=backup_id, pitr_time=pitr_time, name=name)
        ask = asks("restore", "POST {}/restore", cluster_id, body=body, repeat=Repeat.UNSENT)
        return await self._read(ask, PostgresCluster)

    async def list_backups(self, cluster_id: str) -> tuple[PostgresBackup, ...]:
        """List a cluster's backups."""
        return await self._read(asks("list_backups", "GET {}/backups", cluster_id), tuple[PostgresBackup, ...])

    async def create_backup(self, cluster_id: str, *, type: str = "full") -> None:  # noqa: A002 - the API's word
        """Start a backup, `full`, `incr` or `diff`; the list shows its progress. Not repeated after a lost response."""
        ask = asks("create_backup", "POST {}/backups", cluster_id, body={"type": type}, repeat=Repeat.UNSENT)
        await self._caller.ask(ask)

    async def attach(self, cluster_id: str, app: str) -> PostgresAttachment:
        """Attach a cluster to an app: the API records that the app uses it. Repeated after a lost response.

        This does not set a secret. To give the app the connection URL, store it with `fly.secrets.set`.
        """
        ask = asks("attach", "POST {}/attachments", cluster_id, body={"app_name": app})
        return await self._read(ask, PostgresAttachment)

    async def detach(self, cluster_id: str, app: str) -> None:
        """Undo `attach`. Repeated after a lost response."""
        await self._caller.ask(asks("detach", "DELETE {}/attachments/{}", cluster_id, app))
