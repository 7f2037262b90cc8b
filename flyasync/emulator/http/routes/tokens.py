"""Tokens over HTTP; those for other services are returned as plain text."""

from flyasync.emulator.core.accepted_token import AcceptedToken
from flyasync.emulator.core.go_json import seconds
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.world import authorization, orgs, tokens
from flyasync.emulator.world.limited_tokens import USUAL_EXPIRY
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()


@HANDLERS.serves("getCurrentToken")
def current(world: World, request: ApiRequest) -> ApiResponse:
    """Show the access of the request's tokens; without a list of tokens, everything."""
    held = authorization.held(world, request.authorization) or [AcceptedToken("any")]
    # Clients use this to find their organization.
    shown = [
        {
            "token_id": request.token_id,
            "organization": slug,
            "org_slug": slug,
            "apps": [app.name for app in world.apps.values() if app.org_slug == slug and token.app in {None, app.name}],
            "user": "emulator@example.com",
            "restricted_to_machine": "",
            "source_machine_id": "",
        }
        for token in held
        for slug in orgs.slugs(world)
        if token.org in {None, slug} and (token.app is None or _org_of(world, token.app) == slug)
    ]
    return ApiResponse(body={"tokens": shown})


@HANDLERS.serves("authenticateToken")
def authenticate(_: World, request: ApiRequest) -> ApiResponse:
    """Show the content of the tokens of a header."""
    header = request.body({"header": "string"}, "authenticateRequest").get("header") or ""
    return ApiResponse(body=tokens.verified(header))


@HANDLERS.serves("authorizeToken")
def authorize(world: World, request: ApiRequest) -> ApiResponse:
    """Show the permissions of a header."""
    body = request.body({"header": "string", "access": "Access"}, "authorizeRequest")
    verified = tokens.verified(body.get("header") or "")[0]
    return ApiResponse(body={"access": tokens.access(world, body.get("access") or {}), "verified_token": verified})


@HANDLERS.serves("createAppDeployToken")
def deploy_token(world: World, request: ApiRequest) -> ApiResponse:
    """Create a token for an app; a body is required, at least `{}`."""
    expiry = request.body({"expiry": "string"}, "createDeployTokenRequest").get("expiry") or USUAL_EXPIRY
    app = world.app(request.app)
    return ApiResponse(body={"token": tokens.deploy(world, org=app.org_slug, app=app.name, seconds=seconds(expiry))})


@HANDLERS.serves("requestOidcToken")
def oidc(world: World, request: ApiRequest) -> ApiResponse:
    """Create an OIDC token for another service; it is returned as plain text."""
    # The AWS tags are claims for AWS, and have no effect here.
    body = request.body({"aud": "string", "aws_principal_tags": "bool"}, "oidcRequest", required=False)
    return ApiResponse(body=tokens.oidc(world, body.get("aud") or ""))


@HANDLERS.serves("requestKmsToken")
def kms(world: World, _: ApiRequest) -> ApiResponse:
    """Create a token for the keys of an app; it is returned as plain text."""
    return ApiResponse(body=tokens.kms(world))


def _org_of(world: World, app: str) -> str:
    found = world.apps.get(app)
    return found.org_slug if found else ""
