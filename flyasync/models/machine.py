"""Machines, their events, and their derived states."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import field, frozen

from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.image import at_digest
from flyasync.models.lease import MachineLease
from flyasync.models.model import Model, settled
from flyasync.models.types import Timestamp, timestamp

TRANSIENT_STATES: Final = frozenset({
    "creating", "starting", "stopping", "restarting", "suspending", "destroying", "updating", "replacing",
    "launch_failed",
})  # fmt: skip
"""States that a machine leaves by itself; all others, including unknown ones, are settled."""

GONE: Final = frozenset({"destroying", "destroyed", "launch_failed", "migrated", "replaced"})
"""States from which a machine cannot be started again."""

KNOWN_STATES: Final = TRANSIENT_STATES | GONE | {"created", "started", "stopped", "suspended", "failed"}
"""The documented states; the API may add others."""

# Checks that the API adds for its own blue-green bookkeeping; they show nothing about the machine.
_FAKE_CHECKS: Final = "bg_deployments_compat"


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ImageRef(Model):
    """The image that a machine runs, with its digest."""

    registry: str | None = None
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    labels: Mapping[str, str] | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class CheckStatus(Model):
    """The status of one check: `passing`, `warning` or `critical`.

    The name of a service's check is `servicecheck-<number>-<type>-<port>`, that of a check in the config is its key.
    """

    name: str | None = None
    status: str | None = None
    output: str | None = None
    updated_at: Timestamp | None = field(default=None, converter=timestamp)


@frozen(kw_only=True, repr=False, field_transformer=settled)
class ContainerStatus(Model):
    """The state of one container of a machine."""

    name: str | None = None
    state: str | None = None


@frozen(kw_only=True)
class ExitEvent:
    """How a machine's main process ended. Missing numbers are 0, since the API omits zeros."""

    exit_code: int = 0
    signal: int = 0
    guest_exit_code: int = 0
    guest_signal: int = 0
    oom_killed: bool = False
    requested_stop: bool = False
    restarting: bool = False
    restart_count: int = 0
    exited_at: Timestamp | None = field(default=None, converter=timestamp)

    def __str__(self) -> str:
        memory = ", out of memory" if self.oom_killed else ""
        times = "once" if self.restart_count == 1 else f"{self.restart_count} times"
        return f"exit code {self.exit_code}{memory}" + (f", restarted {times}" if self.restart_count else "")


@frozen(kw_only=True, repr=False, field_transformer=settled)
class MachineEvent(Model):
    """An event of a machine; `timestamp` is in milliseconds.

    Examples of `type` are `launch`, `start`, `exit` and `update`. `status` is the resulting state; `source` is `user`,
    `flyd` or `proxy`. `request` is arbitrary JSON, which the repr does not show, since it may contain a whole config.
    """

    id: str | None = None
    type: str | None = None
    status: str | None = None
    source: str | None = None
    timestamp: int | None = None
    request: Any = field(default=None, repr=False)

    @property
    def at(self) -> datetime | None:
        """The time of the event, in UTC."""
        return None if self.timestamp is None else datetime.fromtimestamp(self.timestamp / 1000, UTC)

    @property
    def exit_event(self) -> ExitEvent | None:
        """How the process ended, if this event contains it; the monitor's data takes precedence."""
        # `request` is arbitrary JSON: a value of the wrong type counts as missing.
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
    """A machine as returned by the API.

    `id` never changes. `instance_id` is the current version; newer responses name it `version`. If `host_status` is not
    `ok`, `config` is missing, and `incomplete_config` contains what could be reconstructed, which must not be used to
    create or update a machine. `events` are the last 20, newest first. `nonce` proves a lease; the repr does not show
    it. `lease` is set only if it was requested. `host_features` are those of the machine's host. docs:
    machines/api/machines-resource
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
    host_features: Sequence[str] | None = None
    lease: MachineLease | None = None
    nonce: str | None = field(default=None, repr=False)
    created_at: Timestamp | None = field(default=None, converter=timestamp)
    updated_at: Timestamp | None = field(default=None, converter=timestamp)

    @property
    def current_version(self) -> str | None:
        """The id of the current version: `version` in newer responses, else `instance_id`."""
        return self.version or self.instance_id

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of the config; empty if there is none."""
        return (self.config and self.config.metadata) or {}

    @property
    def image(self) -> str | None:
        """The image of the config, with the digest that the machine runs if it is known: `REF:TAG@DIGEST`."""
        image = self.config and self.config.image
        return at_digest(image, self.image_ref.digest if self.image_ref else None) if image else None

    @property
    def is_settled(self) -> bool:
        """Whether the machine stays in its state until an action changes it."""
        # An unknown state counts as settled, so that a wait does not last indefinitely.
        return self.state not in TRANSIENT_STATES

    @property
    def is_alive(self) -> bool:
        """Whether the machine runs or can be started."""
        return self.state not in GONE | {"failed"}

    @property
    def host_is_ok(self) -> bool:
        """Whether the API can reach the machine's host; if not, the data of the machine may be outdated."""
        return self.host_status in {None, "", "ok"}

    @property
    def reported_checks(self) -> Sequence[CheckStatus]:
        """The checks of the machine, without those that the platform adds for itself."""
        return tuple(check for check in self.checks or () if not (check.name or "").startswith(_FAKE_CHECKS))

    @property
    def failing_checks(self) -> Sequence[CheckStatus]:
        """The checks that have reported and do not pass."""
        # This includes `warning`: during its grace period, a check is `warning` or `critical`.
        return tuple(check for check in self.reported_checks if check.status != "passing")

    @property
    def checks_pass(self) -> bool:
        """Whether all checks of the config have reported and pass; True if the config has none."""
        # A machine that has just started has not reported its checks yet, which does not mean that they pass.
        reported = self.reported_checks
        return len(reported) >= expected_checks(self.config) and all(check.status == "passing" for check in reported)

    @property
    def is_healthy(self) -> bool:
        """Whether the machine is started on a reachable host, and all its checks pass."""
        return self.state == "started" and self.host_is_ok and self.checks_pass

    def private_url(self, port: int) -> str:
        """Return the URL of a port in the private network, by the machine's address, which a migration may change.

        Raises InvalidInput if the API returned no address.
        """
        if not self.private_ip:
            raise InvalidInput(f"machine {self.id} has no private_ip: read it with `fly.machines.get`")
        return f"http://[{self.private_ip}]:{port}" if ":" in self.private_ip else f"http://{self.private_ip}:{port}"

    @property
    def exit_event(self) -> ExitEvent | None:
        """How the main process last ended; None if no event shows it."""
        # By timestamp, since the order of the list is not guaranteed.
        exits = [event for event in self.events or () if event.type == "exit"]
        return max(exits, key=lambda event: event.timestamp or 0).exit_event if exits else None

    @property
    def has_crashed(self) -> bool:
        """Whether the machine is stopped because its process failed, not because a stop was requested."""
        # After a requested stop many processes end with exit code 143 (SIGTERM), which is not a crash.
        end = self.exit_event
        return self.state == "stopped" and end is not None and end.exit_code != 0 and not end.requested_stop

    @property
    def is_crash_looping(self) -> bool:
        """Whether the process repeatedly fails and is restarted, without a request, since the last update."""
        # Same rule as flyctl's isConstantlyRestarting: a first restart is not a loop yet. But the API keeps the last
        # events for long, so that those of an earlier config would count after a rollback too.
        last = self.exit_event
        ends = max((event.timestamp or 0 for event in self.events or () if event.type == "exit"), default=0)
        is_outdated = any(event.type == "update" and (event.timestamp or 0) > ends for event in self.events or ())
        return (
            last is not None
            and not is_outdated
            and last.restarting
            and not last.requested_stop
            and last.exit_code != 0
            and last.restart_count > 1
        )


@frozen(kw_only=True, repr=False, field_transformer=settled)
class OrgMachine(Model):
    """A machine in the list of an organization, which lags.

    `config` contains only the guest, the image and the metadata, so it must not be used to create or update a machine.
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
    """A page of an organization's machines; if `next_cursor` is set, another page follows.

    The API could not read the regions in `error_regions`, so their machines are missing.
    """

    machines: Sequence[OrgMachine] | None = None
    next_cursor: str | None = None
    error_regions: Sequence[str] | None = None
    last_machine_id: str | None = None
    last_updated_at: Timestamp | None = field(default=None, converter=timestamp)

    @property
    def rows(self) -> Sequence[OrgMachine]:
        """The items of the page."""
        return self.machines or ()


def expected_checks(config: MachineConfig | None) -> int:
    """Return the number of checks that a machine with this config reports."""
    if config is None:
        return 0
    return len(config.checks or ()) + sum(len(service.checks or ()) for service in config.services or ())


def machine_host(app: str, machine_id: str) -> str:
    """Return the hostname of a machine in the private network; unlike its address, it never changes."""
    return f"{machine_id}.vm.{app}.internal"


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0
