"""Tokens: made, looked into and checked; they look like Fly's and open nothing."""

import base64
import hashlib
import json
from collections.abc import Mapping

from flyasync.emulator.core import ids
from flyasync.emulator.core.errors import bad_request
from flyasync.emulator.core.go_json import Json
from flyasync.emulator.http.request import bare_token, is_good
from flyasync.emulator.world import orgs
from flyasync.emulator.world.world import World

_ACTIONS: Mapping[str, int] = {"r": 1, "w": 2, "c": 4, "d": 8, "C": 16}
_OIDC_SECONDS = 600
# Asked from no machine, the emulator answers as this one.
_APP = _MACHINE = "emulator"


def deploy(world: World) -> str:
    """Make a token for an app, with its scheme and its discharge as the API gives them."""
    return f"FlyV1 {_macaroon(world)},{_macaroon(world)}"


def kms(world: World) -> str:
    """Make a token for the keys of an app."""
    return _macaroon(world)


def oidc(world: World, audience: str) -> str:
    """Make a token in the form of a JWT, good for ten minutes and signed by nobody."""
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
    """Look into each token of a header; refuse one that is empty or never good."""
    found = [item.strip() for item in bare_token(header).split(",") if item.strip()]
    if not all(map(is_good, found or [""])):
        raise bad_request("token validation error")
    return [_verified(item) for item in found]


def access(world: World, asked: Json) -> Json:
    """Give what a token may do, in numbers; each one may do everything to what there is."""
    app = world.apps.get(str(asked.get("app_name") or ""))
    if asked.get("app_name") and app is None:
        raise bad_request("app not found")
    slug = app.org_slug if app else str(asked.get("org_slug") or orgs.PERSONAL)
    same = ("command", "mutation", "storage_object", "app_feature", "machine_feature")
    said = {
        "action": _action(asked.get("action")),
        "orgid": orgs.number(slug),
        "appid": app.number if app else None,
        "machine": asked.get("machine_id"),
        "volume": asked.get("volume_id"),
        "feature": asked.get("org_feature"),
        "sourceMachine": asked.get("source_machine"),
        **{key: asked.get(key) for key in same},
    }
    return {key: value for key, value in said.items() if value is not None}


def _action(asked: object) -> int:
    if isinstance(asked, int):
        return asked
    letters = asked if isinstance(asked, str) else ""
    if not set(letters) <= _ACTIONS.keys():
        raise bad_request(f"invalid action: {asked!r}")
    return sum(_ACTIONS[letter] for letter in set(letters))


def _verified(item: str) -> Json:
    digest = hashlib.sha256(item.encode()).digest()
    octets = base64.b64encode(digest).decode()
    return {
        "header": item,
        "nonce": {"kid": octets, "rnd": octets[:16], "proof": False},
        "caveats": {"caveats": []},
        "permission_token": octets,
    }


def _macaroon(world: World) -> str:
    return f"fm2_{ids.token(world.random, 40)}"


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
