"""Tokens over HTTP; those for other services are returned as plain text."""

from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.world import orgs, tokens
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()


@HANDLERS.serves("getCurrentToken")
def current(world: World, request: ApiRequest) -> ApiResponse:
    """Show the access of the request's token: everything."""
    # Clients use this to find their organization.
    shown = [
        {
            "token_id": request.token_id,
            "organization": slug,
            "org_slug": slug,
            "apps": [app.name for app in world.apps.values() if app.org_slug == slug],
            "user": "emulator@example.com",
            "restricted_to_machine": "",
            "source_machine_id": "",
        }
        for slug in orgs.slugs(world)
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
    request.body({"expiry": "string"}, "createDeployTokenRequest")
    world.app(request.app)
    return ApiResponse(body={"token": tokens.deploy(world)})


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
