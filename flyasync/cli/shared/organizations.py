"""The organizations that a token can see: all of them, and the one in which apps are created by default."""

from typing import TYPE_CHECKING, Final

from flyasync.errors import FlyError, InvalidInput

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient
    from flyasync.models.app import App

PERSONAL: Final = "personal"
"""The slug of the organization that belongs to a user alone."""


async def slugs(fly: "FlyClient") -> list[str]:
    """Return the organizations that the token can see; that of the token itself if it may not list them."""
    try:
        found = [org.slug for org in await fly.orgs.list()]
    except FlyError:  # not every token may list them; any other failure shows up in the next request too
        found = [token.org_slug for token in await fly.tokens.current()]
    return [slug for slug in dict.fromkeys(found) if slug]


async def default_org(fly: "FlyClient") -> str:
    """Return the organization in which an app is created by default: the token's only one, otherwise `personal`.

    Raises InvalidInput if the token can see several others.
    """
    found = await slugs(fly)
    if len(found) > 1 and PERSONAL not in found:
        raise InvalidInput(
            f"the token has several organizations, and none of them is {PERSONAL}: name the one for the app "
            f"({', '.join(sorted(found))})"
        )
    return found[0] if len(found) == 1 else PERSONAL


async def apps_of(fly: "FlyClient", org: str | None) -> "tuple[App, ...]":
    """Return the apps of one organization, or of all."""
    import asyncio

    orgs = [org] if org else await slugs(fly)
    # Each organization has its own rate limit, so they are listed concurrently.
    listed = await asyncio.gather(*(fly.apps.list(slug) for slug in orgs))
    return tuple(app for apps in listed for app in apps)
