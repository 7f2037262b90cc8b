"""Apps and the platform over HTTP."""

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.regions import NEAREST, REGIONS
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import apps as views
from flyasync.emulator.world import apps
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_APP = {
    "name": "string", "app_name": "string", "org_slug": "string", "network": "string", "app_role_id": "string",
    "idempotency_key": "string",
}  # fmt: skip
_PLACEMENT = {"org_slug": "string", "region": "string", "count": "int", "compute": "MachineGuest"}


def create(world: World, request: ApiRequest) -> ApiResponse:
    """Create an app; the cookie routes the client to the node that created it."""
    body = request.body(_APP, "createAppRequest")
    # Official clients send `name`, the documentation has `app_name`.
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
    # The path limits it to requests for this app.
    cookie = f"fly_flaps_affinity={app.affinity}; Path=/v1/apps/{app.name}"
    return ApiResponse(status=201, body=views.app(world, app), headers={"Set-Cookie": cookie})


@HANDLERS.serves("listApps")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the apps of an organization, optionally of one role."""
    org_slug = request.query.get("org_slug")
    if not org_slug:
        raise bad_request("org_slug is required")
    found = apps.listed(world, org_slug, role=request.query.get("app_role", ""), behind=request.behind)
    return ApiResponse(body={"total_apps": len(found), "apps": [views.app_row(world, app) for app in found]})


@HANDLERS.serves("getApp")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show an app."""
    return ApiResponse(body=views.app(world, world.app(request.app)))


@HANDLERS.serves("deleteApp")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Delete an app with all its resources."""
    # `force` has no effect: the machines of an app are deleted in any state.
    apps.delete(world, request.app)
    return ApiResponse(status=202)


@HANDLERS.serves("getRegions")
def regions(world: World, _: ApiRequest) -> ApiResponse:
    """List the regions, with the capitalized keys of the live API."""
    return ApiResponse(body={"Regions": [views.region(world, region) for region in REGIONS], "Nearest": NEAREST})


@HANDLERS.serves("getPlacements")
def placements(world: World, request: ApiRequest) -> ApiResponse:
    """Show where new machines would be placed."""
    body = request.body(_PLACEMENT, "getPlacementsRequest")
    found = apps.placements(world, body.get("region"), body.get("count") or 0)
    # Capitalized, as in the live API; the API document has lower case.
    rows = [{"Region": region, "Count": count, "Concurrency": 1} for region, count in found.items()]
    return ApiResponse(body={"Regions": rows})
