"""What flyctl asks api.fly.io for, besides GraphQL: organizations, builds, releases and egress addresses."""

from flyasync.emulator.core.errors import not_found
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.apps import release
from flyasync.emulator.world import ip_assignments, orgs, releases
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_CREATE = {"app_name": "string", "image": "string", "strategy": "string", "definition": "Definition"}
_MOST = 100


@HANDLERS.serves("listOrganizations")
def organizations(world: World, _: ApiRequest) -> ApiResponse:
    """List the organizations."""
    return ApiResponse(body={"organizations": [_organization(world, slug) for slug in orgs.slugs(world)]})


@HANDLERS.serves("getOrganization")
def organization(world: World, request: ApiRequest) -> ApiResponse:
    """Return one organization."""
    slug = request.params["org_slug"]
    if slug not in orgs.slugs(world):
        raise not_found("organization")
    return ApiResponse(body={"organization": _organization(world, slug)})


@HANDLERS.serves("createBuild", "finishBuild")
def build(_: World, __: ApiRequest) -> ApiResponse:
    """Accept the record of a build; the emulator keeps none."""
    return ApiResponse(body={"id": 1, "status": "started"})


@HANDLERS.serves("createRelease")
def create(world: World, request: ApiRequest) -> ApiResponse:
    """Create the next release of an app."""
    body = request.body(_CREATE, "createReleaseRequest")
    app = world.app(body.get("app_name") or "")
    made = releases.create(
        world,
        app,
        image=body.get("image") or "",
        strategy=body.get("strategy") or "ROLLING",
        definition=body.get("definition") or {},
    )
    # Wrapped, unlike the response of an update.
    return ApiResponse(status=201, body={"release": release(world, made)})


@HANDLERS.serves("updateRelease")
def update(world: World, request: ApiRequest) -> ApiResponse:
    """Set the status of a release."""
    body = request.body({"status": "string"}, "updateReleaseRequest")
    changed = releases.update(world, request.params["release_id"], status=body.get("status") or "")
    return ApiResponse(body=release(world, changed))


@HANDLERS.serves("listReleases")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the releases of an app, newest first."""
    found = releases.newest_first(world.app(request.app), request.number("limit") or _MOST)
    return ApiResponse(body={"releases": [release(world, each) for each in found]})


@HANDLERS.serves("getCurrentRelease")
def current(world: World, request: ApiRequest) -> ApiResponse:
    """Return the newest release of an app; 404 if there is none."""
    found = releases.newest_first(world.app(request.app), 1)
    if not found:
        raise not_found("release")
    return ApiResponse(body=release(world, found[0]))


@HANDLERS.serves("listCurrentReleases")
def all_current(world: World, _: ApiRequest) -> ApiResponse:
    """Return when the newest release of each app was created, by app."""
    found = {app.name: app.releases[-1] for app in world.apps.values() if app.releases}
    return ApiResponse(body={name: world.stamp(each.created_at) for name, each in found.items()})


@HANDLERS.serves("promoteEgressIP")
def promote(world: World, request: ApiRequest) -> ApiResponse:
    """Make an egress address of a machine one that all machines of its region share."""
    ip_assignments.promote(world.app(request.app), request.params["ip"])
    return ApiResponse(status=204)


def _organization(world: World, slug: str) -> Json:
    return {
        "id": orgs.key(slug),
        "internal_numeric_id": orgs.number(slug),
        "slug": slug,
        "raw_slug": slug,
        "name": orgs.name(world, slug),
        "personal": slug == orgs.PERSONAL,
        "paid_plan": True,
        "billable": True,
        "billing_status": "CURRENT",
        "provisions_beta_extensions": False,
        "remote_builder_image": "",
    }
