"""Reads a reply: it becomes JSON, or the error that it means. Here a 429 is recognized."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from attrs import frozen

from flyasync.errors import (
    AlreadyStarting,
    BadRequest,
    ClaimLingers,
    Conflict,
    Forbidden,
    ImageNotFound,
    LeaseHeld,
    NameTaken,
    NoCapacity,
    NotFound,
    NotSettled,
    RateLimited,
    Refused,
    Scope,
    SecretsNotReady,
    ServerFault,
    StaleVersion,
    TimedOut,
    Unauthorized,
    VolumeInUse,
    WrongState,
)
from flyasync.safe_text import brief
from flyasync.transport.ratelimit.rates import LONGEST_PAUSE
from flyasync.transport.request import Reply, Request

Redaction = Callable[[Request], Callable[[str], str]]
"""Finds what is secret in a request, and returns a function that redacts it in a text."""


def read_reply(request: Request, reply: Reply, redaction: Redaction = lambda _: str) -> Any:
    """Return the reply's JSON (None for an empty body) or its text, or raise the Refused that it means.

    What a refusal repeats of secrets is redacted before anything is cut off, which could leave a part of one.
    """
    if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(request, reply, redaction(request))
    if request.reads == "text":
        return reply.body.decode("utf-8", "replace").strip()
    if not reply.body.strip():
        return None
    try:
        return json.loads(reply.body)
    except RecursionError:
        problem = "JSON that is nested too deeply"
    except ValueError:
        problem = "something that is not JSON"
    # Raised outside the handlers, so that no traceback leads back to frames that hold the answer.
    raise request.unreadable(f"the API answered HTTP {reply.status} with {problem} (request {reply.request_id})")


def _refusal(request: Request, reply: Reply, redacted: Callable[[str], str]) -> Refused:
    """Return the error that a reply with an error status means."""
    # The body holds the API's code for the reason, where it gives one, and its prose. Three shapes are known:
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        body = None
    code = None
    # 1. No JSON object, such as the page of a proxy: its beginning is the prose.
    if not isinstance(body, dict):
        text = brief(redacted(reply.body.decode("utf-8", "replace").strip()))[:500] or _phrase(reply.status)
    else:
        # 2. The envelope of leases: `status` is always "error", and the code stands beside it.
        # 3. Everything else: `status` is the code.
        code = body.get("code") if body.get("status") == "error" else body.get("status")
        code = code if isinstance(code, str) else None
        # In `errors` only the prose is read: what else is in it may repeat what was sent, secrets included.
        errors = body.get("errors")
        each = errors if isinstance(errors, list) else [errors]
        texts = [one.get("detail") or one.get("message") if isinstance(one, dict) else one for one in each]
        detail = "; ".join(text for text in texts if isinstance(text, str))
        text = redacted(str(body.get("message") or body.get("error") or detail or _phrase(reply.status)))

    kind, details = _classify(reply, code, text)
    if scope := details.get("scope"):
        details = {**details, "advice": _CAPACITY_ADVICE[scope]}
    return kind(
        request.operation,
        request.subject,
        text,
        status=reply.status,
        code=code,
        request_id=reply.request_id,
        **details,
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower()
    except ValueError:
        return "no reason given"


Kind = Callable[..., Refused]
"""Makes an error: one of its classes, perhaps with details that are known already."""

_BY_CODE: dict[str, tuple[Kind, dict[str, Any]]] = {
    "insufficient_capacity": (NoCapacity, {"scope": Scope.REGION}),
    "volume_placement_capacity": (NoCapacity, {"scope": Scope.VOLUME_HOST}),
    "name_taken": (NameTaken, {}),
}


@frozen
class _Rule:
    """What a text means under some statuses; the pattern's named groups become details of the error.

    A rule with a `scope` is about capacity. It holds only where the API gives no code of its own, since another code
    means another reason; but a retired region is retired whatever the code (`despite_code`).
    """

    statuses: frozenset[int]
    pattern: re.Pattern[str]
    kind: Kind
    scope: Scope | None = None
    despite_code: bool = False


def _rule(
    statuses: set[int],
    pattern: str,
    kind: Kind,
    scope: Scope | None = None,
    *,
    despite_code: bool = False,
) -> _Rule:
    return _Rule(frozenset(statuses), re.compile(pattern), kind, scope, despite_code)


_ANY = set(range(400, 500))
_EVERY = set(range(400, 600))
_RETIRED = r"(?i)cannot have new resources provisioned|region( \S+)? (is|has been) (deprecated|retired)"
_CLAIMED = r"volume( \S+)? (already claimed by|is currently bound to) machine"
_ON_ITS_WAY = "created|creating|starting|stopping|restarting|suspending|updating|replacing"
# The first rule that fits wins, so the narrower of two stands before the wider.
_RULES = (
    _rule(_EVERY, _RETIRED, NoCapacity, Scope.REGION, despite_code=True),
    _rule(_EVERY, r"(?i)manifest[_ ]unknown", ImageNotFound),
    _rule({404}, r"(?i)^(app not found|could not find app)", partial(NotFound, what="app")),
    _rule(
        {404},
        r"(?i)\bmachine( \S+)? not found|could not find machine|invalid machine id",
        partial(NotFound, what="machine"),
    ),
    _rule({409}, r"lease currently held by (?P<holder>.+?), expires at (?P<expires_at>.+)", LeaseHeld),
    _rule({409}, r"lease currently held", LeaseHeld),
    _rule({409}, r"unique machine name violation(?:, machine ID (?P<existing_id>\w+))?", NameTaken),
    _rule({422}, r"uniqueness constraint violated|has already been taken", NameTaken),
    _rule({409}, r"still attempting to start", AlreadyStarting),
    _rule({409}, r"insufficient (CPUs|memory|IPs|resources) available to fulfill", NoCapacity, Scope.HOST),
    _rule({400, 409}, r"no capacity$", NoCapacity, Scope.REGION),
    _rule({403}, r"over the allowed quota", NoCapacity, Scope.QUOTA),
    _rule(_ANY, r"deploys to this host are temporarily disabled", NoCapacity, Scope.HOST),
    _rule(_ANY, r"governor policy blocked start", NoCapacity, Scope.HOST),
    _rule({412}, r"create new machine with existing volume", NoCapacity, Scope.VOLUME_HOST),
    _rule({409}, r"concurrent update|current_version", StaleVersion),
    _rule({412}, r"min_secrets_version", SecretsNotReady),
    _rule(_ANY, rf"{_CLAIMED}:? (?P<machine_id>\w+)", VolumeInUse),
    # The claim of a machine that is gone names none, or a row of NULs.
    _rule(_ANY, _CLAIMED, ClaimLingers),
    _rule({412}, r"concurrent update|current_version|machine_version|version mismatch", StaleVersion),
    _rule({409, 412}, rf"still active|getting replaced|from current state: '?({_ON_ITS_WAY})\b", NotSettled),
    _rule({409, 412}, r"^failed_precondition:|refusing to start|not running|not currently stopped", WrongState),
)

_BY_STATUS: dict[int, Kind] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: TimedOut,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    422: BadRequest,
    504: TimedOut,
}

_CAPACITY_ADVICE = {
    Scope.REGION: "Try another region, or deploy with a fallback",
    Scope.HOST: "The machine's host is full: create it anew and it may land on another host",
    Scope.VOLUME_HOST: "The volume's host is full: fork the volume, or create it anew elsewhere in the region",
    Scope.QUOTA: "The organization's quota in this region is used up: use another region, or ask Fly.io for more",
}


def _classify(reply: Reply, code: str | None, text: str) -> tuple[Kind, dict[str, Any]]:
    """Return the kind of error that a reply means, and the details that this kind has beyond the others."""
    # 1. The API's own code outranks all else in a reply.
    if code in _BY_CODE:
        return _BY_CODE[code]
    # 2. A 429 is a 429, whatever its text.
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited, {"retry_after": retry_after(reply)}
    # 3. Reasons that the API gives in prose only.
    for rule in _RULES:
        if reply.status not in rule.statuses or (rule.scope and code and not rule.despite_code):
            continue
        if found := rule.pattern.search(text):
            return rule.kind, {**found.groupdict(), **({"scope": rule.scope} if rule.scope else {})}
    # 4. All that is left is the status.
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        return Refused, {"advice": "flyasync follows no redirect, so that the token stays with the host it is for"}
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _BY_STATUS.get(reply.status, ServerFault), {}
    return _BY_STATUS.get(reply.status, Refused), {}


def retry_after(reply: Reply) -> float | None:
    """Return the seconds that the reply asks to wait; None when it names no time, or one that makes no sense.

    A date counts from the reply's own `Date` (RFC 9110, section 10.2.3), so no clock of this machine takes part. What
    makes no sense is a negative number, a date in the past, and more than LONGEST_PAUSE.
    """
    asked = reply.headers.get("retry-after", "").strip()
    try:
        seconds = float(asked)
    except ValueError:
        until, sent = _date(asked), _date(reply.headers.get("date", ""))
        if not (until and sent):
            return None
        seconds = (until - sent).total_seconds()
    return seconds if 0 <= seconds <= LONGEST_PAUSE else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A zone of -0000 makes a date without one, which could not be compared with another.
    return date if date.tzinfo else date.replace(tzinfo=UTC)
