"""What a request asks for and what it gets, as values without sockets."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from flyasync.emulator.core.errors import ApiError, LeaseError
from flyasync.emulator.core.faults import Subject
from flyasync.emulator.core.go_json import Json, check, decode, integer, parse
from flyasync.emulator.core.images import tagged
from flyasync.emulator.core.operations import identifier
from flyasync.emulator.core.regions import NEAREST
from flyasync.emulator.world.world import World

# Without a region these land near the caller.
_PLACED = frozenset({"createMachine", "createVolume"})
_SCHEMES = ("flyv1 ", "bearer ")


@frozen(kw_only=True)
class ApiResponse:
    """A status and JSON, sent after `seconds` of emulated time; a body of None is sent as no body at all."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(factory=dict)
    seconds: float = 0.0


OK = ApiResponse(body={"ok": True})


@frozen(kw_only=True)
class ApiRequest:
    """One request as the handlers see it."""

    action: str
    method: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    states: tuple[str, ...] = ()
    raw: bytes = field(default=b"", repr=False)
    authorization: str = field(default="", repr=False)
    nonce: str | None = field(default=None, repr=False)
    affinity: str = field(default="", repr=False)
    # How many emulated seconds what a list knows is behind what happened.
    behind: float = 0.0

    @property
    def app(self) -> str:
        """The app in the path."""
        return self.params.get("app_name", "")

    @property
    def machine_id(self) -> str:
        """The machine in the path."""
        return self.params["machine_id"]

    @property
    def identifier(self) -> str:
        """Whom the request is counted under."""
        return identifier(self.params, str(self.query.get("org_slug") or self.peek("org_slug") or ""))

    @property
    def owner(self) -> str:
        """A name for the bearer of the token that does not give the token away."""
        return f"{self.token_id}@tokens.fly.io"

    @property
    def token_id(self) -> str:
        """The number of the token."""
        digest = hashlib.sha256(bare_token(self.authorization).encode(errors="surrogateescape")).hexdigest()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))

    @property
    def is_forced(self) -> bool:
        """Whether a machine shall be destroyed whatever it is doing, in either word the API takes."""
        return self.flag("force") or self.flag("kill")

    def body(self, types: Mapping[str, str], struct: str, *, required: bool = True) -> Json:
        """Read the body as an object whose fields have these types."""
        found = decode(self.raw, struct, required=required)
        check(found, types, struct)
        return found

    def flag(self, name: str) -> bool:
        """Read a boolean of the query."""
        return self.query.get(name, "").lower() in {"1", "t", "true"}

    def number(self, name: str) -> int | None:
        """Read a whole number of the query."""
        text = self.query.get(name)
        return integer(text, name) if text else None

    def peek(self, key: str) -> Any:
        """Return a field of the body; None when there is no such field, or no body that can be read."""
        return self._fields.get(key)

    @cached_property
    def _fields(self) -> Json:
        try:
            found = parse(self.raw) if self.raw else None
        except ApiError:
            return {}
        return found if isinstance(found, dict) else {}

    def subject(self, world: World) -> Subject:
        """Tell the faults whom this request is about."""
        machine = world.machines.get(self.params.get("machine_id", ""))
        volume = world.volumes.get(self.params.get("volume_id", ""))
        place = machine or volume
        config = self.peek("config")
        if isinstance(config, dict):
            image = str(config.get("image") or "")
            digest = world.images.digest(image)
        else:
            image, digest = (machine.config.get("image") or "", machine.digest) if machine else ("", "")
        return Subject(
            action=self.action,
            method=self.method,
            identifier=self.identifier,
            app=self.app or str(self.peek("name") or self.peek("app_name") or ""),
            regions=(place.region,) if place else self._regions(),
            name=machine.name if machine else str(self.peek("name") or ""),
            image=tagged(image),
            digest=digest,
        )

    def _regions(self) -> tuple[str, ...]:
        words = str(self.peek("region") or (NEAREST if self.action in _PLACED else ""))
        return tuple(word.strip() for word in words.split(","))


def bare_token(authorization: str) -> str:
    """Take the scheme, or several, off an Authorization header."""
    text = authorization.strip()
    while text.lower().startswith(_SCHEMES):
        text = text.split(" ", 1)[1].strip()
    return text


def is_good(token: str) -> bool:
    """Tell whether there is a token, and not the one that is never good."""
    return token not in {"", "invalid"} and token.lower() not in {scheme.strip() for scheme in _SCHEMES}


def demand_authorized(authorization: str) -> None:
    """Refuse a request without a token, or with the one token that is never good."""
    if not is_good(bare_token(authorization)):
        raise ApiError(401, "Authenticate: token validation error")


def error_response(error: ApiError, *, seconds: float = 0.0) -> ApiResponse:
    """Put a refusal into the API's words."""
    if isinstance(error, LeaseError):
        body = {"status": "error", "message": error.text, "code": error.code}
    elif error.code:
        body = {"error": error.text, "status": error.code}
    else:
        body = {"error": error.text}
    return ApiResponse(status=error.status, body=body, seconds=seconds)
