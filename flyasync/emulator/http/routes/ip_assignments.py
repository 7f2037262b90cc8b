"""IP addresses over HTTP."""

from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.apps import address
from flyasync.emulator.world import ip_assignments
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_ASSIGN = {"type": "string", "region": "string", "org_slug": "string", "network": "string", "service_name": "string"}


@HANDLERS.serves("listAppIPAssignments")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the addresses of an app."""
    app = world.app(request.app)
    return ApiResponse(body={"ips": [address(world, app, item) for item in app.addresses.values()]})


@HANDLERS.serves("createAppIPAssignment")
def assign(world: World, request: ApiRequest) -> ApiResponse:
    """Assign an address; a pair is returned under a key of its own, and no single address."""
    app = world.app(request.app)
    body = request.body(_ASSIGN, "assignIPRequest")
    found = ip_assignments.assign(
        world,
        app,
        body.get("type") or "",
        region=body.get("region") or "",
        service_name=body.get("service_name") or "",
        network=body.get("network") or "",
        network_org=body.get("org_slug") or "",
    )
    shown = address(world, app, found[0])
    pair = {"ip": None, "ip_pair": {"v4": found[0].ip, "v6": found[1].ip}} if found[1:] else {}
    # The list has the type, this response does not.
    return ApiResponse(body={key: value for key, value in shown.items() if key != "type"} | pair)


@HANDLERS.serves("deleteAppIPAssignment")
def release(world: World, request: ApiRequest) -> ApiResponse:
    """Release an address."""
    ip_assignments.release(world.app(request.app), request.params["ip"])
    return ApiResponse(status=204)
