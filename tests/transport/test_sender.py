"""The order of events in a call: for each attempt a permit, an exchange, and the response."""

import asyncio
import copy
import logging
import random
import traceback
from typing import Any

import pytest

from flyasync.errors import (
    Abandoned,
    ClientClosed,
    ConnectFailed,
    ConnectionLost,
    FlyError,
    NoReplyInTime,
    NotFound,
    NotSettled,
    RateLimited,
    Refused,
    ServerFault,
    Unreadable,
)
from flyasync.transport.events import (
    Attempt,
    ClientEvent,
    Dequeued,
    Outlasting,
    Paused,
    Queued,
    Span,
    Within,
    log_event,
)
from flyasync.transport.ratelimit.buckets import Buckets
from flyasync.transport.ratelimit.rates import Limits, Rate
from flyasync.transport.request import Flight, Repeat, Request, Response
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.sender import Sender
from flyasync.transport.session import Timeouts
from tests.transport.scripted import SECRET, ScriptedExchange, Step, a_request, a_response, now, rounded

OK = a_response(200, {"ok": True}, fly_request_id="01K4-yyz")
BOOM = a_response(503, {"error": "boom"})
LOST = ConnectionLost("machines.start", "m1", "it broke")
UNMADE = ConnectFailed("machines.start", "m1", "refused")
WIDE = Limits(default=Rate(per_second=1000, burst=1000))


def limited(seconds: float | None = None) -> Response:
    headers = {} if seconds is None else {"retry_after": str(seconds)}
    return a_response(429, {"error": "rate limit exceeded"}, **headers)


def late(seconds: float, reply: Response = OK) -> Step:
    async def answer() -> Response:
        await asyncio.sleep(seconds)
        return reply

    return answer


async def hang() -> Response:
    await asyncio.Event().wait()
    return OK


class SlowlyClosing(ScriptedExchange):
    """A session that uses up all the grace it is given."""

    async def close(self, *, grace: float = 5.0) -> None:
        await asyncio.sleep(grace)
        await super().close(grace=grace)


class Office:
    """A sender over a scripted exchange, and the events that its observer received."""

    def __init__(
        self,
        *script: Step,
        exchange: type[ScriptedExchange] = ScriptedExchange,
        limits: Limits | None = None,
        **policy: Any,
    ) -> None:
        self.exchange = exchange(*script)
        self.heard: list[ClientEvent] = []
        self.buckets = Buckets(limits or Limits())
        self.sender = Sender(self.exchange, self.buckets, RetryPolicy(**policy), self.heard.append)

    @property
    def told(self) -> list[Attempt]:
        return [event for event in self.heard if isinstance(event, Attempt)]

    def send(self, request: Request | None = None, **more: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self.sender.send(request or a_request(**more)))

    async def ending(self, task: asyncio.Task[Any]) -> Any:
        """Return the error or the value that `task` ended with, and when."""
        try:
            return await task, rounded([now()])[0]
        except FlyError as error:
            return error, rounded([now()])[0]


async def test_a_call_gets_its_permit_is_exchanged_and_read() -> None:
    office = Office(OK)
    assert await asyncio.gather(*(office.send() for _ in range(4))) == [{"ok": True}] * 4
    assert office.exchange.times == [0, 0, 1, 2]
    await office.sender.close(grace=0)


async def test_every_attempt_waits_for_its_permit() -> None:
    office = Office(BOOM, BOOM, OK, base=0.01)
    await office.send()
    assert rounded([it.waited for it in office.told][:2]) == [0, 0]
    assert office.exchange.times[2] == 1
    await office.sender.close(grace=0)


async def test_an_observer_is_notified_of_who_enters_the_queue_and_who_leaves_it() -> None:
    office = Office(OK)
    calls = [office.send() for _ in range(3)]
    await asyncio.gather(*calls[:2])
    assert sum(isinstance(event, Queued) for event in office.heard) == 3
    calls[2].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    left = [event for event in office.heard if isinstance(event, Dequeued)]
    assert [(event.granted, event.number) for event in left] == [(True, 1), (True, 1), (False, 1)]
    await office.sender.close(grace=0)


async def test_a_refusal_is_raised_as_it_was_read() -> None:
    office = Office(a_response(404, {"error": "app not found"}), limits=WIDE)
    with pytest.raises(NotFound, match=r"machines\.start m1: app not found"):
        await office.send()
    assert len(office.exchange.sent) == 1
    with pytest.raises(Unreadable):
        await Office(a_response(200, b"<html>")).send()


async def test_the_observer_sees_every_attempt() -> None:
    random.seed(2)
    office = Office(late(0.5, BOOM), LOST, limited(4), late(0.25))
    await office.send()
    assert [(it.operation, it.identifier, it.number) for it in office.told] == [
        ("machines.start", "m1", number) for number in (1, 2, 3, 4)
    ]
    assert [(it.status, it.request_id, it.error) for it in office.told] == [
        (503, None, "ServerFault"),
        (None, None, "ConnectionLost"),
        (429, None, "RateLimited"),
        (200, "01K4-yyz", None),
    ]
    assert rounded([it.seconds for it in office.told]) == [0.5, 0, 0, 0.25]
    assert [round(it.waited) for it in office.told] == [0, 0, 0, 4]
    assert office.told[3].waited == pytest.approx(4, abs=1e-3)
    await office.sender.close(grace=0)


@pytest.mark.parametrize(("level", "words"), [(logging.INFO, ["ServerFault"]), (logging.DEBUG, ["ServerFault", "200"])])
async def test_where_only_the_log_observes_it_receives_all_that_it_writes(
    level: int, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level, "flyasync")
    sender = Sender(ScriptedExchange(BOOM, OK), Buckets(WIDE), RetryPolicy(), log_event)
    await sender.send(a_request())
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(" after ")[0].split()[-1] for message in messages] == words
    await sender.close(grace=0)


async def test_an_observer_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: ClientEvent) -> None:
        raise RuntimeError(str(event))

    sender = Sender(exchange := ScriptedExchange(BOOM, OK), Buckets(WIDE), RetryPolicy(), broken)
    assert await sender.send(a_request()) == {"ok": True}
    assert len(exchange.sent) == 2
    assert caplog.text.count("on_event failed for Attempt") == 2
    await sender.close(grace=0)


async def test_cancelled_in_line_a_call_has_sent_nothing() -> None:
    office = Office(OK)
    await asyncio.gather(office.send(), office.send())
    waiting, after = office.send(), office.send()
    await asyncio.sleep(0.5)
    waiting.cancel()
    assert await after == {"ok": True}
    assert office.exchange.times == [0, 0, 1]
    assert waiting.cancelled()
    assert len(office.told) == 3
    await office.sender.close(grace=0)


async def test_cancelled_in_the_exchange_a_call_is_reported_and_not_retried() -> None:
    office = Office(hang)
    task = office.send()
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(it.error, it.status) for it in office.told] == [("CancelledError", None)]
    await office.sender.close(grace=0)


async def test_a_429_pauses_the_bucket_for_all_calls_in_it_and_for_no_other() -> None:
    office = Office(late(0.1, limited(10)), OK)
    first = office.send()
    await asyncio.sleep(0.5)
    others = [office.send() for _ in range(2)] + [office.send(identifier="m2")]
    await asyncio.gather(first, *others)
    assert [(round(time, 1), it.identifier) for time, it in office.exchange.sent] == [
        (0.0, "m1"),
        (0.5, "m2"),
        (10.1, "m1"),
        (11.1, "m1"),
        (12.1, "m1"),
    ]
    await office.sender.close(grace=0)


async def test_who_was_turned_away_goes_before_those_who_came_later() -> None:
    office = Office(late(0.1, limited(10)), OK)
    await asyncio.gather(*(office.send(body=name) for name in ("a", "b", "c", "d", "e")))
    # c stood before the limiter already; d and e were still behind it.
    assert [it.body for _, it in office.exchange.sent] == ["a", "b", "c", "a", "d", "e"]
    await office.sender.close(grace=0)


@pytest.mark.parametrize("seed", range(20))
async def test_no_retry_comes_before_retry_after(seed: int) -> None:
    random.seed(seed)
    office = Office(limited(10), limited(3.5), limited(), OK)
    await office.send()
    first, second, third, fourth = office.exchange.times
    assert (first, second, third) == (0, 10, 13.5)
    assert 14.5 <= fourth <= 15.5
    await office.sender.close(grace=0)


async def test_429s_are_not_counted_as_attempts_but_bounded_by_the_total() -> None:
    office = Office(limited(10), attempts=2, total=65)
    with pytest.raises(RateLimited) as caught:
        await office.send()
    assert rounded([now()]) == [60], "the last pause would end after its time, so it is not waited for"
    assert office.exchange.times == [0, 10, 20, 30, 40, 50, 60]
    assert caught.value.retry_after == pytest.approx(10, abs=1e-3)
    await office.sender.close(grace=0)


async def test_a_pause_is_no_longer_than_a_call_may_take_and_then_calls_go_on() -> None:
    office = Office(limited(3600), OK, total=100)
    error, time = await office.ending(office.send())
    assert isinstance(error, RateLimited)
    assert (error.retry_after, time) == (3600, 0)
    await asyncio.gather(office.send(), office.send(), office.send(identifier="m2"))
    assert [(round(time, 1), it.identifier) for time, it in office.exchange.sent] == [
        (0.0, "m1"),
        (0.0, "m2"),
        (100.0, "m1"),
        (101.0, "m1"),
    ]
    await office.sender.close(grace=0)


@pytest.mark.parametrize("header", ["-1", "nan", "inf", "1e308", "1e999", "Wed, 21 Oct 9999 07:28:00 GMT", "soon"])
async def test_a_retry_after_that_makes_no_sense_pauses_as_if_there_were_none(header: str) -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    office = Office(a_response(429, {"error": "rate limit exceeded"}, retry_after=header, date=date), OK)
    assert await office.send() == {"ok": True}
    assert 1 <= now() <= 2.01
    await office.sender.close(grace=0)


async def test_a_call_in_line_ends_as_soon_as_pauses_would_keep_it_for_longer_than_its_limit() -> None:
    office = Office(limited(3600), late(0.5, limited(3600)), OK, total=100)
    ends = [asyncio.create_task(office.ending(office.send(body=name))) for name in ("first", "second", "third")]
    await asyncio.sleep(50)
    ends.append(asyncio.create_task(office.ending(office.send(body="fourth"))))
    (first, at_first), (second, at_second), (third, at_third), (_, at_fourth) = await asyncio.gather(*ends)
    assert isinstance(first, RateLimited)
    assert isinstance(second, RateLimited)
    assert (at_first, at_second) == (0, 100.5)
    assert isinstance(third, RateLimited)
    assert at_third == 100.5, "it has waited for its whole limit already"
    assert third.retry_after == pytest.approx(100, abs=0.01)
    assert not third.may_have_happened
    assert str(third) == (
        "machines.start m1: not sent: a 429 pauses this operation for longer than the call may take (HTTP 429): "
        "retry after 100 s. RetryPolicy(total=…) sets how long a call may take"
    )
    assert third.for_command.endswith("(HTTP 429): retry after 100 s")
    assert at_fourth == 100.5, "half of its limit is left, and the pause is longer than that"
    assert [it.body for _, it in office.exchange.sent] == ["first", "second"]
    await office.sender.close(grace=0)


async def test_a_call_that_finds_a_pause_longer_than_its_limit_ends_at_once() -> None:
    buckets, exchange = Buckets(Limits()), ScriptedExchange(OK)
    patient, hasty = (Sender(exchange, buckets, RetryPolicy(total=total), lambda _: None) for total in (300, 100))
    buckets.pause(a_request(), 200)
    await asyncio.sleep(50)
    with pytest.raises(RateLimited) as caught:
        await hasty.send(a_request())
    assert rounded([now()]) == [50]
    assert caught.value.retry_after == pytest.approx(150, abs=0.01)
    await asyncio.sleep(60)
    await asyncio.gather(patient.send(a_request()), hasty.send(a_request()))
    assert exchange.times == [200, 201]
    for sender in (patient, hasty):
        await sender.close(grace=0)


async def test_the_line_itself_does_not_use_up_the_limit_for_pauses() -> None:
    office = Office(late(0.1), late(0.1), late(0.1, limited(5)), late(0.1), total=8)
    await asyncio.gather(*(office.send() for _ in range(60)))
    assert len(office.exchange.sent) == 61
    assert office.exchange.times[-1] > 60
    await office.sender.close(grace=0)


async def test_a_long_poll_may_be_kept_for_as_long_as_it_may_take() -> None:
    buckets = Buckets(Limits())
    sender = Sender(exchange := ScriptedExchange(OK), buckets, RetryPolicy(total=10), lambda _: None)
    buckets.pause(a_request(), 60)
    await sender.send(a_request(poll=60.0))
    assert exchange.times == [60]
    await sender.close(grace=0)


@pytest.mark.parametrize(("paused", "kept"), [("own", 60), ("total", 60), ("both", 60), ("one after the other", 0)])
async def test_pauses_of_both_limits_of_a_deletion_are_counted_once_each(paused: str, kept: float) -> None:
    buckets = Buckets(Limits())
    sender = Sender(exchange := ScriptedExchange(OK), buckets, RetryPolicy(total=100), lambda _: None)
    deletion = a_request("apps.delete", "a")
    if paused in {"own", "one after the other"}:
        buckets._own(deletion).pause(60)
    if paused == "total":
        buckets.pause(a_request("apps.delete", "b"), 60)
    if paused == "both":
        buckets.pause(deletion, 60)
    task = asyncio.create_task(sender.send(deletion))
    if paused == "one after the other":
        await asyncio.sleep(60)
        buckets.pause(a_request("apps.delete", "b"), 60)
        with pytest.raises(RateLimited):
            await task
        assert rounded([now()]) == [60]
    else:
        await task
        assert exchange.times == [kept]
    await sender.close(grace=0)


async def test_a_retry_ends_as_soon_as_the_pause_of_another_call_goes_beyond_its_time() -> None:
    office = Office(LOST, limited(60), OK, base=1e-9, total=30)
    (error, time), _ = await asyncio.gather(
        office.ending(office.send(body="first")), office.ending(office.send(body="second"))
    )
    assert isinstance(error, RateLimited)
    assert time == 0
    assert error.may_have_happened
    assert "An earlier attempt may have happened" in str(error)
    await office.sender.close(grace=0)


async def test_a_pause_is_reported_at_once() -> None:
    office = Office(late(0.5, limited(3600)), late(0.5, limited(20)), late(0.5, limited()), OK, total=100)
    await office.ending(office.send())
    await office.send()
    pauses = [event for event in office.heard if isinstance(event, Paused)]
    assert [(it.operation, it.identifier, it.asked, it.is_ours) for it in pauses] == [
        ("machines.start", "m1", 3600, True),
        ("machines.start", "m1", 20, True),
        ("machines.start", "m1", None, True),
    ]
    assert [it.seconds for it in pauses[:2]] == [100, 20]
    assert 1 <= pauses[2].seconds <= 2
    await office.sender.close(grace=0)


async def test_a_call_that_waits_for_a_slot_is_ended_by_a_pause_too() -> None:
    office = Office(OK, exchange=Few, total=20)
    slow = [office.send(identifier=name) for name in ("m2", "m3")]
    await asyncio.sleep(1)
    task = office.send()
    await asyncio.sleep(4)
    office.buckets.pause(a_request(), 60)
    error, time = await office.ending(task)
    assert isinstance(error, RateLimited)
    assert time == 5
    assert await asyncio.gather(*slow) == [{"ok": True}] * 2
    await office.sender.close(grace=0)


async def test_a_call_that_a_pause_has_ended_does_not_leave_with_a_slot_that_comes_at_that_moment() -> None:
    office = Office(OK, exchange=Few, total=10)
    slots = office.exchange.slots(a_request())
    await slots.acquire()
    await slots.acquire()
    task = office.send()
    await asyncio.sleep(0.1)
    slots.release()
    office.buckets.pause(a_request(), 60)
    error, _ = await office.ending(task)
    assert isinstance(error, RateLimited)
    assert not office.exchange.sent
    await asyncio.wait_for(slots.acquire(), 1)
    await office.sender.close(grace=0)


async def test_closing_goes_before_a_pause() -> None:
    office = Office(limited(3600), OK, total=100)
    await office.ending(office.send())
    task = office.send()
    await asyncio.sleep(1)
    await office.sender.close(grace=0)
    office.buckets.pause(a_request(), 1000)
    error, _ = await office.ending(task)
    assert isinstance(error, ClientClosed)


async def test_an_api_that_always_says_retry_after_nothing_is_not_hammered() -> None:
    office = Office(limited(0), total=20)
    with pytest.raises(RateLimited):
        await office.send()
    assert len(office.exchange.sent) == 20
    await office.sender.close(grace=0)


async def test_a_hung_attempt_is_bounded_by_the_total_and_may_have_happened() -> None:
    office = Office(hang, total=7)
    error, time = await office.ending(office.send())
    assert isinstance(error, NoReplyInTime)
    assert error.may_have_happened
    assert "machines.start m1: no response within 7 s in all" in str(error)
    assert time == 7
    assert office.told[0].error == "CancelledError"
    await office.sender.close(grace=0)


async def test_a_long_poll_gets_its_own_time_on_top_of_the_total() -> None:
    office = Office(hang, total=7)
    error, time = await office.ending(office.send(poll=60.0))
    assert isinstance(error, NoReplyInTime)
    assert time == 67
    await office.sender.close(grace=0)


async def test_out_of_time_between_two_attempts_the_last_error_comes_out() -> None:
    office = Office(a_response(503, {"error": "boom"}), attempts=1000, base=5, cap=5, total=30, limits=WIDE)
    error, time = await office.ending(office.send())
    assert isinstance(error, ServerFault)
    assert time == 30
    await office.sender.close(grace=0)


async def test_out_of_time_in_a_second_exchange_it_is_unknown_what_happened() -> None:
    office = Office(UNMADE, hang, total=5)
    error, time = await office.ending(office.send())
    assert isinstance(error, NoReplyInTime)
    assert error.may_have_happened
    assert time == 5
    await office.sender.close(grace=0)


async def test_a_total_longer_than_an_exchange_counts_from_the_first_permit_as_well() -> None:
    office = Office(late(30, BOOM), hang, total=60)
    error, time = await office.ending(office.send())
    assert isinstance(error, NoReplyInTime)
    assert time == 60
    await office.sender.close(grace=0)


async def test_time_in_the_queue_before_the_first_permit_is_not_counted() -> None:
    office = Office(late(0.1), total=5)
    await asyncio.gather(*(office.send() for _ in range(60)))
    assert office.exchange.times[-1] == 58
    await office.sender.close(grace=0)


async def test_creates_are_sent_again_only_when_nothing_happened() -> None:
    office = Office(UNMADE, limited(2), LOST, OK, base=0.01)
    error, _ = await office.ending(office.send(repeat=Repeat.UNSENT))
    assert error is LOST
    assert len(office.exchange.sent) == 3
    await office.sender.close(grace=0)


@pytest.mark.parametrize(
    ("script", "kind", "doubt"),
    [
        ([UNMADE, UNMADE], ConnectFailed, False),
        ([LOST, ConnectFailed("machines.start", "m1", "refused")], ConnectFailed, True),
        ([BOOM, a_response(404, {"error": "machine not found"})], NotFound, True),
        ([a_response(404, {"error": "machine not found"})], NotFound, False),
    ],
)
async def test_a_failure_speaks_for_all_attempts(script: list[Step], kind: type[FlyError], *, doubt: bool) -> None:
    office = Office(*script, limits=WIDE, attempts=2)
    with pytest.raises(kind) as caught:
        await office.send()
    assert caught.value.may_have_happened is doubt
    await office.sender.close(grace=0)


async def test_closing_lets_an_exchange_finish_and_ends_those_in_line_at_once() -> None:
    office = Office(late(2), exchange=SlowlyClosing)
    out, in_line = [office.send() for _ in range(2)], [office.send() for _ in range(50)]
    await asyncio.sleep(0.5)
    closing = asyncio.create_task(office.sender.close(grace=5))
    for task in in_line:
        error, time = await office.ending(task)
        assert isinstance(error, ClientClosed)
        assert not error.may_have_happened
        assert time == 0.5
    assert await asyncio.gather(*out) == [{"ok": True}] * 2
    await closing
    assert len(office.exchange.sent) == 2
    assert office.exchange.closed_with == [5]


async def test_closing_ends_a_call_between_two_attempts_and_keeps_its_doubt() -> None:
    office = Office(LOST, base=1000, cap=1000, total=5000)
    task = office.send()
    await asyncio.sleep(0.5)
    await office.sender.close(grace=5)
    error, time = await office.ending(task)
    assert isinstance(error, ClientClosed)
    assert error.may_have_happened
    assert time == 0.5


async def test_a_call_that_fails_while_closing_is_not_tried_again() -> None:
    sender = Sender(SlowlyClosing(late(2, BOOM)), Buckets(WIDE), RetryPolicy(base=1000, cap=1000), lambda _: None)
    task = asyncio.create_task(sender.send(a_request()))
    await asyncio.sleep(0.5)
    await sender.close(grace=5)
    with pytest.raises(ClientClosed) as caught:
        await task
    assert caught.value.may_have_happened
    assert rounded([now()]) == [5.5]


async def test_after_closing_every_call_is_refused_at_once_and_closing_again_is_fine() -> None:
    office = Office(OK)
    await office.sender.close(grace=5)
    await office.sender.close(grace=5)
    with pytest.raises(ClientClosed, match=r"machines\.start m1: the client is closed"):
        await office.sender.send(a_request())
    assert not office.exchange.sent
    assert len(office.buckets) == 0


async def test_a_closing_that_is_cancelled_leaves_no_timer() -> None:
    class Stuck(ScriptedExchange):
        async def close(self, *, grace: float = 5.0) -> None:
            await asyncio.Event().wait()

    buckets = Buckets(Limits())
    sender = Sender(Stuck(OK), buckets, RetryPolicy(), lambda _: None)
    await sender.send(a_request())
    closing = asyncio.create_task(sender.close(grace=5))
    await asyncio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert buckets._sweep is None


async def test_neither_events_nor_logs_know_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    office = Office(BOOM, LOST, OK, limits=WIDE)
    await office.send(headers={"fly-machine-lease-nonce": SECRET}, body={"value": SECRET})
    assert SECRET not in f"{office.told} {office.sender!r} {caplog.text}"
    await office.sender.close(grace=0)


class Few(ScriptedExchange):
    """A session with two slots for calls, in which every exchange takes ten seconds."""

    def __init__(self, *script: Step) -> None:
        super().__init__(*script)
        self._calls = asyncio.Semaphore(2)

    async def exchange(self, request: Request) -> Response:
        reply = await super().exchange(request)
        await asyncio.sleep(10)
        return reply


async def test_permits_do_not_pile_up_behind_a_full_pool_into_a_burst() -> None:
    office = Office(OK, exchange=Few)
    slow = [office.send(identifier=name) for name in ("m2", "m3")]
    await asyncio.sleep(0.1)
    await asyncio.gather(*slow, *(office.send() for _ in range(8)))
    times = [time for time, request in office.exchange.sent if request.identifier == "m1"]
    for start in times:
        # At most two at once and one a second: what the bucket allows, whenever the pool lets go.
        assert sum(start <= time < start + 0.9 for time in times) <= 2
    await office.sender.close(grace=0)


async def test_waiting_for_a_slot_does_not_use_up_the_time_of_the_call() -> None:
    office = Office(OK, exchange=Few, total=15.0)
    await asyncio.gather(*(office.send(identifier=f"m{number}") for number in range(8)))
    assert len(office.exchange.sent) == 8
    await office.sender.close(grace=0)


async def test_a_request_in_line_has_not_left() -> None:
    office, left = Office(OK, exchange=Few), list[float]()
    flights = [Flight(on_leave=lambda: left.append(now())) for _ in range(3)]
    sends = [office.send(identifier=f"m{number}", flight=flight) for number, flight in enumerate(flights)]
    await asyncio.sleep(1)
    assert [flight.is_out for flight in flights] == [True, True, False]
    await asyncio.gather(*sends)
    assert [flight.is_out for flight in flights] == [False, False, False]
    assert rounded(left) == [0, 0, 10]
    await office.sender.close(grace=0)


async def test_an_abandoned_request_does_not_leave_any_more() -> None:
    office, flight = Office(OK), Flight(is_abandoned=True)
    error, _ = await office.ending(office.send(flight=flight))
    assert isinstance(error, Abandoned)
    assert not error.may_have_happened
    assert not office.exchange.sent
    assert office.heard == [], "it does not even wait for a permit"
    await office.sender.close(grace=0)


async def test_a_request_that_is_abandoned_in_the_queue_does_not_leave_and_keeps_no_slot() -> None:
    office, flight = Office(OK), Flight()
    office.buckets.pause(a_request(), 5)
    call = office.send(flight=flight)
    await asyncio.sleep(1)
    flight.abandon()
    error, time = await office.ending(call)
    assert isinstance(error, Abandoned)
    assert time == 5
    assert not office.exchange.sent
    assert office.exchange.slots(a_request())._value == Timeouts().calls
    await office.sender.close(grace=0)


@pytest.mark.parametrize(
    ("first", "in_doubt"), [(a_response(429, {"error": "slow down"}), False), (BOOM, True)], ids=["429", "lost"]
)
async def test_an_abandoned_request_does_not_leave_again(first: Step, *, in_doubt: bool) -> None:
    office = Office(first, OK)
    flight = Flight()
    flight.on_leave = flight.abandon
    error, _ = await office.ending(office.send(flight=flight, method="POST", repeat=Repeat.ANYTIME))
    assert isinstance(error, Abandoned)
    assert error.may_have_happened is in_doubt
    assert len(office.exchange.sent) == 1
    await office.sender.close(grace=0)


@pytest.mark.parametrize("failing", [BOOM, a_response(500, {"error": "down"}), a_response(408, {"error": "late"})])
async def test_a_read_that_failed_has_changed_nothing_and_says_so(failing: Step) -> None:
    office = Office(failing, attempts=2)
    error, _ = await office.ending(office.send(method="GET", repeat=Repeat.ANYTIME))
    assert not error.may_have_happened
    assert "safe to retry" in str(error)
    await office.sender.close(grace=0)


UNTRUSTED = ConnectFailed("machines.start", "m1", "who?", advice="Renew the certificate", is_temporary=False)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_advice_of_an_error_is_not_overwritten(method: str) -> None:
    office = Office(copy.copy(UNTRUSTED))
    error, _ = await office.ending(office.send(method=method))
    assert str(error) == "machines.start m1: who?. Nothing was sent. Renew the certificate"
    await office.sender.close(grace=0)


async def test_an_earlier_attempt_is_mentioned_beside_the_advice() -> None:
    office = Office(copy.copy(LOST), copy.copy(UNTRUSTED))
    error, _ = await office.ending(office.send())
    assert error.may_have_happened
    assert str(error) == (
        "machines.start m1: who?. An earlier attempt may have happened: check before you retry. Renew the certificate"
    )
    await office.sender.close(grace=0)


async def test_a_read_that_cannot_be_understood_was_not_done_most_likely() -> None:
    office = Office(a_response(200, b"<html>"))
    error, _ = await office.ending(office.send(method="GET"))
    assert "done" not in str(error)
    assert "The base URL may point to something other than the Machines API" in str(error)
    await office.sender.close(grace=0)


async def test_what_reads_by_another_method_has_changed_nothing_either() -> None:
    office = Office(copy.copy(LOST), attempts=1)
    error, _ = await office.ending(office.send(method="POST", changes=False))
    assert not error.may_have_happened
    assert str(error).endswith("The request changes nothing and is safe to retry")
    await office.sender.close(grace=0)


@pytest.mark.parametrize("status", [400, 409, 500])
async def test_what_a_refusal_repeats_of_token_and_body_is_redacted(status: int) -> None:
    told = {"error": f"no {SECRET}, no hunter2-hunter2", "status": SECRET}
    exchange = ScriptedExchange(a_response(status, told, fly_request_id=SECRET))
    sender = Sender(exchange, Buckets(WIDE), RetryPolicy(attempts=1), log_event, lambda body: body.values())
    with pytest.raises(Refused) as caught:
        await sender.send(a_request(body={"value": "hunter2-hunter2"}))
    assert caught.value.message == "no [redacted], no [redacted]"
    assert SECRET not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    await sender.close(grace=0)


async def test_not_yet_is_no_failure_of_a_long_poll() -> None:
    office = Office(a_response(408, {"error": "not yet"}))
    await office.ending(office.send(method="GET", repeat=Repeat.UNSENT, poll=60.0))
    await office.ending(office.send(method="GET", repeat=Repeat.UNSENT))
    assert [it.went_well for it in office.told] == [True, False]
    await office.sender.close(grace=0)


# Refusals that clear by themselves.

ACTIVE = a_response(412, {"error": "failed_precondition: machine still active, refusing to start"})


@pytest.mark.parametrize("repeat", Repeat)
async def test_a_refusal_that_clears_by_itself_is_outlasted_and_reported(repeat: Repeat) -> None:
    office = Office(ACTIVE, limited(), ACTIVE, OK)
    assert await office.send(repeat=repeat) == {"ok": True}
    told = [event for event in office.heard if isinstance(event, Outlasting)]
    assert [(it.operation, it.identifier, it.times, it.error, it.within) for it in told] == [
        ("machines.start", "m1", 1, "NotSettled", 30),
        ("machines.start", "m1", 2, "NotSettled", 30),
    ]
    assert {it.message for it in told} == {"failed_precondition: machine still active, refusing to start"}
    sent = office.exchange.times
    assert [sent[1], sent[3] - sent[2]] == pytest.approx([told[0].pause, told[1].pause], abs=0.02)
    await office.sender.close(grace=0)


async def test_the_time_of_the_call_bounds_the_time_of_the_refusal() -> None:
    office = Office(ACTIVE, total=5)
    error, time = await office.ending(office.send())
    assert isinstance(error, NotSettled)
    assert time == 5
    assert {event.within for event in office.heard if isinstance(event, Outlasting)} == {5}
    await office.sender.close(grace=0)


class Single(ScriptedExchange):
    """A session with one slot for calls."""

    def __init__(self, *script: Step) -> None:
        super().__init__(*script)
        self._calls = asyncio.Semaphore(1)


async def test_no_slot_is_held_while_a_refusal_clears() -> None:
    office = Office(ACTIVE, OK, exchange=Single, limits=WIDE)
    first = office.send()
    await asyncio.sleep(0.5)
    await asyncio.gather(*(office.send(identifier=name) for name in ("m2", "m3")))
    assert now() < 1
    await first
    await office.sender.close(grace=0)


async def test_closing_ends_a_call_that_outlasts_a_refusal() -> None:
    office = Office(ACTIVE)
    task = office.send()
    await asyncio.sleep(0.5)
    await office.sender.close(grace=5)
    with pytest.raises(ClientClosed):
        await task
    assert now() < 1


async def test_a_caller_that_knows_better_says_how_long_a_refusal_lasts() -> None:
    gone = a_response(410, {"error": "not yet"})
    request = a_request(clears_within=lambda refusal: 20.0 if isinstance(refusal, NotFound) else 0.0)
    office = Office(gone, gone, BOOM, OK)
    assert await office.send(request) == {"ok": True}
    office, before = Office(gone), now()
    error, _ = await office.ending(office.send(request))
    assert isinstance(error, NotFound)
    assert 12 < now() - before <= 20


async def test_a_span_hears_what_its_requests_outlast_and_no_other() -> None:
    office = Office(ACTIVE, OK, ACTIVE, OK)
    heard: list[Outlasting] = []
    span = Span("machine", "web-1", on_refusal=heard.append)
    with Within(span):
        await office.sender.send(a_request())
    await office.sender.send(a_request(identifier="m2"))
    assert [(event.identifier, event.span) for event in heard] == [("m1", span)]
    await office.sender.close(grace=0)


async def test_a_destroy_in_doubt_that_finds_nothing_is_not_sent_again() -> None:
    gone = a_response(404, {"error": "machine not found"})
    office = Office(LOST, gone, base=1e-9, limits=WIDE)
    error, time = await office.ending(office.send(method="DELETE"))
    assert isinstance(error, NotFound)
    assert error.may_have_happened
    assert time == 0
    assert len(office.exchange.sent) == 2
    await office.sender.close(grace=0)


async def test_an_urgent_request_goes_ahead_of_those_that_have_not_left() -> None:
    office = Office(OK)
    waiting = [office.send(body=number) for number in range(6)]
    await asyncio.sleep(0.5)
    urgent = office.send(body="urgent", flight=Flight(is_urgent=True))
    await asyncio.gather(*waiting, urgent)
    assert [request.body for _, request in office.exchange.sent] == [0, 1, "urgent", 2, 3, 4, 5]
    await office.sender.close(grace=0)


def ignored(_: Outlasting) -> None:
    pass


@pytest.mark.parametrize(("times", "observer", "level"), [(1, None, 20), (2, None, 10), (1, ignored, 10)])
def test_a_refusal_is_logged_once_unless_a_deploy_reports_it(
    times: int, observer: Any, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flyasync.refusals")
    refusal: dict[str, Any] = {"error": "NotSettled", "message": "still active", "pause": 1.0, "within": 30.0}
    span = Span("machine", "web-1", on_refusal=observer)
    log_event(Outlasting(operation="machines.start", identifier="m1", times=times, span=span, **refusal))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flyasync.refusals", level)
    assert record.getMessage() == "machines.start m1: still active; retrying for up to 30 s"


async def test_a_sender_shows_its_calls_and_no_secret() -> None:
    office = Office(limited(3), hang, limits=WIDE)
    assert repr(office.sender) == "<Sender 127.0.0.1: no calls>"
    call = office.send(a_request(body={"value": SECRET}))
    await asyncio.sleep(1)
    assert repr(office.sender) == (
        "<Sender 127.0.0.1: <machines.start m1: attempt 2 waiting, after RateLimited, 119.0 s left>>"
    )
    await asyncio.sleep(3)
    assert repr(office.sender) == "<Sender 127.0.0.1: <machines.start m1: attempt 2 sent, 116.0 s left>>"
    assert SECRET not in f"{office.sender!r} {office.exchange!r} {office.buckets!r}"
    call.cancel()
    await asyncio.wait([call])
    await office.sender.close(grace=0)
    assert repr(office.sender) == "<Sender 127.0.0.1, closed: no calls>"


async def test_a_sender_with_many_calls_shows_ten_of_them() -> None:
    office = Office(hang, limits=WIDE)
    calls = [office.send(identifier=f"m{number:02}") for number in range(12)]
    await asyncio.sleep(1)
    assert repr(office.sender).endswith("<machines.start m09: attempt 1 sent, 119.0 s left> and 2 more>")
    for call in calls:
        call.cancel()
    await office.sender.close(grace=0)


@pytest.mark.parametrize(("total", "timers"), [(120, 0), (20, 1)])
async def test_only_a_call_that_an_exchange_may_outlast_has_a_timer(total: float, timers: int) -> None:
    office = Office(hang, limits=WIDE, total=total)
    call = office.send()
    await asyncio.sleep(1)
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [round(timer.when()) for timer in scheduled].count(round(total)) == timers
    call.cancel()
    await asyncio.wait([call])
    await office.sender.close(grace=0)


@pytest.mark.parametrize(
    ("method", "first"),
    [("POST", [LOST]), ("DELETE", [])],
    ids=["in doubt, but not a DELETE", "a DELETE without doubt"],
)
async def test_any_other_request_that_finds_nothing_is_sent_again(method: str, first: list[Step]) -> None:
    gone = a_response(404, {"error": "machine not found"})
    office = Office(*first, gone, OK, base=1e-9, limits=WIDE)
    assert await office.send(method=method) == {"ok": True}
    assert 1 <= now() <= 1.5
    await office.sender.close(grace=0)


async def test_a_pause_that_is_extended_counts_only_with_what_it_adds() -> None:
    office = Office(OK, total=100)
    office.buckets.pause(a_request(), 60)
    call = office.send()
    await asyncio.sleep(30)
    office.buckets.pause(a_request(), 60)
    assert await call == {"ok": True}
    assert office.exchange.times == [90]
    await office.sender.close(grace=0)


async def test_a_429_of_its_own_comes_out_with_what_remains_of_a_later_pause() -> None:
    office = Office(late(1, limited(5)), late(2, limited(60)), total=30)
    calls = [asyncio.create_task(office.ending(office.send(body=name))) for name in ("first", "second")]
    (error, time), _ = await asyncio.gather(*calls)
    assert isinstance(error, RateLimited)
    assert time == 2
    assert error.retry_after == pytest.approx(30, abs=0.01)
    assert error.message == "rate limit exceeded"
    await office.sender.close(grace=0)


async def test_closing_again_while_a_call_is_being_ended_changes_nothing() -> None:
    office, loop = Office(OK), asyncio.get_running_loop()
    office.buckets.pause(a_request(), 60)
    call = office.send()
    await asyncio.sleep(1)
    closing = [asyncio.create_task(office.sender.close(grace=0))]
    loop.call_soon(lambda: closing.append(asyncio.create_task(office.sender.close(grace=0))))
    with pytest.raises(ClientClosed):
        await call
    await asyncio.gather(*closing)
    assert len(closing) == 2


async def test_what_comes_out_when_time_is_up_is_redacted() -> None:
    office = Office(ConnectionLost("machines.start", "m1", f"it broke at {SECRET}"), base=1000, cap=1000, total=2)
    error, time = await office.ending(office.send())
    assert isinstance(error, ConnectionLost)
    assert time == 2
    assert error.message == "it broke at [redacted]"
    await office.sender.close(grace=0)


async def breaking() -> Response:
    raise LOST


@pytest.mark.parametrize(("step", "kind"), [(breaking, ConnectionLost), (hang, asyncio.CancelledError)])
async def test_no_traceback_leads_through_frames_below_our_own(step: Step, kind: type[BaseException]) -> None:
    office = Office(step, attempts=1)

    async def frames() -> tuple[type[BaseException], list[str]]:
        try:
            await office.sender.send(a_request())
        except BaseException as error:  # noqa: BLE001 - a cancellation too
            return type(error), [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
        raise AssertionError("it did not fail")

    task = asyncio.create_task(frames())
    await asyncio.sleep(1)
    task.cancel()
    found, names = await task
    assert found is kind
    assert {"frames", "send", "attempt"} <= set(names)
    assert not {"exchange", "breaking", "hang"} & set(names), "these are of the test's own session"
    await office.sender.close(grace=0)
