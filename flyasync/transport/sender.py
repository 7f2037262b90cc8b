"""The order of things: retry( a turn in the bucket, an exchange, a verdict )."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any

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
)
from flyasync.text import redaction
from flyasync.transport.events import (
    Attempt,
    Dequeued,
    OnClientEvent,
    Outlasting,
    Paused,
    Queued,
    current,
    is_told_of_lines,
    is_told_of_success,
    tell,
)
from flyasync.transport.ratelimit.buckets import Buckets
from flyasync.transport.request import Repeat, Reply, Request
from flyasync.transport.response import judge
from flyasync.transport.retries import RetryPolicy, deserves_another_try, retrying
from flyasync.transport.session import Session
from flyasync.transport.tracebacks import trim


@define(eq=False)
class _Call:
    """One call on its way through its attempts.

    `failure` is what to raise should the clock run out now; `in_doubt` whether any attempt may have happened.
    `bound` is its own time limit: for the pauses before its first turn, and for everything from that turn on.
    `refusals` counts those that clear by themselves.
    """

    request: Request
    clock: asyncio.Timeout
    bound: float
    held: float = 0.0
    held_until: float = 0.0
    number: int = 0
    refusals: int = 0
    in_doubt: bool = False
    failure: FlyError | None = None
    deadline: float | None = None

    def weigh(self, failure: FlyError) -> None:
        """Have `failure` speak for all attempts: the last one may have reached nobody, after one that did."""
        if isinstance(failure, Refused):
            self._expect(failure)
        if self.request.changes:
            self.in_doubt = self.in_doubt or failure.may_have_happened
        failure.may_have_happened = self.in_doubt

    def _expect(self, refusal: Refused) -> None:
        """Note in which time it may clear, where more is known; a 404 after a destroy in doubt is its success."""
        if seconds := self.request.clears_within(refusal):
            refusal.clears_within = seconds
        if self.in_doubt and self.request.method == "DELETE" and isinstance(refusal, NotFound):
            refusal.clears_within = 0.0

    def wind(self) -> None:
        """Set the clock, unless it runs; not before there is need, for timers are dear and this one rarely goes off."""
        if self.clock.when() is None:
            self.clock.reschedule(self.deadline)

    @property
    def is_cut(self) -> bool:
        """Whether it ends as soon as the loop gets to it."""
        return self.clock.when() == 0

    def cut(self, failure: FlyError) -> None:
        """End a call that is in line or between two attempts."""
        if not (self.request.flight.is_out or self.clock.expired()):
            self.failure = failure
            self.clock.reschedule(0)

    def hold(self, until: float) -> None:
        """Bear a pause of the bucket, unless it takes more time than the call has; then end it at once."""
        if self.is_cut:
            return
        now = asyncio.get_running_loop().time()
        if self.deadline is None:
            # In line, only pauses count: how long the line is, is the caller's own doing.
            self.held += max(0.0, until - max(now, self.held_until))
            self.held_until = max(until, self.held_until)
            is_too_long = self.held > self.bound
        else:
            is_too_long = until >= self.deadline
        if is_too_long:
            self.cut(_held_back(self.request, self.failure, until - now))


@define(eq=False)
class _Slot:
    """One of the slots for exchanges, which a call holds or not."""

    slots: asyncio.Semaphore
    is_held: bool = False

    async def acquire(self) -> None:
        await self.slots.acquire()
        self.is_held = True

    def release(self) -> None:
        if self.is_held:
            self.is_held = False
            self.slots.release()


class Sender:
    """Sends requests: each attempt waits for its turn, and failures are retried where that is safe.

    `secrets_of` finds the texts in a request's body that are secret. No error that comes out shows them, or the token;
    and no traceback leads through the frames of other packages, whose locals hold both.
    """

    def __init__(
        self,
        session: Session,
        buckets: Buckets,
        policy: RetryPolicy,
        on_event: OnClientEvent,
        secrets_of: Callable[[Any], Iterable[str]] = lambda _: (),
    ) -> None:
        self._session = session
        self._secrets_of = secrets_of
        self._redacted = redaction(session.secrets)
        self._buckets = buckets
        self._policy = policy
        self._on_event = on_event
        self._tells_of_lines = is_told_of_lines(on_event)
        self._calls: set[_Call] = set()
        self._is_closed = False
        self._retrying = {
            repeat: retrying(policy, partial(deserves_another_try, repeat=repeat), self.attempt, self._outlast)
            for repeat in Repeat
        }

    async def send(self, request: Request) -> Any:
        """Give the JSON that answers `request`, or raise the last failure once no retry is left.

        Cancelled while in line, it has sent nothing; cancelled later, the work may have been done.
        """
        if self._is_closed:
            raise _closed(request)
        call = _Call(request, asyncio.timeout(None), self._policy.total + (request.poll or 0))
        try:
            async with call.clock:
                self._calls.add(call)
                return await self._retrying[request.repeat](call)
        except TimeoutError:
            failure = call.failure or _no_reply(request, call.bound)
            call.weigh(failure)
        except FlyError as error:
            trim(error.redact(self.redaction(request)))
            raise
        except BaseException as error:
            trim(error)
            raise
        finally:
            self._calls.discard(call)
        raise failure.redact(self.redaction(request))

    def redaction(self, request: Request) -> Callable[[str], str]:
        """Return a function that redacts the token, and what is secret in `request`, in a text."""
        if request.body is None:
            return self._redacted
        return redaction((*self._session.secrets, *self._secrets_of(request.body)))

    async def attempt(self, call: _Call) -> Any:
        """Wait for a turn and a slot, exchange, and judge: once."""
        self._check(call)
        call.number += 1
        slot = _Slot(self._session.place(call.request))
        try:
            waited = await self._turn(call, slot)
            if call.is_cut:
                await asyncio.sleep(0)  # it ends here, not in the middle of an exchange
            self._check(call)
            self._start(call)
            return await self._exchange(call, waited)
        finally:
            slot.release()

    async def _turn(self, call: _Call, slot: _Slot) -> float:
        """Wait in line, tell of it, and give the seconds that it took."""
        ahead = call.number > 1 or call.request.flight.is_urgent
        turn = partial(self._buckets.turn, call.request, again=ahead, slot=slot, hold=call.hold)
        if not self._tells_of_lines:
            return await turn()
        queued = Queued(operation=call.request.operation, identifier=call.request.identifier, number=call.number)
        loop = asyncio.get_running_loop()
        start, granted = loop.time(), False
        tell(self._on_event, queued)
        try:
            waited = await turn()
            granted = True
        finally:
            tell(self._on_event, Dequeued.of(queued, waited=loop.time() - start, granted=granted))
        return waited

    async def close(self, *, grace: float) -> None:
        """Let calls under way finish for up to `grace` seconds, then close everything; calls in line end at once."""
        self._is_closed = True
        self._cut_waiting()
        try:
            await self._session.close(grace=grace)
        finally:
            self._cut_waiting()  # those that failed meanwhile, and would try again
            self._buckets.close()

    def _cut_waiting(self) -> None:
        for call in self._calls:
            call.cut(_closed(call.request, may_have_happened=call.in_doubt))

    def _check(self, call: _Call) -> None:
        if call.request.flight.is_abandoned:
            raise Abandoned(f"{call.request.operation}: given up before it left", may_have_happened=call.in_doubt)

    def _start(self, call: _Call) -> None:
        """Count the time from the first turn on: how long the line before it is, is the caller's own doing."""
        if call.deadline is None:
            call.deadline = asyncio.get_running_loop().time() + call.bound
            if call.bound < self._session.longest(call.request):
                call.wind()
        # Should the clock run out during the exchange, this is what is known.
        call.failure = None

    async def _exchange(self, call: _Call, waited: float) -> Any:
        """Exchange and judge; note how the attempt ends, pause the bucket after a 429, and tell the onlooker."""
        request, loop = call.request, asyncio.get_running_loop()
        started, reply, error = loop.time(), None, None
        request.flight.is_out = True
        request.flight.on_leave()
        try:
            reply = await self._session.exchange(request)
            return judge(request, reply, self.redaction)
        except FlyError as failure:
            error, call.failure = type(failure).__name__, failure
            call.wind()
            call.weigh(failure)
            if isinstance(failure, RateLimited):
                self._pause(request, failure.retry_after)
            raise
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            request.flight.is_out = False
            if error or is_told_of_success(self._on_event):
                seconds = loop.time() - started
                tell(self._on_event, _attempt(call, reply, error, self._session.host, waited=waited, seconds=seconds))

    def _pause(self, request: Request, asked: float | None) -> None:
        """Pause the bucket after a 429, and report it; for no longer than a call may take, or nothing would go on."""
        seconds = self._buckets.pause(request, None if asked is None else min(asked, self._policy.total))
        pause = Paused(operation=request.operation, identifier=request.identifier, seconds=seconds, asked=asked)
        tell(self._on_event, pause)

    def _outlast(self, call: _Call, failure: CallFailed, pause: float) -> None:
        """Notify of a refusal that clears by itself."""
        if not (isinstance(failure, Refused) and failure.clears_within):
            return
        call.refusals += 1
        event = Outlasting(
            operation=call.request.operation,
            identifier=call.request.identifier,
            times=call.refusals,
            error=type(failure).__name__,
            message=failure.message,
            pause=pause,
            within=min(failure.clears_within, call.bound),
        )
        tell(self._on_event, event)
        if (span := current()) and span.on_refusal:
            tell(span.on_refusal, event)


def _attempt(
    call: _Call, reply: Reply | None, error: str | None, host: str, *, waited: float, seconds: float
) -> Attempt:
    return Attempt(
        operation=call.request.operation,
        identifier=call.request.identifier,
        number=call.number,
        waited=waited,
        seconds=seconds,
        status=reply.status if reply else None,
        request_id=reply.request_id if reply else None,
        poll=call.request.poll,
        method=call.request.method,
        host=host,
        error=error,
    )


def _closed(request: Request, *, may_have_happened: bool = False) -> ClientClosed:
    text = f"{request.operation} {request.subject}: the client is closed"
    return ClientClosed(text, may_have_happened=may_have_happened)


def _held_back(request: Request, failure: FlyError | None, seconds: float) -> RateLimited:
    """Return the error of a call that a pause keeps for too long: its own 429, or one for that of another call."""
    if isinstance(failure, RateLimited):
        failure.retry_after = seconds
        return failure
    return RateLimited(
        request.operation,
        request.subject,
        "not sent, as a 429 pauses this operation for longer than the call may take",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        retry_after=seconds,
        advice="RetryPolicy(total=…) sets how long a call may take",
    )


def _no_reply(request: Request, seconds: float) -> NoReplyInTime:
    return NoReplyInTime(request.operation, request.subject, f"no reply within {seconds:g} s in all")
