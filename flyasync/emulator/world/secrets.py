"""Secrets: set, read and remove them; each change creates a version that reaches the hosts later."""

import hashlib
from collections.abc import Mapping

from flyasync.emulator.core.errors import failed_precondition, not_found
from flyasync.emulator.core.records import AppRecord, SecretRecord
from flyasync.emulator.world.world import World


def change(world: World, app: AppRecord, values: Mapping[str, str | None]) -> int:
    """Set these secrets, remove those whose value is None, and return the new version."""
    # An unknown name is ignored. No machine changes: secrets are read when a machine starts.
    for name, value in values.items():
        if value is None:
            app.secrets.kept.pop(name, None)
        else:
            before = app.secrets.kept.get(name)
            created_at = before.created_at if before else world.clock
            app.secrets.kept[name] = SecretRecord(name=name, value=value, created_at=created_at, updated_at=world.clock)
    return new_version(world, app)


def remove(world: World, app: AppRecord, name: str) -> int:
    """Remove one secret and return the new version; an unknown one raises 404."""
    return change(world, app, {find(app, name).name: None})


def find(app: AppRecord, name: str) -> SecretRecord:
    """Return a secret; an unknown one raises 404."""
    if name not in app.secrets.kept:
        raise not_found("secret")
    return app.secrets.kept[name]


def listed(app: AppRecord) -> list[SecretRecord]:
    """Return the secrets by name."""
    return [secret for _, secret in sorted(app.secrets.kept.items())]


def demand_version(world: World, app: AppRecord, version: int | None) -> None:
    """Raise 412 while the secrets of this version have not reached the hosts."""
    # A version includes all earlier ones, so the newest one that has arrived counts.
    arrived = [known for known, at in enumerate(app.secrets.known_at, start=1) if at <= world.clock]
    if version and version > max(arrived, default=0):
        raise failed_precondition(f"min_secrets_version {version} is not yet available on this app")


def new_version(world: World, app: AppRecord) -> int:
    """Record one change of an app's secrets or keys; return the new version."""
    app.secrets.version += 1
    app.secrets.known_at.append(world.clock + world.draw(world.secrets_lag))
    return app.secrets.version


def digest(secret: SecretRecord) -> str:
    """Return a fingerprint that changes with the value."""
    return secret.copied_digest or hashlib.sha256(f"{secret.name}\0{secret.value}".encode()).hexdigest()[:16]
