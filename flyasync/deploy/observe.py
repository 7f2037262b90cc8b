"""Reading what is there: an app's machines, and the map of regions with room."""

from flyasync.api.client import FlyClient
from flyasync.api.once import LAUNCH
from flyasync.deploy.deployment import Deployment
from flyasync.deploy.fleet import Fleet
from flyasync.deploy.placement import by_distance
from flyasync.errors import FlyError


async def observe(fly: FlyClient, app: str, launch: str) -> Fleet:
    """List the machines of one launch; raises NotFound when there is no such app."""
    return Fleet(app, await fly.machines.list(app, metadata={LAUNCH: launch}))


async def nearest_with_room(fly: FlyClient, deployment: Deployment, home: str) -> tuple[str, ...]:
    """List the regions that can stand in for `home`, nearest first: those with room, and not wanted themselves."""
    regions = await fly.platform.regions()
    return by_distance(home, regions, without=deployment.regions, room=await _roomy(fly, deployment))


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
