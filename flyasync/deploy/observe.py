"""Reading what is there: a launch's machines, and the map of regions with room."""

import asyncio
from difflib import get_close_matches
from weakref import WeakKeyDictionary

from attrs import Factory, define

from flyasync.api.client import FlyClient
from flyasync.api.once import LAUNCH
from flyasync.deploy.deployment import Deployment
from flyasync.deploy.fleet import Fleet
from flyasync.deploy.placement import by_distance
from flyasync.errors import FlyError, InvalidInput
from flyasync.models.machine import GONE
from flyasync.models.region import Regions


async def observe(fly: FlyClient, deployment: Deployment) -> Fleet:
    """List the machines of one launch that are not on their way out; raises NotFound when there is no such app."""
    machines = await fly.machines.list(deployment.app, metadata={LAUNCH: deployment.launch})
    return Fleet(deployment.app, tuple(machine for machine in machines if machine.state not in GONE))


async def check_regions(fly: FlyClient, deployment: Deployment) -> None:
    """Raise InvalidInput for a region that Fly.io does not have, as far as the token may know."""
    try:
        regions = await _map(fly)
    except FlyError:
        return
    known = [region.code for region in regions.regions]
    named = deployment.fallback if isinstance(deployment.fallback, tuple) else ()
    for code in (*deployment.regions, *named):
        if code not in known:
            close = get_close_matches(code, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise InvalidInput(f"{code!r} is not a region of Fly.io: {hint}there are {', '.join(known)}")


async def nearest_with_room(fly: FlyClient, deployment: Deployment, home: str) -> tuple[str, ...]:
    """List the regions that can stand in for `home`, nearest first: those with room, and not wanted themselves."""
    return by_distance(home, await _map(fly), without=deployment.regions, room=await _roomy(fly, deployment))


@define
class _Atlas:
    """The map of one client, read once however many deploys ask for it: it changes by the year."""

    lock: asyncio.Lock = Factory(asyncio.Lock)
    regions: Regions | None = None


_ATLASES: WeakKeyDictionary[FlyClient, _Atlas] = WeakKeyDictionary()


async def _map(fly: FlyClient) -> Regions:
    atlas = _ATLASES.setdefault(fly, _Atlas())
    async with atlas.lock:
        if atlas.regions is None:
            atlas.regions = await fly.platform.regions()
        return atlas.regions


async def _roomy(fly: FlyClient, deployment: Deployment) -> frozenset[str] | None:
    """Name the regions with room for such a machine, or None where the token may not ask."""
    try:
        app = await fly.apps.get(deployment.app)
        if not (app.organization and app.organization.slug):
            return None
        placements = await fly.platform.placements(app.organization.slug, region="any", compute=deployment.config.guest)
    except FlyError:
        return None  # the simulation promises nothing anyway: the create is what decides
    return frozenset(placement.region for placement in placements.regions)
