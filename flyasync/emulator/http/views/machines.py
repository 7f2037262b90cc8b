"""Machines, their history and their leases in the API's JSON."""

import json

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import image_ref
from flyasync.emulator.core.machine_text import MachineText
from flyasync.emulator.core.records import EventRecord, LeaseRecord, MachineRecord
from flyasync.emulator.world import checks, leases
from flyasync.emulator.world.world import World

# The machine itself has the latest twenty events; the events route can return more.
_EVENTS_SHOWN = 20
_OVERVIEW = ("guest", "image", "metadata")


def machine(
    world: World, record: MachineRecord, *, summary: bool = False, with_lease: bool = False, behind: float = 0.0
) -> Json:
    """Return a machine, with its checks of `behind` seconds ago; a summary has no config, events or checks."""
    shown = {
        "id": record.id,
        "name": record.name,
        "state": record.state,
        "region": record.region,
        "image_ref": image_ref(record.config.get("image") or "", record.digest),
        # The same id under both names, as in newer responses.
        "instance_id": record.instance_id,
        "version": record.instance_id,
        "private_ip": record.private_ip,
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
        # flyctl replaces every machine for which this is not `ok`.
        "host_status": record.host_status,
        # Every host has what its machines require.
        "host_features": record.config["guest"].get("required_host_features") or [],
        "cordoned": record.is_cordoned,
    }
    if not summary:
        shown |= _details(world, record, behind) | {_config_key(record): record.config}
    # Without the nonce: a client that gets one regards the lease as its own, and two deploys would interleave.
    lease = leases.current(world, record)
    if lease is not None and with_lease:
        shown["lease"] = _without_nonce(world, lease)
    return shown


def machine_text(world: World, record: MachineRecord) -> str:
    """Return a machine, without its lease, as JSON text; the text is kept until the machine changes."""
    # All that changes in a machine. The identity of the config stands for its content, which is never changed in place.
    state = (
        record.state,
        record.instance_id,
        record.updated_at,
        record.digest,
        record.host_status,
        record.is_cordoned,
        id(record.config),
        record.events[0].id if record.events else "",
        record.check_phases,
        checks.changes(record, world.clock),
    )
    kept = world.machine_texts.get(record.id)
    if kept is not None and kept.state == state:
        return kept.text
    config_text = kept.config_text if kept and kept.config is record.config else json.dumps(record.config)
    shown = json.dumps(machine(world, record, summary=True) | _details(world, record))
    text = f'{shown[:-1]}, "{_config_key(record)}": {config_text}}}'
    world.machine_texts[record.id] = MachineText(state, text, record.config, config_text)
    return text


def org_machine(world: World, record: MachineRecord, *, summary: bool) -> Json:
    """Return a machine as an organization's list does."""
    shown = {
        "id": record.id,
        "app_name": record.app,
        "name": record.name,
        "state": record.state,
        "region": record.region,
        "version": record.instance_id,
        "private_ip": record.private_ip,
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
    }
    # This list has only these parts of a config.
    overview = {key: record.config[key] for key in _OVERVIEW if record.config.get(key) is not None}
    return shown if summary else shown | {"config": overview}


def event(world: World, record: EventRecord) -> Json:
    """Return one event of a machine."""
    shown = {
        "id": record.id,
        "type": record.type,
        "status": record.status,
        "source": record.source,
        "timestamp": world.milliseconds(record.at),
    }
    return shown if record.request is None else shown | {"request": record.request}


def events(world: World, record: MachineRecord, limit: int = _EVENTS_SHOWN) -> list[Json]:
    """Return the events of a machine, newest first."""
    return [event(world, item) for item in list(record.events)[:limit]]


def lease(world: World, record: LeaseRecord) -> Json:
    """Return a lease in its envelope."""
    # Clients read `data.nonce`; the live API does not send the bare lease of the API document.
    return {
        "status": "success",
        "data": {"nonce": record.nonce, "version": record.version, **_without_nonce(world, record)},
    }


def _details(world: World, record: MachineRecord, behind: float = 0.0) -> Json:
    shown: Json = {"events": events(world, record), "checks": checks.rows(world, record, world.clock - behind)}
    if containers := record.config.get("containers"):
        shown["containers"] = [{"name": item.get("name"), "state": record.state} for item in containers]
    return shown if record.has_host else shown | {"config": None}


def _config_key(record: MachineRecord) -> str:
    # Without the host the config is not certain, so it has another key.
    return "config" if record.has_host else "incomplete_config"


def _without_nonce(world: World, record: LeaseRecord) -> Json:
    return {
        # Seconds of Unix time, unlike the times of the machine itself.
        "expires_at": world.unix(record.expires_at),
        "owner": record.owner,
        "description": record.description,
    }
