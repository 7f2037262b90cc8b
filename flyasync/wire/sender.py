"""The order of things: retry( a turn in the bucket, an exchange, a verdict )."""

import asyncio
from functools import partial
from typing import Any

from attrs import define

from flyasync.errors import (
    Abandoned,
    ClientClosed,
    ConnectFailed,
    FlyError,
    NoReplyInTime,
    RateLimited,
    ServerFault,
    TimedOut,
    Unanswered,
)
from flyasync.wire.events import Attempt, Dequeued, OnClientEvent, Queued, is_told_of_lines, is_told_of_success, tell
from flyasync.wire.judge import judge
from flyasync.wire.limits import Buckets, Place
from flyasync.wire.request import Repeat, Reply, Request
from flyasync.wire.retries import RetryPolicy, deserves_another_try, retrying
from flyasync.wire.session import Session


@define(eq=False)
class _Call:
    """One call on its way through its attempts.

    `failure` is what to raise should the clock run out now; `in_doubt` whether any attempt may have happened.
    """

    request: Request
    clock: asyncio.Timeout
    number: int = 0
    in_doubt: bool = False
    failure: FlyError | None = None
    deadline: float | None = None
    has_place: bool = False

    def weigh(self, failure: FlyError) -> None:
        """Have `failure` speak for all attempts: the last one may have reached nobody, after one that did."""
        if self.request.method == "GET":
            failure.may_have_happened = False
            if isinstance(failure, Unanswered | ServerFault | TimedOut):
                failure.advice = "Nothing was changed by it: ask again"
            return
        if self.in_doubt and isinstance(failure, ConnectFailed):
            failure.advice = "An earlier attempt may have happened: look before asking again"
        failure.may_have_happened = self.in_doubt = self.in_doubt or failure.may_have_happened

    def wind(self) -> None:
        """Set the clock, unless it runs; not before there is need, for timers are dear and this one rarely goes off."""
        if self.clock.when() is None:
            self.clock.reschedule(self.deadline)

    def cut(self) -> None:
        """End a call that is in line or between two attempts, because the client closes."""
        if not (self.request.flight.is_out or self.clock.expired()):
            self.failure = _closed(self.request, may_have_happened=self.in_doubt)
            self.clock.reschedule(0)


class Sender:
    """Sends requests: each attempt waits for its turn, and failures are retried where that is safe."""

    def __init__(self, session: Session, buckets: Buckets, policy: RetryPolicy, on_event: OnClientEvent) -> None:
        self._session = session
        self._buckets = buckets
        self._policy = policy
        self._on_event = on_event
        self._tells_of_lines = is_told_of_lines(on_event)
        self._calls: set[_Call] = set()
        self._is_closed = False
        self._retrying = {
            repeat: retrying(policy, partial(deserves_another_try, repeat=repeat), self.attempt) for repeat in Repeat
        }

    async def send(self, request: Request) -> Any:
        """Give the JSON that answers `request`, or raise the last failure once no retry is left.

        Cancelled while in line, it has sent nothing; cancelled later, the work may have been done.
        """
        if self._is_closed:
            raise _closed(request)
        call = _Call(request, asyncio.timeout(None))
        try:
            async with call.clock:
                self._calls.add(call)
                return await self._retrying[request.repeat](call)
        except TimeoutError as error:
            failure = call.failure or _no_reply(request, self._bound(request))
            call.weigh(failure)
            raise failure from error
        finally:
            self._calls.discard(call)

    async def attempt(self, call: _Call) -> Any:
        """Wait for a turn and a place, exchange, and judge: once."""
        self._check(call)
        call.number += 1
        place = self._session.place(call.request)
        try:
            waited = await self._turn(call, partial(_take, call, place))
            self._check(call)
            self._start(call)
            return await self._exchange(call, waited)
        finally:
            if call.has_place:
                call.has_place = False
                place.release()

    async def _turn(self, call: _Call, place: Place) -> float:
        """Wait in line, tell of it, and give the seconds that it took."""
        if not self._tells_of_lines:
            return await self._buckets.turn(call.request, again=call.number > 1, place=place)
        queued = Queued(operation=call.request.operation, identifier=call.request.identifier, number=call.number)
        loop = asyncio.get_running_loop()
        start, granted = loop.time(), False
        tell(self._on_event, queued)
        try:
            waited = await self._buckets.turn(call.request, again=call.number > 1, place=place)
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
            call.cut()

    def _check(self, call: _Call) -> None:
        if call.request.flight.is_abandoned:
            raise Abandoned(f"{call.request.operation}: given up before it left", may_have_happened=call.in_doubt)

    def _start(self, call: _Call) -> None:
        """Count the time from the first turn on: how long the line before it is, is the caller's own doing."""
        if call.deadline is None:
            bound = self._bound(call.request)
            call.deadline = asyncio.get_running_loop().time() + bound
            if bound < self._session.longest(call.request):
                call.wind()
        # Should the clock run out during the exchange, this is what is known.
        call.failure = None

    def _bound(self, request: Request) -> float:
        return self._policy.total + (request.poll or 0)

    async def _exchange(self, call: _Call, waited: float) -> Any:
        """Exchange and judge; note how the attempt ends, pause the bucket after a 429, and tell the onlooker."""
        request, loop = call.request, asyncio.get_running_loop()
        started, reply, error = loop.time(), None, None
        request.flight.is_out = True
        request.flight.on_leave()
        try:
            reply = await self._session.exchange(request)
            return judge(request, reply)
        except FlyError as failure:
            error, call.failure = type(failure).__name__, failure
            call.wind()
            call.weigh(failure)
            if isinstance(failure, RateLimited):
                self._buckets.pause(request, failure.retry_after)
            raise
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            request.flight.is_out = False
            if error or is_told_of_success(self._on_event):
                seconds = loop.time() - started
                tell(self._on_event, _attempt(call, reply, error, self._session.host, waited=waited, seconds=seconds))


async def _take(call: _Call, place: asyncio.Semaphore) -> None:
    await place.acquire()
    call.has_place = True


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


def _no_reply(request: Request, seconds: float) -> NoReplyInTime:
    return NoReplyInTime(request.operation, request.subject, f"no reply within {seconds:g} s in all")
