"""Apps: made, listed and deleted with all they hold; and where new machines would go."""

import re
from collections import Counter

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.core.records import AppRecord
from flyasync.emulator.core.regions import wishes
from flyasync.emulator.world.world import World

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,60}[a-z0-9])?")
# The most a placement shows for a region that can hold any number.
PLENTY = 1000


def create(
    world: World, name: str, *, org_slug: str, network: str, role: str = "", idempotency_key: str = ""
) -> AppRecord:
    """Make an app under a name nobody has; a repeat with the same key returns the app that the first one made."""
    made = world.app_by_key.get((org_slug, idempotency_key)) if idempotency_key else None
    if made is not None and world.apps.get(made.name) is made:
        return made
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
    )
    world.apps[name] = app
    if idempotency_key:
        world.app_by_key[org_slug, idempotency_key] = app
    return app


def listed(world: World, org_slug: str, *, role: str = "") -> list[AppRecord]:
    """List the apps of an organization that every node knows, of one role if that is given, oldest first."""
    return [
        app
        for app in world.apps.values()
        if app.org_slug == org_slug and app.visible_at <= world.clock and role in {"", app.role}
    ]


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
    """Deal `count` machines over the wishes of a region expression in turn; 0 gives the room of every region.

    A region without room is absent, and nothing is reserved.
    """
    room = {
        region: PLENTY if left is None else left for wish in wishes(expression) for region, left in _rooms(world, wish)
    }
    if not count:
        return {region: left for region, left in room.items() if left}
    placed: Counter[str] = Counter()
    while placed.total() < count and (turn := _deal(expression, room, placed, count)):
        placed += turn
    return dict(placed)


def _rooms(world: World, wish: tuple[str, ...]) -> list[tuple[str, int | None]]:
    return [(region, world.room(region)) for region in wish]


def _deal(expression: str | None, room: dict[str, int], placed: Counter[str], count: int) -> Counter[str]:
    turn: Counter[str] = Counter()
    for wish in wishes(expression):
        free = next((region for region in wish if placed[region] + turn[region] < room[region]), None)
        if free is not None and placed.total() + turn.total() < count:
            turn[free] += 1
    return turn
