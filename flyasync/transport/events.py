"""What a client emits to its observer: each attempt, its time in the queue, what it is for; and the shared limits."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Literal, Self, TypeVar

from attrs import define, field, frozen

from flyasync.safe_text import readable

log = logging.getLogger("flyasync")
# A library prints nothing by itself: a program that wants the log adds a handler.
log.addHandler(logging.NullHandler())
limits_log = log.getChild("limits")
refusals_log = log.getChild("refusals")


class _LastResort(logging.Handler):
    """Writes to stderr what no other handler writes, as `logging.lastResort` does for loggers without any handler."""

    def emit(self, record: logging.LogRecord) -> None:
        handlers = (*limits_log.handlers, *log.handlers, *logging.getLogger().handlers)
        if all(isinstance(handler, _LastResort | logging.NullHandler) for handler in handlers):
            sys.stderr.write(f"flyasync: {readable(record.getMessage())}\n")


limits_log.addHandler(_LastResort())

_current: ContextVar["Span | None"] = ContextVar("flyasync.span", default=None)

LONG_PAUSE = 5.0
"""Seconds from which on a pause is a warning; shorter ones are normal when several clients share a limit."""

Kind = Literal["deploy", "region", "machine"]
Fact = str | bool


@define(eq=False)
class Span:
    """What requests are for: a deploy, a region of it, or a machine of that.

    `name` is the app, the region's code, or the machine's name; `parent` is the span in which it began. `machine_id`,
    `error` and some of the `facts` are known late: by its `Ended` at the latest.

    The facts of a deploy are `launch`, `image`, `strategy` and `ok`. Those of a machine are `phase`, the last one it
    reached, and `moved_to`, the region it fell back to. Regions and machines of a rollback have `rollback`. None of
    them is secret. `on_refusal` is called with each `Outlasting` of its requests, as the client's observer is.
    """

    kind: Kind
    name: str
    parent: "Span | None" = field(factory=_current.get, repr=False)
    machine_id: str | None = None
    error: str | None = None
    facts: dict[str, Fact] = field(factory=dict)
    on_refusal: "Callable[[Outlasting], None] | None" = field(default=None, repr=False)

    def learn(self, *, machine_id: str | None = None, **facts: Fact) -> None:
        """Record facts that have become known."""
        self.machine_id = machine_id or self.machine_id
        self.facts.update(facts)

    def fail(self, error: str) -> None:
        """Record the class of the error that it ended with."""
        self.error = error


@frozen(kw_only=True)
class Queued:
    """An attempt waits in the queue for the rate limit of its operation on its identifier."""

    operation: str
    identifier: str
    number: int
    span: Span | None = field(factory=_current.get)


@frozen(kw_only=True)
class Dequeued:
    """An attempt left its queue after `waited` seconds: with its permit, or `granted` is False and it is not sent."""

    operation: str
    identifier: str
    number: int
    waited: float
    granted: bool
    span: Span | None = field(factory=_current.get)

    @classmethod
    def of(cls, queued: Queued, *, waited: float, granted: bool) -> Self:
        """Return the event that ends the wait of an attempt that was `queued`."""
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
    """One attempt at one request, after it ended.

    `waited` is the time in the queue for the rate limit, `seconds` the time from sending until the reply was read or
    the error was known. `status` and `request_id` are None when no reply came; `error` is the name of the error's
    class, None on success. `poll` is set for long polls: the seconds for which the API was asked to hold its reply, so
    that a TimedOut is not a failure but the answer "not yet". `method` and `host` are those of the request. Neither the
    token nor any body is here.
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
        """Whether it succeeded, or is a long poll that was answered "not yet"."""
        return self.error is None or (self.poll is not None and self.error == "TimedOut")


@frozen(kw_only=True)
class Paused:
    """A 429 pauses an operation on an identifier: for `seconds`, no request of it is sent.

    `identifier` is None where the pause is for all identifiers together. `asked` is the number of seconds that the API
    asked for, of which no more than `RetryPolicy.total` are waited; None where it named none that makes sense. Where
    the pause is not `is_ours`, another client that shares the limits has met the 429.
    """

    operation: str
    identifier: str | None
    seconds: float
    asked: float | None = None
    is_ours: bool = True
    span: Span | None = field(factory=_current.get)


@frozen(kw_only=True)
class Outlasting:
    """A request was refused for a reason that clears by itself, and is sent again after `pause` seconds.

    `error` is the name of the refusal's class, `message` the API's words; `within` is the number of seconds, counted
    from the first refusal, after which the error is raised. `times` counts the refusals of this call so far.
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
    """A deploy, a region of it or a machine of that began."""

    span: Span


@frozen(kw_only=True)
class Ended:
    """It ended after `seconds`; `span.error` is the name of the error's class that ended it, None where none did.

    Emitted once, whether the work succeeded or not. A deploy with a report that is not ok ended with DeployFailed.
    """

    span: Span
    seconds: float


@frozen(kw_only=True)
class LimitsLost:
    """The shared limits cannot be asked: until they are back, this client keeps to its share of each rate.

    `backing` names them without any password, `reason` is what went wrong. The share is one of `workers`: those seen
    last, or those expected.
    """

    backing: str
    reason: str
    workers: int


@frozen(kw_only=True)
class LimitsBack:
    """The shared limits answer again, after `seconds` without them."""

    backing: str
    seconds: float


ClientEvent = Queued | Dequeued | Attempt | Paused | Outlasting | Began | Ended | LimitsLost | LimitsBack
OnClientEvent = Callable[[ClientEvent], None]
AnyEvent = TypeVar("AnyEvent")


def current() -> Span | None:
    """Return the span to which requests made here belong."""
    return _current.get()


@contextmanager
def within(span: Span | None) -> Iterator[None]:
    """Have the requests made in the block belong to `span`, and those of tasks that begin in it."""
    before = _current.set(span)
    try:
        yield
    finally:
        # A coroutine that is closed, not run to its end, may be closed in another context: there is nothing to reset.
        with suppress(ValueError):
            _current.reset(before)


def log_event(event: ClientEvent) -> None:
    """Write to the logger `flyasync`: failed attempts as warnings, others for debugging.

    What becomes of shared limits goes to `flyasync.limits` as warnings, and to stderr in a program without any log; so
    does a pause of 5 seconds or more. That a refusal is outlasted goes to `flyasync.refusals` as information, once for
    each call, unless a deploy reports it.
    """
    match event:
        case Attempt():
            level = logging.DEBUG if event.went_well else logging.WARNING
            if log.isEnabledFor(level):
                log.log(
                    level,
                    "%s %s: attempt %d %s after %.3f s (waited %.3f s in line, request %s)",
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
                "%s%s is paused for %.1f s%s: %s got a 429",
                event.operation,
                f" {event.identifier}" if event.identifier else "",
                event.seconds,
                f" of the {event.asked:g} s asked for" if is_cut else "",
                "it" if event.is_ours else "another client that shares the limits",
            )
        case Outlasting():
            # A deploy reports the refusals of its machines itself, and each call needs to be mentioned only once.
            is_news = event.times == 1 and not (event.span and event.span.on_refusal)
            refusals_log.log(
                logging.INFO if is_news else logging.DEBUG,
                "%s %s: %s; sent again for up to %.0f s",
                event.operation,
                event.identifier,
                readable(event.message),
                event.within,
            )
        case LimitsLost():
            limits_log.warning(
                "the limits shared by %s cannot be asked (%s): keeping to one in %d of each rate until they are back",
                event.backing,
                event.reason,
                event.workers,
            )
        case LimitsBack():
            limits_log.warning("the limits shared by %s are back after %.1f s", event.backing, event.seconds)


# `log_event` ignores most events, and most clients have no other observer: they are spared the cost of making them.


def observes_queue(on_event: OnClientEvent) -> bool:
    """Whether an observer uses the events of attempts that enter and leave the queue."""
    return on_event is not log_event


def observes_success(on_event: OnClientEvent) -> bool:
    """Whether an observer uses the events of attempts that went well."""
    return on_event is not log_event or log.isEnabledFor(logging.DEBUG)


def notify(on_event: Callable[[AnyEvent], None], event: AnyEvent) -> None:
    """Notify one observer of an event; a failure of the observer is logged and changes nothing else."""
    try:
        on_event(event)
    except Exception:
        log.exception("on_event failed for %s", type(event).__name__)
