"""Secret keys with toy cryptography: it is reversible, detects tampering, and protects nothing."""

import base64
import binascii
import hashlib
import hmac
from itertools import count, islice
from typing import Any

from flyasync.emulator.core.errors import bad_request, not_found
from flyasync.emulator.core.records import AppRecord, SecretKeyRecord
from flyasync.emulator.world.secrets import new_version
from flyasync.emulator.world.world import World

# The key types of the live API, by their operations.
_CIPHERS = frozenset({"xaes256gcm", "nacl_box", "nacl_secretbox"})
_SIGNERS = frozenset({"es256", "hs256", "hs384", "hs512", "nacl_auth", "nacl_sign"})
_WITH_PUBLIC_KEY = frozenset({"es256", "nacl_box", "nacl_sign"})
# The prefix shows that such bytes are not a real ciphertext or signature.
_TOY = b"toy:"
_SEAL = 16
_GENERATED = 32


def write(world: World, app: AppRecord, name: str, kind: object, value: bytes | None) -> SecretKeyRecord:
    """Store a key of this type: the given value, or a generated one."""
    if kind not in _CIPHERS | _SIGNERS:
        raise bad_request(f"invalid type: {kind!r}")
    before = app.secrets.keys.get(name)
    key = SecretKeyRecord(
        name=name,
        type=str(kind),
        value=world.random.randbytes(_GENERATED) if value is None else value,
        created_at=before.created_at if before else world.clock,
        updated_at=world.clock,
    )
    app.secrets.keys[name] = key
    # Keys are versioned together with the secrets.
    new_version(world, app)
    return key


def remove(world: World, app: AppRecord, name: str) -> int:
    """Remove a key and return the new version; an unknown one raises 404."""
    del app.secrets.keys[find(app, name).name]
    return new_version(world, app)


def find(app: AppRecord, name: str) -> SecretKeyRecord:
    """Return a key; an unknown one raises 404."""
    if name not in app.secrets.keys:
        raise not_found("secret key")
    return app.secrets.keys[name]


def listed(app: AppRecord, types: frozenset[str]) -> list[SecretKeyRecord]:
    """Return the keys of these types by name, all when no type is named."""
    return [key for _, key in sorted(app.secrets.keys.items()) if not types or key.type in types]


def public_key(key: SecretKeyRecord) -> bytes | None:
    """Return the public key of an asymmetric key."""
    return _TOY + hashlib.sha256(key.value).digest() if key.type in _WITH_PUBLIC_KEY else None


def encrypt(key: SecretKeyRecord, plaintext: bytes, associated: bytes) -> bytes:
    """Return a ciphertext that `decrypt` reverses."""
    _demand(key, _CIPHERS, "encrypt")
    return _TOY + _seal(key, plaintext, associated) + _mixed(key, plaintext)


def decrypt(key: SecretKeyRecord, ciphertext: bytes, associated: bytes) -> bytes:
    """Return the plaintext of a ciphertext; raise 400 if this key did not make it."""
    _demand(key, _CIPHERS, "decrypt")
    rest = ciphertext.removeprefix(_TOY)
    plaintext = _mixed(key, rest[_SEAL:])
    if not hmac.compare_digest(rest[:_SEAL], _seal(key, plaintext, associated)):
        raise bad_request("decryption failed")
    return plaintext


def sign(key: SecretKeyRecord, plaintext: bytes) -> bytes:
    """Return the signature of a text; it is deterministic."""
    _demand(key, _SIGNERS, "sign")
    return _TOY + hmac.digest(key.value, plaintext, "sha256")


def verify(key: SecretKeyRecord, plaintext: bytes, signature: bytes) -> None:
    """Raise 400 for a signature that this key did not make for this text."""
    if not hmac.compare_digest(sign(key, plaintext), signature):
        raise bad_request("signature verification failed")


def octets(value: Any, name: str) -> bytes:
    """Return bytes as Go decodes them: from base64, or from an array of numbers."""
    # Clients send base64; the API document, generated from Go types, has an array of numbers.
    try:
        return bytes(value) if isinstance(value, list) else base64.b64decode(value or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise bad_request(f"invalid {name}: illegal base64 data") from None


def text(value: bytes) -> str:
    """Return bytes as Go encodes them."""
    return base64.b64encode(value).decode()


def _demand(key: SecretKeyRecord, able: frozenset[str], deed: str) -> None:
    if key.type not in able:
        raise bad_request(f"a key of type {key.type} can not {deed}")


def _seal(key: SecretKeyRecord, plaintext: bytes, associated: bytes) -> bytes:
    return hmac.digest(key.value, associated + b"\0" + plaintext, "sha256")[:_SEAL]


def _mixed(key: SecretKeyRecord, data: bytes) -> bytes:
    stream = (octet for block in count() for octet in hashlib.sha256(key.value + b"%d" % block).digest())
    return bytes(octet ^ other for octet, other in zip(data, islice(stream, len(data)), strict=True))
