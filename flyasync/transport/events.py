"""What an onlooker of a client is told: of each attempt and its time in line, of what they are for, of the limits."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Literal, Self, TypeVar

from attrs import define, field, frozen

from flyasync.text import readable

log = logging.getLogger("flyasync")
# Whoever wants the log asks for it; nothing is printed by itself.
log.addHandler(logging.NullHandler())
limits_log = log.getChild("limits")
refusals_log = log.getChild("refusals")


class _Unheard(logging.Handler):
    """Writes to stderr what nobody else writes anywhere, as `logging` does with warnings of a library without a log."""

    def emit(self, record: logging.LogRecord) -> None:
        heard = (*limits_log.handlers, *log.handlers, *logging.getLogger().handlers)
        if all(isinstance(handler, _Unheard | logging.NullHandler) for handler in heard):
            sys.stderr.write(f"flyasync: {readable(record.getMessage())}\n")


limits_log.addHandler(_Unheard())


_current: ContextVar["Span | None"] = ContextVar("flyasync.span", default=None)

LONG_PAUSE = 5.0
"""Seconds from which on a pause is a warning; shorter ones are part of every day with a crowded limit."""

Kind = Literal["deploy", "region", "machine"]
Fact = str | bool


@define(eq=False)
class Span:
    """What a stretch of work is for: a deploy, a region of it, or a machine of that.

    `name` is the app, the region's code, or the machine's name; `parent` the span in which it began. `machine_id`,
    `error` and some of the `facts` are known late: by its `Ended` at the latest.

    The facts of a deploy are `launch`, `image`, `strategy` and `ok`; those of a machine `phase`, the last one it came
    to, and `moved_to`, the region it fell back to; regions and machines on the way back have `rollback`. None of them
    is secret. `on_refusal` is called with each `Outlasting` of its requests, as the client's observer is.
    """

    kind: Kind
    name: str
    parent: "Span | None" = field(factory=_current.get, repr=False)
    machine_id: str | None = None
    error: str | None = None
    facts: dict[str, Fact] = field(factory=dict)
    on_refusal: "Callable[[Outlasting], None] | None" = field(default=None, repr=False)


@frozen(kw_only=True)
class Queued:
    """An attempt stands in line for the rate limit of its operation on its identifier."""

    operation: str
    identifier: str
    number: int
    span: Span | None = field(factory=_current.get)


@frozen(kw_only=True)
class Dequeued:
    """An attempt left its line after `waited` seconds: its turn came, or `granted` is False and it will not leave."""

    operation: str
    identifier: str
    number: int
    waited: float
    granted: bool
    span: Span | None = field(factory=_current.get)

    @classmethod
    def of(cls, queued: Queued, *, waited: float, granted: bool) -> Self:
        """Say what became of an attempt that stood in line."""
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

    `waited` is the time spent in line for the rate limit, `seconds` the time from sending to the verdict. `status`
    and `request_id` are None when no reply came; `error` is the name of the error's class, None on success.
    `poll` is set for long polls: the seconds for which the API was asked to hold its reply, so that a TimedOut is no
    failure but the answer "not yet". `method` and `host` say how and whom it asked. Neither the token nor any body is
    here.
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
        """Whether it ended as it may: with success, or a long poll with "not yet"."""
        return self.error is None or (self.poll is not None and self.error == "TimedOut")


@frozen(kw_only=True)
class Paused:
    """A 429 pauses an operation on an identifier: for `seconds`, no request of it leaves.

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

    Told once, whatever became of the work. A deploy with a report that is not ok ended with DeployFailed.
    """

    span: Span
    seconds: float


@frozen(kw_only=True)
class LimitsLost:
    """The shared limits cannot be asked: until they are back, this client keeps to its share of each rate.

    `backing` names them without any password, `reason` says what was wrong. The share is one of `workers`: those seen
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
Told = TypeVar("Told")


def current() -> Span | None:
    """Give the span that all belongs to which is asked for here."""
    return _current.get()


@contextmanager
def within(span: Span | None) -> Iterator[None]:
    """Have all that is asked for in the block belong to `span`, the tasks that begin in it too."""
    before = _current.set(span)
    try:
        yield
    finally:
        # A coroutine that is closed, not run to its end, may be closed in another context: nothing is to be undone.
        with suppress(ValueError):
            _current.reset(before)


def log_event(event: ClientEvent) -> None:
    """Write to the logger `flyasync`: failed attempts as warnings, others for debugging.

    What becomes of shared limits goes to `flyasync.limits` as warnings, and to stderr in a program without any log; so
    does a pause of 5 seconds or more. That a refusal is outlasted goes to `flyasync.refusals` as information, once for
    each call, unless a deploy reports it.
    """
    if isinstance(event, Attempt):
        _log_attempt(event)
    elif isinstance(event, Paused):
        _log_pause(event)
    elif isinstance(event, Outlasting):
        _log_refusal(event)
    elif isinstance(event, LimitsLost):
        limits_log.warning(
            "the limits shared by %s cannot be asked (%s): keeping to one in %d of each rate until they are back",
            event.backing,
            event.reason,
            event.workers,
        )
    elif isinstance(event, LimitsBack):
        limits_log.warning("the limits shared by %s are back after %.1f s", event.backing, event.seconds)


def _log_refusal(refusal: Outlasting) -> None:
    is_news = refusal.times == 1 and not (refusal.span and refusal.span.on_refusal)
    refusals_log.log(
        logging.INFO if is_news else logging.DEBUG,
        "%s %s: %s; sent again for up to %.0f s",
        refusal.operation,
        refusal.identifier,
        readable(refusal.message),
        refusal.within,
    )


def _log_pause(pause: Paused) -> None:
    asked = "" if pause.asked is None or pause.asked <= pause.seconds else f" of the {pause.asked:g} s asked for"
    limits_log.log(
        logging.WARNING if pause.seconds >= LONG_PAUSE else logging.DEBUG,
        "%s%s is paused for %.1f s%s: %s got a 429",
        pause.operation,
        f" {pause.identifier}" if pause.identifier else "",
        pause.seconds,
        asked,
        "it" if pause.is_ours else "another client that shares the limits",
    )


def _log_attempt(attempt: Attempt) -> None:
    level = logging.DEBUG if attempt.went_well else logging.WARNING
    if log.isEnabledFor(level):
        log.log(
            level,
            "%s %s: attempt %d %s after %.3f s (waited %.3f s in line, request %s)",
            attempt.operation,
            attempt.identifier,
            attempt.number,
            attempt.error or attempt.status,
            attempt.seconds,
            attempt.waited,
            attempt.request_id and readable(attempt.request_id),
        )


# The log passes over most of what it is told, and most clients have no other onlooker.


def is_told_of_lines(on_event: OnClientEvent) -> bool:
    """Whether anything comes of telling who stands in line and who leaves it."""
    return on_event is not log_event


def is_told_of_success(on_event: OnClientEvent) -> bool:
    """Whether anything comes of telling of an attempt that went well."""
    return on_event is not log_event or log.isEnabledFor(logging.DEBUG)


def tell(on_event: Callable[[Told], None], event: Told) -> None:
    """Tell one onlooker, whose own failure must not change what becomes of the work."""
    try:
        on_event(event)
    except Exception:
        log.exception("on_event failed for %s", type(event).__name__)
