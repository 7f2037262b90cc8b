"""The events that a client emits: attempts, queueing, pauses, spans, and the state of shared limits."""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Literal, Self, TypeVar

from attrs import define, field, frozen

from flyasync.safe_text import readable

log = logging.getLogger("flyasync")
# A library does not print by itself: a program that wants the log adds a handler.
log.addHandler(logging.NullHandler())
limits_log = log.getChild("limits")
refusals_log = log.getChild("refusals")


class _LastResort(logging.Handler):
    """Writes a record to stderr if no other handler does, as `logging.lastResort` does for loggers without handlers."""

    def emit(self, record: logging.LogRecord) -> None:
        handlers = (*limits_log.handlers, *log.handlers, *logging.getLogger().handlers)
        if all(isinstance(handler, _LastResort | logging.NullHandler) for handler in handlers):
            sys.stderr.write(f"flyasync: {readable(record.getMessage())}\n")


limits_log.addHandler(_LastResort())

_current: ContextVar["Span | None"] = ContextVar("flyasync.span", default=None)

LONG_PAUSE = 5.0
"""Pauses of at least this many seconds are logged as warnings; shorter ones are normal if clients share a limit."""

Kind = Literal["deploy", "region", "machine"]
Fact = str | bool


@define(eq=False)
class Span:
    """What requests belong to: a deploy, one of its regions, or a machine in such a region.

    `name` is the app, the code of the region, or the name of the machine. `parent` is the span in which this one began.
    `machine_id`, `error` and some of the `facts` are set later, at the latest when `Ended` is emitted.

    The facts of a deploy are `launch`, `image`, `strategy` and `ok`. Those of a machine are `phase` (the last one
    reached) and `moved_to` (the region it fell back to). Regions and machines of a rollback have `rollback`. No fact is
    secret. `on_refusal` is called with each `Outlasting` event of the span's requests, in addition to the client's
    observer.
    """

    kind: Kind
    name: str
    parent: "Span | None" = field(factory=_current.get, repr=False)
    machine_id: str | None = None
    error: str | None = None
    facts: dict[str, Fact] = field(factory=dict)
    on_refusal: "Callable[[Outlasting], None] | None" = field(default=None, repr=False)

    def learn(self, *, machine_id: str | None = None, **facts: Fact) -> None:
        """Record the machine id and other facts as they become known."""
        self.machine_id = machine_id or self.machine_id
        self.facts.update(facts)

    def fail(self, error: str) -> None:
        """Record the class name of the error with which the span ends."""
        self.error = error


@frozen(kw_only=True)
class Queued:
    """An attempt has been queued for the rate limit of its operation and identifier."""

    operation: str
    identifier: str
    number: int
    span: Span | None = field(factory=_current.get)


@frozen(kw_only=True)
class Dequeued:
    """An attempt left the queue after `waited` seconds. If not `granted`, it got no permit and is not sent.

    `operation` and `identifier` select the rate limit, `number` counts the attempts of the call from 1, and `span` is
    what the request belongs to.
    """

    operation: str
    identifier: str
    number: int
    waited: float
    granted: bool
    span: Span | None = field(factory=_current.get)

    @classmethod
    def of(cls, queued: Queued, *, waited: float, granted: bool) -> Self:
        """Return the event for the end of the wait that began with `queued`."""
        return cls(
            operation=queued.operation,
            identifier=queued.identifier,
            number=queued.number,
            waited=waited,
            granted=granted,
            span=queued.span,
        )


@frozen(kw_only=True)
class Attempt:
    """One attempt to send a request, after it ended.

    `operation` and `identifier` select the rate limit, `number` counts the attempts of the call from 1, and `span` is
    what the request belongs to.

    `waited` is the time in the queue for the rate limit, `seconds` the time from sending the request until the response
    was read or an error occurred. `status` and `request_id` are None if no response arrived; `error` is the class name
    of the error, None on success. `poll` is set for long polls: the number of seconds for which the API may hold the
    response, so a TimedOut only means "not yet". `method` and `host` are those of the request. The event contains
    neither the token nor a body.
    """

    operation: str
    identifier: str
    number: int
    waited: float
    seconds: float
    status: int | None
    request_id: str | None
    error: str | None
    poll: float | None = None
    method: str | None = None
    host: str | None = None
    span: Span | None = field(factory=_current.get)

    @property
    def went_well(self) -> bool:
        """Whether the attempt succeeded, or was a long poll that ended with "not yet"."""
        return self.error is None or (self.poll is not None and self.error == "TimedOut")


@frozen(kw_only=True)
class Paused:
    """A 429 pauses an operation on an identifier: no such request is sent for `seconds`.

    `identifier` is None if the pause applies to all identifiers. `span` is what the request that got the 429 belongs
    to. `asked` is the API's Retry-After in seconds, of which at most `RetryPolicy.total` are waited; None if it was
    missing or invalid. If not `is_ours`, another client that shares the limits received the 429.
    """

    operation: str
    identifier: str | None
    seconds: float
    asked: float | None = None
    is_ours: bool = True
    span: Span | None = field(factory=_current.get)


@frozen(kw_only=True)
class Outlasting:
    """A request was refused for a reason that clears by itself, and is retried after `pause` seconds.

    `error` is the class name of the error, `message` the API's message. `within` is the number of seconds, from the
    first refusal on, after which the error is raised. `times` is the number of refusals of this call so far.
    `operation` and `identifier` select the rate limit of the request, and `span` is what it belongs to.
    """

    operation: str
    identifier: str
    times: int
    error: str
    message: str
    pause: float
    within: float
    span: Span | None = field(factory=_current.get)


@frozen(kw_only=True)
class Began:
    """A span began: a deploy, one of its regions, or a machine."""

    span: Span


@frozen(kw_only=True)
class Ended:
    """A span ended after `seconds`. `span.error` is the class name of the error that ended it, None on success.

    The event is emitted once, on success and on failure. A deploy whose report is not ok ends with DeployFailed.
    """

    span: Span
    seconds: float


@frozen(kw_only=True)
class LimitsLost:
    """The store of the shared limits is unavailable: until it is back, this client uses its share of each rate.

    `backing` names the store, without any password; `reason` is the error. The share is `1/workers`, where `workers` is
    the number of workers last seen, or of those expected.
    """

    backing: str
    reason: str
    workers: int


@frozen(kw_only=True)
class LimitsBack:
    """The store of the shared limits is available again, after `seconds` without it."""

    backing: str
    seconds: float


ClientEvent = Queued | Dequeued | Attempt | Paused | Outlasting | Began | Ended | LimitsLost | LimitsBack
OnClientEvent = Callable[[ClientEvent], None]
AnyEvent = TypeVar("AnyEvent")


def current() -> Span | None:
    """Return the span to which requests made here belong."""
    return _current.get()


class Within:
    """Assigns the requests made in the block to `span`, including those of tasks that are started in it.

    A class, since the generator of a function would take 300 bytes for each machine of a deploy that waits.
    """

    __slots__ = ("_before", "span")

    def __init__(self, span: Span | None) -> None:
        self.span = span

    def __enter__(self) -> None:
        self._before = _current.set(self.span)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A coroutine that is closed before its end may be closed in another context, where nothing needs a reset.
        with suppress(ValueError):
            _current.reset(self._before)


def log_event(event: ClientEvent) -> None:
    """Log an event to the logger `flyasync`: failed attempts as warnings, other attempts at level DEBUG.

    The logger `flyasync.limits` gets a warning when shared limits are lost or restored, and for pauses of at least 5
    seconds; in a program without log handlers they are written to stderr. The logger `flyasync.refusals` gets one INFO
    record per call for a refusal that is retried, unless a deploy reports it.
    """
    match event:
        case Attempt():
            level = logging.DEBUG if event.went_well else logging.WARNING
            if log.isEnabledFor(level):
                log.log(
                    level,
                    "%s %s: attempt %d: %s after %.3f s (queued for %.3f s, request %s)",
                    event.operation,
                    event.identifier,
                    event.number,
                    event.error or event.status,
                    event.seconds,
                    event.waited,
                    event.request_id and readable(event.request_id),
                )
        case Paused():
            is_cut = event.asked is not None and event.asked > event.seconds
            limits_log.log(
                logging.WARNING if event.seconds >= LONG_PAUSE else logging.DEBUG,
                "%s%s is paused for %.1f s%s: %s received a 429",
                event.operation,
                f" {event.identifier}" if event.identifier else "",
                event.seconds,
                f" (Retry-After was {event.asked:g} s)" if is_cut else "",
                "this client" if event.is_ours else "another client that shares the limits",
            )
        case Outlasting():
            # A deploy reports the refusals of its machines itself. One record per call is enough.
            is_news = event.times == 1 and not (event.span and event.span.on_refusal)
            refusals_log.log(
                logging.INFO if is_news else logging.DEBUG,
                "%s %s: %s; retrying for up to %.0f s",
                event.operation,
                event.identifier,
                readable(event.message),
                event.within,
            )
        case LimitsLost():
            limits_log.warning(
                "the limits shared by %s are unavailable (%s): using 1/%d of each rate until they are back",
                event.backing,
                event.reason,
                event.workers,
            )
        case LimitsBack():
            limits_log.warning("the limits shared by %s are back after %.1f s", event.backing, event.seconds)


# Most clients have no observer but `log_event`, which ignores most events: then these are not even created.


def observes_queue(on_event: OnClientEvent) -> bool:
    """Whether an observer uses the events `Queued` and `Dequeued`."""
    return on_event is not log_event


def observes_success(on_event: OnClientEvent) -> bool:
    """Whether an observer uses the events of successful attempts."""
    return on_event is not log_event or log.isEnabledFor(logging.DEBUG)


def notify(on_event: Callable[[AnyEvent], None], event: AnyEvent) -> None:
    """Call an observer with an event; an exception in the observer is logged and otherwise ignored."""
    try:
        on_event(event)
    except Exception:
        log.exception("on_event failed for %s", type(event).__name__)
