"""GraphQL at `/graphql`: the part of api.fly.io that is in `schema.graphql`, which flyctl and this SDK use."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import ImageReference
from flyasync.emulator.core.records import AppRecord, ReleaseRecord
from flyasync.emulator.core.regions import NEAREST, REGIONS
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import apps as views
from flyasync.emulator.world import orgs, releases, secrets
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

# The size of every image is made up.
_LEAST_BYTES = 50 * 1024**2


class _NotFound(Exception):
    """A resource of a query does not exist. flyctl matches the text, other clients the code."""

    extensions: Mapping[str, Any] = {"code": "NOT_FOUND"}


@HANDLERS.serves("graphql")
def execute(world: World, request: ApiRequest) -> ApiResponse:
    """Execute a document; data and errors have status 200, and 501 means that graphql-core is not installed."""
    asked = request.body({"query": "string", "operationName": "string"}, "graphqlRequest")
    try:
        # Importing graphql-core takes longer than starting the emulator, and only this request needs it.
        from flyasync.emulator.http import graphql_engine
    except ModuleNotFoundError as missing:
        if missing.name != "graphql":
            raise
        raise ApiError(501, "GraphQL needs graphql-core: pip install 'flyasync[emulator]'") from None
    variables = asked.get("variables")
    body = graphql_engine.execute(
        asked.get("query") or "",
        variables if isinstance(variables, dict) else {},
        asked.get("operationName"),
        {name: partial(resolve, world) for name, resolve in _ROOT.items()},
    )
    return ApiResponse(body=body)


def _organizations(world: World, _info: Any, **_filters: Any) -> Json:
    return {"nodes": [_organization(slug) for slug in orgs.slugs(world)]}


def _organization_named(world: World, _info: Any, slug: str | None = None, **_others: Any) -> Json:
    if slug not in orgs.slugs(world):
        raise _NotFound("Could not find Organization")
    return _organization(slug)


def _viewer(world: World, _info: Any) -> Json:
    return {
        "__typename": "User",
        "id": "emulator-user",
        "name": "Emulator",
        "email": "emulator@example.com",
        "personalOrganization": _organization(orgs.PERSONAL),
        "organizations": partial(_organizations, world),
    }


def _app_named(world: World, _info: Any, name: str | None = None, **_others: Any) -> Json:
    return _app(world, _find_app(world, name))


def _set_secrets(world: World, _info: Any, *, input: Json) -> Json:  # noqa: A002 - the argument's name in the schema
    app = _find_app(world, input["appId"])
    secrets.change(world, app, {one["key"]: one["value"] for one in input["secrets"]})
    return {"release": None, "app": _app(world, app)}


def _unset_secrets(world: World, _info: Any, *, input: Json) -> Json:  # noqa: A002 - as above
    app = _find_app(world, input["appId"])
    secrets.change(world, app, dict.fromkeys(input["keys"]))
    return {"release": None, "app": _app(world, app)}


def _platform(_world: World, _info: Any) -> Json:
    fields = {
        "code": "code",
        "name": "name",
        "latitude": "latitude",
        "longitude": "longitude",
        "gatewayAvailable": "gateway_available",
        "requiresPaidPlan": "requires_paid_plan",
    }
    regions = [
        {name: getattr(region, attribute) for name, attribute in fields.items()}
        for region in REGIONS
        if not region.deprecated
    ]
    return {"requestRegion": NEAREST, "regions": regions}


def _may_deploy_bluegreen(_world: World, _info: Any, **_app: Any) -> bool:
    return True


def _find_app(world: World, name: str | None) -> AppRecord:
    if name is None or name not in world.apps:
        raise _NotFound("Could not find App")
    return world.apps[name]


def _app(world: World, app: AppRecord) -> Json:
    return {
        "id": app.name,
        "internalNumericId": app.number,
        "name": app.name,
        "hostname": f"{app.name}.fly.dev",
        "cnameTarget": f"{app.id[:7]}.{app.name}.fly.dev",
        "appUrl": f"https://{app.name}.fly.dev",
        "deployed": app.is_deployed,
        "status": "deployed" if app.is_deployed else "pending",
        "network": app.network,
        # flyctl refuses to work on an app of any other platform.
        "platformVersion": "machines",
        "organization": _organization(app.org_slug),
        "role": {"id": app.role, "name": app.role} if app.role else None,
        "image": partial(_image, world),
        "egressIpAddresses": {
            "nodes": [
                {
                    "id": address.ip,
                    "ip": address.ip,
                    "version": 6 if ":" in address.ip else 4,
                    "region": address.region,
                    "updatedAt": world.stamp(address.created_at),
                }
                for address in app.addresses.values()
                if address.is_egress
            ]
        },
        "currentReleaseUnprocessed": next((_release(world, each) for each in releases.newest_first(app, 1)), None),
        "releasesUnprocessed": partial(_releases, world, app),
    }


def _releases(world: World, app: AppRecord, _info: Any, first: int | None = None, **_others: Any) -> Json:
    return {"nodes": [_release(world, each) for each in releases.newest_first(app, first)]}


def _release(world: World, record: ReleaseRecord) -> Json:
    shown = views.release(world, record)
    return {
        **{name: shown[name] for name in ("id", "version", "status", "stable")},
        "inProgress": shown["in_progress"],
        "reason": "deploy",
        "description": "Release",
        "deploymentStrategy": shown["strategy"],
        "imageRef": shown["image_ref"],
        "createdAt": shown["created_at"],
        "user": _viewer(world, None),
    }


def _image(world: World, _info: Any, ref: str) -> Json:
    if not ref:
        raise _NotFound("Could not find Image")
    digest = world.images.digest(ref)
    # flyctl reads the size as a string of digits.
    size = str(_LEAST_BYTES + len(ref) * 1024)
    return {
        "id": f"img_{digest.rpartition(':')[2][:16]}",
        "digest": digest,
        # This becomes the image of the machines that flyctl creates.
        "ref": str(ImageReference.parse(ref)),
        "compressedSize": size,
        "compressedSizeFull": size,
        "manifest": {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"},
    }


def _organization(slug: str) -> Json:
    return {
        "id": f"org-{orgs.number(slug)}",
        "internalNumericId": str(orgs.number(slug)),
        "slug": slug,
        "rawSlug": slug,
        "name": slug,
        "type": "PERSONAL" if slug == orgs.PERSONAL else "SHARED",
        "viewerRole": "admin",
        "paidPlan": True,
    }


# The fields of Query and of Mutation.
_ROOT: Mapping[str, Callable[..., Any]] = {
    "organizations": _organizations,
    "organization": _organization_named,
    "viewer": _viewer,
    "app": _app_named,
    "platform": _platform,
    "canPerformBluegreenDeployment": _may_deploy_bluegreen,
    "setSecrets": _set_secrets,
    "unsetSecrets": _unset_secrets,
}
