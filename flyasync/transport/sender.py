"""Send requests: each attempt waits for a permit and a slot, exchanges, and reads the response; some are retried."""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from attrs import define

from flyasync.errors import (
    Abandoned,
    CallFailed,
    ClientClosed,
    FlyError,
    NoReplyInTime,
    NotFound,
    RateLimited,
    Refused,
    WrongLoop,
)
from flyasync.safe_text import redaction
from flyasync.transport.deadlines import Deadline
from flyasync.transport.events import (
    Attempt,
    Dequeued,
    OnClientEvent,
    Outlasting,
    Paused,
    Queued,
    current,
    notify,
    observes_queue,
    observes_success,
)
from flyasync.transport.ratelimit.buckets import Buckets
from flyasync.transport.request import Repeat, Request
from flyasync.transport.response import read_response
from flyasync.transport.retries import RetryPolicy, deserves_another_try, retrier
from flyasync.transport.session import Session
from flyasync.transport.tracebacks import trim

if TYPE_CHECKING:
    from flyasync.transport.recording import Recording


@define(eq=False, repr=False)
class _Call:
    """The state of one call across its attempts.

    `failure` is the error to raise if the call's time runs out now; `in_doubt` is whether any attempt may have
    happened. `bound` is the time limit in seconds, applied separately to the pauses before the first permit and to
    everything after it. `refusals` is the number of refusals that clear by themselves.
    """

    request: Request
    loop: asyncio.AbstractEventLoop
    clock: Deadline
    bound: float
    paused: float = 0.0
    paused_until: float = 0.0
    number: int = 0
    refusals: int = 0
    in_doubt: bool = False
    failure: FlyError | None = None
    deadline: float | None = None

    def __repr__(self) -> str:
        state = "sent" if self.request.flight.is_out else "waiting"
        left = "" if self.deadline is None else f", {self.deadline - self.loop.time():.1f} s left"
        failed = f", after {type(self.failure).__name__}" if self.failure else ""
        return f"<{self.request.operation} {self.request.subject}: attempt {self.number} {state}{failed}{left}>"

    def begin(self) -> None:
        """Count another attempt. Raise Abandoned if the caller has abandoned the request."""
        self.demand_caller()
        self.number += 1

    def demand_caller(self) -> None:
        """Raise Abandoned if the caller has abandoned the request."""
        if self.request.flight.is_abandoned:
            text = f"{self.request.operation}: abandoned by its caller before it was sent"
            raise Abandoned(text, may_have_happened=self.in_doubt)

    def leave(self, now: float, longest: float) -> None:
        """Record that an attempt is being sent now, whose exchange takes at most `longest` seconds."""
        self.demand_caller()
        # Time counts from the first permit on. The time in the queue before depends on how much the caller has queued.
        if self.deadline is None:
            self.deadline = now + self.bound
            if self.bound < longest:
                self.start_clock()
        # If the clock runs out during the exchange, the call did not end because of an earlier failure.
        self.failure = None

    def start_clock(self) -> None:
        """Start the clock unless it is running. Timers are expensive and this one rarely fires, so it starts late."""
        if self.clock.when == math.inf and self.deadline is not None:
            self.clock.move(self.deadline)

    def fail(self, failure: FlyError) -> None:
        """Record the failure of an attempt, with what is known about all attempts so far."""
        self.failure = failure
        self.start_clock()
        self.weigh(failure)

    def weigh(self, failure: FlyError) -> None:
        """Set on `failure` what is known about the whole call, since an earlier attempt may have happened."""
        if isinstance(failure, Refused):
            # 1. The caller may know how long such a refusal lasts.
            if self.request.clears_within and (seconds := self.request.clears_within(failure)):
                failure.clearing(seconds)
            # 2. A 404 for a DELETE that may have happened means success, so it is not retried.
            if self.in_doubt and self.request.method == "DELETE" and isinstance(failure, NotFound):
                failure.clearing(0.0)
            self.refusals += bool(failure.clears_within)
        if self.request.changes:
            self.in_doubt = self.in_doubt or failure.may_have_happened
        failure.doubted(may_have_happened=self.in_doubt)

    @property
    def is_ended(self) -> bool:
        """Whether the call ends in the next iteration of the event loop."""
        return self.clock.when == 0

    def end(self, failure: FlyError) -> None:
        """End a call that is queued or between two attempts. A call in flight is not affected."""
        if not (self.request.flight.is_out or self.clock.is_expired):
            self.failure = failure
            self.clock.move(0)

    def on_pause(self, until: float) -> None:
        """Wait for the end of a pause of the bucket, or end the call now if it has less time left than that."""
        if self.is_ended:
            return
        now = self.loop.time()
        if self.deadline is None:
            # Before the first permit only pauses count. They overlap, so only the time after the previous one is added.
            self.paused += max(0.0, until - max(now, self.paused_until))
            self.paused_until = max(until, self.paused_until)
            is_too_long = self.paused > self.bound
        else:
            is_too_long = until >= self.deadline
        if not is_too_long:
            return
        if isinstance(self.failure, RateLimited):
            self.end(self.failure.pausing(until - now))
            return
        refused = RateLimited(
            self.request.operation,
            self.request.subject,
            "not sent: a 429 pauses this operation for longer than the call may take",
            status=HTTPStatus.TOO_MANY_REQUESTS,
            retry_after=until - now,
        )
        self.end(refused.explained("RetryPolicy(total=…) sets how long a call may take", command=""))


class Sender:
    """Sends requests: each attempt waits for a permit, and failures are retried where that is safe.

    `secrets_of` yields the secret texts in a request's body. They and the token are redacted in every error that is
    raised. Frames of other packages, whose locals contain them, are removed from its traceback. Each exchange is added
    to the `recording`, if there is one.
    """

    def __init__(
        self,
        session: Session,
        buckets: Buckets,
        policy: RetryPolicy,
        on_event: OnClientEvent,
        secrets_of: Callable[[Any], Iterable[str]] = lambda _: (),
        *,
        recording: "Recording | None" = None,
    ) -> None:
        self._recording = recording
        self._session = session
        self._secrets_of = secrets_of
        self._buckets = buckets
        self._policy = policy
        self._on_event = on_event
        self._observes_queue = observes_queue(on_event)
        self._calls: set[_Call] = set()
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._retry = {
            repeat: retrier(policy, partial(deserves_another_try, repeat=repeat), self.attempt, self._outlast)
            for repeat in Repeat
        }

    def __repr__(self) -> str:
        calls = sorted(map(repr, self._calls))
        shown = ", ".join(calls[:10]) + (f" and {len(calls) - 10} more" if len(calls) > 10 else "")  # noqa: PLR2004
        return f"<Sender {self._session.host}{', closed' if self._is_closed else ''}: {shown or 'no calls'}>"

    async def send(self, request: Request) -> Any:
        """Return the JSON of the response to `request`, or raise the last failure once no retry is left.

        If cancelled in the queue, nothing was sent; if cancelled later, the request may have happened.
        """
        if self._is_closed:
            raise _closed(request)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop or loop is None:
            loop = self._demand_own(loop)
        bound = self._policy.total + (request.poll or 0)
        call = _Call(request, loop, Deadline(), bound)
        try:
            with call.clock:
                self._calls.add(call)
                try:
                    return await self.attempt(call)
                except CallFailed as first:
                    failures = [first]  # the retrier empties the list, or this local would keep the traceback alive
                # Most calls never get here, so they do not pay for a retrier.
                return await self._retry[request.repeat](call, failures)
        # 1. The call was ended by a pause or by closing the client, or its time ran out during an exchange.
        except TimeoutError:
            failure = call.failure or NoReplyInTime(
                request.operation, request.subject, f"no response within {call.bound:g} s in all"
            )
            call.weigh(failure)
        # 2. It failed permanently.
        except FlyError as error:
            trim(error.redact(self.redaction(request)))
            raise
        # 3. It was cancelled, or there is a bug in our code.
        except BaseException as error:
            trim(error)
            raise
        finally:
            self._calls.discard(call)
        # Raised outside the handler, so that it is not chained to the clock's TimeoutError.
        raise failure.redact(self.redaction(request))

    def _demand_own(self, loop: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop:
        """Bind the client to the event loop of its first call. Raise WrongLoop for a call from anywhere else."""
        if loop and self._loop is None:
            self._loop, self._pid = loop, os.getpid()
            return loop
        if self._loop and self._pid != os.getpid():
            raise WrongLoop("this process was forked after the client had been used: create a client in each process")
        if loop:
            raise WrongLoop("the client belongs to the event loop of its first call: create one for each event loop")
        raise WrongLoop("no asyncio event loop is running: flyasync needs asyncio, not trio (with anyio, its default)")

    def expected_wait(self, operation: str, identifier: str, *, ahead: int = 0) -> float | None:
        """Return the seconds that a new request would wait for its permit; None if it is queued for an unknown time."""
        return self._buckets.expected_wait(operation, identifier, ahead=ahead)

    def redaction(self, request: Request) -> Callable[[str], str]:
        """Return a function that redacts the token and the secrets of `request` in a text."""
        secrets = () if request.body is None else tuple(self._secrets_of(request.body))
        return redaction((*self._session.secrets, *secrets)) if secrets else self._redacted

    @cached_property
    def _redacted(self) -> Callable[[str], str]:
        # Most clients meet no error, and need no pattern of the spellings of their token.
        return redaction(self._session.secrets)

    async def attempt(self, call: _Call) -> Any:
        """Make one attempt: wait for a permit and a slot, exchange, and read the response."""
        request, flight, loop = call.request, call.request.flight, call.loop
        call.begin()
        slots = self._session.slots(request)
        permit = self._buckets.acquire(
            request, again=call.number > 1, urgent=flight.is_urgent, slot=slots, on_pause=call.on_pause
        )
        waited = await (self._observed(call, permit) if self._observes_queue else permit)
        try:
            # A call that was ended while it got its permit stops here, not in the middle of an exchange.
            if call.is_ended:
                await asyncio.sleep(0)
            started, response, error = loop.time(), None, None
            call.leave(started, self._session.longest(request))

            # The exchange ends in one of three ways: 1. A response with a success status: its content is the result. 2.
            # One of our errors, with or without a response. It is recorded for the call, and a 429 pauses the bucket.
            # 3. Cancellation, by the caller or the call's clock: only the observer is notified.
            flight.leave()
            try:
                response = await self._session.exchange(request)
                return read_response(request, response, self.redaction)
            except FlyError as failure:
                error = type(failure).__name__
                call.fail(failure)
                if isinstance(failure, RateLimited):
                    # At most for as long as a call may take, or no call would wait for the end of the pause.
                    asked = failure.retry_after
                    seconds = self._buckets.pause(request, None if asked is None else min(asked, self._policy.total))
                    pause = Paused(
                        operation=request.operation, identifier=request.identifier, seconds=seconds, asked=asked
                    )
                    notify(self._on_event, pause)
                raise
            except BaseException as failure:
                error = type(failure).__name__
                raise
            finally:
                flight.land()
                if self._recording:
                    self._recording.add(
                        request, response, error, number=call.number, started=started, failure=call.failure
                    )
                if error or observes_success(self._on_event):
                    event = Attempt(
                        operation=request.operation,
                        identifier=request.identifier,
                        number=call.number,
                        waited=waited,
                        seconds=loop.time() - started,
                        status=response.status if response else None,
                        request_id=response.request_id if response else None,
                        poll=request.poll,
                        method=request.method,
                        host=self._session.host,
                        error=error,
                    )
                    notify(self._on_event, event)
        finally:
            slots.release()

    async def _observed(self, call: _Call, permit: Awaitable[float]) -> float:
        """Wait for a permit and notify the observer of that; return the seconds waited."""
        request, start, granted = call.request, call.loop.time(), False
        queued = Queued(operation=request.operation, identifier=request.identifier, number=call.number)
        notify(self._on_event, queued)
        try:
            waited = await permit
            granted = True
        finally:
            notify(self._on_event, Dequeued.of(queued, waited=call.loop.time() - start, granted=granted))
        return waited

    def _outlast(self, call: _Call, failure: CallFailed, pause: float) -> None:
        """Notify the observers that a refusal which clears by itself is retried after `pause` seconds."""
        if not (isinstance(failure, Refused) and failure.clears_within):
            return
        event = Outlasting(
            operation=call.request.operation,
            identifier=call.request.identifier,
            times=call.refusals,
            error=type(failure).__name__,
            message=failure.message,
            pause=pause,
            within=min(failure.clears_within, call.bound),
        )
        notify(self._on_event, event)
        if (span := current()) and span.on_refusal:
            notify(span.on_refusal, event)

    async def close(self, *, grace: float) -> None:
        """Let calls in flight finish for up to `grace` seconds, then close; queued calls end immediately."""
        self._is_closed = True
        self._end_waiting()
        try:
            await self._session.close(grace=grace)
        finally:
            self._end_waiting()  # the calls that failed meanwhile and would be retried
            self._buckets.close()

    def _end_waiting(self) -> None:
        for call in self._calls:
            call.end(_closed(call.request, may_have_happened=call.in_doubt))


def _closed(request: Request, *, may_have_happened: bool = False) -> ClientClosed:
    text = f"{request.operation} {request.subject}: the client is closed"
    return ClientClosed(text, may_have_happened=may_have_happened)
