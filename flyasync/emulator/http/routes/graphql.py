"""The little of the GraphQL API that is emulated; what it does not know it says with status 200, as GraphQL does."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.images import ImageReference
from flyasync.emulator.core.records import AppRecord
from flyasync.emulator.core.regions import NEAREST, REGIONS, RegionRecord
from flyasync.emulator.http import graphql_parser as graphql
from flyasync.emulator.http.graphql_parser import Complaint, Field
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.world import orgs, secrets
from flyasync.emulator.world.world import World

Root = Callable[[World, Field], Any]
# What the layers of an image weigh is made up.
_LEAST_BYTES = 50 * 1024**2


def answer(world: World, ask: ApiRequest) -> ApiResponse:
    """Answer a query with data or with errors."""
    body = ask.body({"query": "string"}, "graphqlRequest")
    variables = body.get("variables")
    try:
        query = body.get("query") or ""
        fields = graphql.read(query, variables if isinstance(variables, dict) else {})
        roots = _MUTATIONS if graphql.is_mutation(query) else _QUERIES
        data: Json = {}
        for field in fields:
            data |= graphql.project({field.name: _root(world, field, roots)}, [field])
    except Complaint as complaint:
        return ApiResponse(body={"data": None, "errors": [complaint.as_json()]})
    return ApiResponse(body={"data": data})


def _root(world: World, field: Field, roots: Mapping[str, Root]) -> Any:
    if field.name not in roots:
        kind = "Mutation" if roots is _MUTATIONS else "Query"
        text = f"Field '{field.name}' doesn't exist on type '{kind}'"
        raise Complaint(text, path=[field.alias], code="undefinedField")
    return roots[field.name](world, field)


def _organizations(world: World, _: Field) -> Json:
    return {"__typename": "OrganizationConnection", "nodes": [_organization(slug) for slug in orgs.slugs(world)]}


def _organization_named(world: World, field: Field) -> Json:
    slug = field.arguments.get("slug")
    if slug not in orgs.slugs(world):
        raise Complaint("Could not find Organization", path=[field.alias], code="NOT_FOUND")
    return _organization(str(slug))


def _viewer(world: World, field: Field) -> Json:
    return {
        "__typename": "User",
        "id": "emulator-user",
        "name": "Emulator",
        "email": "emulator@example.com",
        "personalOrganization": _organization(orgs.PERSONAL),
        "organizations": _organizations(world, field),
    }


def _app_named(world: World, field: Field) -> Json:
    return _app(world, _find_app(world, field, field.arguments.get("name")))


def _find_app(world: World, field: Field, name: Any) -> AppRecord:
    app = world.apps.get(str(name))
    if app is None:
        raise Complaint("Could not find App", path=[field.alias], code="NOT_FOUND")
    return app


def _set_secrets(world: World, field: Field) -> Json:
    given = _input(field)
    app = _find_app(world, field, given.get("appId"))
    secrets.change(world, app, {str(one.get("key")): str(one.get("value")) for one in _objects(given.get("secrets"))})
    return {"__typename": "SetSecretsPayload", "release": None, "app": _app(world, app)}


def _unset_secrets(world: World, field: Field) -> Json:
    given = _input(field)
    app = _find_app(world, field, given.get("appId"))
    keys = given.get("keys")
    secrets.change(world, app, dict.fromkeys(map(str, keys if isinstance(keys, list) else [])))
    return {"__typename": "UnsetSecretsPayload", "release": None, "app": _app(world, app)}


def _input(field: Field) -> Json:
    given = field.arguments.get("input")
    if not isinstance(given, dict):
        raise Complaint(f"Field '{field.name}' is missing required arguments: input", path=[field.alias])
    return given


def _objects(values: Any) -> list[Json]:
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _platform(_world: World, _field: Field) -> Json:
    regions = [_region(region) for region in REGIONS if not region.deprecated]
    return {"__typename": "PlatformRegions", "requestRegion": NEAREST, "regions": regions}


def _may_deploy_bluegreen(_world: World, _field: Field) -> bool:
    return True


def _app(world: World, app: AppRecord) -> Json:
    return {
        "__typename": "App",
        "id": app.name,
        "internalNumericId": app.number,
        "name": app.name,
        "hostname": f"{app.name}.fly.dev",
        "cnameTarget": f"{app.id[:7]}.{app.name}.fly.dev",
        "appUrl": f"https://{app.name}.fly.dev",
        "deployed": app.is_deployed,
        "status": "deployed" if app.is_deployed else "pending",
        "network": app.network,
        "platformVersion": "machines",
        "organization": _organization(app.org_slug),
        "role": {"__typename": "AppRole", "id": app.role, "name": app.role} if app.role else None,
        "image": partial(_image, world),
    }


def _image(world: World, field: Field) -> Json:
    ref = field.arguments.get("ref")
    if not isinstance(ref, str) or not ref:
        raise Complaint("Field 'image' is missing required arguments: ref", path=[field.alias])
    digest = world.images.digest(ref)
    size = str(_LEAST_BYTES + len(ref) * 1024)
    return {
        "__typename": "Image",
        "id": f"img_{digest.rpartition(':')[2][:16]}",
        "digest": digest,
        "ref": str(ImageReference.parse(ref)),
        "compressedSize": size,
        "compressedSizeFull": size,
        "manifest": {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"},
    }


def _organization(slug: str) -> Json:
    return {
        "__typename": "Organization",
        "id": f"org-{orgs.number(slug)}",
        "internalNumericId": str(orgs.number(slug)),
        "slug": slug,
        "rawSlug": slug,
        "name": slug,
        "type": "PERSONAL" if slug == orgs.PERSONAL else "SHARED",
        "viewerRole": "admin",
        "paidPlan": True,
    }


def _region(region: RegionRecord) -> Json:
    return {
        "__typename": "Region",
        "code": region.code,
        "name": region.name,
        "latitude": region.latitude,
        "longitude": region.longitude,
        "gatewayAvailable": region.gateway_available,
        "requiresPaidPlan": region.requires_paid_plan,
    }


_QUERIES: Mapping[str, Root] = {
    "organizations": _organizations,
    "organization": _organization_named,
    "viewer": _viewer,
    "app": _app_named,
    "platform": _platform,
    "canPerformBluegreenDeployment": _may_deploy_bluegreen,
}
_MUTATIONS: Mapping[str, Root] = {"setSecrets": _set_secrets, "unsetSecrets": _unset_secrets}

HANDLERS: Mapping[str, Handler] = {"graphql": answer}
