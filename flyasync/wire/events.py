"""What an onlooker is told of each attempt."""

import logging
from collections.abc import Callable

from attrs import frozen

log = logging.getLogger("flyasync")
# Whoever wants the log asks for it; nothing is printed by itself.
log.addHandler(logging.NullHandler())


@frozen(kw_only=True)
class Attempt:
    """One attempt at one request, after it ended.

    `waited` is the time spent in line for the rate limit, `seconds` the time from sending to the verdict. `status`
    and `request_id` are None when no reply came; `error` is the name of the error's class, None on success.
    `poll` is set for long polls: the seconds for which the API was asked to hold its reply, so that a TimedOut is no
    failure but the answer "not yet". Neither the token nor any body is here.
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

    @property
    def went_well(self) -> bool:
        """Whether it ended as it may: with success, or a long poll with "not yet"."""
        return self.error is None or (self.poll is not None and self.error == "TimedOut")


OnAttempt = Callable[[Attempt], None]


def log_attempt(attempt: Attempt) -> None:
    """Write `attempt` to the logger `flyasync`: failures as warnings, the rest for debugging."""
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
            attempt.request_id,
        )


def tell(on_attempt: OnAttempt, attempt: Attempt) -> None:
    """Tell one onlooker, whose own failure must not change what became of the request."""
    try:
        on_attempt(attempt)
    except Exception:
        log.exception("on_attempt failed for %s %s", attempt.operation, attempt.identifier)
