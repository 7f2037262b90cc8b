"""Organizations, their members and tokens. The value of an organization is its slug."""

from typing import Any

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.http.graphql.connections import USER, Fields, connection, empty, stamp
from flyasync.emulator.world import limited_tokens, orgs
from flyasync.emulator.world.world import World


def organizations(world: World, _: Any, *, kind: str | None = None, **page: Any) -> Json:
    """List the organizations; every user is an administrator of each."""
    found = [slug for slug in orgs.slugs(world) if kind in {None, _kind(slug)}]
    return connection(found, **page)


def _kind(slug: str) -> str:
    return "PERSONAL" if slug == orgs.PERSONAL else "SHARED"


def _members(world: World, slug: str, **_: Any) -> Json:
    joined = world.orgs[slug].created_at if slug in world.orgs else 0.0
    edge = {"cursor": "1", "node": USER, "role": "ADMIN", "joined_at": world.stamp(joined)}
    return {"nodes": [USER], "edges": [edge]}


ORGANIZATION: Fields = {
    "id": lambda _, slug: orgs.key(slug),
    "internalNumericId": lambda _, slug: str(orgs.number(slug)),
    "slug": lambda _, slug: slug,
    "rawSlug": lambda _, slug: slug,
    "name": orgs.name,
    "type": lambda _, slug: _kind(slug),
    "viewerRole": lambda *_: "admin",
    "paidPlan": lambda *_: True,
    "billable": lambda *_: True,
    "billingStatus": lambda *_: "CURRENT",
    "provisionsBetaExtensions": lambda *_: False,
    "remoteBuilderImage": lambda *_: "",
    "remoteBuilderApp": lambda *_: None,
    "addOnSsoLink": lambda *_: None,
    "addOns": empty,
    "allowAllCrossNetworkReplays": lambda world, slug: slug in world.orgs and world.orgs[slug].allows_all_replays,
    "allowedReplaySourceOrgSlugs": lambda world, slug: world.orgs[slug].replay_sources if slug in world.orgs else [],
    "apps": lambda world, slug, **page: connection(
        [app for app in world.apps.values() if app.org_slug == slug], **page
    ),
    "delegatedWireGuardTokens": empty,
    "limitedAccessTokens": lambda world, slug, **page: connection(limited_tokens.of_org(world, slug), **page),
    "loggedCertificates": empty,
    "members": _members,
    "wireGuardPeers": empty,
}

PRINCIPAL: Fields = {
    "personalOrganization": lambda *_: orgs.PERSONAL,
    "organizations": organizations,
}

LIMITED_TOKEN: Fields = {
    "profileParams": lambda _, token: token.params,
    "tokenHeader": lambda _, token: token.token,
    "organization": lambda _, token: token.org_slug,
    "user": lambda *_: USER,
    "createdAt": stamp("created_at"),
    "expiresAt": stamp("expires_at"),
    "revokedAt": lambda world, token: None if token.revoked_at is None else world.stamp(token.revoked_at),
}
