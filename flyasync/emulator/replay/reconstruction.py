"""The world that a recording shows at one moment, with the boots, full regions and digests that it shows later."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from attrs import define, evolve, field

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.replay.boots import boots, config_of, faults, machine_views
from flyasync.emulator.replay.comparison import Ids, in_response
from flyasync.emulator.replay.recording import Exchange, Recording
from flyasync.emulator.state import document
from flyasync.emulator.world.world import World

# A machine between two states: the state that the emulator has for it, and the transition that follows.
_PENDING: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "creating": ("created", {"to": "starting"}),
    "created": ("created", {"to": "starting"}),
    "starting": ("starting", {"to": "started", "event": "start"}),
    "updating": ("replacing", {"to": "starting"}),
    "replacing": ("replacing", {"to": "starting"}),
    "restarting": ("restarting", {"to": "starting"}),
    "stopping": ("stopping", {"to": "stopped", "event": "stop"}),
    "suspending": ("suspending", {"to": "suspended", "event": "suspend"}),
}
_STATES = frozenset({"started", "stopped", "suspended", "failed"})
_CHECKS = frozenset({"passing", "warning", "critical"})
_GONE = frozenset({"destroying", "destroyed"})
_GONE_VOLUMES = frozenset({"pending_destroy", "scheduling_destroy", "destroying", "destroyed"})
# Seconds until a pending change has happened, and of a boot of which nothing is known.
_SOON, _BOOT = 1.0, 2.0
_NEVER = frozenset({"checks_never_pass", "checks_stay_warning"})
_BY_ACTION: Mapping[str, Json] = {
    "cordon": {"cordoned": True},
    "uncordon": {"cordoned": False},
    "start": {"state": "starting"},
    "stop": {"state": "stopped"},
    "suspend": {"state": "suspended"},
}


@define
class _Shown:
    """What the responses so far have shown, by id; the latest one counts."""

    now: datetime
    apps: dict[str, Json] = field(factory=dict)
    machines: dict[str, tuple[str, Json]] = field(factory=dict)
    volumes: dict[str, tuple[str, Json]] = field(factory=dict)
    leases: dict[str, Json] = field(factory=dict)
    never_pass: set[str] = field(factory=set)

    def add(self, exchange: Exchange, *, is_news: bool) -> None:
        """Add what one exchange shows; unless `is_news`, only of resources that nothing has shown before."""
        parts = exchange.path.split("/")
        if not exchange.is_success or parts[2:3] != ["apps"] or not parts[3:4]:
            return
        name, kind = parts[3], "".join(parts[4:5])
        app = self.apps.setdefault(name, {"addresses": {}, "secrets": {}})
        for view in machine_views(exchange):
            if is_news or view["id"] not in self.machines:
                self.machines[view["id"]] = (name, view)
        if kind == "volumes":
            self._add_volumes(name, exchange.response, is_news=is_news)
        if exchange.method == "GET" and kind == "ip_assignments" and (is_news or not app["addresses"]):
            app["addresses"] = {row["ip"]: row for row in exchange.response.get("ips") or () if row.get("ip")}
        if exchange.method == "GET" and kind == "secrets" and len(parts) == 5 and (is_news or not app["secrets"]):  # noqa: PLR2004 - the list
            app["secrets"] = {row["name"]: row for row in exchange.response.get("secrets") or ()}
        if kind == "machines" and parts[5:] and is_news:
            self._change(exchange, parts[5], "".join(parts[6:7]))

    def _add_volumes(self, app: str, response: Any, *, is_news: bool) -> None:
        for row in response if isinstance(response, list) else [response]:
            if isinstance(row, dict) and {"id", "region"} <= row.keys() and (is_news or row["id"] not in self.volumes):
                self.volumes[row["id"]] = (app, row)

    def _change(self, exchange: Exchange, machine_id: str, action: str) -> None:
        """Apply a change whose response does not show the machine."""
        if action == "lease":
            lease = (exchange.response or {}).get("data") or {}
            self.leases.pop(machine_id, None)
            if exchange.method == "POST" and lease.get("nonce"):
                self.leases[machine_id] = lease
        if machine_id not in self.machines:
            return
        app, view = self.machines[machine_id]
        if exchange.method == "DELETE" and not action:
            self.machines[machine_id] = (app, view | {"state": "destroyed"})
        elif exchange.method == "POST" and action in _BY_ACTION:
            self.machines[machine_id] = (app, view | _BY_ACTION[action])
        elif exchange.method == "PATCH" and action == "metadata":
            changes = (exchange.request or {}).get("metadata") or {}
            merged = {**(config_of(view).get("metadata") or {}), **changes}
            config = config_of(view) | {"metadata": {key: value for key, value in merged.items() if value}}
            self.machines[machine_id] = (app, view | {"config": config})
        elif action == "wait":
            states = {value for name, value in exchange.query if name == "state"}
            if len(states) == 1 and states <= _STATES | _GONE:
                self.machines[machine_id] = (app, view | {"state": states.pop()})

    def seconds(self, stamp: object) -> float:
        """Return a time of the API in seconds from now; 0 for what is in the future or no time."""
        try:
            moment = datetime.fromisoformat(str(stamp))
        except ValueError:
            return 0.0
        return min(0.0, (moment - self.now).total_seconds())


def world_at(recording: Recording, played: Collection[int], ids: Ids, *, at: float, blank: World) -> World:
    """Return the world of a recording at a time, after the exchanges that were `played`.

    Resources that these do not show are as reads before the first create show them. The world has the options of
    `blank`, whose faults get those of the boots that the whole recording shows. `ids` are those of the present client.
    """
    ends = sorted(recording.exchanges, key=lambda each: each.end)
    exchanges = [evolve(each, response=in_response(each.response, ids)) for each in ends]
    shown = _Shown(datetime.fromisoformat(recording.header["started"]).astimezone(UTC) + timedelta(seconds=at))
    creates = (each.at for each in exchanges if each.method == "POST" and each.path.endswith(("/machines", "/volumes")))
    first = next(creates, float("inf"))
    for exchange in exchanges:
        if exchange.number in played:
            shown.add(exchange, is_news=True)
        elif exchange.method == "GET" and exchange.end <= first:
            shown.add(exchange, is_news=False)
    found = boots(exchanges)
    shown.never_pass = {boot.name for boot in found if boot.fault in _NEVER}
    lengths = {boot.name: boot.seconds for boot in found if boot.seconds is not None}
    usual = (min(lengths.values()), max(lengths.values())) if lengths else blank.boot
    blank.faults.add(*faults(found))
    options = evolve(blank, boot=usual, boots=lengths, retired=blank.retired | _retired(exchanges))
    world = document.load(_document(shown, lengths, _full(exchanges)), options)
    for image, digest in _digests(exchanges).items():
        world.images.push(f"{image}@{digest}")
    return world


def _document(shown: _Shown, lengths: Mapping[str, float], full: Iterable[str]) -> Json:
    machines = {
        each: _machine(shown, app, view, lengths)
        for each, (app, view) in shown.machines.items()
        if view["state"] not in _GONE
    }
    return {
        "format": document.FORMAT,
        "version": document.VERSION,
        "epoch": shown.now.isoformat(),
        "apps": {name: _app(shown, name, app) for name, app in shown.apps.items()},
        "machines": machines,
        "volumes": {
            each: _volume(shown, app, row)
            for each, (app, row) in shown.volumes.items()
            if row.get("state") not in _GONE_VOLUMES
        },
        "capacity": {code: sum(each["region"] == code for each in machines.values()) for code in full},
    }


def _app(shown: _Shown, name: str, app: Json) -> Json:
    return {
        "name": name,
        "id": name,
        "number": 1,
        "org_slug": "personal",
        "network": "default",
        "created_at": 0.0,
        "is_deployed": bool(shown.machines),
        "secrets": {
            "version": 1,
            "kept": {
                each: {"name": each, "value": "", "copied_digest": row.get("digest"), "created_at": 0.0,
                       "updated_at": 0.0}
                for each, row in app["secrets"].items()
            },
            "known_at": [0.0],
        },
        "addresses": {ip: _address(ip, row) for ip, row in app["addresses"].items()},
    }  # fmt: skip


def _address(ip: str, row: Json) -> Json:
    return {
        "ip": ip,
        "type": row.get("type") or ("v6" if ":" in ip else "v4"),
        "region": row.get("region") or "global",
        "service_name": row.get("service_name") or "",
        "created_at": 0.0,
        "is_shared": bool(row.get("shared")),
        "is_egress": bool(row.get("egress")),
    }


def _volume(shown: _Shown, app: str, row: Json) -> Json:
    return {
        "id": row["id"],
        "app": app,
        "name": row.get("name") or "",
        "region": row["region"],
        "zone": row.get("zone") or "",
        "size_gb": row.get("size_gb") or 1,
        "encrypted": row.get("encrypted") is not False,
        "fstype": row.get("fstype") or "ext4",
        "snapshot_retention": row.get("snapshot_retention") or 5,
        "auto_backup_enabled": row.get("auto_backup_enabled") is not False,
        "created_at": shown.seconds(row.get("created_at")),
        "updated_at": 0.0,
        "schedule": {"steps": [{"at": 0.0, "state": "created"}]},
        "host_status": row.get("host_status") or "ok",
        "machine_id": row.get("attached_machine_id") or None,
    }


def _machine(shown: _Shown, app: str, view: Json, lengths: Mapping[str, float]) -> Json:
    boot = lengths.get(view["name"], median(lengths.values()) if lengths else _BOOT)
    state, follows = _PENDING.get(view["state"], (view["state"] if view["state"] in _STATES else "stopped", None))
    version = str(view.get("instance_id") or view["id"])
    lease = shown.leases.get(view["id"])
    return {
        "id": view["id"],
        "app": app,
        "name": view["name"],
        "region": view["region"],
        "config": config_of(view),
        "digest": (view.get("image_ref") or {}).get("digest") or "",
        "instance_id": version,
        "private_ip": view.get("private_ip") or "",
        "created_at": shown.seconds(view.get("created_at")),
        "updated_at": shown.seconds(view.get("updated_at")),
        "boot_seconds": boot,
        "state": state,
        "next_transition": follows and {"at": _SOON, **follows},
        "is_cordoned": bool(view.get("cordoned")),
        "host_status": view.get("host_status") or "ok",
        "lease": lease and _lease(shown, lease, version),
        "events": [_event(shown, each) for each in view.get("events") or ()],
        "versions": [{"id": version, "config": config_of(view)}],
        "check_phases": list(_check_phases(shown, view)),
    }


def _check_phases(shown: _Shown, view: Json) -> Iterator[Json]:
    """Yield the status of each check, and that it passes soon if the recording shows later that it does."""
    rows = [row for row in view.get("checks") or () if row.get("name") and row.get("status") in _CHECKS]
    for row in rows:
        at = shown.seconds(row.get("updated_at"))
        yield {"check": row["name"], "at": at, "status": row["status"], "output": row.get("output") or ""}
        if row["status"] != "passing" and view["name"] not in shown.never_pass:
            yield {"check": row["name"], "at": _SOON, "status": "passing", "output": ""}


def _lease(shown: _Shown, lease: Json, version: str) -> Json:
    left = float(lease.get("expires_at") or 0) - shown.now.timestamp()
    return {
        "nonce": lease["nonce"],
        "owner": lease.get("owner") or "",
        # The clocks of the API and of the recording may differ.
        "expires_at": left if left > 0 else 30.0,
        "description": lease.get("description") or "",
        "version": lease.get("version") or version,
    }


def _event(shown: _Shown, event: Json) -> Json:
    ended = (event.get("request") or {}).get("exit_event")
    return {
        "id": event.get("id") or "",
        "type": event.get("type") or "",
        "status": event.get("status") or "",
        "source": event.get("source") or "",
        "at": min(0.0, (event.get("timestamp") or 0) / 1000 - shown.now.timestamp()),
        "request": {"exit_event": ended} if ended else None,
    }


def _refused_creates(exchanges: Iterable[Exchange]) -> dict[str, str]:
    """Return the text with which the last create in each region was refused; empty if it succeeded."""
    found: dict[str, str] = {}
    for each in exchanges:
        is_create = each.method == "POST" and each.path.endswith(("/machines", "/volumes"))
        region = (each.request or {}).get("region") if is_create else None
        if region and each.status is not None:
            body = each.response if isinstance(each.response, dict) else {}
            found[region] = "" if each.is_success else f"{body.get('error')} {body.get('status')}"
    return found


def _full(exchanges: Iterable[Exchange]) -> list[str]:
    """Return the regions without room at the end."""
    return [code for code, text in _refused_creates(exchanges).items() if "insufficient_capacity" in text]


def _retired(exchanges: Iterable[Exchange]) -> set[str]:
    return {code for code, text in _refused_creates(exchanges).items() if "cannot have new resources" in text}


def _digests(exchanges: Iterable[Exchange]) -> dict[str, str]:
    """Return the digest that each tag was resolved to last."""
    found: dict[str, str] = {}
    for each in exchanges:
        variables = (each.request or {}).get("variables") if each.path == "/graphql" else None
        if each.is_success and isinstance(variables, dict) and isinstance(image := variables.get("image"), str):
            app = ((each.response or {}).get("data") or {}).get("app") or {}
            if digest := (app.get("image") or {}).get("digest"):
                found[image.partition("@")[0]] = digest
    return found
