"""The actions on a machine over HTTP."""

from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import OK, ApiRequest, ApiResponse
from flyasync.emulator.world import actions
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()


@HANDLERS.serves("startMachine")
def start(world: World, request: ApiRequest) -> ApiResponse:
    """Start a machine."""
    previous = actions.start(world, world.machine(request.app, request.machine_id), nonce=request.nonce)
    # The official client decodes this body, so it must be JSON with these keys.
    return ApiResponse(body={"previous_state": previous, "migrated": False, "new_host": ""})


@HANDLERS.serves("stopMachine")
def stop(world: World, request: ApiRequest) -> ApiResponse:
    """Stop a machine; the body is optional, but must be an object."""
    # The official client always sends `"timeout": "0s"`, which means the default. Here the timeout has no effect.
    request.body({"signal": "string"}, "stopRequest", required=False)
    actions.stop(world, world.machine(request.app, request.machine_id), nonce=request.nonce)
    return OK


@HANDLERS.serves("restartMachine")
def restart(world: World, request: ApiRequest) -> ApiResponse:
    """Restart a machine."""
    # `force_stop`, `timeout` and `signal` are query parameters; here every process stops on request.
    actions.restart(world, world.machine(request.app, request.machine_id), nonce=request.nonce)
    return OK


@HANDLERS.serves("suspendMachine")
def suspend(world: World, request: ApiRequest) -> ApiResponse:
    """Suspend a machine."""
    actions.suspend(world, world.machine(request.app, request.machine_id), nonce=request.nonce)
    return OK


@HANDLERS.serves("signalMachine")
def signal(world: World, request: ApiRequest) -> ApiResponse:
    """Send a signal."""
    name = request.body({}, "signalRequest").get("signal")
    actions.signal(world, world.machine(request.app, request.machine_id), name)
    return OK


@HANDLERS.serves("cordonMachine")
def cordon(world: World, request: ApiRequest) -> ApiResponse:
    """Cordon a machine."""
    actions.cordon(world, world.machine(request.app, request.machine_id), cordoned=True, nonce=request.nonce)
    return OK


@HANDLERS.serves("uncordonMachine")
def uncordon(world: World, request: ApiRequest) -> ApiResponse:
    """Uncordon a machine."""
    actions.cordon(world, world.machine(request.app, request.machine_id), cordoned=False, nonce=request.nonce)
    return OK
