"""The order of things: retry( a turn in the bucket, an exchange, a verdict )."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
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
from flyasync.wire.events import Attempt, Dequeued, OnClientEvent, Queued, tell
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
        async with AsyncExitStack() as held:
            place = partial(held.enter_async_context, self._session.place(call.request))
            waited = await self._turn(call, place)
            self._check(call)
            self._start(call)
            with self._watched(call, waited) as seen:
                seen.reply = await self._session.exchange(call.request)
                return judge(call.request, seen.reply)

    async def _turn(self, call: _Call, place: Place) -> float:
        """Wait in line, tell of it, and give the seconds that it took."""
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
        """Start the clock with the first turn: how long the line before it is, is the caller's own doing."""
        if call.clock.when() is None:
            call.clock.reschedule(asyncio.get_running_loop().time() + self._bound(call.request))
        # Should the clock run out during the exchange, this is what is known.
        call.failure = None

    def _bound(self, request: Request) -> float:
        return self._policy.total + (request.poll or 0)

    @contextmanager
    def _watched(self, call: _Call, waited: float) -> Iterator["_Seen"]:
        """Note how the attempt ends, pause the bucket after a 429, and tell the onlooker."""
        loop = asyncio.get_running_loop()
        started, seen = loop.time(), _Seen()
        error: BaseException | None = None
        call.request.flight.is_out = True
        call.request.flight.on_leave()
        try:
            yield seen
        except FlyError as failure:
            error = call.failure = failure
            call.weigh(failure)
            if isinstance(failure, RateLimited):
                self._buckets.pause(call.request, failure.retry_after)
            raise
        except BaseException as failure:
            error = failure
            raise
        finally:
            call.request.flight.is_out = False
            seconds = loop.time() - started
            tell(self._on_event, _attempt(call, seen.reply, error, self._session.host, waited=waited, seconds=seconds))


@define
class _Seen:
    reply: Reply | None = None


def _attempt(
    call: _Call, reply: Reply | None, error: BaseException | None, host: str, *, waited: float, seconds: float
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
        error=type(error).__name__ if error else None,
    )


def _closed(request: Request, *, may_have_happened: bool = False) -> ClientClosed:
    text = f"{request.operation} {request.subject}: the client is closed"
    return ClientClosed(text, may_have_happened=may_have_happened)


def _no_reply(request: Request, seconds: float) -> NoReplyInTime:
    return NoReplyInTime(request.operation, request.subject, f"no reply within {seconds:g} s in all")
