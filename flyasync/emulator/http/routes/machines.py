"""Machines over HTTP: create, list, get, update, delete, history, metadata."""

from collections.abc import Mapping
from typing import Any

from flyasync.emulator.core.errors import bad_request, not_found
from flyasync.emulator.core.go_json import mismatch
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.http import replication as sight
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import OK, ApiRequest, ApiResponse
from flyasync.emulator.http.views import machines as views
from flyasync.emulator.world import machines
from flyasync.emulator.world.world import World

_CREATE = {
    "name": "string", "region": "string", "config": "MachineConfig", "skip_launch": "bool",
    "skip_service_registration": "bool", "lease_ttl": "int", "current_version": "string", "skip_secrets": "bool",
    "min_secrets_version": "int",
}  # fmt: skip
_METADATA = {"metadata": "map[string]string", "machine_version": "string"}
_MOST_EVENTS = 50
_PREFIX = "metadata."


def create(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a machine."""
    body = ask.body(_CREATE, "CreateMachineRequest")
    launch = machines.Launch(
        config=body.get("config"),
        name=body.get("name") or "",
        region=body.get("region") or None,
        skip_launch=bool(body.get("skip_launch")),
        is_cordoned=bool(body.get("skip_service_registration")),
        lease_ttl=body.get("lease_ttl"),
        owner=ask.owner,
        min_secrets_version=body.get("min_secrets_version"),
    )
    machine = machines.create(world, ask.app, launch)
    nonce = {"nonce": machine.lease.nonce} if machine.lease else {}
    return ApiResponse(body=views.machine(world, machine) | nonce)


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List machines as a bare array."""
    wanted = _filter(ask)
    found = [item for item in sight.seen(world, ask, world.machines_of(ask.app)) if wanted.keeps(item)]
    summary, with_lease = ask.flag("summary"), ask.flag("include_leases")
    rows = [views.machine(world, item, summary=summary, with_lease=with_lease, behind=ask.behind) for item in found]
    return ApiResponse(body=rows)


def get(world: World, ask: ApiRequest) -> ApiResponse:
    """Show a machine, destroyed ones included."""
    return ApiResponse(body=views.machine(world, _machine(world, ask), with_lease=ask.flag("include_leases")))


def update(world: World, ask: ApiRequest) -> ApiResponse:
    """Replace a machine's config."""
    body = ask.body(_CREATE, "UpdateMachineRequest")
    machine = _machine(world, ask)
    machines.update(
        world,
        machine,
        body.get("config"),
        skip_launch=bool(body.get("skip_launch")),
        current_version=body.get("current_version"),
        min_secrets_version=body.get("min_secrets_version"),
        nonce=ask.nonce,
    )
    return ApiResponse(body=views.machine(world, machine))


def delete(world: World, ask: ApiRequest) -> ApiResponse:
    """Destroy a machine."""
    machines.destroy(world, _machine(world, ask), force=ask.is_forced, nonce=ask.nonce)
    return OK


def events(world: World, ask: ApiRequest) -> ApiResponse:
    """Show the history of a machine, newest first."""
    limit = ask.number("limit")
    if limit is not None and not 0 < limit <= _MOST_EVENTS:
        raise bad_request(f"limit must be between 1 and {_MOST_EVENTS}")
    machine = _machine(world, ask)
    return ApiResponse(body=views.events(world, machine, limit) if limit else views.events(world, machine))


def versions(world: World, ask: ApiRequest) -> ApiResponse:
    """Show the configs a machine has had, newest first."""
    found = reversed(_machine(world, ask).versions)
    return ApiResponse(body=[{"version": version.id, "user_config": version.config} for version in found])


def metadata(world: World, ask: ApiRequest) -> ApiResponse:
    """Show all metadata."""
    return ApiResponse(body=_metadata(_machine(world, ask)))


def metadata_key(world: World, ask: ApiRequest) -> ApiResponse:
    """Show the value of one key."""
    found = _metadata(_machine(world, ask))
    if ask.params["key"] not in found:
        raise not_found("metadata key")
    return ApiResponse(body={"value": found[ask.params["key"]]})


def set_metadata_key(world: World, ask: ApiRequest) -> ApiResponse:
    """Set one key."""
    body = ask.body({"value": "string"}, "metadataRequest")
    machines.write_metadata(world, _machine(world, ask), {ask.params["key"]: body.get("value")})
    return ApiResponse(status=204)


def delete_metadata_key(world: World, ask: ApiRequest) -> ApiResponse:
    """Remove one key, present or not."""
    machines.write_metadata(world, _machine(world, ask), {ask.params["key"]: None})
    return ApiResponse(status=204)


def change_metadata(world: World, ask: ApiRequest) -> ApiResponse:
    """Set and remove several keys; those not named stay."""
    body = ask.body(_METADATA, "updateMetadataRequest")
    if body.get("metadata") is None:
        raise bad_request(mismatch(None, "updateMetadataRequest.metadata", "map[string]string"))
    machine = _machine(world, ask)
    machines.write_metadata(world, machine, body["metadata"], machine_version=body.get("machine_version"))
    return ApiResponse(status=204)


def _machine(world: World, ask: ApiRequest) -> MachineRecord:
    return world.machine(ask.app, ask.machine_id)


def _metadata(machine: MachineRecord) -> dict[str, Any]:
    return machine.config.get("metadata") or {}


def _filter(ask: ApiRequest) -> machines.MachineFilter:
    pairs = {key.removeprefix(_PREFIX): value for key, value in ask.query.items() if key.startswith(_PREFIX)}
    return machines.MachineFilter(
        states=frozenset(ask.states),
        region=ask.query.get("region", ""),
        with_destroyed=ask.flag("include_deleted"),
        metadata=pairs,
    )


HANDLERS: Mapping[str, Handler] = {
    "createMachine": create,
    "listMachines": listing,
    "getMachine": get,
    "updateMachine": update,
    "deleteMachine": delete,
    "listMachineEvents": events,
    "listMachineVersions": versions,
    "getMachineMetadata": metadata,
    "updateMachineMetadata": change_metadata,
    "patchMachineMetadata": change_metadata,
    "getMachineMetadataKey": metadata_key,
    "upsertMachineMetadata": set_metadata_key,
    "deleteMachineMetadata": delete_metadata_key,
}
