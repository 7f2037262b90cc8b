"""A copy of a real app for the emulator: what the API shows of it, as a world, without the values of secrets."""

import asyncio
import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define, field

from flyasync.api.client import FlyClient
from flyasync.models.certificate import CertificateSummary
from flyasync.models.ip_assignment import IPAssignment
from flyasync.models.json.codec import unstructure
from flyasync.models.machine import GONE, Machine, MachineEvent
from flyasync.models.redaction import contains_secret, is_secret, names_a_secret, without_passwords
from flyasync.models.secret import Secret
from flyasync.models.types import Timestamp
from flyasync.models.volume import Volume

REDACTED: Final = "redacted"
# A machine that is between two states reaches the second one after a moment: the state that the emulator has for it,
# and the transition that follows.
_PENDING: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "creating": ("created", {"to": "starting"}),
    "created": ("created", {"to": "starting"}),
    "starting": ("starting", {"to": "started", "event": "start"}),
    "updating": ("replacing", {"to": "starting"}),
    "replacing": ("replacing", {"to": "starting"}),
    "restarting": ("restarting", {"to": "starting"}),
    "stopping": ("stopping", {"to": "stopped", "event": "stop"}),
    "suspending": ("suspending", {"to": "suspended", "event": "suspend"}),
}
_STATES: Final = frozenset({"started", "stopped", "suspended", "failed"})
_CHECKS: Final = frozenset({"passing", "warning", "critical"})
_GONE_VOLUMES: Final = frozenset({"pending_destroy", "scheduling_destroy", "destroying", "destroyed"})
# Emulated seconds: until a pending change has happened, and of a boot.
_SOON, _BOOT = 2.0, 2.0


@define
class WorldCopy:
    """The world that has been read so far; its clock is 0 at the time of the copy."""

    now: datetime
    document: dict[str, Any] = field(init=False)
    redacted: int = 0

    def __attrs_post_init__(self) -> None:
        self.document = {
            "format": "flyasync-emulator-world",
            "version": 1,
            "epoch": self.now.isoformat(),
            "apps": {},
            "machines": {},
            "volumes": {},
        }

    def __str__(self) -> str:
        machines, volumes = len(self.document["machines"]), len(self.document["volumes"])
        secrets = sum(len(app["secrets"]["kept"]) for app in self.document["apps"].values())
        copied = f"{_number(machines, 'machine')}, {_number(volumes, 'volume')}"
        return (
            f"imported {', '.join(self.document['apps'])}: {copied}, {_number(secrets, 'secret')} without a value; "
            f"{_number(self.redacted, 'value')} of machine configs that may be secret: {REDACTED!r} instead"
        )

    async def add(self, fly: FlyClient, app: str) -> None:
        """Read an app with six requests at once, and add it; raise what the client raises, such as NotFound."""
        found, machines, volumes, addresses, certificates, secrets = await asyncio.gather(
            fly.apps.get(app),
            fly.machines.list(app),
            fly.volumes.list(app),
            fly.ip_assignments.list(app),
            _certificates(fly, app),
            fly.secrets.list(app),
        )
        self.document["apps"][app] = {
            "name": app,
            "id": found.id or app,
            "number": found.internal_numeric_id or 0,
            "org_slug": (found.organization and found.organization.slug) or "personal",
            "network": found.network or "default",
            "created_at": 0.0 if found.created_at is None else found.created_at / 1000 - self.now.timestamp(),
            "is_deployed": found.status == "deployed" or bool(machines),
            "secrets": {"version": 1, "kept": self._secrets(secrets), "known_at": [0.0]},
            "certificates": {each.hostname: self._certificate(each) for each in certificates if each.hostname},
            "addresses": {each.ip: self._address(each) for each in addresses if each.ip},
        }
        self.document["volumes"] |= {
            each.id: self._volume(app, each) for each in volumes if each.state not in _GONE_VOLUMES
        }
        self.document["machines"] |= {each.id: self._machine(app, each) for each in machines if each.state not in GONE}

    def _seconds(self, time: Timestamp | None) -> float:
        moment = time.datetime if time else None
        # The clocks of Fly.io may be ahead of this one.
        return min(0.0, (moment - self.now).total_seconds()) if moment else 0.0

    def _secrets(self, secrets: Iterable[Secret]) -> dict[str, Any]:
        return {
            each.name: {
                "name": each.name,
                "value": "",
                "copied_digest": each.digest,
                "created_at": self._seconds(each.created_at),
                "updated_at": self._seconds(each.updated_at),
            }
            for each in secrets
            if each.name
        }

    def _certificate(self, one: CertificateSummary) -> dict[str, Any]:
        created_at = self._seconds(one.created_at)
        is_fly = one.acme_requested or one.has_fly_certificate
        return {
            "hostname": one.hostname,
            "created_at": created_at,
            "updated_at": self._seconds(one.updated_at),
            "validated_at": created_at if one.status == "active" else _SOON,
            "acme_at": created_at if is_fly else None,
            "custom_at": created_at if one.has_custom_certificate else None,
        }

    def _address(self, one: IPAssignment) -> dict[str, Any]:
        return {
            "ip": one.ip,
            "type": one.type or ("v6" if ":" in (one.ip or "") else "v4"),
            "region": one.region or "global",
            "service_name": one.service_name or "",
            "created_at": self._seconds(one.created_at),
            "is_shared": bool(one.shared),
            "is_egress": bool(one.egress),
            "network": (one.network and one.network.name) or "",
            "network_org": (one.network and one.network.org_slug) or "",
        }

    def _volume(self, app: str, one: Volume) -> dict[str, Any]:
        return {
            "id": one.id,
            "app": app,
            "name": one.name,
            "region": one.region,
            "zone": one.zone or "",
            "size_gb": one.size_gb or 1,
            "encrypted": one.encrypted is not False,
            "fstype": one.fstype or "ext4",
            "snapshot_retention": one.snapshot_retention or 5,
            "auto_backup_enabled": one.auto_backup_enabled is not False,
            "created_at": self._seconds(one.created_at),
            "updated_at": self._seconds(one.updated_at),
            # A copy or a restore that is in progress ends after a moment.
            "schedule": {"steps": [{"at": 0.0, "state": one.state}, {"at": _SOON, "state": "created"}]},
            "required_host_features": list(one.required_host_features or ()),
            "host_status": one.host_status or "ok",
            "machine_id": one.attached_machine_id or None,
        }

    def _machine(self, app: str, one: Machine) -> dict[str, Any]:
        state, follows = _PENDING.get(one.state, (one.state if one.state in _STATES else "stopped", None))
        config = self._public((), unstructure(one.config or one.incomplete_config)) or {}
        image = one.image_ref
        return {
            "id": one.id,
            "app": app,
            "name": one.name,
            "region": one.region,
            "config": config,
            "digest": (image and image.digest) or "",
            "instance_id": one.current_version or one.id,
            "private_ip": one.private_ip or "",
            "created_at": self._seconds(one.created_at),
            "updated_at": self._seconds(one.updated_at),
            "boot_seconds": _BOOT,
            "state": state,
            "next_transition": follows and {"at": _SOON, **follows},
            "is_cordoned": bool(one.cordoned),
            "host_status": one.host_status or "ok",
            "events": [_event(each, self.now) for each in one.events or ()],
            "versions": [{"id": one.current_version or one.id, "config": config}],
            "check_phases": [
                {
                    "check": each.name,
                    "at": self._seconds(each.updated_at),
                    "status": each.status,
                    "output": each.output or "",
                }
                for each in one.checks or ()
                if each.name and each.status in _CHECKS
            ],
        }

    def _public(self, path: tuple[str | int, ...], value: Any) -> Any:
        """Return a part of a config in which values that may be secret are replaced."""
        if isinstance(value, Mapping):
            return {key: self._public((*path, key), item) for key, item in value.items()}
        if isinstance(value, list | tuple) and not (
            all(isinstance(item, str) for item in value) and _hides(path, value)
        ):
            return [self._public((*path, number), item) for number, item in enumerate(value)]
        if not value or not _hides(path, value):
            return value
        self.redacted += 1
        match path[-1]:
            case "image":
                return without_passwords(value)
            case "raw_value":
                return base64.b64encode(REDACTED.encode()).decode()
        return [REDACTED] if isinstance(value, list | tuple) else REDACTED


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _hides(path: tuple[str | int, ...], value: Any) -> bool:
    """Whether a value may be secret. Most variables are not: Fly.io has secrets for those that are."""
    if "env" in path[:-1]:
        return names_a_secret(str(path[-1])) or contains_secret(value)
    # Marks such as `flyasync_secrets`, a fingerprint without values, decide what the next deploy changes.
    if path[:1] == ("metadata",) and str(path[-1]).startswith(("fly_", "flyasync_")):
        return contains_secret(value)
    return isinstance(value, str | list | tuple) and is_secret(path, value)


def _event(event: MachineEvent, now: datetime) -> dict[str, Any]:
    # Of the request, which may contain a whole config, only how a process ended is kept.
    end = event.exit_event
    shown = (
        {
            "exit_code": end.exit_code,
            "oom_killed": end.oom_killed,
            "requested_stop": end.requested_stop,
            "restarting": end.restarting,
            "exited_at": end.exited_at,
        }
        if end
        else {}
    )
    return {
        "id": event.id or "",
        "type": event.type or "",
        "status": event.status or "",
        "source": event.source or "",
        "at": 0.0 if event.timestamp is None else event.timestamp / 1000 - now.timestamp(),
        "request": {"exit_event": {key: item for key, item in shown.items() if item}} if end else None,
    }


async def _certificates(fly: FlyClient, app: str) -> list[CertificateSummary]:
    return [each async for each in fly.certificates.list(app)]


async def read_world(fly: FlyClient, apps: Iterable[str]) -> WorldCopy:
    """Read these apps, one after the other, into one world."""
    copy = WorldCopy(datetime.now(UTC))
    for app in apps:
        await copy.add(fly, app)
    return copy
