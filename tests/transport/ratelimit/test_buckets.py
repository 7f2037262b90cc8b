"""The schedule of each bucket, its fairness, its pauses, and what it forgets."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from flyasync.errors import InvalidInput
from flyasync.testing import run_virtual
from flyasync.transport.ratelimit.buckets import Bucket, Buckets
from flyasync.transport.ratelimit.rates import Limits, Rate
from tests.transport.scripted import a_request, burn, now, rounded

DEFAULT = Limits().default
CREATE = Limits().rate("machines.create")
GET = Limits().rate("machines.get")
BARE = Rate(per_second=1, burst=3)


async def granted(acquire: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Queue `count` callers at once and return the times of their permits, in order."""
    times: list[float] = []

    async def one() -> None:
        await acquire()
        times.append(now())

    await asyncio.gather(*(one() for _ in range(count)))
    return rounded(times)


class Line:
    """Tasks that wait for a permit each, and the order and times in which they got it."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.order: list[Any] = []
        self.times: list[float] = []
        self.tasks: list[asyncio.Task[None]] = []

    def join(self, name: object, *, again: bool = False, urgent: bool = False) -> asyncio.Task[None]:
        task = asyncio.create_task(self._take(name, again=again, urgent=urgent))
        self.tasks.append(task)
        return task

    async def _take(self, name: object, *, again: bool, urgent: bool) -> None:
        await self.bucket.acquire(again=again, urgent=urgent)
        self.order.append(name)
        self.times.append(now())

    async def end(self) -> list[float]:
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return rounded(self.times)


async def test_the_default_bucket_grants_two_at_once_and_then_one_a_second() -> None:
    assert await granted(Bucket(DEFAULT).acquire, 6) == [0, 0, 1, 2, 3, 4]


async def test_a_third_create_leaves_as_soon_as_its_margin_is_over() -> None:
    assert await granted(Bucket(CREATE).acquire, 6) == [0, 0, 0.5, 1.5, 2.5, 3.5]


async def test_getting_a_machine_grants_eight_at_once_and_then_five_a_second() -> None:
    assert await granted(Bucket(GET).acquire, 12) == [0] * 8 + [0.2, 0.4, 0.6, 0.8]


async def test_without_a_margin_the_schedule_is_the_published_one() -> None:
    assert await granted(Bucket(BARE).acquire, 6) == [0, 0, 0, 1, 2, 3]


async def a_slot_after(seconds: float) -> asyncio.Semaphore:
    slots = asyncio.Semaphore(0)
    asyncio.get_running_loop().call_later(seconds, slots.release)
    return slots


@pytest.mark.parametrize(("late", "then"), [(0.2, 0.2), (0.3, 0.5)])
async def test_a_permit_that_waited_for_its_slot_longer_than_half_the_margin_is_counted_again(
    late: float, then: float
) -> None:
    bucket = Bucket(CREATE)
    await bucket.acquire(slot=await a_slot_after(late))
    assert await granted(bucket.acquire, 1) == [then]


async def test_a_rested_bucket_has_its_burst_again() -> None:
    bucket = Bucket(DEFAULT)
    await granted(bucket.acquire, 4)
    await asyncio.sleep(2)
    assert await granted(bucket.acquire, 3) == [4, 4, 5]


@pytest.mark.parametrize(("rate", "last"), [(CREATE, 57.5), (BARE, 57)])
async def test_sixty_creates_cost_what_the_docs_say(rate: Rate, last: float) -> None:
    assert (await granted(Bucket(rate).acquire, 60))[-1] == last


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_second": 0, "burst": 1},
        {"per_second": -1, "burst": 1},
        {"per_second": 1, "burst": 0},
        {"per_second": 1, "burst": 3, "spare": 3},
        {"per_second": 1, "burst": 3, "spare": 2.1},
        {"per_second": 1, "burst": 3, "spare": -1},
    ],
)
def test_a_rate_that_would_let_nothing_through_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=r"Rate\.(per_second|burst|spare) is -?\d.*, but must "):
        Rate(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"per_second": "1"}, "Rate.per_second is '1', but must be a number above 0"),
        ({"per_second": float("inf")}, "Rate.per_second is inf, but must be a number above 0"),
        ({"per_second": float("nan")}, "Rate.per_second is nan, but must be a number above 0"),
        ({"burst": 2.5}, "Rate.burst is 2.5, but must be an integer of 1 or more"),
        ({"burst": True}, "Rate.burst is True, but must be an integer of 1 or more"),
        ({"burst": None}, "Rate.burst is None, but must be an integer of 1 or more"),
        ({"spare": "half"}, "Rate.spare is 'half', but must be a number of 0 or more"),
    ],
)
def test_what_is_not_a_number_is_refused_with_the_rule(wrong: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{re.escape(error)}$"):
        Rate(**{"per_second": 1, "burst": 3, **wrong})


@pytest.mark.parametrize("field", ["operations", "totals"])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"machines.craete": BARE}, " has a rate for 'machines.craete', which .*: did you mean 'machines.create'"),
        ({"graphql": BARE}, " has a rate for 'graphql', which is not an operation of the API: "),
        ({3: BARE}, " has a rate for 3, which is not an operation of the API: "),
        (
            {"machines.start": 5},
            r"\['machines.start'\] is 5, but must be a Rate, such as Rate\(per_second=1, burst=3\)",
        ),
        ({"machines.start": None}, r"\['machines.start'\] is None, but must be a Rate"),
        (["machines.start"], r" is \['machines.start'\], but must map operations to rates"),
        (None, " is None, but must map operations to rates"),
    ],
)
def test_rates_of_what_is_not_an_operation_and_what_is_not_a_rate_are_refused(
    field: str, wrong: Any, error: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^Limits.{field}{error}"):
        Limits(**{field: wrong})


@pytest.mark.parametrize("wrong", [1, "1/s", None, Rate])
def test_a_default_that_is_not_a_rate_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^Limits\.default is .*, but must be a Rate"):
        Limits(default=wrong)


async def test_actions_and_identifiers_do_not_wait_for_each_other() -> None:
    buckets = Buckets(Limits())
    requests = [a_request(operation, name) for operation in ("machines.start", "machines.stop") for name in ("a", "b")]
    waits = await asyncio.gather(*(buckets.acquire(request) for request in requests for _ in range(2)))
    assert set(waits) == {0.0}
    assert rounded([await buckets.acquire(requests[0])]) == [1]
    buckets.close()


async def test_no_caller_overtakes_another_on_a_busy_loop() -> None:
    line, spread = Line(Bucket(Rate(per_second=1000, burst=10))), random.Random(1)
    for number in range(4000):
        line.join(number)
        burn(spread.uniform(0, 0.0015))
        await asyncio.sleep(spread.choice([0, 0, 0, 0.001]))
    await line.end()
    assert line.order == list(range(4000))


@pytest.mark.parametrize("seed", range(20))
async def test_cancelled_waiters_cost_no_other_a_permit(seed: int) -> None:
    spread = random.Random(seed)
    line = Line(Bucket(DEFAULT))
    for number in range(100):
        line.join(number)
    for task in spread.sample(line.tasks[10:], 40):
        asyncio.get_running_loop().call_at(spread.choice([0.5, 1.0, 2.0, 3.0, 7.7]), task.cancel)
    times = await line.end()
    assert times == [0, *range(len(times) - 1)]
    assert line.order == sorted(line.order)


@pytest.mark.parametrize("hops", range(12))
async def test_a_waiter_cancelled_while_it_gets_its_permit_passes_it_on(hops: int) -> None:
    line = Line(Bucket(DEFAULT))
    for number in range(6):
        line.join(number)
    await asyncio.sleep(1)
    for _ in range(hops):
        await asyncio.sleep(0)
    line.tasks[2].cancel()  # the one that gets its permit at this very moment
    times = await line.end()
    assert times == [0, *range(len(times) - 1)]
    assert len(times) in {5, 6}


@pytest.mark.parametrize("again", [False, True])
async def test_a_waiter_that_is_cancelled_just_before_the_front_is_left_does_not_hold_it(*, again: bool) -> None:
    bucket, slots = Bucket(DEFAULT), asyncio.Semaphore(0)
    holder = asyncio.create_task(bucket.acquire(slot=slots))
    waiter = asyncio.create_task(bucket.acquire(again=again))
    await asyncio.sleep(0)
    slots.release()
    waiter.cancel()  # it hears of it only after the holder has gone
    ended = await asyncio.gather(holder, waiter, return_exceptions=True)
    assert [type(each) for each in ended] == [type(None), asyncio.CancelledError]
    assert await granted(bucket.acquire, 2) == [0, 1]


async def test_a_waiter_that_is_thrown_away_does_not_block_the_line() -> None:
    bucket = Bucket(BARE)
    await granted(bucket.acquire, 3)
    line = Line(bucket)
    line.join("first")
    await asyncio.sleep(0)
    thrown_away = bucket.acquire()
    thrown_away.send(None)
    line.join("last")
    thrown_away.close()
    assert await line.end() == [1, 2]


async def test_a_free_permit_is_granted_without_a_detour_through_the_loop() -> None:
    with pytest.raises(StopIteration):
        Bucket(DEFAULT).acquire().send(None)


async def test_a_pause_stops_the_whole_bucket_which_restarts_without_a_burst() -> None:
    line = Line(Bucket(BARE))
    for number in range(8):
        line.join(number)
    await asyncio.sleep(1.5)
    line.bucket.pause(5)
    assert await line.end() == [0, 0, 0, 1, 6.5, 7.5, 8.5, 9.5]
    assert line.order == list(range(8))


async def test_a_pause_holds_arrivals_back_too_even_after_a_long_rest() -> None:
    bucket = Bucket(BARE)
    await bucket.acquire()
    bucket.pause(100)
    await asyncio.sleep(99)
    assert await granted(bucket.acquire, 3) == [100, 101, 102]


async def test_a_pause_that_ended_unnoticed_still_forbids_a_burst() -> None:
    bucket = Bucket(BARE)
    bucket.pause(2)
    await asyncio.sleep(50)
    held: list[float] = []
    assert await granted(partial(bucket.acquire, on_pause=held.append), 3) == [50, 51, 52]
    assert held == []


async def test_a_longer_pause_extends_one_and_a_shorter_one_does_not() -> None:
    bucket = Bucket(DEFAULT)
    bucket.pause(5)
    line = Line(bucket)
    line.join("waiting")
    await asyncio.sleep(1)
    bucket.pause(9)
    bucket.pause(2)
    assert await line.end() == [10]


@pytest.mark.parametrize("seed", range(20))
async def test_a_pause_without_seconds_takes_one_to_two_intervals(seed: int) -> None:
    random.seed(seed)
    bucket = Bucket(GET)
    bucket.pause(None)
    (time,) = await granted(bucket.acquire, 1)
    assert 0.2 <= time <= 0.4


async def test_pauses_without_seconds_spread_the_clients() -> None:
    buckets = [Bucket(DEFAULT) for _ in range(20)]
    for bucket in buckets:
        bucket.pause(None)
    times = await asyncio.gather(*(granted(bucket.acquire, 1) for bucket in buckets))
    assert len({time for (time,) in times}) > 10


async def test_a_pause_of_no_length_still_takes_one_interval() -> None:
    bucket = Bucket(DEFAULT)
    times = []
    for _ in range(3):
        await bucket.acquire(again=True)
        times.append(now())
        bucket.pause(0)
    assert rounded(times) == [0, 1, 2]


async def test_a_waiter_cancelled_during_a_pause_costs_no_other_a_permit() -> None:
    line = Line(Bucket(DEFAULT))
    line.bucket.pause(5)
    for number in range(6):
        line.join(number)
    for delay, victim in ((1, 0), (1, 3), (2, 1)):
        await asyncio.sleep(delay)
        line.tasks[victim].cancel()
    assert await line.end() == [5, 6, 7]
    assert line.order == [2, 4, 5]


@pytest.mark.parametrize("hops", range(8))
async def test_a_waiter_cancelled_when_the_pause_ends_passes_its_permit_on(hops: int) -> None:
    line = Line(Bucket(DEFAULT))
    line.bucket.pause(5)
    for number in range(4):
        line.join(number)
    await asyncio.sleep(5)
    for _ in range(hops):
        await asyncio.sleep(0)
    line.tasks[0].cancel()
    times = await line.end()
    assert times == [5.0 + number for number in range(len(times))]
    assert len(times) in {3, 4}


async def test_who_comes_again_keeps_the_place_in_front_of_the_line() -> None:
    line = Line(Bucket(DEFAULT))
    for name in ("a", "b", "c", "d", "e"):
        line.join(name)
    await asyncio.sleep(0.5)
    line.join("again", again=True)
    assert await line.end() == [0, 0, 1, 2, 3, 4]
    assert line.order == ["a", "b", "c", "again", "d", "e"]


async def test_whoever_is_urgent_gets_the_next_permit_even_before_the_one_who_waits_for_it() -> None:
    line = Line(Bucket(DEFAULT))
    for name in ("a", "b", "c", "d"):
        line.join(name)
    await asyncio.sleep(0.5)
    line.join("again", again=True)
    line.join("urgent", urgent=True)
    line.join("urgent too", urgent=True)
    assert await line.end() == [0, 0, 1, 2, 3, 4, 5]
    assert line.order == ["a", "b", "urgent", "urgent too", "c", "again", "d"]


@pytest.mark.parametrize("hops", range(6))
async def test_an_urgent_one_cancelled_at_any_time_stops_no_other(hops: int) -> None:
    line = Line(Bucket(DEFAULT))
    for name in ("a", "b", "c", "d"):
        line.join(name)
    await asyncio.sleep(0.5)
    urgent = line.join("urgent", urgent=True)
    await asyncio.sleep(0.5)
    for _ in range(hops):
        await asyncio.sleep(0)
    urgent.cancel()
    times = await line.end()
    assert [name for name in line.order if name != "urgent"] == ["a", "b", "c", "d"]
    # It had no permit yet, or had it, or it was lost with it.
    assert times in ([0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 0, 2, 3])


async def test_an_urgent_one_with_a_permit_waits_for_its_slot() -> None:
    bucket, slot, order = Bucket(DEFAULT), asyncio.Semaphore(1), list[str]()

    async def take(name: str, *, urgent: bool = False) -> None:
        await bucket.acquire(urgent=urgent, slot=slot)
        order.append(name)
        await asyncio.sleep(0.1)
        slot.release()

    tasks = [asyncio.create_task(take(name)) for name in ("a", "b", "c")]
    await asyncio.sleep(0.5)
    await asyncio.gather(*tasks, take("urgent", urgent=True))
    assert order == ["a", "b", "urgent", "c"]
    assert not slot.locked()


async def test_after_a_pause_an_urgent_one_without_its_slot_and_the_front_get_one_permit_each_interval() -> None:
    bucket, slot, times = Bucket(DEFAULT), asyncio.Semaphore(1), list[float]()

    async def take(*, urgent: bool = False) -> None:
        await bucket.acquire(urgent=urgent, slot=slot)
        times.append(now())
        slot.release()

    tasks = [asyncio.create_task(take()) for _ in range(3)]
    await asyncio.sleep(0.5)
    await slot.acquire()
    tasks.append(asyncio.create_task(take(urgent=True)))
    await asyncio.sleep(1)
    bucket.pause(3)
    await asyncio.sleep(1.5)
    slot.release()
    await asyncio.gather(*tasks)
    assert rounded(times) == [0, 0, 4.5, 5.5]


async def test_a_permit_does_not_outlive_a_pause_that_comes_before_its_slot() -> None:
    bucket, slot, held = Bucket(CREATE), asyncio.Semaphore(0), list[float]()
    waiting = asyncio.create_task(bucket.acquire(slot=slot, on_pause=held.append))
    await asyncio.sleep(0.1)
    bucket.pause(7)
    await asyncio.sleep(0.1)
    slot.release()
    await waiting
    assert set(rounded(held)) == {7.1}
    assert rounded([now()]) == [7.1]


async def test_an_urgent_one_with_a_permit_hears_of_a_pause_when_it_gets_its_slot() -> None:
    bucket, slot, held = Bucket(CREATE), asyncio.Semaphore(0), list[float]()
    await granted(bucket.acquire, 2)
    front = asyncio.create_task(bucket.acquire())
    urgent = asyncio.create_task(bucket.acquire(urgent=True, slot=slot, on_pause=held.append))
    await asyncio.sleep(0.6)
    bucket.pause(7)
    await asyncio.sleep(0.1)
    slot.release()
    assert not urgent.done()
    await asyncio.gather(front, urgent)
    assert rounded(held) == [7.6]
    assert rounded([now()]) == [8.6]


async def test_those_who_come_again_after_a_pause_go_first_and_in_order() -> None:
    line = Line(Bucket(DEFAULT))
    line.bucket.pause(3)
    for name in ("a", "b"):
        line.join(name)
    await asyncio.sleep(0)
    for name in ("first again", "second again"):
        line.join(name, again=True)
    await line.end()
    assert line.order == ["a", "first again", "second again", "b"]


async def test_whoever_waits_is_notified_of_a_pause_at_once_wherever_it_stands() -> None:
    bucket = Bucket(BARE)
    await granted(bucket.acquire, 3)
    held: list[tuple[float, str, float]] = []

    def join(name: str, *, again: bool = False) -> asyncio.Task[None]:
        def hold(until: float) -> None:
            held.append((round(now(), 2), name, round(until, 2)))

        return asyncio.create_task(bucket.acquire(again=again, on_pause=hold))

    tasks = [join("front"), join("in line"), join("again", again=True)]
    await asyncio.sleep(0.5)
    bucket.pause(5)
    await asyncio.sleep(0.5)
    tasks.append(join("late"))
    await asyncio.sleep(1)
    bucket.pause(9)
    await asyncio.gather(*tasks)
    assert held == [
        (0.5, "front", 5.5),
        (0.5, "again", 5.5),
        (0.5, "in line", 5.5),
        (1.0, "late", 5.5),
        (2.0, "front", 11.0),
        (2.0, "again", 11.0),
        (2.0, "in line", 11.0),
        (2.0, "late", 11.0),
    ]
    assert rounded([now()]) == [14.0]


async def test_one_that_is_just_handed_the_front_is_notified_of_a_pause_too() -> None:
    bucket, held = Bucket(DEFAULT), list[float]()
    first = asyncio.create_task(bucket.acquire())
    second = asyncio.create_task(bucket.acquire(slot=(slots := asyncio.Semaphore(0))))
    third = asyncio.create_task(bucket.acquire(on_pause=held.append))
    await asyncio.sleep(0.1)
    slots.release()
    second.add_done_callback(lambda _: bucket.pause(7))
    await asyncio.gather(first, second, third)
    assert rounded(held) == [7.1]
    assert rounded([now()]) == [7.1]


async def test_a_pause_is_sat_out_without_a_slot() -> None:
    bucket, slots = Bucket(DEFAULT), await a_slot_after(3)
    waiting = asyncio.create_task(bucket.acquire(slot=slots))
    await asyncio.sleep(1)
    bucket.pause(30)
    await asyncio.sleep(3)
    await asyncio.wait_for(slots.acquire(), 1)
    assert rounded([now()]) == [4]
    slots.release()
    await waiting
    assert rounded([now()]) == [31]
    assert slots.locked()


def in_any(window: float, times: list[float]) -> int:
    """Count the most permits within any span of `window` seconds, both ends included."""
    return max(sum(start <= time <= start + window for time in times) for start in times)


async def test_app_deletions_stay_below_a_hundred_in_any_minute() -> None:
    buckets, names = Buckets(Limits()), iter(range(400))
    times = await granted(lambda: buckets.acquire(a_request("apps.delete", str(next(names)))), 400)
    assert in_any(60, times) <= 100
    assert times[99] <= 60  # and the published rate is used
    buckets.close()


async def test_a_refused_deletion_pauses_the_total_it_counts_towards() -> None:
    buckets = Buckets(Limits())
    await buckets.acquire(a_request("apps.delete", "a"))
    buckets.pause(a_request("apps.delete", "a"), 30)
    await buckets.acquire(a_request("apps.delete", "b"))
    assert rounded([now()]) == [30]
    buckets.close()


async def test_a_refused_deletion_pauses_its_own_bucket_at_its_own_rate() -> None:
    buckets = Buckets(Limits())
    assert buckets.pause(a_request("apps.delete", "a"), 0) == 1.0
    assert rounded([await buckets.acquire(a_request("apps.delete", "b"))]) == [0.67]
    assert repr(buckets._own(a_request("apps.delete", "a"))) == "<Bucket apps.delete a: 0 waiting, paused 0.3 s>"
    buckets.close()


@pytest.mark.parametrize("operation", ["machines.start", "apps.delete"])
async def test_a_request_that_comes_again_goes_first_also_where_two_buckets_count_it(operation: str) -> None:
    buckets, order = Buckets(Limits()), list[str]()

    async def ask(name: str, *, again: bool = False) -> None:
        await buckets.acquire(a_request(operation, "web"), again=again)
        order.append(name)

    tasks = [asyncio.create_task(ask(name)) for name in ("a", "b", "c", "d")]
    await asyncio.sleep(0.5)
    await asyncio.gather(*tasks, ask("again", again=True))
    assert order == ["a", "b", "c", "again", "d"]
    buckets.close()


async def test_a_refused_start_pauses_its_own_bucket_only() -> None:
    buckets = Buckets(Limits())
    buckets.pause(a_request("machines.start", "a"), 30)
    await buckets.acquire(a_request("machines.start", "b"))
    await buckets.acquire(a_request("machines.stop", "a"))
    assert rounded([now()]) == [0]
    assert rounded([await buckets.acquire(a_request("machines.start", "a"))]) == [30]
    buckets.close()


async def test_ten_thousand_identifiers_used_once_are_all_forgotten() -> None:
    buckets = Buckets(Limits())
    for number in range(10_000):
        await buckets.acquire(a_request(identifier=str(number)))
    assert len(buckets) == 10_000
    await asyncio.sleep(2 * Buckets.SWEEP)
    assert len(buckets) == 0
    assert no_timer_is_left()


def no_timer_is_left() -> bool:
    loop = asyncio.get_running_loop()
    return not [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]


async def test_a_paused_bucket_is_not_forgotten_until_its_pause_is_over() -> None:
    buckets = Buckets(Limits())
    buckets.pause(a_request(), 100)
    await asyncio.sleep(95)
    assert len(buckets) == 1
    assert rounded([await buckets.acquire(a_request())]) == [5]
    await asyncio.sleep(3 * Buckets.SWEEP)
    assert len(buckets) == 0


async def test_a_queued_bucket_is_not_forgotten() -> None:
    buckets = Buckets(Limits(default=Rate(per_second=0.01, burst=1)))
    waiting = asyncio.create_task(granted(lambda: buckets.acquire(a_request()), 3))
    await asyncio.sleep(150)
    assert len(buckets) == 1
    assert await waiting == [0, 100, 200]
    buckets.close()


async def test_a_used_bucket_is_not_forgotten_before_it_is_full_again() -> None:
    buckets = Buckets(Limits(default=Rate(per_second=0.01, burst=1)))
    await asyncio.sleep(1000)
    await buckets.acquire(a_request())
    await asyncio.sleep(95)
    assert len(buckets) == 1
    assert rounded([await buckets.acquire(a_request())]) == [5]
    buckets.close()


async def test_a_total_found_forgotten_is_counted_anew_in_one_place() -> None:
    limits = Limits(default=Rate(per_second=0.02, burst=1), totals={"apps.delete": Rate(per_second=1, burst=1)})
    buckets = Buckets(limits)
    await buckets.acquire(a_request("apps.delete", "a"))
    late = asyncio.create_task(granted(lambda: buckets.acquire(a_request("apps.delete", "a")), 1))
    await asyncio.sleep(50)
    other = asyncio.create_task(granted(lambda: buckets.acquire(a_request("apps.delete", "b")), 1))
    assert sorted(await late + await other) == [50, 51]
    buckets.close()


async def test_closing_leaves_no_timer() -> None:
    buckets = Buckets(Limits())
    await buckets.acquire(a_request())
    buckets.close()
    buckets.close()
    assert no_timer_is_left()


class StrictBucket:
    """The API's side: a token bucket that forgives nothing."""

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second, self.burst = per_second, burst
        self.tokens, self.seen = float(burst), 0.0

    def accepts(self, time: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (time - self.seen) * self.per_second)
        self.seen = time
        if self.tokens < 1 - 1e-9:
            return False
        self.tokens -= 1
        return True


async def bursts_and_rests(rate: Rate, spread: random.Random) -> list[float]:
    """Take 60 permits, some of them after a rest that fills the bucket again."""
    bucket = Bucket(rate)
    times: list[float] = []
    while len(times) < 60:
        await asyncio.sleep(spread.choice([0, 0, 1.7, 5]))
        times += await granted(bucket.acquire, min(spread.randint(1, 20), 60 - len(times)))
    return times


async def refusals(spare: float, seed: int, rate: Rate) -> int:
    spread = random.Random(seed)
    sent = await bursts_and_rests(Rate(per_second=rate.per_second, burst=rate.burst, spare=spare), spread)
    server = StrictBucket(rate.per_second, rate.burst)
    arrivals = sorted(time + spread.uniform(0.02, 0.25) for time in sent)
    return sum(not server.accepts(time) for time in arrivals)


@pytest.mark.parametrize(
    ("rate", "spare"), [(BARE, DEFAULT.spare), (BARE, CREATE.spare), (Rate(per_second=5, burst=10), GET.spare)]
)
async def test_with_its_margin_no_request_is_refused_for_the_networks_jitter(rate: Rate, spare: float) -> None:
    assert [await refusals(spare, seed, rate) for seed in range(30)] == [0] * 30
    assert sum([await refusals(0, seed, rate) for seed in range(30)]) > 0


@settings(deadline=None, database=None, max_examples=100)
@given(
    arrivals=st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.floats(0, 20)), min_size=1, max_size=30),
    pauses=st.lists(st.tuples(st.floats(0, 20), st.none() | st.floats(0, 5)), max_size=3),
)
def test_no_window_ever_holds_more_than_its_rate_allows(
    arrivals: list[tuple[float, bool, float]], pauses: list[tuple[float, float | None]]
) -> None:
    async def main() -> list[float]:
        line, loop = Line(Bucket(DEFAULT)), asyncio.get_running_loop()

        def arrive(patience: float, *, again: bool) -> None:
            loop.call_later(patience + 0.1, line.join(None, again=again).cancel)

        for time, again, patience in arrivals:
            loop.call_at(time, partial(arrive, patience, again=again))
        for time, seconds in pauses:
            loop.call_at(time, line.bucket.pause, seconds)
        await asyncio.sleep(20.5)
        return await line.end()

    times = run_virtual(main())
    for window in (0.5, 1.5, 4.5, 9.5):
        assert not times or in_any(window - 0.1, times) <= DEFAULT.usable + window * DEFAULT.per_second


async def test_a_bucket_shows_who_waits_and_how_long_it_is_paused() -> None:
    buckets = Buckets(Limits())
    request = a_request("machines.create", "web")
    waiting = [asyncio.create_task(buckets.acquire(request)) for _ in range(4)]
    await asyncio.sleep(0.1)
    bucket = buckets._own(request)
    assert repr(bucket) == "<Bucket machines.create web: 2 waiting>"
    buckets.pause(request, 1.3)
    await asyncio.sleep(0.1)
    assert repr(bucket) == "<Bucket machines.create web: 2 waiting, paused 1.2 s>"
    assert repr(buckets) == f"<Buckets: 1, in use: {bucket!r}>"
    await asyncio.gather(*waiting)
    assert repr(bucket) == "<Bucket machines.create web: 0 waiting>"
    await asyncio.sleep(10)
    assert repr(buckets) == "<Buckets: 0, in use: none>"
    assert repr(Bucket(BARE)) == "<Bucket: 0 waiting>"


async def test_many_buckets_show_the_first_ten() -> None:
    buckets = Buckets(Limits())
    for number in range(12):
        buckets.pause(a_request(identifier=str(number)), 60)
    shown = repr(buckets)
    assert shown.startswith("<Buckets: 12, in use: <Bucket machines.start 0: 0 waiting, paused 60.0 s>, ")
    assert shown.endswith("<Bucket machines.start 9: 0 waiting, paused 60.0 s> and 2 more>")
    buckets.close()
    assert no_timer_is_left()


async def test_a_waiter_that_is_cancelled_after_it_was_woken_passes_the_front_on() -> None:
    bucket, slots = Bucket(DEFAULT), await a_slot_after(0.1)
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(3)]
    await bucket.acquire(slot=slots)
    waiting[0].cancel()  # it has the front by now, and has not run since
    async with asyncio.timeout(10):
        ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError, type(None), type(None)]
    assert rounded([now()]) == [1.0]


async def test_one_that_is_cancelled_while_it_waits_for_a_second_permit_keeps_no_slot() -> None:
    bucket, slots = Bucket(Rate(per_second=0.1, burst=2, spare=1)), await a_slot_after(6)
    waiting = asyncio.create_task(bucket.acquire(slot=slots))
    await asyncio.sleep(7)
    assert slots.locked()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not slots.locked()
    assert await granted(bucket.acquire, 1) == [10]


async def test_a_bucket_is_not_forgotten_between_the_end_of_its_pause_and_its_refill() -> None:
    buckets = Buckets(Limits())
    buckets.pause(a_request(), 9)
    await asyncio.sleep(10.5)
    assert len(buckets) == 1
    assert await granted(lambda: buckets.acquire(a_request()), 2) == [10.5, 11.5]
    buckets.close()


async def test_a_bucket_whose_caller_waits_for_a_slot_is_not_forgotten() -> None:
    buckets = Buckets(Limits())
    waiting = asyncio.create_task(buckets.acquire(a_request(), slot=await a_slot_after(60)))
    await asyncio.sleep(55)
    assert len(buckets) == 1
    await waiting
    buckets.close()


async def test_a_deletion_is_notified_of_a_pause_of_its_own_bucket() -> None:
    buckets, held = Buckets(Limits()), list[float]()
    buckets._own(a_request("apps.delete", "web")).pause(7)
    await buckets.acquire(a_request("apps.delete", "web"), on_pause=held.append)
    assert rounded(held) == [7]
    buckets.close()


# How long a new caller would wait.


@pytest.mark.parametrize("rate", [BARE, CREATE, GET])
async def test_the_expected_wait_is_the_wait_that_follows(rate: Rate) -> None:
    bucket = Bucket(rate)
    line = Line(bucket)
    expected: list[float] = []
    for name in range(12):
        wait = bucket.expected_wait(0)
        assert wait is not None
        expected.append(now() + wait)
        line.join(name)
        await asyncio.sleep(0)
    assert await line.end() == pytest.approx(expected, abs=0.02)


async def test_callers_that_have_not_joined_yet_are_counted_too() -> None:
    bucket = Bucket(BARE)
    assert [bucket.expected_wait(ahead) for ahead in (0, 2, 3, 10)] == [0, 0, 1, 8]


async def test_the_expected_wait_includes_a_pause_and_no_burst_after_it() -> None:
    bucket = Bucket(BARE)
    bucket.pause(20)
    assert [bucket.expected_wait(ahead) for ahead in (0, 1, 2)] == pytest.approx([20, 21, 22])
    await asyncio.sleep(15)
    assert bucket.expected_wait(0) == pytest.approx(5)


async def test_a_limiter_that_other_clients_use_shows_only_whether_callers_wait_before() -> None:
    class Shared:
        paused_until = 0.0
        is_idle = True

        def seconds_until(self, _permits: int, /) -> None:
            return None

        async def acquire(self, _on_remote_pause: Callable[[], None], /) -> None:
            await asyncio.sleep(3)

        def pause(self, seconds: float) -> None:
            self.paused_until = seconds

    bucket = Bucket(BARE, Shared())
    assert bucket.expected_wait(0) == 0
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0)
    assert bucket.expected_wait(0) is None
    await waiting
    assert bucket.expected_wait(0) == 0
