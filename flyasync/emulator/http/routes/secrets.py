"""Secrets over HTTP."""

from collections.abc import Mapping

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.records import AppRecord
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.resources import secret, version
from flyasync.emulator.world import secrets
from flyasync.emulator.world.world import World


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List the secrets, with their values if that is asked for."""
    app = _app(world, ask)
    with_value = ask.flag("show_secrets")
    return ApiResponse(body={"secrets": [secret(world, item, with_value=with_value) for item in secrets.listed(app)]})


def get(world: World, ask: ApiRequest) -> ApiResponse:
    """Show one secret."""
    found = secrets.find(_app(world, ask), ask.params["secret_name"])
    return ApiResponse(body=secret(world, found, with_value=ask.flag("show_secrets")))


def write(world: World, ask: ApiRequest) -> ApiResponse:
    """Set one secret."""
    value = ask.body({"value": "string"}, "setSecretRequest").get("value")
    if value is None:
        raise bad_request("value is required")
    app, name = world.app(ask.app), ask.params["secret_name"]
    number = secrets.change(world, app, {name: value})
    return ApiResponse(body=secret(world, secrets.find(app, name)) | version(number))


def write_many(world: World, ask: ApiRequest) -> ApiResponse:
    """Set several secrets and remove those whose value is null."""
    values = ask.body({"values": "map[string]string"}, "updateSecretsRequest").get("values") or {}
    app = world.app(ask.app)
    number = secrets.change(world, app, values)
    return ApiResponse(body={"secrets": [secret(world, item) for item in secrets.listed(app)], **version(number)})


def delete(world: World, ask: ApiRequest) -> ApiResponse:
    """Remove one secret."""
    return ApiResponse(body=version(secrets.remove(world, world.app(ask.app), ask.params["secret_name"])))


def _app(world: World, ask: ApiRequest) -> AppRecord:
    app = world.app(ask.app)
    secrets.demand_version(world, app, ask.number("min_version") or ask.number("version"))
    return app


HANDLERS: Mapping[str, Handler] = {
    "listSecrets": listing,
    "getSecret": get,
    "createSecret": write,
    "updateSecrets": write_many,
    "deleteSecret": delete,
}
