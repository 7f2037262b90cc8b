"""Machines over HTTP: create, list, get, update, delete, history, metadata."""

from typing import Any

from flyasync.emulator.core.errors import bad_request, not_found
from flyasync.emulator.core.go_json import mismatch
from flyasync.emulator.core.records import MachineRecord
from flyasync.emulator.http import replication
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import OK, ApiRequest, ApiResponse
from flyasync.emulator.http.views import machines as views
from flyasync.emulator.world import machines
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_CREATE = {
    "name": "string", "region": "string", "config": "MachineConfig", "skip_launch": "bool",
    "skip_service_registration": "bool", "lease_ttl": "int", "current_version": "string", "skip_secrets": "bool",
    "min_secrets_version": "int",
}  # fmt: skip
_METADATA = {"metadata": "map[string]string", "machine_version": "string"}
# As documented.
_MOST_EVENTS = 50
_PREFIX = "metadata."


@HANDLERS.serves("createMachine")
def create(world: World, request: ApiRequest) -> ApiResponse:
    """Create a machine."""
    body = request.body(_CREATE, "CreateMachineRequest")
    launch = machines.NewMachine(
        config=body.get("config"),
        name=body.get("name") or "",
        region=body.get("region") or None,
        skip_launch=bool(body.get("skip_launch")),
        is_cordoned=bool(body.get("skip_service_registration")),
        lease_ttl=body.get("lease_ttl"),
        owner=request.owner,
        min_secrets_version=body.get("min_secrets_version"),
    )
    machine = machines.create(world, request.app, launch)
    # Only a client that requests a lease with the create gets the nonce.
    shown = views.machine(world, machine)
    return ApiResponse(
        body=b'%b, "nonce": "%b"}' % (shown[:-1], machine.lease.nonce.encode()) if machine.lease else shown
    )


@HANDLERS.serves("listMachines")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List machines as a bare array."""
    pairs = {key.removeprefix(_PREFIX): value for key, value in request.query.items() if key.startswith(_PREFIX)}
    asked = machines.MachineFilter(
        states=frozenset(request.states),
        region=request.query.get("region", ""),
        with_destroyed=request.flag("include_deleted"),
        metadata=pairs,
    )
    found = [item for item in replication.seen(world, request, world.machines_of(request.app)) if asked.keeps(item)]
    is_summary, with_lease, behind = request.flag("summary"), request.flag("include_leases"), request.behind
    if is_summary or with_lease or behind:
        shown = [
            views.listed_machine(world, item, is_summary=is_summary, with_lease=with_lease, behind=behind)
            for item in found
        ]
    else:
        shown = [views.machine(world, item) for item in found]
    return ApiResponse(body=b"[%b]" % b", ".join(shown))


@HANDLERS.serves("getMachine")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show a machine, destroyed ones included."""
    machine = _machine(world, request)
    view = views.machine_with_lease if request.flag("include_leases") else views.machine
    return ApiResponse(body=view(world, machine))


@HANDLERS.serves("updateMachine")
def update(world: World, request: ApiRequest) -> ApiResponse:
    """Replace a machine's config."""
    # A full replacement: keys that the new config omits are removed. Name and region in the body are ignored.
    body = request.body(_CREATE, "UpdateMachineRequest")
    machine = _machine(world, request)
    machines.update(
        world,
        machine,
        body.get("config"),
        skip_launch=bool(body.get("skip_launch")),
        current_version=body.get("current_version"),
        min_secrets_version=body.get("min_secrets_version"),
        nonce=request.nonce,
    )
    return ApiResponse(body=views.machine(world, machine))


@HANDLERS.serves("deleteMachine")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Destroy a machine."""
    machines.destroy(world, _machine(world, request), force=request.is_forced, nonce=request.nonce)
    return OK


@HANDLERS.serves("listMachineEvents")
def events(world: World, request: ApiRequest) -> ApiResponse:
    """List the events of a machine, newest first."""
    limit = request.number("limit")
    if limit is not None and not 0 < limit <= _MOST_EVENTS:
        raise bad_request(f"limit must be between 1 and {_MOST_EVENTS}")
    machine = _machine(world, request)
    shown = views.events(world, machine, limit) if limit else views.events(world, machine)
    return ApiResponse(body=shown.encode())


@HANDLERS.serves("listMachineVersions")
def versions(world: World, request: ApiRequest) -> ApiResponse:
    """List the earlier configs of a machine, newest first."""
    # As accepted; a version has no state.
    found = reversed(_machine(world, request).versions)
    return ApiResponse(body=[{"version": version.id, "user_config": version.config} for version in found])


@HANDLERS.serves("getMachineMetadata")
def metadata(world: World, request: ApiRequest) -> ApiResponse:
    """Show all metadata."""
    return ApiResponse(body=_metadata(_machine(world, request)))


@HANDLERS.serves("getMachineMetadataKey")
def metadata_key(world: World, request: ApiRequest) -> ApiResponse:
    """Show the value of one key."""
    found = _metadata(_machine(world, request))
    if request.params["key"] not in found:
        raise not_found("metadata key")
    return ApiResponse(body={"value": found[request.params["key"]]})


@HANDLERS.serves("upsertMachineMetadata")
def set_metadata_key(world: World, request: ApiRequest) -> ApiResponse:
    """Set one key."""
    body = request.body({"value": "string"}, "metadataRequest")
    # No nonce: metadata is not covered by leases.
    machines.write_metadata(world, _machine(world, request), {request.params["key"]: body.get("value")})
    return ApiResponse(status=204)


@HANDLERS.serves("deleteMachineMetadata")
def delete_metadata_key(world: World, request: ApiRequest) -> ApiResponse:
    """Remove one key, if it exists."""
    machines.write_metadata(world, _machine(world, request), {request.params["key"]: None})
    return ApiResponse(status=204)


@HANDLERS.serves("updateMachineMetadata", "patchMachineMetadata")
def change_metadata(world: World, request: ApiRequest) -> ApiResponse:
    """Set and remove several keys; other keys stay. The documentation treats PUT and PATCH alike."""
    body = request.body(_METADATA, "updateMetadataRequest")
    if body.get("metadata") is None:
        raise bad_request(mismatch(None, "updateMetadataRequest.metadata", "map[string]string"))
    machine = _machine(world, request)
    machines.write_metadata(world, machine, body["metadata"], machine_version=body.get("machine_version"))
    return ApiResponse(status=204)


def _machine(world: World, request: ApiRequest) -> MachineRecord:
    return world.machine(request.app, request.machine_id)


def _metadata(machine: MachineRecord) -> dict[str, Any]:
    return machine.config.get("metadata") or {}
