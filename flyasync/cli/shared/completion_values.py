"""What there is to offer for an argument, as the API tells it."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import click

from flyasync.api.client import FlyClient
from flyasync.cli.shared.organizations import apps_of

PATIENCE = 2.0
"""Seconds that a person waits for a suggestion."""

Offer = tuple[str, str]


def offers(kind: str, ctx: click.Context) -> list[Offer]:
    """Ask for offers of one kind, by the name of its function here; raises whatever stands in the way."""
    drive = ctx.obj or asyncio.run
    found: list[Offer] = drive(_found(kind, ctx.params))
    return found


async def _found(kind: str, given: Mapping[str, Any]) -> list[Offer]:
    async with asyncio.timeout(PATIENCE), FlyClient() as fly:
        return list(await KINDS[kind](fly, given))


async def app_names(fly: FlyClient, _: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the apps that the token can see."""
    return ((app.name, "") for app in await apps_of(fly, None))


async def machine_ids(fly: FlyClient, given: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the machines of the app named before."""
    listed = await fly.machines.list(given["app"], summary=True)
    return ((machine.id, f"{machine.name}, {machine.state} in {machine.region}") for machine in listed)


async def volume_ids(fly: FlyClient, given: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the volumes of the app named before."""
    listed = await fly.volumes.list(given["app"], summary=True)
    return ((volume.id, f"{volume.name}, {volume.size_gb} GB in {volume.region}") for volume in listed)


async def region_codes(fly: FlyClient, _: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the regions that are not on their way out."""
    listed = await fly.platform.regions()
    return ((region.code, region.name or "") for region in listed.regions if not region.deprecated)


KINDS = {each.__name__: each for each in (app_names, machine_ids, volume_ids, region_codes)}
