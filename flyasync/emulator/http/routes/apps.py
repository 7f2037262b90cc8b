"""Apps and the platform over HTTP."""

from collections.abc import Mapping

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.regions import NEAREST, REGIONS
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import machines as views
from flyasync.emulator.world import apps
from flyasync.emulator.world.world import World

_APP = {
    "name": "string", "app_name": "string", "org_slug": "string", "network": "string", "app_role_id": "string",
    "idempotency_key": "string",
}  # fmt: skip
_PLACEMENT = {"org_slug": "string", "region": "string", "count": "int", "compute": "MachineGuest"}


def create(world: World, ask: ApiRequest) -> ApiResponse:
    """Make an app; the cookie binds a client to the node that knows it first."""
    body = ask.body(_APP, "createAppRequest")
    name, org_slug = body.get("name") or body.get("app_name") or "", body.get("org_slug")
    if not org_slug:
        raise bad_request("org_slug is required")
    app = apps.create(
        world,
        name,
        org_slug=org_slug,
        network=body.get("network") or "",
        role=body.get("app_role_id") or "",
        idempotency_key=body.get("idempotency_key") or "",
    )
    cookie = f"fly_flaps_affinity={app.affinity}; Path=/v1/apps/{app.name}"
    return ApiResponse(status=201, body=views.app(world, app), headers={"Set-Cookie": cookie})


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List the apps of an organization, of one role if that is asked for."""
    org_slug = ask.query.get("org_slug")
    if not org_slug:
        raise bad_request("org_slug is required")
    found = apps.listed(world, org_slug, role=ask.query.get("app_role", ""))
    return ApiResponse(body={"total_apps": len(found), "apps": [views.app_row(world, app) for app in found]})


def get(world: World, ask: ApiRequest) -> ApiResponse:
    """Show an app."""
    return ApiResponse(body=views.app(world, world.app(ask.app)))


def delete(world: World, ask: ApiRequest) -> ApiResponse:
    """Delete an app with all it holds."""
    apps.delete(world, ask.app)
    return ApiResponse(status=202)


def regions(world: World, _: ApiRequest) -> ApiResponse:
    """Show the regions, under the capitalized keys of the live API."""
    return ApiResponse(body={"Regions": [views.region(world, region) for region in REGIONS], "Nearest": NEAREST})


def placements(world: World, ask: ApiRequest) -> ApiResponse:
    """Show where machines would go if they were made now."""
    body = ask.body(_PLACEMENT, "getPlacementsRequest")
    found = apps.placements(world, body.get("region"), body.get("count") or 0)
    rows = [{"Region": region, "Count": count, "Concurrency": 1} for region, count in found.items()]
    return ApiResponse(body={"Regions": rows})


HANDLERS: Mapping[str, Handler] = {
    "createApp": create,
    "listApps": listing,
    "getApp": get,
    "deleteApp": delete,
    "getRegions": regions,
    "getPlacements": placements,
}
