"""Which organizations a command is about when none is named."""

import asyncio

from flyasync.api.client import FlyClient
from flyasync.errors import FlyError
from flyasync.models.app import App


async def slugs(fly: FlyClient) -> list[str]:
    """Name the organizations that the token can see; one for a single organization knows its own."""
    try:
        found = [org.slug for org in await fly.orgs.list()]
    except FlyError:  # not every token may ask that; whatever else is wrong, the next request says it too
        found = [token.org_slug for token in await fly.tokens.current()]
    return [slug for slug in dict.fromkeys(found) if slug]


async def apps_of(fly: FlyClient, org: str | None) -> tuple[App, ...]:
    """List the apps of one organization, or of all."""
    orgs = [org] if org else await slugs(fly)
    listed = await asyncio.gather(*(fly.apps.list(slug) for slug in orgs))
    return tuple(app for apps in listed for app in apps)
