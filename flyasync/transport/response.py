"""Read a response: return its JSON, or raise the error that it stands for."""

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
from flyasync.json_text import read_json
from flyasync.safe_text import brief
from flyasync.transport.ratelimit.rates import LONGEST_PAUSE
from flyasync.transport.request import SUCCESS, Request, Response

Redaction = Callable[[Request], Callable[[str], str]]
"""Returns, for a request, a function that redacts the secrets of that request in a text."""


def read_response(request: Request, response: Response, redaction: Redaction = lambda _: str) -> Any:
    """Return the JSON (None for an empty body) or the bytes of a response; raise Refused for an error status.

    Secrets in the text of an error are redacted before the text is cut, so that no part of a secret remains.
    """
    if response.status not in SUCCESS:
        raise _refusal(request, response, redaction(request))
    if request.reads == "bytes":
        return response.body
    if not response.body.strip():
        return None
    try:
        return read_json(response.body)
    except RecursionError:
        problem = "JSON that is nested too deeply"
    except ValueError:
        problem = "a body that is not JSON"
    # Raised outside the handlers, so that no traceback contains frames that hold the response.
    raise request.unreadable(f"the API returned HTTP {response.status} with {problem} (request {response.request_id})")


def _refusal(request: Request, response: Response, redacted: Callable[[str], str]) -> Refused:
    """Return the error that a response with an error status stands for."""
    # The body contains a text and often an error code. Three formats are known:
    try:
        body = read_json(response.body)
    except (ValueError, RecursionError):
        body = None
    code = None
    # 1. Not a JSON object, such as the HTML page of a proxy: its beginning is the text.
    if not isinstance(body, dict):
        text = brief(redacted(response.body.decode("utf-8", "replace").strip()))[:500] or _phrase(response.status)
    else:
        # 2. The envelope of leases: `status` is always "error", and `code` is the code.
        # 3. All others: `status` is the code.
        code = body.get("code") if body.get("status") == "error" else body.get("status")
        code = code if isinstance(code, str) else None
        # Only the texts in `errors` are read: other members may repeat the request, including secrets.
        errors = body.get("errors")
        each = errors if isinstance(errors, list) else [errors]
        texts = [one.get("detail") or one.get("message") if isinstance(one, dict) else one for one in each]
        detail = "; ".join(text for text in texts if isinstance(text, str))
        text = redacted(str(body.get("message") or body.get("error") or detail or _phrase(response.status)))

    kind, details = _classify(response, code, text)
    if scope := details.get("scope"):
        details = {**details, "advice": _CAPACITY_ADVICE[scope]}
    return kind(
        request.operation,
        request.subject,
        text,
        status=response.status,
        code=code,
        request_id=response.request_id,
        **details,
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower()
    except ValueError:
        return "no reason given"


Kind = Callable[..., Refused]
"""Makes an error: one of the classes, possibly with some details already bound."""

_BY_CODE: dict[str, tuple[Kind, dict[str, Any]]] = {
    "insufficient_capacity": (NoCapacity, {"scope": Scope.REGION}),
    "volume_placement_capacity": (NoCapacity, {"scope": Scope.VOLUME_HOST}),
    "name_taken": (NameTaken, {}),
}


@frozen
class _Rule:
    """The kind of error that a text stands for with some statuses; the pattern's named groups become its details.

    A rule with a `scope` is about capacity. It applies only if the API returned no error code, since a code states
    another reason; `despite_code` is for retired regions, for which the API returns various codes. Patterns are
    compiled when the first refusal is read, since that takes longer than all else in this module.
    """

    statuses: frozenset[int]
    pattern: str
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
    return _Rule(frozenset(statuses), pattern, kind, scope, despite_code)


_ANY = set(range(400, 500))
_EVERY = set(range(400, 600))
_RETIRED = r"(?i)cannot have new resources provisioned|region( \S+)? (is|has been) (deprecated|retired)"
_CLAIMED = r"volume( \S+)? (already claimed by|is currently bound to) machine"
_ON_ITS_WAY = "created|creating|starting|stopping|restarting|suspending|updating|replacing"
# The first rule that matches wins, so a specific rule comes before a general one.
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
    # The claim of a machine that no longer exists names no machine, or one made of NUL characters.
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
    Scope.REGION: "Use another region, or deploy with a fallback",
    Scope.HOST: "The machine's host is full: create another machine, which may be placed on another host",
    Scope.VOLUME_HOST: "The volume's host is full: fork the volume, or create another one in the region",
    Scope.QUOTA: "The organization's quota in this region is used up: use another region, or ask Fly.io for more",
}


def _classify(response: Response, code: str | None, text: str) -> tuple[Kind, dict[str, Any]]:
    """Return the kind of error that a response stands for, and the details that are specific to this kind."""
    # 1. The API's error code takes precedence over everything else in a response.
    if code in _BY_CODE:
        return _BY_CODE[code]
    # 2. A 429 is a rate limit, whatever its text.
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited, {"retry_after": retry_after(response)}
    # 3. Reasons that the API states only in the text.
    for rule in _RULES:
        if response.status not in rule.statuses or (rule.scope and code and not rule.despite_code):
            continue
        if found := re.search(rule.pattern, text):
            return rule.kind, {**found.groupdict(), **({"scope": rule.scope} if rule.scope else {})}
    # 4. Otherwise only the status is known.
    if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
        return Refused, {"advice": "flyasync does not follow redirects, so that the token is sent only to its own host"}
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _BY_STATUS.get(response.status, ServerFault), {}
    return _BY_STATUS.get(response.status, Refused), {}


def retry_after(response: Response) -> float | None:
    """Return the seconds in the response's Retry-After; None if it is missing or invalid.

    A date is compared with the response's own `Date` (RFC 9110, section 10.2.3), not with the clock of this machine.
    Negative numbers, dates in the past, and values above LONGEST_PAUSE are invalid.
    """
    asked = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(asked)
    except ValueError:
        until, sent = _date(asked), _date(response.headers.get("date", ""))
        if not (until and sent):
            return None
        seconds = (until - sent).total_seconds()
    return seconds if 0 <= seconds <= LONGEST_PAUSE else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # The zone -0000 is parsed to a date without a zone, which cannot be compared with one that has a zone.
    return date if date.tzinfo else date.replace(tzinfo=UTC)
