"""Machines, their history and their leases in the API's JSON."""

import json
import math
from functools import lru_cache
from itertools import islice
from json.encoder import encode_basestring_ascii as quoted

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import image_ref
from flyasync.emulator.core.machine_text import MachineText
from flyasync.emulator.core.records import EventRecord, LeaseRecord, MachineRecord
from flyasync.emulator.world import checks, leases
from flyasync.emulator.world.world import World

# The machine itself has the latest twenty events; the events route can return more.
_EVENTS_SHOWN = 20
_OVERVIEW = ("guest", "image", "metadata")


def machine(world: World, record: MachineRecord) -> bytes:
    """Return a machine, without its lease; as text that is kept until it changes."""
    kept = world.machine_texts.get(record.id)
    if kept is None or kept.config is not record.config:
        config_text = f"{json.dumps(record.config)}}}".encode()
        kept = world.machine_texts[record.id] = MachineText(config_text, -math.inf, record.config, 0)
    if world.clock >= kept.valid_until:
        kept.renew(_head(world, record, world.clock).encode(), checks.next_change(record, world.clock))
    return kept.whole


def machine_with_lease(world: World, record: MachineRecord) -> bytes:
    """Return a machine with its lease, if it has one."""
    return _with_lease(world, record, machine(world, record))


def listed_machine(
    world: World, record: MachineRecord, *, is_summary: bool, with_lease: bool, behind: float = 0.0
) -> bytes:
    """Return a machine with its checks of `behind` seconds ago; a summary has no config, events or checks."""
    if is_summary:
        shown = f"{_summary(world, record)}}}"
    else:
        shown = f"{_head(world, record, world.clock - behind)}{json.dumps(record.config)}}}"
    return _with_lease(world, record, shown.encode()) if with_lease else shown.encode()


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


def events(world: World, record: MachineRecord, limit: int = _EVENTS_SHOWN) -> str:
    """Return the events of a machine, newest first."""
    return f"[{', '.join([_event(world, item) for item in islice(record.events, limit)])}]"


def lease(world: World, record: LeaseRecord) -> Json:
    """Return a lease in its envelope."""
    # Clients read `data.nonce`; the live API does not send the bare lease of the API document.
    return {
        "status": "success",
        "data": {"nonce": record.nonce, "version": record.version, **_without_nonce(world, record)},
    }


# Cached: the machines of an app have few images.
@lru_cache(maxsize=1024)
def _image_ref(image: str, digest: str) -> str:
    return json.dumps(image_ref(image, digest))


# Written as text, since most of the work of the emulator is to show machines: a dict for each takes twice as long.
def _summary(world: World, record: MachineRecord) -> str:
    image = _image_ref(record.config.get("image") or "", record.digest)
    # Every host has what its machines require.
    features = record.config["guest"].get("required_host_features")
    # The same id under both names, as in newer responses. flyctl replaces a machine whose `host_status` is not `ok`.
    return (
        f'{{"id": {quoted(record.id)}, "name": {quoted(record.name)}, "state": {quoted(record.state)}, '
        f'"region": {quoted(record.region)}, "image_ref": {image}, '
        f'"instance_id": {quoted(record.instance_id)}, "version": {quoted(record.instance_id)}, '
        f'"private_ip": {quoted(record.private_ip)}, '
        f'"created_at": "{world.stamp(record.created_at)}", "updated_at": "{world.stamp(record.updated_at)}", '
        f'"host_status": {quoted(record.host_status)}, '
        f'"host_features": {json.dumps(features) if features else "[]"}, '
        f'"cordoned": {"true" if record.is_cordoned else "false"}'
    )


def _head(world: World, record: MachineRecord, now: float) -> str:
    """Return the text of a machine up to its config, with its checks at a time."""
    text = f'{_summary(world, record)}, "events": {events(world, record)}, "checks": [{_checks(world, record, now)}], '
    if containers := record.config.get("containers"):
        shown = [{"name": item.get("name"), "state": record.state} for item in containers]
        text += f'"containers": {json.dumps(shown)}, '
    # Without the host the config is not certain, so it has another key.
    return f'{text}"config": ' if record.has_host else f'{text}"config": null, "incomplete_config": '


def _event(world: World, record: EventRecord) -> str:
    request = "" if record.request is None else f', "request": {json.dumps(record.request)}'
    return (
        f'{{"id": {quoted(record.id)}, "type": {quoted(record.type)}, "status": {quoted(record.status)}, '
        f'"source": {quoted(record.source)}, "timestamp": {world.milliseconds(record.at)}{request}}}'
    )


def _checks(world: World, record: MachineRecord, now: float) -> str:
    return ", ".join(
        [
            f'{{"name": {quoted(phase.check)}, "status": {quoted(phase.status)}, "output": {quoted(phase.output)}, '
            f'"updated_at": "{world.stamp(phase.at)}"}}'
            for phase in checks.latest(record, now)
        ]
    )


def _with_lease(world: World, record: MachineRecord, shown: bytes) -> bytes:
    # Without the nonce: a client that gets one regards the lease as its own, and two deploys would interleave.
    found = leases.current(world, record)
    return (
        shown
        if found is None
        else b'%b, "lease": %b}' % (shown[:-1], json.dumps(_without_nonce(world, found)).encode())
    )


def _without_nonce(world: World, record: LeaseRecord) -> Json:
    return {
        # Seconds of Unix time, unlike the times of the machine itself.
        "expires_at": world.unix(record.expires_at),
        "owner": record.owner,
        "description": record.description,
    }
