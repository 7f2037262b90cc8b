"""Managed Postgres: clusters, and what is in them."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.app import Organization
from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresEndpoint(Model):
    """Where to connect to; reachable on the organization's private network only."""

    host: str | None = None
    port: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresNodeEndpoints(Model):
    """The ways to one node: `direct`, or through the `pooler`."""

    direct: PostgresEndpoint | None = None
    pooler: PostgresEndpoint | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresClusterEndpoints(Model):
    """The ways into a cluster."""

    primary: PostgresNodeEndpoints | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresAttachedApp(Model):
    """An app that a cluster is attached to."""

    name: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresCluster(Model):
    """A managed Postgres cluster; sizes are in gigabytes, memory in megabytes.

    `status` is `ready` when it can be used; `failed` and `error` do not mend by themselves. A list leaves out the
    sizes and endpoints, and alone has `deleted_at`.
    """

    id: str | None = None
    name: str | None = None
    status: str | None = None
    region: str | None = None
    plan: str | None = None
    disk_size_gb: int | None = None
    cpus: int | None = None
    cpu_kind: str | None = None
    memory_mb: int | None = None
    replicas: int | None = None
    pg_major_version: str | int | None = None
    postgis_enabled: bool | None = None
    endpoints: PostgresClusterEndpoints | None = None
    organization: Organization | None = None
    attached_apps: Sequence[PostgresAttachedApp] | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    deleted_at: Timestamp | None = field(default=None, converter=timestamp)

    @property
    def is_ready(self) -> bool:
        """Whether it can be used."""
        return self.status == "ready"


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresAttachment(Model):
    """That an app has a cluster."""

    app_name: str | None = None
    postgres_cluster_id: str | None = None
    attached_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresBackup(Model):
    """A backup of a cluster; restore it by its `id`."""

    id: str | None = None
    type: str | None = None
    status: str | None = None
    size_bytes: int | None = None
    started_at: Timestamp | None = field(default=None, converter=timestamp)
    finished_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresDatabase(Model):
    """A database of a cluster."""

    name: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresInstalledExtension(Model):
    """The version of an extension that a database has, and the schema it is in."""

    version: str | None = None
    schema: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresExtension(Model):
    """An extension that a database can have; `installed` is set when it does."""

    name: str | None = None
    description: str | None = None
    default_version: str | None = None
    installed: PostgresInstalledExtension | None = None
    system: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresUser(Model):
    """A user of a cluster; `role` is such as `schema_admin`, `writer` or `reader`."""

    username: str | None = None
    role: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresCredentials(Model):
    """A user's name and password; the password stays out of the repr."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
