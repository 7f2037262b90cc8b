"""Leases of machines over HTTP; responses have an envelope."""

from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import machines as views
from flyasync.emulator.world import leases
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_LEASE = {"ttl": "int", "description": "string"}


@HANDLERS.serves("createMachineLease")
def acquire(world: World, request: ApiRequest) -> ApiResponse:
    """Acquire a lease, or extend it with its nonce."""
    body = request.body(_LEASE, "leaseRequest", required=False)
    # The official client sends the ttl in the query; the documentation has it in the body.
    ttl = request.number("ttl")
    lease = leases.acquire(
        world,
        request.app,
        request.machine_id,
        ttl=body.get("ttl") if ttl is None else ttl,
        owner=request.owner,
        description=body.get("description") or request.query.get("description", ""),
        nonce=request.nonce,
    )
    return ApiResponse(status=200 if request.nonce else 201, body=views.lease(world, lease))


@HANDLERS.serves("getMachineLease")
def read(world: World, request: ApiRequest) -> ApiResponse:
    """Show the current lease with its nonce: any holder of a token may release it."""
    return ApiResponse(body=views.lease(world, leases.read(world, request.app, request.machine_id)))


@HANDLERS.serves("machinesReleaseLease")
def release(world: World, request: ApiRequest) -> ApiResponse:
    """Release a lease."""
    leases.release(world, request.app, request.machine_id, nonce=request.nonce)
    return ApiResponse(body={"status": "success", "data": {"ok": True}})
