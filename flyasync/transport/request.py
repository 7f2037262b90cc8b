"""The request, the reply, and whether the request may be sent twice."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from json import JSONEncoder
from typing import Any, Final, Literal
from urllib.parse import quote

from attrs import Factory, define, field, frozen

from flyasync.errors import InvalidInput, Refused, Unreadable
from flyasync.safe_text import has_control

_encoded: Final = JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_MARKS: Final = frozenset({"cursor", "next_token"})
"""Members of a query that the API itself has given: they are sent back, whatever they look like."""
_SEVERAL_LINES: Final = frozenset({"value", "cmd", "stdin", "fullchain", "private_key", "query"})
"""Members of a body that may be any text; the others are names, such as a region or a hostname."""


class Repeat(Enum):
    """When a request may be sent again after a failure."""

    ANYTIME = "anytime"
    """Asking twice does no more than asking once."""

    UNSENT = "unsent"
    """Only when the first one certainly was never sent, or was refused unread."""


@define
class Flight:
    """Whether a request is out: `is_out` from the moment it is sent until its reply is there.

    One that `is_abandoned` is not sent any more, neither for the first time nor again after a failure; a reply that is
    under way is still read. `on_leave` is called each time it is sent. One that `is_urgent` goes ahead of all that have
    never been sent.
    """

    is_out: bool = False
    is_abandoned: bool = False
    is_urgent: bool = False
    on_leave: Callable[[], None] | None = None

    def leave(self) -> None:
        """Note that the request is sent now."""
        self.is_out = True
        if self.on_leave:
            self.on_leave()

    def land(self) -> None:
        """Note that the reply is there, or that none will come."""
        self.is_out = False

    def abandon(self) -> None:
        """Have the request not be sent any more."""
        self.is_abandoned = True


@frozen(kw_only=True)
class Request:
    """One operation, ready to be sent.

    `operation` and `identifier` name it everywhere: together they choose its rate limit, and every error and event
    carries them. `subject` names in an error what exactly it was about, where that is more than the limit counts by.
    `poll` is the number of seconds for which the API may hold its reply back; None for ordinary calls. `flight` is
    how the caller sees whether the request is out right now. `reads` is what its answer is: JSON, or plain text.
    `clears_within` returns the seconds within which a refusal clears by itself, if the caller knows more than the
    refusal itself, else 0. `changes` is whether it may change anything. `content` is the `body` as it is sent.

    Raises InvalidInput for what no HTTP request or JSON can carry, before anything is sent: control characters in a
    name, a header or the query, lone surrogates anywhere, and a body that is nested too deeply.
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
    reads: Literal["json", "text"] = "json"
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
            content = _encoded(self.body).encode()
        except RecursionError:
            problem = "it is nested too deeply"
        except UnicodeEncodeError:
            problem = "it holds a lone surrogate, which is not a character: read what you send as UTF-8"
        except (TypeError, ValueError) as error:
            problem = str(error)
        else:
            # JSON writes every control character with a backslash, so most bodies need no second look.
            if b"\\" in content:
                _check_names(self.body)
            return content
        # Raised outside the handlers, so that no traceback leads back to frames that hold the body.
        raise InvalidInput(f"what is to be sent cannot be written as JSON: {problem}")

    def __attrs_post_init__(self) -> None:
        for name, value in self.query:
            if has_control(name) or (has_control(value) and name not in _MARKS):
                raise InvalidInput(f"{name!r} is {value!r}, but {_NO_CONTROL}")
        for name, value in self.headers.items():
            if has_control(value):
                raise InvalidInput(f"the header {name} holds control characters, but {_NO_CONTROL}")

    def unreadable(self, message: str, *, advice: str | None = None) -> Unreadable:
        """Return the error of an answer that is not as documented."""
        return Unreadable(self.operation, self.subject, message, advice=advice, may_have_happened=self.changes)


@frozen(kw_only=True)
class Reply:
    """A reply: the status, the headers by their lower-case names, and the body's bytes."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The id that Fly.io's support asks for."""
        return self.headers.get("fly-request-id")


def path(*segments: str) -> str:
    """Join `segments` into an encoded path under `/v1`, so that no identifier can lead to another place.

    Raises InvalidInput for an empty segment and for `.` and `..`, which clients and proxies fold away.
    """
    names: tuple[object, ...] = segments  # a caller without a type checker may pass anything
    encoded = [_quoted(name) if isinstance(name, str) else "" for name in names]
    if "" in encoded:
        raise InvalidInput(
            f"{segments[encoded.index('')]!r} cannot name anything in a URL: it is not text, or empty, or one of '.' "
            "and '..', or it holds control characters or a lone surrogate"
        )
    return "/v1/" + "/".join(encoded)


@lru_cache(maxsize=4096)  # the same few words and names are in all of them
def _quoted(segment: str) -> str:
    """Quote a name; return nothing for one that cannot be in a URL."""
    return "" if segment in {".", ".."} or has_control(segment) else quote(segment, safe="")


_NO_CONTROL: Final = "no name, header or URL can hold control characters, such as line breaks, or lone surrogates"


def _check_names(body: Any) -> None:
    """Raise InvalidInput for a key, or a member that is a name, with control characters in it."""
    left = [body]
    while left:
        value = left.pop()
        if isinstance(value, list | tuple):
            left += value
        elif isinstance(value, Mapping):
            for key in value:
                if isinstance(key, str) and has_control(key):
                    raise InvalidInput(f"the name {key!r} holds control characters, but {_NO_CONTROL}")
            left += value.values()
    # Further down, a text may be anything: an environment variable, a file, a command.
    for key, value in body.items() if isinstance(body, Mapping) else ():
        if isinstance(value, str) and key not in _SEVERAL_LINES and has_control(value):
            raise InvalidInput(f"{key} holds control characters, but {_NO_CONTROL}")
