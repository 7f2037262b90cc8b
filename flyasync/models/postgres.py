"""Managed Postgres: clusters, their databases and users."""

from collections.abc import Sequence

from attrs import field, frozen

from flyasync.models.app import Organization
from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresEndpoint(Model):
    """The host and port of an endpoint, reachable only in the organization's private network."""

    host: str | None = None
    port: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresNodeEndpoints(Model):
    """The endpoints of one node: `direct`, and through the `pooler`."""

    direct: PostgresEndpoint | None = None
    pooler: PostgresEndpoint | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresClusterEndpoints(Model):
    """The endpoints of a cluster."""

    primary: PostgresNodeEndpoints | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresAttachedApp(Model):
    """An app that a cluster is attached to."""

    name: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresCluster(Model):
    """A managed Postgres cluster; sizes are in gigabytes, memory in megabytes.

    `status` is `creating`, then `initializing`, then `ready` if it can be used; `deleting`, then `deleted`; `failed`
    and `error` are permanent. `storage_used_bytes` and `storage_provisioned_bytes` are the sums over the volumes of the
    cluster; they are measured each hour, and missing before. Lists omit the sizes and endpoints; only lists contain
    `deleted_at`.
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
    storage_used_bytes: int | None = None
    storage_provisioned_bytes: int | None = None
    endpoints: PostgresClusterEndpoints | None = None
    organization: Organization | None = None
    attached_apps: Sequence[PostgresAttachedApp] | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    deleted_at: Timestamp | None = field(default=None, converter=timestamp)

    @property
    def is_ready(self) -> bool:
        """Whether the cluster can be used."""
        return self.status == "ready"


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresAttachment(Model):
    """The attachment of a cluster to an app."""

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
    """The version of an enabled extension, and its schema."""

    version: str | None = None
    schema: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresExtension(Model):
    """An extension that is available to a database; `installed` is set if it is enabled."""

    name: str | None = None
    description: str | None = None
    default_version: str | None = None
    installed: PostgresInstalledExtension | None = None
    system: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresUser(Model):
    """A user of a cluster; `role` is, for example, `schema_admin`, `writer` or `reader`."""

    username: str | None = None
    role: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresCredentials(Model):
    """The name and password of a user; the repr does not show the password."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresActiveQuery(Model):
    """A query that a database executes now; times are in seconds.

    `query` is the full text, which the repr does not show, since it may contain values.
    """

    pid: int | None = None
    query: str | None = field(default=None, repr=False)
    database: str | None = None
    user: str | None = None
    application_name: str | None = None
    client: str | None = None
    state: str | None = None
    duration_seconds: float | None = None
    state_duration_seconds: float | None = None
    wait_event: str | None = None
    wait_event_type: str | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class PostgresSlowQuery(Model):
    """A query pattern with its execution times in seconds, cumulative since the database counts them.

    `query` is the full text of the pattern, which the repr does not show.
    """

    query_id: str | None = None
    query: str | None = field(default=None, repr=False)
    database: str | None = None
    user: str | None = None
    calls: int | None = None
    total_exec_time_seconds: float | None = None
    mean_exec_time_seconds: float | None = None
    max_exec_time_seconds: float | None = None
