"""What every resource shares: building a request, and reading its answer into a model."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar

from attrs import evolve, field, frozen

from flyasync.errors import (
    InvalidInput,
    NotFound,
    RateLimited,
    Refused,
    ServerFault,
    TimedOut,
    Unanswered,
    Unauthorized,
)
from flyasync.models.json.codec import Mismatch, structure
from flyasync.transport.request import Flight, Repeat, Request, path
from flyasync.transport.sender import Sender

T = TypeVar("T")

NONCE = "fly-machine-lease-nonce"

TROUBLE = (Unanswered, RateLimited, ServerFault, TimedOut)
"""What passes by itself: a wait, or a lease that is being kept, outlasts it."""

NEW_APP: Final = 60.0
"""Seconds for which an app that was just created may be unknown, or refuse its token, on some of the API's nodes."""

QueryValue = str | int | bool | Iterable[str] | None


def request(
    operation: str,
    *of: str,
    to: str,
    repeat: Repeat,
    query: Mapping[str, QueryValue] | None = None,
    body: Any = None,
    nonce: str | None = None,
    poll: float | None = None,
    flight: Flight | None = None,
    parts: Iterable[str] = (),
    reads: Literal["json", "text"] = "json",
    subject: str | None = None,
    changes: bool | None = None,
) -> Request:
    """Describe one request: `to` is the method and the segments, such as `POST apps/{}/machines`.

    The names in `of` fill the gaps in order, each quoted, and joined they are the identifier that the rate limit
    counts by; `parts` fill the gaps after them without counting, such as a metadata key, whose machine is counted.
    Errors name all of them, or `subject`.
    What is None in `query` is left out; what is listed there is repeated. `changes` is False for what only reads,
    though its method is not GET. Raises InvalidInput for what no request can carry.
    """
    names = (*of, *parts)
    try:
        method, where = _address(to, names)
        return Request(
            operation=operation,
            identifier="/".join(of) or "-",
            method=method,
            path=where,
            query=tuple(_pairs(query)) if query else (),
            body=body,
            headers={NONCE: nonce} if nonce else {},
            repeat=repeat,
            poll=poll,
            reads=reads,
            flight=flight or Flight(),
            subject=subject or "/".join(names) or "-",
            changes=method != "GET" if changes is None else changes,
        )
    except InvalidInput as error:
        # The frames below hold the body, which no traceback with locals is to show.
        raise error.with_traceback(None) from None
    finally:
        del body


@lru_cache(maxsize=4096)  # most programs ask about the same things again and again
def _address(to: str, names: tuple[str, ...]) -> tuple[str, str]:
    method, _, template = to.partition(" ")
    left = iter(names)
    return method, path(*[next(left) if segment == "{}" else segment for segment in template.split("/")])


def _pairs(query: Mapping[str, QueryValue]) -> Iterable[tuple[str, str]]:
    for key, value in query.items():
        if value is None:
            continue
        if isinstance(value, bool):
            yield key, "true" if value else "false"
        elif isinstance(value, str | int):
            yield key, str(value)
        else:
            yield from ((key, each) for each in value)


def given(**fields: Any) -> dict[str, Any]:
    """Keep what was given: None means not sent, an explicit False, 0 or empty text is sent."""
    return {name: value for name, value in fields.items() if value is not None}


def enveloped(answer: Any) -> Any:
    """Take what the API put into `data`; raises Mismatch when there is none."""
    if not isinstance(answer, dict) or "data" not in answer:
        raise Mismatch("$.data", "it is missing")
    return answer["data"]


@frozen
class Caller:
    """Sends requests for a resource and reads the answers; it remembers which apps were just created."""

    _sender: Sender
    _new_apps: dict[str, float | None] = field(factory=dict)

    async def ask(self, request: Request) -> Any:
        """Return the answer's JSON as it came; None for a DELETE that finds that an earlier attempt has done it."""
        try:
            return await self._sender.send(self._informed(request))
        except NotFound as absent:
            # The answer to that attempt was lost, and here it is.
            if request.method == "DELETE" and absent.may_have_happened:
                return None
            raise

    async def read(self, request: Request, kind: type[T], *, pick: Callable[[Any], Any] | None = None) -> T:
        """Give the answer, or the part of it that `pick` takes, as a `kind`; raises Unreadable when it is not one."""
        return self._read(request, await self._sender.send(self._informed(request)), kind, pick)

    async def remove(self, request: Request, kind: type[T], *, pick: Callable[[Any], Any] | None = None) -> T | None:
        """Send a DELETE whose answer is a `kind`, as `read` does; return None when the answer was lost for good."""
        answer = await self.ask(request)
        try:
            return None if answer is None else self._read(request, answer, kind, pick)
        finally:
            del answer

    def _read(self, request: Request, answer: Any, kind: type[T], pick: Callable[[Any], Any] | None) -> T:
        try:
            return structure(pick(answer) if pick else answer, kind)
        except (Mismatch, TypeError) as error:
            problem = str(error)
        finally:
            del answer
        # Raised out here, so that nothing leads back to frames that hold the answer.
        raise request.unreadable(f"the answer is not as documented: {self.redaction(request)(problem)}")

    def redaction(self, request: Request) -> Callable[[str], str]:
        """Return a function that redacts the token, and what is secret in `request`, in a text."""
        return self._sender.redaction(request)

    def created(self, app: str) -> None:
        """Note that an app was just created: for a while, that it is unknown or refuses the token is transient."""
        self._new_apps[app] = None  # until when, the next request about it decides

    def deleted(self, app: str) -> None:
        """Note that an app is not new any longer, for it was deleted or is not ours."""
        self._new_apps.pop(app, None)

    def _informed(self, request: Request) -> Request:
        """Have a request to a new app outlast what the API answers until all its nodes know the app."""
        app = request.identifier.partition("/")[0]
        if app not in self._new_apps:
            return request
        now = asyncio.get_running_loop().time()
        known_by = self._new_apps[app] = self._new_apps[app] or now + NEW_APP
        if now >= known_by:
            self.deleted(app)
            return request

        def clears_within(refusal: Refused) -> float:
            is_unknown = isinstance(refusal, NotFound) and refusal.what == "app"
            if app in self._new_apps and (is_unknown or isinstance(refusal, Unauthorized)):
                return known_by - now
            return request.clears_within(refusal) if request.clears_within else 0.0

        return evolve(request, clears_within=clears_within)
