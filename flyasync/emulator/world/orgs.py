"""Organizations: they exist once an app or cluster names them, or one is created; lists of what they own."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from attrs import frozen

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError, bad_request
from flyasync.emulator.core.pagination import ListPage, page
from flyasync.emulator.core.records import AppRecord, InvitationRecord, MachineRecord, OrgRecord, VolumeRecord
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
    return list(dict.fromkeys([PERSONAL, *world.orgs, *_owners(world)]))


def key(slug: str) -> str:
    """Return the id of an organization."""
    return f"org-{hashlib.sha256(slug.encode()).hexdigest()[:16]}"


def find(world: World, *, slug: str | None = None, org_id: str | None = None) -> str:
    """Return the slug of an organization by its slug or id; an unknown one raises 404."""
    found = next((each for each in slugs(world) if slug == each or org_id in {each, key(each)}), None)
    if found is None:
        raise ApiError(404, "Could not find Organization")
    return found


def record(world: World, slug: str) -> OrgRecord:
    """Return the record of an organization that exists, and make one for an organization that only apps name."""
    return world.orgs.setdefault(slug, OrgRecord(slug=slug, name=slug, created_at=0.0))


def create(world: World, name: str) -> str:
    """Create an organization under a free slug made of its name, and return the slug."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise ApiError(422, "Validation failed: Name can't be blank")
    if slug in slugs(world):
        raise ApiError(422, "Validation failed: Slug has already been taken")
    world.orgs[slug] = OrgRecord(slug=slug, name=name, created_at=world.clock)
    return slug


def delete(world: World, slug: str) -> None:
    """Delete an organization; one that owns something, and the personal one, raise 422."""
    if slug == PERSONAL:
        raise ApiError(422, "The personal organization cannot be deleted")
    if slug in _owners(world):
        raise ApiError(422, f"Organization {slug} still has apps or Postgres clusters")
    del world.orgs[slug]


def invite(world: World, slug: str, email: str) -> InvitationRecord:
    """Invite someone to an organization."""
    made = InvitationRecord(id=ids.token(world.random, 16), email=email, created_at=world.clock)
    record(world, slug).invitations.append(made)
    return made


def name(world: World, slug: str) -> str:
    """Return the name of an organization; that of one that only apps name is its slug."""
    return world.orgs[slug].name if slug in world.orgs else slug


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


def volumes_of(world: World, slug: str, query: ListQuery, *, behind: float = 0.0) -> ListPage[VolumeRecord]:
    """Return a page of the volumes of `behind` seconds ago, the least recently changed first."""
    since = _since(world, query)
    apps = _apps(world, slug)
    found = [
        volume
        for volume in world.volumes.values()
        if volume.app in apps
        and volumes.changed_at(world, volume) > since
        and volume.created_at <= world.clock - behind
        and (query.with_deleted or volumes.existed(world, volume, behind=behind))
        and query.keeps(volume.schedule.state(world.clock - behind), volume.region)
    ]
    return page(
        found,
        key=lambda item: (volumes.changed_at(world, item), item.id),
        cursor=query.cursor,
        limit=query.limit,
    )


def _owners(world: World) -> list[str]:
    return [app.org_slug for app in world.apps.values()] + [cluster.org_slug for cluster in world.clusters.values()]


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
