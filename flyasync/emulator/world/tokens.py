"""Tokens: create, inspect and check them; they look like Fly's, but are valid nowhere."""

import base64
import hashlib
import json
from collections.abc import Mapping

from flyasync.emulator.core import ids
from flyasync.emulator.core.accepted_token import AcceptedToken, bare
from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.world import authorization, orgs
from flyasync.emulator.world.world import World

# The letters of an action, and the bits of the mask in the response.
_ACTIONS: Mapping[str, int] = {"r": 1, "w": 2, "c": 4, "d": 8, "C": 16}
_OIDC_SECONDS = 600
# Types of caveats, and the services that check a macaroon: the permission token, and its discharge.
_ORGANIZATION, _APPS = 0, 3
_PERMISSION, _AUTHENTICATION = "https://api.fly.io/v1", "https://api.fly.io/aaa/v1"
# The API serves these only inside a machine; the emulator responds as for this machine.
_APP = _MACHINE = "emulator"


def deploy(world: World, *, org: str, app: str | None, seconds: float) -> str:
    """Create a token for an app, or an organization; return it with its scheme and its discharge, as the API does."""
    record = world.apps.get(app or "")
    caveats = _caveats({_ORGANIZATION: orgs.number(org)} | ({_APPS: record.number} if record else {}))
    value = f"FlyV1 {_macaroon(world, caveats)},{_macaroon(world, location=_AUTHENTICATION)}"
    authorization.accept(world, AcceptedToken(value, org=org, app=app, expires=world.clock + seconds))
    return value


def kms(world: World) -> str:
    """Return a token for the keys of an app."""
    return _macaroon(world)


def oidc(world: World, audience: str) -> str:
    """Return a token in the form of a JWT, valid for ten minutes, without a real signature."""
    now = world.unix(world.clock)
    claims = {
        "app_name": _APP,
        "aud": audience or f"https://fly.io/{orgs.PERSONAL}",
        "exp": now + _OIDC_SECONDS,
        "iat": now,
        "iss": f"https://oidc.fly.io/{orgs.PERSONAL}",
        "jti": ids.token(world.random, 20),
        "machine_name": _MACHINE,
        "nbf": now,
        "org_name": orgs.PERSONAL,
        "sub": f"{orgs.PERSONAL}:{_APP}:{_MACHINE}",
    }
    header = {"alg": "RS256", "kid": "emulator", "typ": "JWT"}
    return ".".join([_packed(json.dumps(header)), _packed(json.dumps(claims)), _packed("not a signature")])


def verified(header: str) -> list[Json]:
    """Return the content of each token of a header; an empty or invalid one raises 400."""
    # A header may hold several macaroons, joined by commas.
    found = [item.strip() for item in bare(header).split(",") if item.strip()]
    if not all(map(authorization.is_good, found or [""])):
        raise bad_request("token validation error")
    tokens = []
    for item in found:
        octets = base64.b64encode(hashlib.sha256(item.encode()).digest()).decode()
        nonce = {"kid": octets, "rnd": octets[:16], "proof": False}
        tokens.append({"header": item, "nonce": nonce, "caveats": {"caveats": []}, "permission_token": octets})
    return tokens


def access(world: World, asked: Json) -> Json:
    """Return the permissions of a token as masks; every token has all permissions on existing resources."""
    app = world.apps.get(str(asked.get("app_name") or ""))
    if asked.get("app_name") and app is None:
        raise bad_request("app not found")
    # Letters, or already a mask.
    action = asked.get("action")
    letters = action if isinstance(action, str) else ""
    if not set(letters) <= _ACTIONS.keys():
        raise bad_request(f"invalid action: {action!r}")
    slug = app.org_slug if app else str(asked.get("org_slug") or orgs.PERSONAL)
    same = ("command", "mutation", "storage_object", "app_feature", "machine_feature")
    found = {
        "action": action if isinstance(action, int) else sum(_ACTIONS[letter] for letter in set(letters)),
        "orgid": orgs.number(slug),
        "appid": app.number if app else None,
        "machine": asked.get("machine_id"),
        "volume": asked.get("volume_id"),
        "feature": asked.get("org_feature"),
        "sourceMachine": asked.get("source_machine"),
        **{key: asked.get(key) for key in same},
    }
    return {key: value for key, value in found.items() if value is not None}


def _macaroon(world: World, caveats: bytes = b"\x90", *, location: str = _PERMISSION) -> str:
    """Return a macaroon in the format that clients read and attenuate; its signature is random."""
    key_id, nonce, signature = (_octets(world.random.randbytes(size)) for size in (16, 16, 32))
    place = location.encode()
    # MessagePack: [[key id, nonce, is a proof], location, caveats, signature].
    packed = b"\x94\x93" + key_id + nonce + b"\xc2" + bytes((0xD9, len(place))) + place + caveats + signature
    return f"fm2_{base64.b64encode(packed).decode()}"


def _caveats(numbers: Mapping[int, int]) -> bytes:
    """Return caveats in MessagePack, by their types: all actions on the organization and the app of these numbers."""
    packed = bytes((0x90 + 2 * len(numbers),))
    for kind, number in numbers.items():
        # The organization is a number and its actions; apps are a map from numbers to actions.
        head = b"\x92" if kind == _ORGANIZATION else b"\x91\x81"
        packed += bytes((kind,)) + head + b"\xce" + number.to_bytes(4, "big") + bytes((sum(_ACTIONS.values()),))
    return packed


def _octets(value: bytes) -> bytes:
    return bytes((0xC4, len(value))) + value


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
