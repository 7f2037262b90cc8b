"""Releases of apps: flyctl's record of each deploy, next to the machines."""

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import not_found
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import AppRecord, ReleaseRecord
from flyasync.emulator.world.world import World

KEPT = 500
"""How many releases of an app are kept."""


def create(world: World, app: AppRecord, *, image: str, strategy: str, definition: Json) -> ReleaseRecord:
    """Create the next release of an app."""
    version = app.releases[-1].version + 1 if app.releases else 1
    made = ReleaseRecord(
        id=ids.token(world.random, 20),
        version=version,
        status="pending",
        strategy=strategy,
        image=image,
        created_at=world.clock,
        updated_at=world.clock,
        definition=definition,
    )
    app.releases = [*app.releases[1 - KEPT :], made]
    return made


def update(world: World, release_id: str, *, status: str) -> ReleaseRecord:
    """Set the status of a release, unless it is empty; an unknown one raises 404."""
    for app in world.apps.values():
        for release in app.releases:
            if release.id == release_id:
                release.status, release.updated_at = status or release.status, world.clock
                return release
    raise not_found("release")


def newest_first(app: AppRecord, limit: int | None = None) -> list[ReleaseRecord]:
    """Return the releases of an app, at most `limit`."""
    return app.releases[::-1][: None if limit is None else max(0, limit)]
