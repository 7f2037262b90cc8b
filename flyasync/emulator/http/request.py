"""Requests and responses of the emulated API, as values without sockets."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import define, field

from flyasync.emulator.core.accepted_token import bare
from flyasync.emulator.core.errors import ApiError, LeaseError
from flyasync.emulator.core.faults import Subject
from flyasync.emulator.core.go_json import Json, check, decode, integer, parse
from flyasync.emulator.core.images import tagged
from flyasync.emulator.core.operations import identifier
from flyasync.emulator.core.regions import NEAREST
from flyasync.emulator.world.authorization import Access
from flyasync.emulator.world.world import World

# These change nothing, and concern no organization in particular; GraphQL changes something with mutations.
_FOR_ANY_TOKEN = frozenset({"getPlacements", "authenticateToken", "authorizeToken", "graphql"})
# Without a region, these are placed near the caller.
_PLACED = frozenset({"createMachine", "createVolume"})


# Not frozen, as attrs sets each field of a frozen value by a call, and each request makes one of either.
@define(kw_only=True)
class ApiResponse:
    """A status and a JSON body, sent after `seconds` of emulated time. A body of None means no body.

    A text is sent as plain text, and bytes as the JSON that they are.
    `not_served` names what the request asked for and the emulator does not have, such as `Query.addOn`.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(factory=dict)
    seconds: float = 0.0
    not_served: tuple[str, ...] = ()


OK = ApiResponse(body={"ok": True})


@define(kw_only=True)
class ApiRequest:
    """A request as the handlers see it."""

    action: str
    method: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    states: tuple[str, ...] = ()
    raw: bytes = field(default=b"", repr=False)
    authorization: str = field(default="", repr=False)
    nonce: str | None = field(default=None, repr=False)
    affinity: str = field(default="", repr=False)
    # The lag of a list in emulated seconds.
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
        """The machine, volume, cluster, app or organization by which the request is counted."""
        return identifier(self.params) or str(self.query.get("org_slug") or self.peek("org_slug") or "-")

    @property
    def owner(self) -> str:
        """The name of the token's holder, as shown by leases; it does not reveal the token."""
        return f"{self.token_id}@tokens.fly.io"

    @property
    def token_id(self) -> str:
        """An id of the token, derived from its hash."""
        digest = hashlib.sha256(bare(self.authorization).encode(errors="surrogateescape")).hexdigest()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))

    @property
    def is_forced(self) -> bool:
        """Whether to destroy a machine in any state: `force` in the documentation, `kill` from flyctl."""
        return self.flag("force") or self.flag("kill")

    def body(self, types: Mapping[str, str], struct: str, *, required: bool = True) -> Json:
        """Return the body as an object whose fields have these types; raise 400 if it is not."""
        found = decode(self.raw, struct, required=required)
        check(found, types, struct)
        return found

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter."""
        # The words that Go parses as true, in any case.
        return self.query.get(name, "").lower() in {"1", "t", "true"}

    def number(self, name: str) -> int | None:
        """Return an integer query parameter, None if it is absent."""
        text = self.query.get(name)
        return integer(text, name) if text else None

    def peek(self, key: str) -> Any:
        """Return a field of the body; None if it is absent, or if the body is invalid."""
        return self._fields.get(key)

    @cached_property
    def _fields(self) -> Json:
        # Limits and faults read the body before the handler does; only the handler raises errors about it.
        try:
            found = parse(self.raw) if self.raw else None
        except ApiError:
            return {}
        return found if isinstance(found, dict) else {}

    def access(self, world: World) -> Access:
        """Return what the token of this request must permit."""
        cluster = world.clusters.get(self.params.get("postgres_cluster_id", ""))
        named = self.params.get("org_slug") or self.query.get("org_slug") or self.peek("org_slug")
        is_of_org = self.action not in _FOR_ANY_TOKEN and not self.app
        if self.action == "graphql":
            writes = str(self.peek("query") or "").lstrip().startswith("mutation")
        else:
            writes = self.method != "GET" and self.action not in _FOR_ANY_TOKEN
        return Access(
            app=self.app or (str(self.peek("app_name") or "") if self.action == "createRelease" else ""),
            org=cluster.org_slug if cluster else str(named or "") if is_of_org else "",
            writes=writes,
        )

    def subject(self, world: World) -> Subject:
        """Return the properties of this request that faults are matched with."""
        machine = world.machines.get(self.params.get("machine_id", ""))
        volume = world.volumes.get(self.params.get("volume_id", ""))
        place = machine or volume
        words = str(self.peek("region") or (NEAREST if self.action in _PLACED else ""))
        config = self.peek("config")
        # The image of the config in a create or update, else that of the machine.
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
            regions=(place.region,) if place else tuple(word.strip() for word in words.split(",")),
            name=machine.name if machine else str(self.peek("name") or ""),
            image=tagged(image),
            digest=digest,
        )


def error_response(error: ApiError, *, seconds: float = 0.0) -> ApiResponse:
    """Return the response for an error: an envelope for leases, otherwise the text with its code, if any."""
    if isinstance(error, LeaseError):
        body = {"status": "error", "message": error.text, "code": error.code}
    elif error.code:
        body = {"error": error.text, "status": error.code}
    else:
        body = {"error": error.text}
    return ApiResponse(status=error.status, body=body, seconds=seconds)
