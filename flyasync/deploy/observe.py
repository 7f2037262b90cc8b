"""Reading what is there: a launch's machines, and the map of regions with room."""

import asyncio
from collections.abc import Collection
from difflib import get_close_matches
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from attrs import Factory, define

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.freshness import caught_up
from flyasync.deploy.plan.fleet import Fleet, is_in, tags
from flyasync.deploy.plan.placement import by_distance
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.errors import FlyError, InvalidInput
from flyasync.models.machine import GONE, Machine
from flyasync.models.region import Regions
from flyasync.models.secret import fingerprint


async def observe(
    fly: FlyClient,
    spec: DeploySpec,
    *,
    by_id: bool = True,
    include_deleted: bool = False,
    unlisted: Collection[str] = (),
    with_secrets: bool = True,
) -> Fleet:
    """Read what is there; raises NotFound when there is no such app.

    Without a strategy those are the machines of one launch that are not on their way out, and all others beside them;
    with one, all of the app. Machines of the launch, or of the deployment's groups, are fetched `by_id`: what a list
    alone shows may be seconds old. `include_deleted` reads those that are gone as well, `with_secrets` the names and
    digests of the app's secrets. `unlisted` are ids of machines that a list has lacked.
    """
    is_launch = spec.strategy.only_adds
    (there, gone), secrets = await asyncio.gather(
        _machines(fly, spec, by_id=by_id, unlisted=unlisted, include_deleted=include_deleted or None),
        _secrets(fly, spec.app) if with_secrets else _nothing(),
    )
    has_volumes = spec.volume is not None or (not is_launch and any(map(_mounts, there)))
    volumes = await fly.volumes.list(spec.app) if has_volumes else ()
    mine = [machine for machine in there if not is_launch or _concerns(spec, machine)]
    others = [machine for machine in there if is_launch and not _concerns(spec, machine)]
    return Fleet(spec.app, tuple(mine), volumes=volumes, gone=gone, others=tuple(others), **secrets)


async def _machines(
    fly: FlyClient, spec: DeploySpec, *, by_id: bool, unlisted: Collection[str] = (), **query: Any
) -> tuple[tuple[Machine, ...], tuple[Machine, ...]]:
    """Return the machines that are there, and those that are gone."""
    list_ = partial(fly.machines.list, spec.app, **query)
    concerns = partial(_concerns, spec)
    machines = await (caught_up(fly, spec.app, list_, concerns, unlisted) if by_id else list_())
    gone = tuple(machine for machine in machines if machine.state in GONE)
    return tuple(machine for machine in machines if machine.state not in GONE), gone


def _concerns(spec: DeploySpec, machine: Machine) -> bool:
    if tags(machine).get(LAUNCH) == spec.launch:
        return True
    groups = () if spec.strategy.only_adds else (spec.group, *spec.retired_groups)
    return any(is_in(machine, group) for group in groups)


async def _secrets(fly: FlyClient, app: str) -> dict[str, Any]:
    """Return what a fleet knows of the app's secrets: nothing but why, where the token may not list them."""
    try:
        secrets = await fly.secrets.list(app)
    except FlyError as error:
        return {"secrets_hidden": str(error)}
    mark = fingerprint(secrets)
    return {"has_secrets": bool(secrets), "secrets": mark, "secrets_hidden": None if mark else "they lack digests"}


async def _nothing() -> dict[str, Any]:
    return {}


def _mounts(machine: Machine) -> bool:
    config = machine.config or machine.incomplete_config
    return bool(config and config.mounts)


async def check_regions(fly: FlyClient, spec: DeploySpec) -> None:
    """Raise InvalidInput for a region that Fly.io does not have, as far as the token may know."""
    try:
        regions = await _map(fly)
    except FlyError:
        return
    known = [region.code for region in regions.regions]
    named = spec.fallback if isinstance(spec.fallback, tuple) else ()
    for code in (*spec.regions, *named):
        if code not in known:
            close = get_close_matches(code, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise InvalidInput(f"{code!r} is not a region of Fly.io: {hint}there are {', '.join(known)}")


async def nearest_with_room(fly: FlyClient, spec: DeploySpec, home: str) -> tuple[str, ...]:
    """List the regions that can stand in for `home`, nearest first: those with room, and not wanted themselves."""
    return by_distance(home, await _map(fly), without=spec.regions, room=await _roomy(fly, spec))


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


async def _roomy(fly: FlyClient, spec: DeploySpec) -> frozenset[str] | None:
    """Name the regions with room for such a machine, or None where the token may not ask."""
    try:
        app = await fly.apps.get(spec.app)
        if not (app.organization and app.organization.slug):
            return None
        placements = await fly.platform.placements(app.organization.slug, region="any", compute=spec.config.guest)
    except FlyError:
        return None  # the simulation promises nothing anyway: the create is what decides
    return frozenset(placement.region for placement in placements.regions)
