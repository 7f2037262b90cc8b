"""Organizations: they exist once an app or cluster names them; lists of their machines and volumes."""

from collections.abc import Iterable
from datetime import datetime

from attrs import frozen

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.pagination import ListPage, page
from flyasync.emulator.core.records import AppRecord, MachineRecord, VolumeRecord
from flyasync.emulator.world import volumes
from flyasync.emulator.world.world import World

PERSONAL = "personal"


@frozen(kw_only=True)
class ListQuery:
    """The filter of an organization's list."""

    limit: int
    cursor: str = ""
    updated_after: str = ""
    states: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    with_deleted: bool = False

    def keeps(self, state: str, region: str) -> bool:
        """Whether a state and a region match the filter."""
        return (not self.states or state in self.states) and (not self.regions or region in self.regions)


def slugs(world: World) -> list[str]:
    """Return all organizations, the personal one first."""
    named = [app.org_slug for app in world.apps.values()] + [cluster.org_slug for cluster in world.clusters.values()]
    return list(dict.fromkeys([PERSONAL, *named]))


def number(slug: str) -> int:
    """Return the number of an organization."""
    return sum(slug.encode()) + 1000


def machines(world: World, slug: str, query: ListQuery, known: Iterable[MachineRecord]) -> ListPage[MachineRecord]:
    """Return a page of the known machines, the least recently changed first.

    Machines in unreadable regions are missing, so while there are such regions, absence proves nothing. A machine that
    changes between two pages is returned again, because it is after the cursor again.
    """
    since = _since(world, query)
    apps = _apps(world, slug)
    found = [
        machine
        for machine in known
        if machine.app in apps
        and machine.region not in world.error_regions
        and machine.updated_at > since
        and (query.with_deleted or not machine.is_destroyed)
        and query.keeps(machine.state, machine.region)
    ]
    return page(found, key=lambda item: (item.updated_at, item.id), cursor=query.cursor, limit=query.limit)


def volumes_of(world: World, slug: str, query: ListQuery) -> ListPage[VolumeRecord]:
    """Return a page of volumes, the least recently changed first."""
    since = _since(world, query)
    apps = _apps(world, slug)
    found = [
        volume
        for volume in world.volumes.values()
        if volume.app in apps
        and volumes.changed_at(world, volume) > since
        and (query.with_deleted or not volumes.is_gone(world, volume))
        and query.keeps(volume.schedule.state(world.clock), volume.region)
    ]
    return page(
        found,
        key=lambda item: (volumes.changed_at(world, item), item.id),
        cursor=query.cursor,
        limit=query.limit,
    )


def _apps(world: World, slug: str) -> dict[str, AppRecord]:
    # Read from a replica, which knows a new app after the lag.
    return {name: app for name, app in world.apps.items() if app.org_slug == slug and app.visible_at <= world.clock}


def _since(world: World, query: ListQuery) -> float:
    # The cursor already has a position, so it takes precedence, as documented.
    if query.cursor or not query.updated_after:
        return float("-inf")
    try:
        return (datetime.fromisoformat(query.updated_after) - world.epoch).total_seconds()
    except (ValueError, TypeError):
        raise bad_request(f"invalid updated_after: {query.updated_after!r}") from None
