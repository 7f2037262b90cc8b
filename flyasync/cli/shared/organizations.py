"""The organizations that a token can see, for commands that cover all of them by default."""

import asyncio

from flyasync.api.client import FlyClient
from flyasync.errors import FlyError
from flyasync.models.app import App


async def slugs(fly: FlyClient) -> list[str]:
    """Return the organizations that the token can see; that of the token itself if it may not list them."""
    try:
        found = [org.slug for org in await fly.orgs.list()]
    except FlyError:  # not every token may list them; any other failure shows up in the next request too
        found = [token.org_slug for token in await fly.tokens.current()]
    return [slug for slug in dict.fromkeys(found) if slug]


async def apps_of(fly: FlyClient, org: str | None) -> tuple[App, ...]:
    """Return the apps of one organization, or of all."""
    orgs = [org] if org else await slugs(fly)
    # Each organization has its own rate limit, so they are listed concurrently.
    listed = await asyncio.gather(*(fly.apps.list(slug) for slug in orgs))
    return tuple(app for apps in listed for app in apps)
