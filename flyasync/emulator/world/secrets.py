"""Secrets: set, read and removed; each change is a version that reaches the hosts a little later."""

import hashlib
from collections.abc import Mapping

from flyasync.emulator.core.errors import failed_precondition, not_found
from flyasync.emulator.core.records import AppRecord
from flyasync.emulator.core.resources import SecretRecord
from flyasync.emulator.world.world import World


def change(world: World, app: AppRecord, values: Mapping[str, str | None]) -> int:
    """Set these secrets, remove those whose value is None, and give the version that makes."""
    for name, value in values.items():
        if value is None:
            app.secrets.kept.pop(name, None)
        else:
            _set(world, app, name, value)
    return new_version(world, app)


def remove(world: World, app: AppRecord, name: str) -> int:
    """Remove one secret, or refuse with 404; give the version that makes."""
    return change(world, app, {find(app, name).name: None})


def find(app: AppRecord, name: str) -> SecretRecord:
    """Find a secret, or refuse with 404."""
    if name not in app.secrets.kept:
        raise not_found("secret")
    return app.secrets.kept[name]


def listed(app: AppRecord) -> list[SecretRecord]:
    """List the secrets by name."""
    return [secret for _, secret in sorted(app.secrets.kept.items())]


def demand_version(world: World, app: AppRecord, version: int | None) -> None:
    """Refuse to go on while the secrets of this version have not reached the hosts."""
    if version and version > _known(world, app):
        raise failed_precondition(f"min_secrets_version {version} is not yet available on this app")


def new_version(world: World, app: AppRecord) -> int:
    """Count one change of an app's secrets or keys."""
    app.secrets.version += 1
    app.secrets.known_at.append(world.clock + world.draw(world.secrets_lag))
    return app.secrets.version


def digest(secret: SecretRecord) -> str:
    """Give a fingerprint that changes with the value."""
    return hashlib.sha256(f"{secret.name}\0{secret.value}".encode()).hexdigest()[:16]


def _set(world: World, app: AppRecord, name: str, value: str) -> None:
    before = app.secrets.kept.get(name)
    created_at = before.created_at if before else world.clock
    app.secrets.kept[name] = SecretRecord(name=name, value=value, created_at=created_at, updated_at=world.clock)


def _known(world: World, app: AppRecord) -> int:
    # A version holds all earlier ones, so the newest that has arrived counts.
    arrived = [version for version, at in enumerate(app.secrets.known_at, start=1) if at <= world.clock]
    return max(arrived, default=0)
