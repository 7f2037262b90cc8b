"""Reading what is there: a launch's machines, and the map of regions with room."""

import asyncio
from collections.abc import Collection
from difflib import get_close_matches
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from attrs import Factory, define

from flyasync.api.client import FlyClient
from flyasync.api.once import LAUNCH
from flyasync.deploy.deployment import Deployment
from flyasync.deploy.fleet import Fleet, group_of, tags
from flyasync.deploy.freshness import caught_up
from flyasync.deploy.placement import by_distance
from flyasync.errors import FlyError, InvalidInput
from flyasync.models.machine import GONE, Machine
from flyasync.models.region import Regions


async def observe(
    fly: FlyClient,
    deployment: Deployment,
    *,
    by_id: bool = True,
    include_deleted: bool = False,
    unlisted: Collection[str] = (),
) -> Fleet:
    """Read what is there; raises NotFound when there is no such app.

    Without a strategy those are the machines of one launch that are not on their way out, and all others beside them;
    with one, all of the app. Machines of the launch, or of the deployment's groups, are fetched `by_id`: what a list
    alone shows may be seconds old. `include_deleted` reads those that are gone as well. `unlisted` are ids of machines
    that a list has lacked.
    """
    if deployment.strategy is None:
        there, gone = await _machines(fly, deployment, by_id=by_id)
        mine = tuple(machine for machine in there if _concerns(deployment, machine))
        others = tuple(machine for machine in there if not _concerns(deployment, machine))
        volumes = await fly.volumes.list(deployment.app) if deployment.volume else ()
        return Fleet(deployment.app, mine, volumes=volumes, gone=gone, others=others)
    (there, gone), has_secrets = await asyncio.gather(
        _machines(fly, deployment, by_id=by_id, unlisted=unlisted, include_deleted=include_deleted or None),
        _has_secrets(fly, deployment.app),
    )
    has_volumes = deployment.volume is not None or any(map(_mounts, there))
    volumes = await fly.volumes.list(deployment.app) if has_volumes else ()
    return Fleet(deployment.app, there, volumes=volumes, has_secrets=has_secrets, gone=gone)


async def _machines(
    fly: FlyClient, deployment: Deployment, *, by_id: bool, unlisted: Collection[str] = (), **query: Any
) -> tuple[tuple[Machine, ...], tuple[Machine, ...]]:
    """Return the machines that are there, and those that are gone."""
    list_ = partial(fly.machines.list, deployment.app, **query)
    concerns = partial(_concerns, deployment)
    machines = await (caught_up(fly, deployment.app, list_, concerns, unlisted) if by_id else list_())
    gone = tuple(machine for machine in machines if machine.state in GONE)
    return tuple(machine for machine in machines if machine.state not in GONE), gone


def _concerns(deployment: Deployment, machine: Machine) -> bool:
    is_of_launch = tags(machine).get(LAUNCH) == deployment.launch
    if deployment.strategy is None:
        return is_of_launch
    return is_of_launch or group_of(machine) in {deployment.group, *deployment.retired_groups}


async def _has_secrets(fly: FlyClient, app: str) -> bool:
    try:
        return bool(await fly.secrets.list(app))
    except FlyError:
        return False  # whoever may not see them cannot learn their version either


def _mounts(machine: Machine) -> bool:
    config = machine.config or machine.incomplete_config
    return bool(config and config.mounts)


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
