"""Secret keys over HTTP; bytes travel as base64."""

from collections.abc import Mapping

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.resources import SecretKeyRecord
from flyasync.emulator.http.handler import Handler
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.resources import secret_key, version
from flyasync.emulator.world import secret_keys, secrets
from flyasync.emulator.world.secret_keys import octets, text
from flyasync.emulator.world.world import World

_TYPE = {"type": "string"}


def listing(world: World, ask: ApiRequest) -> ApiResponse:
    """List the keys, without their secret halves."""
    types = frozenset(word for word in ask.query.get("types", "").split(",") if word)
    found = secret_keys.listed(world.app(ask.app), types)
    return ApiResponse(body={"secret_keys": [secret_key(world, key) for key in found]})


def get(world: World, ask: ApiRequest) -> ApiResponse:
    """Show one key."""
    return ApiResponse(body=secret_key(world, _key(world, ask)))


def bring(world: World, ask: ApiRequest) -> ApiResponse:
    """Keep a key made elsewhere."""
    body = ask.body(_TYPE, "setSecretKeyRequest")
    if body.get("value") is None:
        raise bad_request("value is required")
    return _written(world, ask, body.get("type"), octets(body["value"], "value"))


def generate(world: World, ask: ApiRequest) -> ApiResponse:
    """Make a new key."""
    return _written(world, ask, ask.body(_TYPE, "setSecretKeyRequest").get("type"), None)


def delete(world: World, ask: ApiRequest) -> ApiResponse:
    """Forget a key."""
    return ApiResponse(body=version(secret_keys.remove(world, world.app(ask.app), ask.params["secret_name"])))


def encrypt(world: World, ask: ApiRequest) -> ApiResponse:
    """Encrypt a text."""
    plaintext, associated = _octets(ask, "plaintext", "associated_data")
    return ApiResponse(body={"ciphertext": text(secret_keys.encrypt(_key(world, ask), plaintext, associated))})


def decrypt(world: World, ask: ApiRequest) -> ApiResponse:
    """Decrypt what was encrypted with the same key and associated data."""
    ciphertext, associated = _octets(ask, "ciphertext", "associated_data")
    return ApiResponse(body={"plaintext": text(secret_keys.decrypt(_key(world, ask), ciphertext, associated))})


def sign(world: World, ask: ApiRequest) -> ApiResponse:
    """Sign a text."""
    (plaintext,) = _octets(ask, "plaintext")
    return ApiResponse(body={"signature": text(secret_keys.sign(_key(world, ask), plaintext))})


def verify(world: World, ask: ApiRequest) -> ApiResponse:
    """Accept a signature with 204, or refuse it."""
    plaintext, signature = _octets(ask, "plaintext", "signature")
    secret_keys.verify(_key(world, ask), plaintext, signature)
    return ApiResponse(status=204)


def _key(world: World, ask: ApiRequest) -> SecretKeyRecord:
    app = world.app(ask.app)
    secrets.demand_version(world, app, ask.number("min_version"))
    return secret_keys.find(app, ask.params["secret_name"])


def _written(world: World, ask: ApiRequest, kind: object, value: bytes | None) -> ApiResponse:
    app = world.app(ask.app)
    key = secret_keys.write(world, app, ask.params["secret_name"], kind, value)
    return ApiResponse(status=201, body=secret_key(world, key) | version(app.secrets.version))


def _octets(ask: ApiRequest, *names: str) -> tuple[bytes, ...]:
    body = ask.body({}, "secretKeyRequest")
    return tuple(octets(body.get(name), name) for name in names)


HANDLERS: Mapping[str, Handler] = {
    "listSecretKeys": listing,
    "getSecretKey": get,
    "setSecretKey": bring,
    "generateSecretKey": generate,
    "deleteSecretKey": delete,
    "encryptSecretKey": encrypt,
    "decryptSecretKey": decrypt,
    "signSecretKey": sign,
    "verifySecretKey": verify,
}
