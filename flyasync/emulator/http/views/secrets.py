"""Secrets and secret keys in the API's JSON."""

from flyasync.emulator.core.go_json import Json
from flyasync.emulator.core.records import SecretKeyRecord, SecretRecord
from flyasync.emulator.world import secret_keys, secrets
from flyasync.emulator.world.world import World


def secret(world: World, record: SecretRecord, *, with_value: bool = False) -> Json:
    """Return a secret, with its value on request."""
    shown = {
        "name": record.name,
        "digest": secrets.digest(record),
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
    }
    return shown | {"value": record.value} if with_value else shown


def secret_key(world: World, record: SecretKeyRecord) -> Json:
    """Return a key, with its public key if it has one."""
    # The private key never leaves the platform.
    public = secret_keys.public_key(record)
    shown = {
        "name": record.name,
        "type": record.type,
        "created_at": world.stamp(record.created_at),
        "updated_at": world.stamp(record.updated_at),
    }
    return shown if public is None else shown | {"public_key": secret_keys.text(public)}


def version(number: int) -> Json:
    """Return a version of the secrets, with both keys that clients read."""
    # The API document has `Version` and `version`, and JSON decoders other than Go's distinguish them.
    return {"version": number, "Version": number}
