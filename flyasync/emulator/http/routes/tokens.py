"""Tokens over HTTP; those for other services go out as plain text."""

from collections.abc import Mapping

from flyasync.emulator.http import tokens
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.world import orgs
from flyasync.emulator.world.world import World


def current(world: World, ask: ApiRequest) -> ApiResponse:
    """Tell what the token of the request may see: everything there is."""
    return ApiResponse(body={"tokens": [_token(world, ask, slug) for slug in orgs.slugs(world)]})


def authenticate(_: World, ask: ApiRequest) -> ApiResponse:
    """Look into the tokens of a header."""
    header = ask.body({"header": "string"}, "authenticateRequest").get("header") or ""
    return ApiResponse(body=tokens.verified(header))


def authorize(world: World, ask: ApiRequest) -> ApiResponse:
    """Tell whether a header allows something."""
    body = ask.body({"header": "string", "access": "Access"}, "authorizeRequest")
    verified = tokens.verified(body.get("header") or "")[0]
    return ApiResponse(body={"access": tokens.access(world, body.get("access") or {}), "verified_token": verified})


def deploy_token(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a token for an app; without a body there is none."""
    ask.body({"expiry": "string"}, "createDeployTokenRequest")
    world.app(ask.app)
    return ApiResponse(body={"token": tokens.deploy(world)})


def oidc(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a token for a service that trusts Fly."""
    body = ask.body({"aud": "string", "aws_principal_tags": "bool"}, "oidcRequest", required=False)
    return ApiResponse(body=tokens.oidc(world, body.get("aud") or ""))


def kms(world: World, _: ApiRequest) -> ApiResponse:
    """Make a token for the keys of an app."""
    return ApiResponse(body=tokens.kms(world))


def _token(world: World, ask: ApiRequest, slug: str) -> dict[str, object]:
    return {
        "token_id": ask.token_id,
        "organization": slug,
        "org_slug": slug,
        "apps": [app.name for app in world.apps.values() if app.org_slug == slug],
        "user": "emulator@example.com",
        "restricted_to_machine": "",
        "source_machine_id": "",
    }


HANDLERS: Mapping[str, Handler] = {
    "getCurrentToken": current,
    "authenticateToken": authenticate,
    "authorizeToken": authorize,
    "createAppDeployToken": deploy_token,
    "requestOidcToken": oidc,
    "requestKmsToken": kms,
}
