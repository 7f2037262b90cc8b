"""Which failures are retried, and after how long.

A 429 also pauses its bucket (`ratelimit/buckets.py`), so that other calls wait too; `response.py` reads the length of
the pause from the response.
"""

import random
from collections.abc import Awaitable, Callable, Generator
from http import HTTPStatus
from typing import Any, TypeVar

import backoff
from attrs import field, frozen

from flyasync.errors import CallFailed, ConnectFailed, RateLimited, Refused, ServerFault, TimedOut, Unanswered
from flyasync.transport.ratelimit.buckets import Spread
from flyasync.transport.request import Repeat
from flyasync.transport.validators import more_than, whole

LONGEST_RETRY_PAUSE = 5.0
"""The longest pause, in seconds, between two attempts while a refusal clears by itself, without the random part."""

Call = TypeVar("Call")
Result = TypeVar("Result")


@frozen(kw_only=True)
class RetryPolicy:
    """How often and for how long a failed call is retried.

    These failures are retried: a 429; a connection that could not be made; a refusal that clears by itself; and, for
    operations that may be repeated, a missing response or the status 408, 500, 502, 503 or 504.

    - `attempts` is the maximum number of attempts. 429s and refusals that clear by themselves do not count.
    - `base` and `cap` set the backoff: the n-th retry is sent after a random time of up to `base * 2**(n-1)` seconds,
      at most `cap`.
    - `total` bounds the whole call in seconds, from its first permit on. The time in the queue before that does not
      count, since only the caller knows how many calls it has queued. Pauses before the first permit are bounded by
      `total` separately.

    After a 429 the bucket is paused for the API's Retry-After, but at most for `total`. A call raises RateLimited
    immediately, with the remaining seconds, if a pause is longer than the time it has left, or if its own Retry-After
    is `total` or more. An invalid Retry-After (negative, in the past, more than a day) is ignored.

    A refusal that clears by itself is retried for its `clears_within` seconds, after pauses that grow from 1 s to 5 s
    plus a random part of up to half of that.

    With a `seed`, the random parts are the same each time, for each operation and identifier; by default they differ,
    so that many clients do not send at the same moment.
    """

    attempts: int = field(default=5, validator=whole(1))
    base: float = field(default=0.25, validator=more_than(0))
    cap: float = field(default=10.0, validator=more_than(0))
    total: float = field(default=120.0, validator=more_than(0, endless=True))
    seed: int | None = None

    def spread(self, *key: str) -> Spread:
        """Return the source of the random parts for a key, such as an operation and an identifier."""
        return random.uniform if self.seed is None else random.Random(f"{self.seed} {' '.join(key)}").uniform  # noqa: S311

    def waits(self) -> Generator[float, Any, None]:
        """Yield, for each failure sent in, the seconds until the next attempt; end when no retry is left."""
        failures, longest = 0, self.base
        refusals, outlasted = 0, 0.0
        # The protocol of `backoff`: the first value sent in is the first failure; the value yielded before is not used.
        error: CallFailed = yield 0.0
        uniform = self.spread(error.operation, error.identifier)
        while True:
            # 1. A 429 is not counted: the bucket is paused for as long as the API asks.
            if isinstance(error, RateLimited):
                if (error.retry_after or 0) >= self.total:
                    return
                error = yield 0.0
                continue
            # 2. A refusal that clears by itself is bounded by its own time, not by `attempts`.
            if isinstance(error, Refused) and error.clears_within:
                pause = min(LONGEST_RETRY_PAUSE, 1.5**refusals) * uniform(1, 1.5)
                refusals, outlasted = refusals + 1, outlasted + pause
                if outlasted > error.clears_within:
                    return
                error = yield pause
                continue
            # 3. All other failures back off exponentially, with full jitter.
            failures += 1
            if failures >= self.attempts:
                return
            error = yield uniform(0, min(self.cap, longest))
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
    # The request may have happened, so it is sent again only if repeating it is harmless.
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
    """Return a function that retries a call after its first attempt has failed, while failures `deserves` a retry.

    The function takes the call and a list with its first failure. It empties the list, since another reference to the
    failure would keep its traceback alive.
    """

    # backoff's jitter would undercut the API's Retry-After, and its max_time reads the wall clock and cuts the last
    # wait short. So RetryPolicy computes the waits, and the sender bounds the time.
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
            raise failures.pop()  # the failure of the first attempt
        return await attempt(call)

    return retry


def retrying(
    policy: RetryPolicy,
    deserves: Callable[[Exception], bool],
    attempt: Callable[[Call], Awaitable[Result]],
    on_pause: OnPause[Call] | None = None,
) -> Callable[[Call], Awaitable[Result]]:
    """Return `attempt` wrapped so that it is retried after each failure that `deserves` it, as `policy` allows."""
    retry = retrier(policy, deserves, attempt, on_pause)

    async def persistently(call: Call) -> Result:
        try:
            return await attempt(call)
        except CallFailed as failure:
            failures = [failure]
        # Most calls never get here, so they do not pay for a retrier.
        return await retry(call, failures)

    return persistently
