"""The machines and volumes of a whole organization over HTTP."""

from flyasync.emulator.core import pagination
from flyasync.emulator.http import replication
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.machines import org_machine
from flyasync.emulator.http.views.volumes import org_volume
from flyasync.emulator.world import orgs, volumes
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

# A thousand at most, as documented.
_USUAL, _MOST = 100, 1000


@HANDLERS.serves("listMachinesOrg")
def machines(world: World, request: ApiRequest) -> ApiResponse:
    """List machines, and the unreadable regions."""
    known = replication.seen(world, request, world.machines.values())
    found = orgs.machines(world, request.params["org_slug"], _query(request), known)
    summary = request.flag("summary")
    body = {
        "machines": [org_machine(world, item, summary=summary) for item in found.items],
        "next_cursor": found.next_cursor,
        "error_regions": sorted(world.error_regions),
    }
    # The start of the next page for a client without a cursor.
    if found.items:
        last = found.items[-1]
        body |= {"last_machine_id": last.id, "last_updated_at": world.stamp(last.updated_at)}
    return ApiResponse(body=body)


@HANDLERS.serves("listVolumesOrg")
def all_volumes(world: World, request: ApiRequest) -> ApiResponse:
    """List volumes."""
    found = orgs.volumes_of(world, request.params["org_slug"], _query(request), behind=request.behind)
    rows = [org_volume(world, item, behind=request.behind) for item in found.items]
    body = {"volumes": rows, "next_cursor": found.next_cursor}
    if found.items:
        last = found.items[-1]
        body |= {"last_volume_id": last.id, "last_updated_at": world.stamp(volumes.changed_at(world, last))}
    return ApiResponse(body=body)


def _query(request: ApiRequest) -> orgs.ListQuery:
    regions = [word.strip() for word in request.query.get("region", "").split(",")]
    return orgs.ListQuery(
        limit=pagination.size(request.number("limit"), usual=_USUAL, most=_MOST),
        cursor=request.query.get("cursor", ""),
        updated_after=request.query.get("updated_after", ""),
        states=frozenset(request.states),
        regions=frozenset(word for word in regions if word),
        with_deleted=request.flag("include_deleted"),
    )
