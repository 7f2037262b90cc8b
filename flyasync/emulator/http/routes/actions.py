"""What a machine can be told, and its lease, over HTTP."""

from collections.abc import Mapping

from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import OK, ApiRequest, ApiResponse
from flyasync.emulator.http.views import machines as views
from flyasync.emulator.world import actions, leases
from flyasync.emulator.world.world import World

_LEASE = {"ttl": "int", "description": "string"}


def start(world: World, ask: ApiRequest) -> ApiResponse:
    """Start a machine."""
    previous = actions.start(world, world.machine(ask.app, ask.machine_id), nonce=ask.nonce)
    return ApiResponse(body={"previous_state": previous, "migrated": False, "new_host": ""})


def stop(world: World, ask: ApiRequest) -> ApiResponse:
    """Stop a machine; the body may be missing, but not be anything else than an object."""
    ask.body({"signal": "string"}, "stopRequest", required=False)
    actions.stop(world, world.machine(ask.app, ask.machine_id), nonce=ask.nonce)
    return OK


def restart(world: World, ask: ApiRequest) -> ApiResponse:
    """Restart a machine."""
    actions.restart(world, world.machine(ask.app, ask.machine_id), nonce=ask.nonce)
    return OK


def suspend(world: World, ask: ApiRequest) -> ApiResponse:
    """Suspend a machine."""
    actions.suspend(world, world.machine(ask.app, ask.machine_id), nonce=ask.nonce)
    return OK


def signal(world: World, ask: ApiRequest) -> ApiResponse:
    """Send a signal."""
    name = ask.body({}, "signalRequest").get("signal")
    actions.signal(world, world.machine(ask.app, ask.machine_id), name)
    return OK


def cordon(world: World, ask: ApiRequest) -> ApiResponse:
    """Take a machine out of the proxy's reach."""
    actions.cordon(world, world.machine(ask.app, ask.machine_id), cordoned=True, nonce=ask.nonce)
    return OK


def uncordon(world: World, ask: ApiRequest) -> ApiResponse:
    """Put a machine back in the proxy's reach."""
    actions.cordon(world, world.machine(ask.app, ask.machine_id), cordoned=False, nonce=ask.nonce)
    return OK


def acquire_lease(world: World, ask: ApiRequest) -> ApiResponse:
    """Take or refresh a lease; the ttl may stand in the query or in the body."""
    body = ask.body(_LEASE, "leaseRequest", required=False)
    ttl = ask.number("ttl")
    lease = leases.acquire(
        world,
        ask.app,
        ask.machine_id,
        ttl=body.get("ttl") if ttl is None else ttl,
        owner=ask.owner,
        description=body.get("description") or ask.query.get("description", ""),
        nonce=ask.nonce,
    )
    return ApiResponse(status=200 if ask.nonce else 201, body=views.lease(world, lease))


def read_lease(world: World, ask: ApiRequest) -> ApiResponse:
    """Show the lease in force."""
    return ApiResponse(body=views.lease(world, leases.read(world, ask.app, ask.machine_id)))


def release_lease(world: World, ask: ApiRequest) -> ApiResponse:
    """Give a lease back."""
    leases.release(world, ask.app, ask.machine_id, nonce=ask.nonce)
    return ApiResponse(body={"status": "success", "data": {"ok": True}})


HANDLERS: Mapping[str, Handler] = {
    "startMachine": start,
    "stopMachine": stop,
    "restartMachine": restart,
    "suspendMachine": suspend,
    "signalMachine": signal,
    "cordonMachine": cordon,
    "uncordonMachine": uncordon,
    "createMachineLease": acquire_lease,
    "getMachineLease": read_lease,
    "machinesReleaseLease": release_lease,
}
