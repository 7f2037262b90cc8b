"""What is asked, what came back, and whether it may be asked twice."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote

from attrs import Factory, define, field, frozen

from flyasync.errors import InvalidInput, Refused


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
            f"{segment!r} cannot name anything in a URL: it is not text, or empty, or one of '.' and '..'"
        )
    return quoted


@lru_cache(maxsize=4096)  # the same few words and names are in all of them
def _quoted(segment: str) -> str:
    """Quote a name; nothing comes of one that cannot be in a URL."""
    if segment not in {".", ".."}:
        with suppress(UnicodeEncodeError):
            return quote(segment, safe="")
    return ""
