"""IP addresses over HTTP."""

from collections.abc import Mapping

from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.resources import address
from flyasync.emulator.world import ip_assignments
from flyasync.emulator.world.world import World

_ASSIGN = {"type": "string", "region": "string", "org_slug": "string", "network": "string", "service_name": "string"}


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List the addresses of an app."""
    return ApiResponse(body={"ips": [address(world, item) for item in world.app(ask.app).addresses.values()]})


def assign(world: World, ask: ApiRequest) -> ApiResponse:
    """Assign an address; a pair comes under its own key besides."""
    body = ask.body(_ASSIGN, "assignIPRequest")
    said = {"region": body.get("region") or "", "service_name": body.get("service_name") or ""}
    found = ip_assignments.assign(world, world.app(ask.app), body.get("type") or "", **said)
    shown = address(world, found[0])
    pair = {"ip_pair": {"v4": found[0].ip, "v6": found[1].ip}} if found[1:] else {}
    return ApiResponse(body={key: value for key, value in shown.items() if key != "type"} | pair)


def release(world: World, ask: ApiRequest) -> ApiResponse:
    """Take an address away."""
    ip_assignments.release(world.app(ask.app), ask.params["ip"])
    return ApiResponse(status=204)


HANDLERS: Mapping[str, Handler] = {
    "listAppIPAssignments": listing,
    "createAppIPAssignment": assign,
    "deleteAppIPAssignment": release,
}
