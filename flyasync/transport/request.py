"""What is asked, what came back, and whether it may be asked twice."""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from json import JSONEncoder
from typing import Any, Final, Literal
from urllib.parse import quote

from attrs import Factory, define, field, frozen

from flyasync.errors import InvalidInput, Refused, Unreadable
from flyasync.text import has_control

_encoded: Final = JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_MARKS: Final = frozenset({"cursor", "next_token"})
"""The members of a query that the API itself has given, whatever they look like."""
_SEVERAL_LINES: Final = frozenset({"value", "cmd", "stdin", "fullchain", "private_key", "query"})
"""The members of a body that may be any text; the others are names, such as a region or a hostname."""


def _nothing() -> None:
    """Do nothing."""


def _never(_: Refused) -> float:
    """Know nothing about a refusal."""
    return 0.0


class Repeat(Enum):
    """When a request may be sent again after a failure."""

    ANYTIME = "anytime"
    """Asking twice does no more than asking once."""

    UNSENT = "unsent"
    """Only when the first one surely never left, or was turned away unread."""


@define
class Flight:
    """How a request stands: `is_out` from the moment it leaves until its answer is there.

    Set `is_abandoned` and it does not leave any more: not for the first time, and not again after a failure. An answer
    that is under way is still heard. `on_leave` is called each time it leaves. One that `is_urgent` goes ahead of all
    that have never left.
    """

    is_out: bool = False
    is_abandoned: bool = False
    is_urgent: bool = False
    on_leave: Callable[[], None] = _nothing


@frozen(kw_only=True)
class Request:
    """One operation, ready to be sent.

    `operation` and `identifier` name it everywhere: together they choose its rate limit, and every error and event
    carries them; `subject` says in an error what exactly it was about, where that is more than the limit counts by.
    `poll` is the number of seconds for which the API may hold its reply back; None for ordinary calls. `flight` tells
    whoever holds it whether the request is under way right now. `reads` says what its answer is: JSON, or plain text.
    `clears_within` says of a refusal in which time the caller knows it to clear, 0 for no more than the refusal says.
    `changes` says whether it may change anything. `content` is the `body` as it is sent.

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
    clears_within: Callable[[Refused], float] = field(default=_never, eq=False, repr=False)
    subject: str = field(default=Factory(lambda self: self.identifier, takes_self=True), kw_only=True)
    changes: bool = field(default=Factory(lambda self: self.method != "GET", takes_self=True))
    content: bytes | None = field(
        init=False, eq=False, repr=False, default=Factory(lambda self: _content(self.body), takes_self=True)
    )

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
    """What came back: the status, the headers as found by their lower-case names, and the body's bytes."""

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
    return "/v1/" + "/".join([_encode(segment) for segment in segments])


def _encode(segment: object) -> str:
    if not (quoted := _quoted(segment) if isinstance(segment, str) else ""):
        raise InvalidInput(
            f"{segment!r} cannot name anything in a URL: it is not text, or empty, or one of '.' and '..', or it holds "
            "control characters or a lone surrogate"
        )
    return quoted


@lru_cache(maxsize=4096)  # the same few words and names are in all of them
def _quoted(segment: str) -> str:
    """Quote a name; nothing comes of one that cannot be in a URL."""
    return "" if segment in {".", ".."} or has_control(segment) else quote(segment, safe="")


_NO_CONTROL: Final = "no name, header or URL can hold control characters, such as line breaks, or lone surrogates"


def _content(body: Any) -> bytes | None:
    """Write a body as JSON in UTF-8."""
    if body is None:
        return None
    try:
        content = _encoded(body).encode()
    except RecursionError:
        problem = "it is nested too deeply"
    except UnicodeEncodeError:
        problem = "it holds a lone surrogate, which is not a character: read what you send as UTF-8"
    except (TypeError, ValueError) as error:
        problem = str(error)
    else:
        # JSON writes every control character with a backslash, so most bodies need no second look.
        if b"\\" in content:
            _check_names(body)
        return content
    # Raised out here, so that nothing leads back to frames that hold the body.
    raise InvalidInput(f"what is to be sent cannot be written as JSON: {problem}")


def _check_names(body: Any) -> None:
    """Raise InvalidInput for a key, or a member that is a name, with control characters in it."""
    for key in _keys(body):
        if has_control(key):
            raise InvalidInput(f"the name {key!r} holds control characters, but {_NO_CONTROL}")
    for key, value in body.items() if isinstance(body, Mapping) else ():
        if isinstance(value, str) and key not in _SEVERAL_LINES and has_control(value):
            raise InvalidInput(f"{key} holds control characters, but {_NO_CONTROL}")


def _keys(body: Any) -> Iterator[str]:
    left = [body]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            yield from (key for key in value if isinstance(key, str))
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
