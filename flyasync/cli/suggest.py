"""What the shell offers for an argument: asked of the API, in short time, and without a word when that fails."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import CompletionItem

from flyasync.api.client import FlyClient
from flyasync.cli.organizations import apps_of

PATIENCE = 2.0
"""Seconds that a person waits for a suggestion."""

Offer = tuple[str, str]
Find = Callable[[FlyClient, Mapping[str, Any]], Awaitable[Iterable[Offer]]]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def from_api(find: Find) -> Complete:
    """Make a completion of what `find` gives: words, each with a remark."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        offers: list[Offer] = []
        with suppress(Exception):  # somebody is typing: a traceback would be in the way
            offers = (ctx.obj or asyncio.run)(_found(find, ctx.params))
        return [CompletionItem(word, help=remark) for word, remark in offers if word.startswith(incomplete)]

    return complete


async def _found(find: Find, given: Mapping[str, Any]) -> list[Offer]:
    async with asyncio.timeout(PATIENCE), FlyClient() as fly:
        return list(await find(fly, given))


@from_api
async def app_names(fly: FlyClient, _: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the apps that the token can see."""
    return ((app.name, "") for app in await apps_of(fly, None))


@from_api
async def machine_ids(fly: FlyClient, given: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the machines of the app named before."""
    listed = await fly.machines.list(given["app"], summary=True)
    return ((machine.id, f"{machine.name}, {machine.state} in {machine.region}") for machine in listed)


@from_api
async def volume_ids(fly: FlyClient, given: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the volumes of the app named before."""
    listed = await fly.volumes.list(given["app"], summary=True)
    return ((volume.id, f"{volume.name}, {volume.size_gb} GB in {volume.region}") for volume in listed)


@from_api
async def region_codes(fly: FlyClient, _: Mapping[str, Any]) -> Iterable[Offer]:
    """Offer the regions that are not on their way out."""
    listed = await fly.platform.regions()
    return ((region.code, region.name or "") for region in listed.regions if not region.deprecated)
