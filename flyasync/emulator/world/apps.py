"""Apps: create, list, delete with their resources; and the placement of new machines."""

import re
from collections import Counter

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.records import AppLockRecord, AppRecord
from flyasync.emulator.core.regions import choices, expand
from flyasync.emulator.world import ip_assignments
from flyasync.emulator.world.world import World

# Names are globally unique, and become host names.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,60}[a-z0-9])?")
# The number that a placement returns for a region without a limit.
PLENTY = 1000
_LOCK_SECONDS = 300.0


def create(
    world: World, name: str, *, org_slug: str, network: str, role: str = "", idempotency_key: str = ""
) -> AppRecord:
    """Create an app under a free name; a repeated request with the same key returns the app of the first.

    The key is for one request: with another name, it raises 422.
    """
    made = world.app_by_key.get((org_slug, idempotency_key)) if idempotency_key else None
    if made is not None and world.apps.get(made.name) is made:
        if name not in {"", made.name}:
            raise ApiError(422, f"idempotency_key was already used to create the app {made.name!r}")
        return made
    # Official clients match this text and code.
    if not _NAME.fullmatch(name):
        raise ApiError(422, "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes")
    if name in world.apps:
        raise ApiError(422, "Validation failed: Name has already been taken", code="name_taken")
    app = AppRecord(
        name=name,
        id=ids.token(world.random, 16),
        number=world.random.randint(1_000_000, 9_999_999),
        org_slug=org_slug,
        network=network or "default",
        role=role,
        created_at=world.clock,
        visible_at=world.clock + world.draw(world.lag),
        affinity=ids.hexadecimal(world.random, 16),
        idempotency_key=idempotency_key,
    )
    world.apps[name] = app
    for kind in world.addresses:
        ip_assignments.assign(world, app, kind)
    if idempotency_key:
        world.app_by_key[org_slug, idempotency_key] = app
    return app


def listed(world: World, org_slug: str, *, role: str = "", behind: float = 0.0) -> list[AppRecord]:
    """Return the apps that every node knew `behind` seconds ago, of one role if that is given, oldest first."""
    then = world.clock - behind
    return [
        app
        for app in world.apps.values()
        if app.org_slug == org_slug
        and app.visible_at <= world.clock
        and app.created_at <= then
        and role in {"", app.role}
    ]


def move(app: AppRecord, org_slug: str) -> None:
    """Move an app to another organization."""
    app.org_slug = org_slug


def lock(world: World, app: AppRecord) -> AppLockRecord:
    """Take the lock of an app for some minutes; raise 422 while another client holds it."""
    if app.lock is not None and app.lock.expires_at > world.clock:
        raise ApiError(422, "App is already locked")
    app.lock = AppLockRecord(id=ids.hexadecimal(world.random, 16), expires_at=world.clock + _LOCK_SECONDS)
    return app.lock


def unlock(app: AppRecord, lock_id: str) -> None:
    """Release the lock of an app; raise 422 if it is not this one."""
    if app.lock is None or app.lock.id != lock_id:
        raise ApiError(422, "App is not locked by this lock")
    app.lock = None


def delete(world: World, name: str) -> None:
    """Delete an app, its machines and its volumes at once."""
    machines = world.machines_of(name)
    for machine in machines:
        world.occupied[machine.region] -= not machine.is_destroyed
        machine.state = "destroyed"
    world.forget(name)
    for volume in world.volumes_of(name):
        del world.volumes[volume.id]
    del world.apps[name]
    for machine in machines:
        world.note_change(machine)


def placements(world: World, expression: str | None, count: int) -> dict[str, int]:
    """Return how `count` machines would be distributed over a region expression; for 0, the capacity of each region.

    A region that is full or retired is absent. Nothing is reserved, so a later create can still find no capacity.
    """
    room = {}
    for region in expand(expression):
        if region in world.retired:
            continue
        left = world.room(region)
        room[region] = PLENTY if left is None else left
    if not count:
        return {region: left for region, left in room.items() if left}
    placed: Counter[str] = Counter()
    # Round robin: each alternative gets one machine in its best region with capacity, until none fits.
    while placed.total() < count:
        before = placed.total()
        for choice in choices(expression):
            free = next((region for region in choice if placed[region] < room.get(region, 0)), None)
            if free is not None and placed.total() < count:
                placed[free] += 1
        if placed.total() == before:
            break
    return dict(placed)
