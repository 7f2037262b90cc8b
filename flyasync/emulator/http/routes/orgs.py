"""The machines and volumes of a whole organization over HTTP."""

from collections.abc import Mapping

from flyasync.emulator.core import pagination as paging
from flyasync.emulator.http import replication as sight
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views import resources as views_holdings
from flyasync.emulator.world import orgs, volumes
from flyasync.emulator.world.world import World

_USUAL, _MOST = 100, 1000


def machines(world: World, ask: ApiRequest) -> ApiResponse:
    """List machines, and the regions that could not be read."""
    known = sight.seen(world, ask, world.machines.values())
    found = orgs.machines(world, ask.params["org_slug"], _wanted(ask), known)
    summary = ask.flag("summary")
    body = {
        "machines": [views_holdings.org_machine(world, item, summary=summary) for item in found.items],
        "next_cursor": found.next_cursor,
        "error_regions": sorted(world.error_regions),
    }
    if found.items:
        last = found.items[-1]
        body |= {"last_machine_id": last.id, "last_updated_at": world.stamp(last.updated_at)}
    return ApiResponse(body=body)


def all_volumes(world: World, ask: ApiRequest) -> ApiResponse:
    """List volumes."""
    found = orgs.volumes_of(world, ask.params["org_slug"], _wanted(ask))
    rows = [views_holdings.org_volume(world, item) for item in found.items]
    body = {"volumes": rows, "next_cursor": found.next_cursor}
    if found.items:
        last = found.items[-1]
        body |= {"last_volume_id": last.id, "last_updated_at": world.stamp(volumes.changed_at(world, last))}
    return ApiResponse(body=body)


def _wanted(ask: ApiRequest) -> orgs.ListQuery:
    regions = [word.strip() for word in ask.query.get("region", "").split(",")]
    return orgs.ListQuery(
        limit=paging.size(ask.number("limit"), usual=_USUAL, most=_MOST),
        cursor=ask.query.get("cursor", ""),
        updated_after=ask.query.get("updated_after", ""),
        states=frozenset(ask.states),
        regions=frozenset(word for word in regions if word),
        with_deleted=ask.flag("include_deleted"),
    )


HANDLERS: Mapping[str, Handler] = {"listMachinesOrg": machines, "listVolumesOrg": all_volumes}
