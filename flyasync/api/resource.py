"""Shared by all resources: describe a request, and read its response into a model."""

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
from flyasync.models.json.codec import Mismatch, structure_once
from flyasync.transport.request import Flight, Repeat, Request, path
from flyasync.transport.sender import Sender

T = TypeVar("T")

NONCE = "fly-machine-lease-nonce"

TROUBLE = (Unanswered, RateLimited, ServerFault, TimedOut)
"""Temporary errors: waits and the refreshing of leases continue after them."""

NEW_APP: Final = 60.0
"""Seconds for which some of the API's nodes may not know an app that was just created, or may refuse its token."""

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
    reads: Literal["json", "bytes"] = "json",
    subject: str | None = None,
    changes: bool | None = None,
) -> Request:
    """Describe one request. Raise InvalidInput for values that no request can carry.

    Args:
        operation: its name in rate limits, events and errors, such as `machines.create`.
        of: names that replace the `{}` in `to`, in order and quoted; joined, they are the identifier of the rate limit.
        to: the method and the segments of the path, such as `POST apps/{}/machines`.
        repeat: when it may be sent again.
        query: None is left out; a list repeats its key.
        body: the JSON to send.
        nonce: the nonce of the machine's lease.
        poll: the number of seconds for which the API may hold the response back.
        flight: shows the caller whether the request is in flight.
        parts: names that replace the `{}` after those of `of`, and are not part of the identifier, such as a key.
        reads: the format of the response.
        subject: the name that errors show instead of all names.
        changes: False if the request only reads although its method is not GET.
    """
    names = (*of, *parts)
    pairs: list[tuple[str, str]] = []
    for key, value in query.items() if query else ():
        if value is None:
            continue
        # A bool is an int, so it is checked first: the API expects `true`, not `True` or `1`.
        if isinstance(value, bool):
            pairs.append((key, "true" if value else "false"))
        elif isinstance(value, str | int):
            pairs.append((key, str(value)))
        else:
            pairs.extend((key, each) for each in value)
    try:
        method, where = _address(to, names)
        return Request(
            operation=operation,
            identifier="/".join(of) or "-",
            method=method,
            path=where,
            query=tuple(pairs),
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
        # Drop the inner frames, whose locals contain the body.
        raise error.with_traceback(None) from None
    finally:
        del body


@lru_cache(maxsize=4096)  # most programs use the same few paths
def _address(to: str, names: tuple[str, ...]) -> tuple[str, str]:
    method, _, template = to.partition(" ")
    left = iter(names)
    return method, path(*[next(left) if segment == "{}" else segment for segment in template.split("/")])


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None; an explicit False, 0 or empty string is sent."""
    return {name: value for name, value in fields.items() if value is not None}


def enveloped(response: Any) -> Any:
    """Return the member `data` of a response. Raise Mismatch if it is missing."""
    if not isinstance(response, dict) or "data" not in response:
        raise Mismatch("$.data", "it is missing")
    return response["data"]


@frozen
class Caller:
    """Sends the requests of a resource and reads the responses; it keeps track of apps that were just created."""

    _sender: Sender
    _new_apps: dict[str, float | None] = field(factory=dict)

    def expected_wait(self, operation: str, identifier: str, ahead: int = 0) -> float | None:
        """Return the seconds that a new request would wait for its permit; None if it is queued for an unknown time."""
        return self._sender.expected_wait(operation, identifier, ahead=ahead)

    async def ask(self, request: Request) -> Any:
        """Return the JSON of the response; None for a DELETE that an earlier attempt has carried out."""
        try:
            return await self._sender.send(self._informed(request))
        except NotFound as absent:
            # The response to the earlier attempt was lost; this 404 confirms it.
            if request.method == "DELETE" and absent.may_have_happened:
                return None
            raise

    async def read(self, request: Request, kind: type[T], *, pick: Callable[[Any], Any] | None = None) -> T:
        """Return the response, or the part that `pick` selects, as a `kind`. Raise Unreadable if it does not fit."""
        return self._read(request, await self._sender.send(self._informed(request)), kind, pick)

    async def remove(self, request: Request, kind: type[T], *, pick: Callable[[Any], Any] | None = None) -> T | None:
        """Send a DELETE whose response is a `kind`, and return it as `read` does.

        Return None if the response is empty, or if an earlier attempt has carried out the DELETE.
        """
        response = await self.ask(request)
        try:
            return None if response is None else self._read(request, response, kind, pick)
        finally:
            del response

    def _read(self, request: Request, response: Any, kind: type[T], pick: Callable[[Any], Any] | None) -> T:
        try:
            return structure_once(pick(response) if pick else response, kind)
        except (Mismatch, TypeError) as error:
            problem = str(error)
        finally:
            del response
        # Raised outside the handler, so that the traceback contains no frames that hold the response.
        raise request.unreadable(f"the response is not as documented: {self.redaction(request)(problem)}")

    def redaction(self, request: Request) -> Callable[[str], str]:
        """Return a function that redacts the token and the secrets of `request` in a text."""
        return self._sender.redaction(request)

    def created(self, app: str) -> None:
        """Record that an app was just created: for some time, a 404 or 401 for it is temporary."""
        self._new_apps[app] = None  # the next request for it starts the time

    def deleted(self, app: str) -> None:
        """Stop treating an app as new: it was deleted, is old enough, or belongs to another organization."""
        self._new_apps.pop(app, None)

    def _informed(self, request: Request) -> Request:
        """Return `request`; for a new app, make it retry refusals until all nodes of the API know the app."""
        # 1. Almost all requests are for apps that this client did not create: nothing to do.
        if not self._new_apps or (app := request.identifier.partition("/")[0]) not in self._new_apps:
            return request
        # 2. The app is not new any more, so a 404 is final.
        now = asyncio.get_running_loop().time()
        known_by = self._new_apps[app] = self._new_apps[app] or now + NEW_APP
        if now >= known_by:
            self.deleted(app)
            return request

        # 3. Some nodes may not know the app yet: they return that it does not exist, or refuse the token. A 404 for
        #    another resource, such as a machine of the app, is final as always.
        def clears_within(refusal: Refused) -> float:
            is_unknown = isinstance(refusal, NotFound) and refusal.what == "app"
            if app in self._new_apps and (is_unknown or isinstance(refusal, Unauthorized)):
                return known_by - now
            return request.clears_within(refusal) if request.clears_within else 0.0

        return evolve(request, clears_within=clears_within)
