"""The request, the response, and whether the request may be sent twice."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import quote

from attrs import Factory, define, field

from flyasync.errors import InvalidInput, Refused, Unreadable
from flyasync.json_text import write_json
from flyasync.safe_text import has_control

_MARKS: Final = frozenset({"cursor", "next_token"})
"""Query parameters whose values come from the API: they are sent back unchecked."""
_SEVERAL_LINES: Final = frozenset({"value", "cmd", "stdin", "fullchain", "private_key", "query"})
"""Members of a body that may contain any text; the others are names, such as a region or a hostname."""


SUCCESS: Final = range(200, 300)
"""The statuses of success."""


class Repeat(Enum):
    """When a request may be sent again after a failure."""

    ANYTIME = "anytime"
    """After any failure: the operation is idempotent."""

    UNSENT = "unsent"
    """Only if the first request was certainly not sent, or was refused without being carried out."""


@define
class Flight:
    """The state of a request in flight: `is_out` is True from when it is sent until its response has arrived.

    If `is_abandoned`, the request is not sent any more, neither for the first time nor again after a failure; a
    response on its way is still read. `on_leave` is called each time the request is sent. If `is_urgent`, it is sent
    before all requests that have not been sent yet.
    """

    is_out: bool = False
    is_abandoned: bool = False
    is_urgent: bool = False
    on_leave: Callable[[], None] | None = None

    def leave(self) -> None:
        """Record that the request is being sent."""
        self.is_out = True
        if self.on_leave:
            self.on_leave()

    def land(self) -> None:
        """Record that the response has arrived, or that none will."""
        self.is_out = False

    def abandon(self) -> None:
        """Prevent the request from being sent from now on."""
        self.is_abandoned = True


@define(kw_only=True)  # not frozen: that would make every call 5 % more expensive
class Request:
    """One operation, ready to be sent; it does not change after it was made.

    Raises InvalidInput, before anything is sent, for values that no HTTP request or JSON can contain: control
    characters in a name, a header or the query, lone surrogates anywhere, and a body that is nested too deeply.

    Args:
        operation: the name of the operation, which selects the rate limit and is part of every error and event.
        identifier: what the rate limit counts by, such as the app; also part of every error and event.
        method: the HTTP method.
        path: the encoded path of the URL.
        repeat: when the request may be sent again.
        query: the names and values of the query.
        body: the JSON to send; `content` is its encoded form.
        headers: headers of this request only.
        poll: the number of seconds for which the API may hold the response back; None for ordinary calls.
        reads: the format of the response.
        flight: shows the caller whether the request is in flight.
        clears_within: returns, for a refusal, the seconds within which it clears by itself if the caller knows that
            better than the refusal, else 0.
        subject: replaces the identifier in errors if it is more specific.
        changes: whether the request may change anything.
    """

    operation: str
    identifier: str
    method: str
    path: str
    repeat: Repeat
    query: tuple[tuple[str, str], ...] = ()
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default=Factory(dict), repr=False)
    poll: float | None = None
    reads: Literal["json", "bytes"] = "json"
    flight: Flight = field(factory=Flight, eq=False, repr=False)
    clears_within: Callable[[Refused], float] | None = field(default=None, eq=False, repr=False)
    subject: str = field(default=Factory(lambda self: self.identifier, takes_self=True), kw_only=True)
    changes: bool = field(default=Factory(lambda self: self.method != "GET", takes_self=True))
    content: bytes | None = field(init=False, eq=False, repr=False)

    @content.default
    def _encode_body(self) -> bytes | None:
        if self.body is None:
            return None
        try:
            content = write_json(self.body)
        except RecursionError:
            problem = "it is nested too deeply"
        except UnicodeEncodeError:
            problem = "it contains a lone surrogate, which is not a character: decode your input as UTF-8"
        except (TypeError, ValueError) as error:
            problem = str(error)
        else:
            # JSON escapes control characters with a backslash, so most bodies need no further check.
            if b"\\" in content:
                _check_names(self.body)
            return content
        # Raised outside the handlers, so that no traceback contains frames that hold the body.
        raise InvalidInput(f"the request body cannot be encoded as JSON: {problem}")

    def __attrs_post_init__(self) -> None:
        for name, value in self.query:
            if has_control(name) or (has_control(value) and name not in _MARKS):
                raise InvalidInput(f"{name!r} is {value!r}, but {_NO_CONTROL}")
        for name, value in self.headers.items():
            if has_control(value):
                raise InvalidInput(f"the header {name} contains control characters, but {_NO_CONTROL}")

    def unreadable(self, message: str, *, advice: str | None = None) -> Unreadable:
        """Return the error for a response that is not as documented."""
        return Unreadable(self.operation, self.subject, message, advice=advice, may_have_happened=self.changes)


@define
class Response:
    """A response: its status, its headers by lower-case name, and the bytes of its body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The id that Fly.io's support asks for."""
        return self.headers.get("fly-request-id")


def path(*segments: str) -> str:
    """Join `segments` into an encoded path under `/v1`, so that no identifier can change the path.

    Raises InvalidInput for an empty segment, and for `.` and `..`, which clients and proxies resolve.
    """
    names: tuple[object, ...] = segments  # a caller without a type checker may pass anything
    encoded = [_quoted(name) if isinstance(name, str) else "" for name in names]
    if "" in encoded:
        raise InvalidInput(
            f"{segments[encoded.index('')]!r} cannot be part of a URL: it must be non-empty text other than '.' and "
            "'..', without control characters and lone surrogates"
        )
    return "/v1/" + "/".join(encoded)


@lru_cache(maxsize=4096)  # most paths consist of the same few words and names
def _quoted(segment: str) -> str:
    """Return a name quoted for a URL; empty for one that cannot be part of a URL."""
    return "" if segment in {".", ".."} or has_control(segment) else quote(segment, safe="")


_NO_CONTROL: Final = (
    "names, headers and URLs cannot contain control characters, such as line breaks, or lone surrogates"
)


def _check_names(body: Any) -> None:
    """Raise InvalidInput if a key, or a member that is a name, contains control characters."""
    left = [body]
    while left:
        value = left.pop()
        if isinstance(value, list | tuple):
            left += value
        elif isinstance(value, Mapping):
            for key in value:
                if isinstance(key, str) and has_control(key):
                    raise InvalidInput(f"the name {key!r} contains control characters, but {_NO_CONTROL}")
            left += value.values()
    # Deeper in the body, a text may be anything: an environment variable, a file, a command.
    for key, value in body.items() if isinstance(body, Mapping) else ():
        if isinstance(value, str) and key not in _SEVERAL_LINES and has_control(value):
            raise InvalidInput(f"{key} contains control characters, but {_NO_CONTROL}")
