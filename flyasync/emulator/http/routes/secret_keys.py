"""Secret keys over HTTP; bytes are sent as base64."""

from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.records import SecretKeyRecord
from flyasync.emulator.http.handler import Handler, Handlers
from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.views.secrets import secret_key, version
from flyasync.emulator.world import secret_keys, secrets
from flyasync.emulator.world.secret_keys import octets, text
from flyasync.emulator.world.world import World

HANDLERS = Handlers[Handler]()

_TYPE = {"type": "string"}


@HANDLERS.serves("listSecretKeys")
def listing(world: World, request: ApiRequest) -> ApiResponse:
    """List the keys, without their private parts."""
    types = frozenset(word for word in request.query.get("types", "").split(",") if word)
    found = secret_keys.listed(world.app(request.app), types)
    return ApiResponse(body={"secret_keys": [secret_key(world, key) for key in found]})


@HANDLERS.serves("getSecretKey")
def get(world: World, request: ApiRequest) -> ApiResponse:
    """Show one key."""
    return ApiResponse(body=secret_key(world, _key(world, request)))


@HANDLERS.serves("setSecretKey")
def bring(world: World, request: ApiRequest) -> ApiResponse:
    """Import a key."""
    # The value is required here: generated keys have a route of their own.
    body = request.body(_TYPE, "setSecretKeyRequest")
    if body.get("value") is None:
        raise bad_request("value is required")
    return _written(world, request, body.get("type"), octets(body["value"], "value"))


@HANDLERS.serves("generateSecretKey")
def generate(world: World, request: ApiRequest) -> ApiResponse:
    """Generate a new key."""
    return _written(world, request, request.body(_TYPE, "setSecretKeyRequest").get("type"), None)


@HANDLERS.serves("deleteSecretKey")
def delete(world: World, request: ApiRequest) -> ApiResponse:
    """Remove a key."""
    return ApiResponse(body=version(secret_keys.remove(world, world.app(request.app), request.params["secret_name"])))


@HANDLERS.serves("encryptSecretKey")
def encrypt(world: World, request: ApiRequest) -> ApiResponse:
    """Encrypt a text."""
    plaintext, associated = _octets(request, "plaintext", "associated_data")
    return ApiResponse(body={"ciphertext": text(secret_keys.encrypt(_key(world, request), plaintext, associated))})


@HANDLERS.serves("decryptSecretKey")
def decrypt(world: World, request: ApiRequest) -> ApiResponse:
    """Decrypt a ciphertext of the same key and associated data."""
    ciphertext, associated = _octets(request, "ciphertext", "associated_data")
    return ApiResponse(body={"plaintext": text(secret_keys.decrypt(_key(world, request), ciphertext, associated))})


@HANDLERS.serves("signSecretKey")
def sign(world: World, request: ApiRequest) -> ApiResponse:
    """Sign a text."""
    (plaintext,) = _octets(request, "plaintext")
    return ApiResponse(body={"signature": text(secret_keys.sign(_key(world, request), plaintext))})


@HANDLERS.serves("verifySecretKey")
def verify(world: World, request: ApiRequest) -> ApiResponse:
    """Verify a signature: 204 if it is valid, 400 if not."""
    plaintext, signature = _octets(request, "plaintext", "signature")
    secret_keys.verify(_key(world, request), plaintext, signature)
    return ApiResponse(status=204)


def _key(world: World, request: ApiRequest) -> SecretKeyRecord:
    app = world.app(request.app)
    secrets.demand_version(world, app, request.number("min_version"))
    return secret_keys.find(app, request.params["secret_name"])


def _written(world: World, request: ApiRequest, kind: object, value: bytes | None) -> ApiResponse:
    app = world.app(request.app)
    key = secret_keys.write(world, app, request.params["secret_name"], kind, value)
    return ApiResponse(status=201, body=secret_key(world, key) | version(app.secrets.version))


def _octets(request: ApiRequest, *names: str) -> tuple[bytes, ...]:
    body = request.body({}, "secretKeyRequest")
    return tuple(octets(body.get(name), name) for name in names)
