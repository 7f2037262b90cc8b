"""Machines, what happened to them, and what can be read from that."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import field, frozen

from flyasync.models.config import MachineConfig
from flyasync.models.image import at_digest
from flyasync.models.lease import MachineLease
from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp

TRANSIENT_STATES: Final = frozenset({
    "creating", "starting", "stopping", "restarting", "suspending", "destroying", "updating", "replacing",
    "launch_failed",
})  # fmt: skip
"""States that a machine leaves by itself; any other one, known or not, is settled."""

GONE: Final = frozenset({"destroying", "destroyed", "launch_failed", "migrated", "replaced"})
"""States from which a machine never comes back."""

KNOWN_STATES: Final = TRANSIENT_STATES | GONE | {"created", "started", "stopped", "suspended", "failed"}
"""The states that the documents name; the API may come to have others."""

# Rows the API adds for its own blue-green bookkeeping; they say nothing about the machine.
_FAKE_CHECKS: Final = "bg_deployments_compat"


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ImageRef(Model):
    """The image a machine runs, resolved."""

    registry: str | None = None
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    labels: Mapping[str, str] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CheckStatus(Model):
    """How one check stands: `passing`, `warning` or `critical`.

    A service's check is named `servicecheck-<number>-<type>-<port>`, one of the config by its key.
    """

    name: str | None = None
    status: str | None = None
    output: str | None = None
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ContainerStatus(Model):
    """How one container of a machine stands."""

    name: str | None = None
    state: str | None = None


@frozen(kw_only=True)
class ExitEvent:
    """How a machine's main process ended; zeros where the API was silent, for it leaves zeros out."""

    exit_code: int = 0
    signal: int = 0
    guest_exit_code: int = 0
    guest_signal: int = 0
    oom_killed: bool = False
    requested_stop: bool = False
    restarting: bool = False
    restart_count: int = 0
    exited_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineEvent(Model):
    """Something that happened to a machine; `timestamp` is in milliseconds.

    `type` is such as `launch`, `start`, `exit`, `update`; `status` the state it led to; `source` is `user`, `flyd` or
    `proxy`. `request` is free JSON, kept out of the repr, for it may hold a whole config.
    """

    id: str | None = None
    type: str | None = None
    status: str | None = None
    source: str | None = None
    timestamp: int | None = None
    request: Any = field(default=None, repr=False)

    @property
    def at(self) -> datetime | None:
        """When it happened, in UTC."""
        return None if self.timestamp is None else datetime.fromtimestamp(self.timestamp / 1000, UTC)

    @property
    def exit_event(self) -> ExitEvent | None:
        """How the process ended, where this event says so; what the monitor saw comes first."""
        # `request` is free JSON, so nothing in it can be relied on: a wrong type counts as missing.
        request = _object(self.request)
        for seen in (_object(request.get("MonitorEvent")), request):
            if end := _object(seen.get("exit_event")):
                exited_at = end.get("exited_at")
                return ExitEvent(
                    exit_code=_integer(end.get("exit_code")),
                    signal=_integer(end.get("signal")),
                    guest_exit_code=_integer(end.get("guest_exit_code")),
                    guest_signal=_integer(end.get("guest_signal")),
                    oom_killed=end.get("oom_killed") is True,
                    requested_stop=end.get("requested_stop") is True,
                    restarting=end.get("restarting") is True,
                    restart_count=_integer(request.get("restart_count")),
                    exited_at=exited_at if isinstance(exited_at, str) else None,
                )
        return None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Machine(Model):
    """A machine as the API last saw it.

    `id` lasts as long as the machine; `instance_id` names its present version, as `version` does in newer answers.
    When `host_status` is not `ok`, `config` is missing and `incomplete_config` holds what could be rebuilt, which is
    not fit to make another machine from. `events` are newest first, the last 20. `nonce` proves a lease and stays
    out of the repr; `lease` comes only when asked for. docs: machines/api/machines-resource
    """

    id: str
    name: str
    state: str
    region: str
    instance_id: str | None = None
    version: str | None = None
    private_ip: str | None = None
    image_ref: ImageRef | None = None
    config: MachineConfig | None = None
    incomplete_config: MachineConfig | None = None
    events: Sequence[MachineEvent] | None = None
    checks: Sequence[CheckStatus] | None = None
    containers: Sequence[ContainerStatus] | None = None
    cordoned: bool | None = None
    host_status: str | None = None
    lease: MachineLease | None = None
    nonce: str | None = field(default=None, repr=False)
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)

    @property
    def current_version(self) -> str | None:
        """The id of its present version, under either name."""
        # `version` is its name in newer responses.
        return self.version or self.instance_id

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of its config; empty where it has none."""
        return (self.config and self.config.metadata) or {}

    @property
    def image(self) -> str | None:
        """The image of its config, with the digest that it runs, as far as that is known: `REF:TAG@DIGEST`."""
        image = self.config and self.config.image
        return at_digest(image, self.image_ref.digest if self.image_ref else None) if image else None

    @property
    def is_settled(self) -> bool:
        """Whether it stays in its state until someone acts."""
        # A state that is not known here counts as settled, so that no wait for it lasts indefinitely.
        return self.state not in TRANSIENT_STATES

    @property
    def is_alive(self) -> bool:
        """Whether it may still run, now or once it is started."""
        return self.state not in GONE | {"failed"}

    @property
    def host_is_ok(self) -> bool:
        """Whether the API can reach its host; if not, what is said here may be old."""
        return self.host_status in {None, "", "ok"}

    @property
    def reported_checks(self) -> Sequence[CheckStatus]:
        """Its checks, without the rows that the platform adds for itself."""
        return tuple(check for check in self.checks or () if not (check.name or "").startswith(_FAKE_CHECKS))

    @property
    def failing_checks(self) -> Sequence[CheckStatus]:
        """The checks that have reported and do not pass."""
        # `warning` included: until its grace period is over, a check is `warning` or `critical`.
        return tuple(check for check in self.reported_checks if check.status != "passing")

    @property
    def checks_pass(self) -> bool:
        """Whether every check it should have has reported, and all pass; true when it should have none."""
        # A machine that has just started reports no checks yet, which does not mean that they pass.
        reported = self.reported_checks
        return len(reported) >= expected_checks(self.config) and all(check.status == "passing" for check in reported)

    @property
    def is_healthy(self) -> bool:
        """Whether it runs on a host that answers, with all its checks passing."""
        return self.state == "started" and self.host_is_ok and self.checks_pass

    @property
    def exit_event(self) -> ExitEvent | None:
        """How its main process last ended; None if that is not on record."""
        # By time, so that no order of the list has to be relied on.
        exits = [event for event in self.events or () if event.type == "exit"]
        return max(exits, key=lambda event: event.timestamp or 0).exit_event if exits else None

    @property
    def has_crashed(self) -> bool:
        """Whether it is stopped because its process failed, and not because a stop was requested."""
        # A requested stop ends many a process with an exit code of 143 (SIGTERM); that is not a crash.
        end = self.exit_event
        return self.state == "stopped" and end is not None and end.exit_code != 0 and not end.requested_stop

    @property
    def is_crash_looping(self) -> bool:
        """Whether it fails and is restarted repeatedly, without a request."""
        # As flyctl decides it (isConstantlyRestarting): a first restart is not a loop yet.
        last = self.exit_event
        return (
            last is not None
            and last.restarting
            and not last.requested_stop
            and last.exit_code != 0
            and last.restart_count > 1
        )


@frozen(kw_only=True, repr=False, field_transformer=settled)
class OrgMachine(Model):
    """A machine as the list of its whole organization shows it, which lags behind.

    Of `config` there are only the guest, the image and the metadata: not fit to update or to make a machine with.
    """

    id: str
    app_name: str | None = None
    name: str | None = None
    state: str | None = None
    region: str | None = None
    version: str | None = None
    private_ip: str | None = None
    config: MachineConfig | None = None
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class OrgMachinePage(Model):
    """A page of an organization's machines; there is another one while `next_cursor` is set.

    Regions in `error_regions` could not be read: that a machine there is missing here means nothing.
    """

    machines: Sequence[OrgMachine] | None = None
    next_cursor: str | None = None
    error_regions: Sequence[str] | None = None
    last_machine_id: str | None = None
    last_updated_at: Timestamp | None = field(default=None, converter=timestamp)

    @property
    def rows(self) -> Sequence[OrgMachine]:
        """What the page holds."""
        return self.machines or ()


def expected_checks(config: MachineConfig | None) -> int:
    """Return how many checks a machine with this config will report."""
    if config is None:
        return 0
    return len(config.checks or ()) + sum(len(service.checks or ()) for service in config.services or ())


def machine_host(app: str, machine_id: str) -> str:
    """Return a machine's name on the private network, which stays the same when it moves; its address does not."""
    return f"{machine_id}.vm.{app}.internal"


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0
