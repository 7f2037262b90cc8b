"""Which failures are retried, and after how long.

A 429 also pauses its bucket, in `ratelimit/buckets.py`, so that other calls wait as well; `response.py` reads from the
reply for how long.
"""

import random
from collections.abc import Awaitable, Callable, Generator
from http import HTTPStatus
from typing import Any, TypeVar

import backoff
from attrs import field, frozen

from flyasync.errors import CallFailed, ConnectFailed, RateLimited, Refused, ServerFault, TimedOut, Unanswered
from flyasync.transport.request import Repeat
from flyasync.transport.validators import more_than, whole

LONGEST_RETRY_PAUSE = 5.0
"""Seconds between two attempts while a refusal clears by itself, before the random part."""

Call = TypeVar("Call")
Result = TypeVar("Result")


@frozen(kw_only=True)
class RetryPolicy:
    """How often and for how long a failed call is tried again.

    `attempts` counts all failures but 429s and refusals that clear by themselves. Before the n-th retry it waits a
    random time up to `base * 2**(n-1)` seconds, at most `cap`. After a 429 the bucket is paused for at least the time
    that the API asks for, but for `total` at most.
    `total` bounds the whole call in seconds from its first permit on: time in the queue before that is not counted,
    since only the caller knows how many calls are queued there. Pauses before the first permit are counted separately:
    `total` bounds how long they may keep a call. A call that a pause would keep for longer than it has left raises
    RateLimited at once, with the seconds that remain; so does one that is itself asked to wait for `total` or more. A
    Retry-After that makes no sense (negative, in the past, of more than a day) is ignored.

    Tried again are: calls refused by a 429, calls whose connection was never made, calls refused for a reason that
    clears by itself, and, for operations that may be repeated, calls without a reply and those answered 408, 500, 502,
    503 or 504. A refusal that clears by itself is outlasted for its own `clears_within` seconds, at pauses that grow
    from 1 s to 5 s, each up to half as long again.
    """

    attempts: int = field(default=5, validator=whole(1))
    base: float = field(default=0.25, validator=more_than(0))
    cap: float = field(default=10.0, validator=more_than(0))
    total: float = field(default=120.0, validator=more_than(0, endless=True))

    def waits(self) -> Generator[float, Any, None]:
        """Yield, for each failure sent in, the seconds until the next attempt; end when it is time to give up."""
        failures, longest = 0, self.base
        refusals, outlasted = 0, 0.0
        # backoff's own protocol: what is sent in first is the first failure; the value before it is not used.
        error: Exception = yield 0.0
        while True:
            # 1. A 429 is not counted: the bucket is paused for as long as the API asks.
            if isinstance(error, RateLimited):
                if (error.retry_after or 0) >= self.total:
                    return
                error = yield 0.0
                continue
            # 2. A refusal that clears by itself is bounded by its own time, not by `attempts`.
            if isinstance(error, Refused) and error.clears_within:
                pause = min(LONGEST_RETRY_PAUSE, 1.5**refusals) * random.uniform(1, 1.5)  # noqa: S311 - spreads clients
                refusals, outlasted = refusals + 1, outlasted + pause
                if outlasted > error.clears_within:
                    return
                error = yield pause
                continue
            # 3. All else backs off exponentially, with full jitter.
            failures += 1
            if failures >= self.attempts:
                return
            error = yield random.uniform(0, min(self.cap, longest))  # noqa: S311 - spreads clients, guards nothing
            longest = min(self.cap, 2 * longest)


def deserves_another_try(error: Exception, repeat: Repeat) -> bool:
    """Whether sending the same request again is safe and may help."""
    # Safe for every operation: nothing was done, and the same request may succeed later.
    if isinstance(error, RateLimited):
        return True
    if isinstance(error, Refused) and error.clears_within:
        return True
    if isinstance(error, ConnectFailed):
        return error.is_temporary
    # From here on the work may have been done, so only what does no harm when done twice is repeated.
    if repeat is Repeat.UNSENT:
        return False
    if isinstance(error, ServerFault):
        return error.status != HTTPStatus.NOT_IMPLEMENTED
    return isinstance(error, Unanswered | TimedOut)


OnPause = Callable[[Call, CallFailed, float], None]
"""Called with a call, its failure and the seconds until its next attempt."""


def retrier(
    policy: RetryPolicy,
    deserves: Callable[[Exception], bool],
    attempt: Callable[[Call], Awaitable[Result]],
    on_pause: OnPause[Call] | None = None,
) -> Callable[[Call, list[CallFailed]], Awaitable[Result]]:
    """Return what retries a call whose first attempt has failed, after each failure that `deserves` it.

    It is called with the call and a list of that one failure, which it empties: while another name held the failure,
    its traceback would stay alive.
    """

    # backoff's own jitter would undercut the API's Retry-After, and its max_time reads the wall clock and cuts the
    # last wait short; so the waits are all ours, and the sender bounds the time.
    @backoff.on_exception(
        policy.waits,
        CallFailed,
        giveup=lambda error: not deserves(error),
        on_backoff=lambda details: (
            on_pause(details["args"][0], details["exception"], details["wait"]) if on_pause else None
        ),
        jitter=None,
        logger=None,
    )
    async def retry(call: Call, failures: list[CallFailed]) -> Result:
        if failures:
            raise failures.pop()  # what the first attempt ended in is the first failure here
        return await attempt(call)

    return retry


def retrying(
    policy: RetryPolicy,
    deserves: Callable[[Exception], bool],
    attempt: Callable[[Call], Awaitable[Result]],
    on_pause: OnPause[Call] | None = None,
) -> Callable[[Call], Awaitable[Result]]:
    """Wrap `attempt` so that it is made again after each failure that `deserves` it, while `policy` allows."""
    retry = retrier(policy, deserves, attempt, on_pause)

    async def persistently(call: Call) -> Result:
        try:
            return await attempt(call)
        except CallFailed as failure:
            failures = [failure]
        # Most calls never get here, and are spared the cost of a retrier.
        return await retry(call, failures)

    return persistently
