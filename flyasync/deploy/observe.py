"""Reads the current state: the machines of an app, its addresses and secrets, and the regions with room."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from attrs import Factory, define

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.deploy.list_lag import caught_up
from flyasync.deploy.plan.addresses import is_public, remark_on
from flyasync.deploy.plan.adoption import ALL, is_stated
from flyasync.deploy.plan.command_stages import is_empty
from flyasync.deploy.plan.fleet import Fleet, is_in, tags
from flyasync.deploy.plan.placement import by_distance
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.errors import FlyError, InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.ip_assignment import IPAssignment
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
    """Read the fleet; raises NotFound if the app does not exist.

    With a strategy, the fleet has all machines of the app. Without one it has the machines of the launch, and the
    others separately.

    Args:
        fly: The client.
        spec: What the deploy is about.
        by_id: Fetch the machines of the launch or of the groups by their ids, since a list may be seconds old.
        include_deleted: Read destroyed machines too.
        unlisted: Ids of machines that an earlier list lacked.
        with_secrets: Read the names and digests of the app's secrets.
    """
    only_adds = spec.strategy.only_adds
    concerns = partial(_concerns, spec)
    list_ = partial(fly.machines.list, spec.app, include_deleted=include_deleted or None)
    machines, secrets = await asyncio.gather(
        caught_up(fly, spec.app, list_, concerns, unlisted) if by_id else list_(),
        _secrets(fly, spec.app, is_asked=with_secrets),
    )
    gone = tuple(machine for machine in machines if machine.state in GONE)
    there = [machine for machine in machines if machine.state not in GONE]
    # Destroyed machines show whether a deploy is the first one, whether an earlier one has run the seed command, and
    # whether a machine to adopt was there.
    names = {name for machine in there for name in (ALL, machine.id, machine.name)}
    is_adopted_gone = not {name for group in spec.groups for name in group.adopts} <= names
    if not include_deleted and (is_adopted_gone or (spec.seed and is_empty(Fleet(spec.app, tuple(there))))):
        every = await fly.machines.list(spec.app, include_deleted=True)
        gone = tuple(machine for machine in every if machine.state in GONE)
    # Volumes matter if the spec has one, or if machines that the deploy may change have some.
    configs = [machine.config or machine.incomplete_config for machine in there]
    has_mounts = not only_adds and any(config and config.mounts for config in configs)
    needs_volumes = has_mounts or any(group.volume for group in spec.groups)
    volumes = await fly.volumes.list(spec.app) if needs_volumes else ()
    # A launch only changes its own machines.
    mine = tuple(machine for machine in there if not only_adds or concerns(machine))
    others = tuple(machine for machine in there if only_adds and not concerns(machine))
    return Fleet(spec.app, mine, volumes=volumes, gone=gone, others=others, **secrets)


def _concerns(spec: DeploySpec, machine: Machine) -> bool:
    if tags(machine).get(LAUNCH) == spec.launch or is_stated(spec, machine):
        return True
    groups = () if spec.strategy.only_adds else (*spec.group_names, *spec.retired_groups)
    return any(is_in(machine, group) for group in groups)


async def _secrets(fly: FlyClient, app: str, *, is_asked: bool) -> dict[str, Any]:
    """Return what a fleet knows of the app's secrets, or why they cannot be listed."""
    if not is_asked:
        return {}
    try:
        secrets = await fly.secrets.list(app)
    except FlyError as error:
        return {"secrets_hidden": error.for_command}  # of both wordings, the one without terms of Python
    mark = fingerprint(secrets)
    return {"has_secrets": bool(secrets), "secrets": mark, "secrets_hidden": None if mark else "they lack digests"}


async def lacking_address(fly: FlyClient, app: str, configs: Sequence[MachineConfig]) -> tuple[str, ...]:
    """Return a remark on how to allocate an address, if configs have public services and the app has no address.

    Egress addresses do not count. If the token may not list addresses, there is no remark.
    """
    addresses = await listed_addresses(fly, app) if any(map(is_public, configs)) else None
    return remark_on(app, configs, addresses)


async def listed_addresses(fly: FlyClient, app: str) -> Sequence[IPAssignment] | None:
    """Return the addresses of an app, None if they cannot be listed."""
    with suppress(FlyError):
        return await fly.ip_assignments.list(app)
    return None


async def check_regions(fly: FlyClient, spec: DeploySpec) -> None:
    """Raise InvalidInput for a region that Fly.io does not have, if the token may list regions."""
    try:
        regions = await _map(fly)
    except FlyError:
        return
    known = [region.code for region in regions.regions]
    named = spec.fallback if isinstance(spec.fallback, tuple) else ()
    # The regions that are stated, and those of a group that is to be created, may have no counts yet.
    stated = (code for group in spec.groups for code in (*group.stated_regions, *group.if_new.regions, *group.counts))
    for code in dict.fromkeys((*stated, *named)):
        if code not in known:
            close = get_close_matches(code, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise InvalidInput(f"{code!r} is not a region of Fly.io: {hint}there are {', '.join(known)}")


async def nearest_with_room(fly: FlyClient, spec: DeploySpec, home: str) -> tuple[str, ...]:
    """Return the regions with room that the spec does not name, by their distance to `home`."""
    regions = await _map(fly)
    # If the token may not query placements, every region counts: only the create shows whether there is room.
    room: frozenset[str] | None = None
    with suppress(FlyError):
        app = await fly.apps.get(spec.app)
        if app.organization and (org := app.organization.slug):
            placements = await fly.platform.placements(org, region="any", compute=spec.config.guest)
            room = frozenset(placement.region for placement in placements.regions)
    return by_distance(home, regions, without=spec.regions, room=room)


@define
class RegionMap:
    """The regions for one client, read once for all deploys, since they rarely change."""

    _lock: asyncio.Lock = Factory(asyncio.Lock)
    _regions: Regions | None = None

    async def read(self, fly: FlyClient) -> Regions:
        """Return the regions, which the first call reads."""
        async with self._lock:
            if self._regions is None:
                self._regions = await fly.platform.regions()
            return self._regions


_MAPS: WeakKeyDictionary[FlyClient, RegionMap] = WeakKeyDictionary()


async def _map(fly: FlyClient) -> Regions:
    return await _MAPS.setdefault(fly, RegionMap()).read(fly)
