"""Limited access tokens: create, list and revoke those of an organization and of its apps."""

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import not_found
from flyasync.emulator.core.go_json import Json, seconds
from flyasync.emulator.core.records import LimitedTokenRecord
from flyasync.emulator.world import authorization, tokens
from flyasync.emulator.world.world import World

# Twenty years, as for a token that flyctl creates without an expiry.
USUAL_EXPIRY = "175200h"


def create(
    world: World, org_slug: str, *, name: str, profile: str, params: Json, expiry: str | None
) -> LimitedTokenRecord:
    """Create a token that is valid for a Go duration, such as `24h`; `app_id` in the parameters limits it to an app."""
    lasting = seconds(expiry or USUAL_EXPIRY)
    made = LimitedTokenRecord(
        id=ids.token(world.random, 20),
        name=name,
        org_slug=org_slug,
        profile=profile,
        params=params,
        token=tokens.deploy(world, org=org_slug, app=params.get("app_id"), seconds=lasting),
        created_at=world.clock,
        expires_at=world.clock + lasting,
    )
    world.limited_tokens[made.id] = made
    return made


def of_org(world: World, org_slug: str) -> list[LimitedTokenRecord]:
    """Return the tokens of an organization, oldest first, without those of its apps."""
    return [each for each in world.limited_tokens.values() if each.org_slug == org_slug and "app_id" not in each.params]


def of_app(world: World, app: str) -> list[LimitedTokenRecord]:
    """Return the tokens that are limited to an app, oldest first."""
    return [each for each in world.limited_tokens.values() if each.params.get("app_id") == app]


def revoke(world: World, token_id: str) -> LimitedTokenRecord:
    """Revoke a token, which stays in the lists; an unknown one raises 404."""
    found = world.limited_tokens.get(token_id)
    if found is None:
        raise not_found("token")
    found.revoked_at = world.clock
    authorization.revoke(world, found.token)
    return found
