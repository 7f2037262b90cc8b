"""The resources of the world, as records. Times are seconds since the world began.

First apps and their parts, then machines, volumes and Postgres clusters. Secret values are not part of a repr.
"""

from collections import deque

from attrs import Factory, define, evolve, field, frozen

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.state_schedule import StateSchedule

# Bounds for a world that runs for days: older entries are dropped.
_EVENTS_KEPT = 50
_REACHED_KEPT = 200


@frozen(kw_only=True)
class SecretRecord:
    """One secret of an app."""

    name: str
    value: str = field(repr=False)
    created_at: float
    updated_at: float
    # Set for a secret of a real app, whose value is not known here.
    copied_digest: str | None = None


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
    """The secrets and keys of an app; each write creates a version, which reaches the hosts later."""

    version: int = 0
    kept: dict[str, SecretRecord] = Factory(dict)
    keys: dict[str, SecretKeyRecord] = Factory(dict)
    # The times from which machines can be started with each version, in order.
    known_at: list[float] = Factory(list)


@define(kw_only=True)
class CertificateRecord:
    """A hostname of an app, and when its certificates were requested from Fly or uploaded."""

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
    # The private network that reaches a Flycast address, if it is not that of the app.
    network: str = ""
    network_org: str = ""
    # The machine that an egress address belongs to; empty for one that all machines of its region share.
    machine_id: str = ""


@frozen(kw_only=True)
class LogRecord:
    """One line an app has logged."""

    serial: int
    at: float
    message: str
    level: str
    instance: str
    region: str
    # The source: the process of the app, or the platform.
    provider: str


@define(kw_only=True)
class ReleaseRecord:
    """A release of an app, which flyctl creates before a deploy, and whose status it sets while and after it."""

    id: str
    version: int
    status: str
    strategy: str
    image: str
    created_at: float
    updated_at: float
    # The fly.toml as JSON.
    definition: Json = Factory(dict)


@frozen(kw_only=True)
class AppLockRecord:
    """A lock that a client has taken on an app; it keeps no other client from anything."""

    id: str
    expires_at: float


@define(kw_only=True)
class LimitedTokenRecord:
    """A token for some of an organization's resources, such as one app."""

    id: str
    name: str
    org_slug: str
    profile: str
    params: Json
    token: str = field(repr=False)
    created_at: float
    expires_at: float
    revoked_at: float | None = None


@frozen(kw_only=True)
class InvitationRecord:
    """An invitation to an organization."""

    id: str
    email: str
    created_at: float


@define(kw_only=True)
class OrgRecord:
    """An organization that was created or changed by itself; others exist because an app names them."""

    slug: str
    name: str
    created_at: float
    # Organizations whose apps may replay requests to those of this one.
    replay_sources: list[str] = Factory(list)
    allows_all_replays: bool = False
    invitations: list[InvitationRecord] = Factory(list)


@define(kw_only=True)
class AppRecord:
    """An app: its name, owner and resources, except machines and volumes."""

    name: str
    id: str
    number: int
    org_slug: str
    network: str
    created_at: float
    role: str = ""
    is_deployed: bool = False
    # The time from which every node knows the app; the cookie routes a client to the node that created it.
    visible_at: float = 0.0
    affinity: str = field(default="", repr=False)
    # A create with the same key returns this app.
    idempotency_key: str = field(default="", repr=False)
    secrets: AppSecrets = Factory(AppSecrets)
    certificates: dict[str, CertificateRecord] = Factory(dict)
    addresses: dict[str, AddressRecord] = Factory(dict)
    releases: list[ReleaseRecord] = Factory(list)
    lock: AppLockRecord | None = None


@frozen(kw_only=True)
class EventRecord:
    """One event of a machine."""

    id: str
    type: str
    status: str
    source: str
    at: float
    request: Json | None = None


@frozen(kw_only=True)
class ReachedState:
    """A state that a version of a machine reached, numbered in order."""

    serial: int
    state: str
    version: str
    event_id: str


@frozen(kw_only=True)
class Transition:
    """A scheduled change of state: the new state, its time, and its event."""

    at: float
    to: str
    event: str | None = None
    status: str | None = None
    source: str = "flyd"
    request: Json | None = None
    # Set when the process ends by itself: the restart policy, not `to`, then determines the next state.
    output: Output | None = None


@frozen
class CheckPhase:
    """The time from which a check has a status; a flapping check changes again after about `flap` seconds."""

    check: str
    at: float
    status: str
    output: str
    flap: float = 0.0


@define(kw_only=True)
class LeaseRecord:
    """A lease on a machine, valid until `expires_at`."""

    nonce: str
    owner: str
    expires_at: float
    description: str
    version: str


@frozen
class ConfigVersion:
    """An earlier config of a machine, with its instance id."""

    id: str
    config: Json


@define(kw_only=True, eq=False)
class MachineRecord:
    """A machine, with its present state and its next transition."""

    id: str
    app: str
    name: str
    region: str
    config: Json
    # The digest that the tag pointed to when this reference was first used; an update to the same reference keeps it.
    digest: str
    instance_id: str
    private_ip: str
    created_at: float
    updated_at: float
    boot_seconds: float
    state: str = ""
    is_cordoned: bool = False
    host_status: str = "ok"
    # Whether the process accepts connections at the internal ports of its services.
    is_listening: bool = True
    # Whether to start the current version once it is prepared; otherwise it becomes `stopped`.
    shall_run: bool = True
    is_restarting: bool = False
    restart_count: int = 0
    active_until: float = 0.0
    visible_at: float = 0.0
    # Set when the memory limit was changed at run time; a new version has the memory of its config.
    memory_limit_mb: int | None = None
    next_transition: Transition | None = None
    lease: LeaseRecord | None = None
    serial: int = 0
    events: deque[EventRecord] = Factory(lambda: deque(maxlen=_EVENTS_KEPT))
    reached: deque[ReachedState] = Factory(lambda: deque(maxlen=_REACHED_KEPT))
    versions: list[ConfigVersion] = Factory(list)
    check_phases: tuple[CheckPhase, ...] = ()
    files: dict[str, bytes] = field(factory=dict, repr=False)

    def __repr__(self) -> str:
        due = f", {self.next_transition.to} at {self.next_transition.at:.2f} s" if self.next_transition else ""
        lease = f", leased until {self.lease.expires_at:.2f} s" if self.lease else ""
        return f"<MachineRecord {self.app}/{self.id} {self.name}: {self.state} in {self.region}{due}{lease}>"

    def copy(self) -> "MachineRecord":
        """Return a copy that later changes do not affect."""
        return evolve(self, events=self.events.copy())

    @property
    def is_destroyed(self) -> bool:
        """Whether the machine is destroyed."""
        return self.state == "destroyed"

    @property
    def has_host(self) -> bool:
        """Whether the host can be reached."""
        return self.host_status == "ok"

    @property
    def can_transition(self) -> bool:
        """Whether a due transition is visible; on an unreachable host, only the destruction is."""
        return self.has_host or self.state == "destroying"

    @property
    def volume_id(self) -> str | None:
        """The id of the volume that the machine mounts."""
        mounts = self.config.get("mounts")
        return mounts[0]["volume"] if mounts else None


@frozen(kw_only=True)
class SnapshotRecord:
    """A snapshot of a volume."""

    id: str
    schedule: StateSchedule
    size: int
    volume_gb: int
    digest: str
    created_at: float
    retention_days: int


@define(kw_only=True, eq=False)
class VolumeRecord:
    """A volume, and the machine that has claimed it."""

    id: str
    app: str
    name: str
    region: str
    zone: str
    size_gb: int
    encrypted: bool
    fstype: str
    snapshot_retention: int
    auto_backup_enabled: bool
    created_at: float
    updated_at: float
    schedule: StateSchedule
    required_host_features: tuple[str, ...] = ()
    host_status: str = "ok"
    machine_id: str | None = None
    # A destroyed machine can keep its claim for a short time.
    claimed_until: float = 0.0
    snapshots: list[SnapshotRecord] = Factory(list)


@define(kw_only=True)
class PostgresUserRecord:
    """A user of a cluster."""

    username: str
    role: str
    password: str = field(repr=False)


@frozen(kw_only=True)
class BackupRecord:
    """A backup of a cluster."""

    id: str
    type: str
    schedule: StateSchedule
    started_at: float
    finished_at: float


@define(kw_only=True, eq=False)
class ClusterRecord:
    """A Managed Postgres cluster; `databases` maps each database to its extensions, and these to their schemas."""

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
