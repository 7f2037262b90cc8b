"""Values from the API for shell completion."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import click

from flyasync.api.client import FlyClient
from flyasync.cli.shared.organizations import apps_of, slugs
from flyasync.cli.shared.signals import run
from flyasync.deploy.plan.fleet import group_of

PATIENCE = 2.0
"""Seconds within which the API has to respond."""

Value = tuple[str, str]
"""A word to complete, and its description."""


def values_of(kind: str, ctx: click.Context) -> list[Value]:
    """Return the values of one kind, the name of a function below; raises what its requests raise."""
    # While the value of an option is being completed, click leaves the arguments unread; APP is always the first.
    params = ctx.params if ctx.params.get("app") or not ctx.args else {**ctx.params, "app": ctx.args[0]}

    async def ask() -> list[Value]:
        # The shell blocks until this returns.
        async with asyncio.timeout(PATIENCE), FlyClient() as fly:
            return list(await KINDS[kind](fly, params))

    return run(ask(), ctx)


async def app_names(fly: FlyClient, _: Mapping[str, Any]) -> Iterable[Value]:
    """Return the apps that the token can see."""
    return ((app.name, "") for app in await apps_of(fly, None))


async def org_slugs(fly: FlyClient, _: Mapping[str, Any]) -> Iterable[Value]:
    """Return the organizations that the token can see."""
    return ((slug, "") for slug in await slugs(fly))


async def machines(fly: FlyClient, params: Mapping[str, Any]) -> Iterable[Value]:
    """Return the names and ids of the machines of the app in the argument before."""
    listed = await fly.machines.list(params["app"], summary=True)
    # Names come first, because people remember names.
    names = [(machine.name, f"{machine.id}, {machine.state} in {machine.region}") for machine in listed]
    return [*names, *((machine.id, f"{machine.name}, {machine.state} in {machine.region}") for machine in listed)]


async def groups(fly: FlyClient, params: Mapping[str, Any]) -> Iterable[Value]:
    """Return the process groups of the app in the argument before, with the number of their machines."""
    counted = Counter(group_of(machine) for machine in await fly.machines.list(params["app"]))
    return ((name, f"{count} machine{'' if count == 1 else 's'}") for name, count in counted.items() if name)


async def volume_ids(fly: FlyClient, params: Mapping[str, Any]) -> Iterable[Value]:
    """Return the volumes of the app in the argument before."""
    listed = await fly.volumes.list(params["app"], summary=True)
    return ((volume.id, f"{volume.name}, {volume.size_gb} GB in {volume.region}") for volume in listed)


async def region_codes(fly: FlyClient, _: Mapping[str, Any]) -> Iterable[Value]:
    """Return the regions that are not deprecated."""
    listed = await fly.platform.regions()
    return ((region.code, region.name or "") for region in listed.regions if not region.deprecated)


KINDS = {each.__name__: each for each in (app_names, org_slugs, machines, groups, volume_ids, region_codes)}
