"""What an app, a volume or an organization holds, as records; what is secret in them never shows in a repr."""

from attrs import Factory, define, field, frozen

from flyasync.emulator.core.state_schedule import StateSchedule


@frozen(kw_only=True)
class SecretRecord:
    """One secret of an app."""

    name: str
    value: str = field(repr=False)
    created_at: float
    updated_at: float


@frozen(kw_only=True)
class SecretKeyRecord:
    """One key that never leaves the platform."""

    name: str
    type: str
    value: bytes = field(repr=False)
    created_at: float
    updated_at: float


@define
class AppSecrets:
    """The secrets and keys of an app; each write makes a version, which reaches the hosts at its own moment."""

    version: int = 0
    kept: dict[str, SecretRecord] = Factory(dict)
    keys: dict[str, SecretKeyRecord] = Factory(dict)
    # The moment from which machines can be started with a version, for each version in order.
    known_at: list[float] = Factory(list)


@define(kw_only=True)
class CertificateRecord:
    """A hostname of an app and its certificates: when Fly's own was asked for, and when another was brought."""

    hostname: str
    created_at: float
    updated_at: float
    validated_at: float
    acme_at: float | None = None
    custom_at: float | None = None


@frozen(kw_only=True)
class AddressRecord:
    """An IP address assigned to an app."""

    ip: str
    type: str
    region: str
    service_name: str
    created_at: float
    is_shared: bool = False
    is_egress: bool = False


@frozen(kw_only=True)
class SnapshotRecord:
    """A copy of a volume."""

    id: str
    schedule: StateSchedule
    size: int
    volume_gb: int
    digest: str
    created_at: float
    retention_days: int


@frozen(kw_only=True)
class LogRecord:
    """One line an app has logged."""

    serial: int
    at: float
    message: str
    level: str
    instance: str
    region: str
    # Who wrote it: the app's own process, or the platform about a machine.
    provider: str


@define(kw_only=True)
class PostgresUserRecord:
    """Who may log in to a cluster."""

    username: str
    role: str
    password: str = field(repr=False)


@frozen(kw_only=True)
class BackupRecord:
    """A copy of a cluster."""

    id: str
    type: str
    schedule: StateSchedule
    started_at: float
    finished_at: float


@define(kw_only=True, eq=False)
class ClusterRecord:
    """A managed Postgres cluster; its databases map to their extensions, and those to the schema they live in."""

    id: str
    name: str
    org_slug: str
    region: str
    plan: str
    disk_size_gb: int
    pg_major_version: str
    postgis_enabled: bool
    created_at: float
    schedule: StateSchedule
    deleted_at: float | None = None
    users: dict[str, PostgresUserRecord] = Factory(dict)
    databases: dict[str, dict[str, str]] = Factory(dict)
    backups: dict[str, BackupRecord] = Factory(dict)
    attachments: dict[str, float] = Factory(dict)
