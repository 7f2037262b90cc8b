"""Secrets over HTTP."""

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.records import AppRecord
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.secrets import secret, version
from flyasync.emulator.world import secrets
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()


@HANDLERS.serves("listSecrets")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the secrets, with their values on request."""
    app = _app(world, request)
    with_value = request.flag("show_secrets")
    return ApiResponse(body={"secrets": [secret(world, item, with_value=with_value) for item in secrets.listed(app)]})


@HANDLERS.serves("getSecret")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show one secret."""
    found = secrets.find(_app(world, request), request.params["secret_name"])
    return ApiResponse(body=secret(world, found, with_value=request.flag("show_secrets")))


@HANDLERS.serves("createSecret")
def write(world: World, request: ApiRequest) -> ApiResponse:
    """Set one secret."""
    value = request.body({"value": "string"}, "setSecretRequest").get("value")
    if value is None:
        raise bad_request("value is required")
    app, name = world.app(request.app), request.params["secret_name"]
    number = secrets.change(world, app, {name: value})
    return ApiResponse(status=201, body=secret(world, secrets.find(app, name)) | version(number))


@HANDLERS.serves("updateSecrets")
def write_many(world: World, request: ApiRequest) -> ApiResponse:
    """Set several secrets and remove those whose value is null."""
    values = request.body({"values": "map[string]string"}, "updateSecretsRequest").get("values") or {}
    app = world.app(request.app)
    number = secrets.change(world, app, values)
    return ApiResponse(body={"secrets": [secret(world, item) for item in secrets.listed(app)], **version(number)})


@HANDLERS.serves("deleteSecret")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Remove one secret."""
    return ApiResponse(body=version(secrets.remove(world, world.app(request.app), request.params["secret_name"])))


def _app(world: World, request: ApiRequest) -> AppRecord:
    # The API document has `min_version`, the official client sends `version`.
    app = world.app(request.app)
    secrets.demand_version(world, app, request.number("min_version") or request.number("version"))
    return app
