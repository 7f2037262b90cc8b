"""What clients that count together do: by files, in virtual time; also while those cannot be asked."""

import asyncio
import fcntl
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from itertools import chain
from pathlib import Path

import pytest
import pytest_asyncio

from flyasync import Emulator, Fault, FlyClient, RateLimited, RetryPolicy
from flyasync.transport.events import ClientEvent, LimitsBack, LimitsLost, Paused, log_event
from flyasync.transport.ratelimit.buckets import Bucket
from flyasync.transport.ratelimit.file import FileStore
from flyasync.transport.ratelimit.rates import Rate
from flyasync.transport.ratelimit.shared import PATIENCE, PROBE, SETTLE, Census, SharedLimits, StoreReply
from tests.transport.scripted import burn, now, rounded

DEFAULT = Rate(per_second=1, burst=3, spare=1)
QUICK = Rate(per_second=10, burst=4)


class Worker:
    """One client of several: its access to the store, its bucket, and the events it emitted."""

    def __init__(self, directory: Path, rate: Rate = DEFAULT, *, workers: int = 1) -> None:
        self.told: list[ClientEvent] = []
        self.pauses: list[tuple[float, float]] = []
        self.shared = SharedLimits(FileStore(directory), self.told.append, workers=workers)
        self.bucket = Bucket(rate, self.shared.limiter("fly:machines.get:m1", rate, self.pause))

    def pause(self, seconds: float) -> None:
        self.pauses.append((now(), seconds))

    async def turns(self, count: int) -> list[float]:
        return await granted(self.bucket.acquire, count)


async def granted(acquire: Callable[[], Awaitable[object]], count: int) -> list[float]:
    times: list[float] = []

    async def one() -> None:
        await acquire()
        times.append(now())

    await asyncio.gather(*(one() for _ in range(count)))
    return times


@asynccontextmanager
async def working(
    directory: Path, count: int, rate: Rate = DEFAULT, *, expected: int = 1
) -> AsyncIterator[list[Worker]]:
    workers = [Worker(directory, rate, workers=expected) for _ in range(count)]
    try:
        yield workers
    finally:
        await asyncio.gather(*(worker.shared.close() for worker in workers))


@pytest_asyncio.fixture
async def directory(tmp_path: Path) -> Path:
    """Return a store that is old enough to know its buckets."""
    async with working(tmp_path, 1) as (worker,):
        await worker.turns(1)
    await asyncio.sleep(60)
    return tmp_path


def peak(times: list[float], rate: Rate) -> float:
    """Return the greatest number of permits in any stretch of time, less what the rate allows in it."""
    times = sorted(times)
    low, most = 0.0, 0.0
    for number, at in enumerate(times):
        credit = number - at * rate.per_second
        low = credit if number == 0 else min(low, credit)
        most = max(most, credit - low + 1)
    return most


@contextmanager
def stalled(directory: Path) -> Iterator[None]:
    """Hold every lock, as a process does that was stopped in the middle."""
    held = [os.open(path, os.O_RDWR) for path in directory.iterdir()]
    for file in held:
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        for file in held:
            os.close(file)


@contextmanager
def gone(directory: Path) -> Iterator[None]:
    """Take the directory away, and let nothing else be made there."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    directory.write_text("in the way")
    try:
        yield
    finally:
        directory.unlink()
        aside.rename(directory)


async def test_alone_the_schedule_is_that_of_a_bucket_in_memory(directory: Path) -> None:
    start = now()
    async with working(directory, 1) as (worker,):
        assert rounded([at - start for at in await worker.turns(6)]) == [0, 0, 1, 2, 3, 4]


async def test_together_they_are_granted_what_one_alone_would_be(directory: Path) -> None:
    start = now()
    async with working(directory, 4) as workers:
        times = sorted(chain(*await asyncio.gather(*(worker.turns(5) for worker in workers))))
        assert rounded([at - start for at in times]) == pytest.approx([0, 0, *range(1, 19)], abs=0.02)


async def test_everyone_gets_the_same_share(directory: Path) -> None:
    got = [0] * 8
    async with working(directory, 8, QUICK) as workers:

        async def take(number: int) -> None:
            while now() < end:
                await workers[number].bucket.acquire()
                got[number] += 1

        end = now() + 60
        await asyncio.gather(*(take(number) for number in range(8) for _ in range(10)))
    assert sum(got) >= 0.97 * 600
    assert max(got) <= 1.1 * min(got)


async def test_a_429_of_one_pauses_all(directory: Path) -> None:
    async with working(directory, 2) as (first, second):
        await first.turns(1)
        start = now()
        first.bucket.pause(10)
        times = sorted(chain(*await asyncio.gather(first.turns(2), second.turns(2))))
        assert times[0] - start >= 10
        assert peak(times, DEFAULT) <= 1.1, "no burst right after a 429"


async def test_a_pause_is_known_to_all_who_wait_as_soon_as_one_has_asked_and_reported_once(directory: Path) -> None:
    async with working(directory, 2) as (first, second):
        await first.turns(1)
        first.bucket.pause(100)
        await asyncio.sleep(0.1)
        start, held = now(), list[tuple[float, float]]()

        def hold(until: float) -> None:
            held.append((now() - start, until - start))

        waiting = [asyncio.create_task(second.bucket.acquire(on_pause=hold)) for _ in range(3)]
        await asyncio.sleep(1)
        assert held == [pytest.approx((0, 99.9), abs=0.05)] * 3
        waiting.append(asyncio.create_task(second.bucket.acquire(on_pause=hold)))
        await asyncio.sleep(0)
        assert held[3:] == [pytest.approx((1, 99.9), abs=0.05)]
        await first.turns(1)
        await asyncio.gather(*waiting)
        assert first.pauses == [], "its own pause is not another client's"
        assert second.pauses == [pytest.approx((start, 99.9), abs=0.05)]


async def test_a_pause_that_is_extended_is_reported_again(directory: Path) -> None:
    async with working(directory, 2) as (first, second):
        first.bucket.pause(10)
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(second.turns(1))
        await asyncio.sleep(5)
        first.bucket.pause(20)
        start = now()
        (at,) = await waiting
        assert at - start == pytest.approx(20, abs=2)
        assert [seconds for _, seconds in second.pauses] == pytest.approx([9.9, 15], abs=1.1)


class Late(FileStore):
    """A store that a pause takes a while to reach, and that ends it so much later."""

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        await asyncio.sleep(PATIENCE / 2)
        await super().pause(key, rate, seconds)


async def test_a_clients_own_pause_that_the_store_ends_later_is_not_another_clients(directory: Path) -> None:
    worker = Worker(directory)
    worker.shared = SharedLimits(Late(directory), worker.told.append)
    worker.bucket = Bucket(DEFAULT, worker.shared.limiter("fly:machines.get:m1", DEFAULT, worker.pause))
    start = now()
    worker.bucket.pause(10)
    (at,) = await worker.turns(1)
    await worker.shared.close()
    assert at - start == pytest.approx(11, abs=0.5)
    assert worker.pauses == []


async def test_a_pause_that_nobody_can_have_asked_for_is_ignored(directory: Path) -> None:
    store = FileStore(directory)
    await store.pause("fly:machines.get:m1", DEFAULT, 1e10)
    start = now()
    async with working(directory, 1) as (worker,):
        assert rounded([at - start for at in await worker.turns(2)]) == [1, 2]
        assert worker.pauses == []
    await store.close()


async def test_the_place_in_line_of_one_that_is_cancelled_goes_to_the_next_of_its_client(directory: Path) -> None:
    async with working(directory, 2) as (first, second):
        await first.turns(2)
        waiting = [asyncio.create_task(worker.turns(1)) for worker in (first, second, first)]
        await asyncio.sleep(0.5)
        waiting[0].cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError)
        assert not isinstance(ended[1], BaseException)
        assert not isinstance(ended[2], BaseException)
        assert ended[2] < ended[1]


@pytest.mark.parametrize("trouble", [stalled, gone])
async def test_while_the_store_cannot_be_asked_each_keeps_to_its_share_and_none_stops(
    directory: Path, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    times: list[float] = []
    async with working(directory, 4, QUICK) as workers:

        async def work(worker: Worker) -> None:
            while now() < end:
                await worker.bucket.acquire()
                times.append(now())

        end = now() + 60
        tasks = [asyncio.create_task(work(worker)) for worker in workers]
        await asyncio.sleep(20)
        with trouble(directory):
            await asyncio.sleep(20)
            assert all(worker.shared.is_lost for worker in workers)
        away = [at for at in times if end - 38 < at < end - 20]
        await asyncio.gather(*tasks)
    assert peak(times, QUICK) <= QUICK.usable
    assert len(away) >= 0.9 * 18 * QUICK.per_second, "what the rate allows is used, all of it, by all together"
    back = min(at for at in times if at > end - 20 + SETTLE)
    assert back < end - 20 + PROBE + PATIENCE + SETTLE + 1
    for worker in workers:
        assert [type(event) for event in worker.told] == [LimitsLost, LimitsBack]


async def test_the_loss_is_said_once_and_loudly_and_so_is_the_return(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shared = SharedLimits(FileStore(directory), log_event)
    bucket = Bucket(QUICK, shared.limiter("fly:machines.get:m1", QUICK))
    caplog.set_level(logging.INFO, "flyasync")
    await granted(bucket.acquire, 1)
    with stalled(directory):
        await granted(bucket.acquire, 50)
    await asyncio.sleep(PROBE + PATIENCE)
    await granted(bucket.acquire, 5)
    await shared.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "are unavailable (no reply within 0.5 s): using 1/1 of each rate" in caplog.text
    assert "are back after" in caplog.text


async def test_the_first_answer_that_does_not_come_costs_half_a_second_and_the_others_nothing(directory: Path) -> None:
    async with working(directory, 1, QUICK) as (worker,):
        await worker.turns(1)
        with stalled(directory):
            start = now()
            await worker.turns(1)
            assert PATIENCE <= now() - start <= PATIENCE + 0.4
            start = now()
            await worker.turns(10)
            assert now() - start <= 1.1


async def test_a_worker_that_never_reached_the_store_keeps_to_one_of_as_many_as_are_expected(directory: Path) -> None:
    async with working(directory, 1, QUICK, expected=5) as (worker,):
        with gone(directory):
            start = now()
            times = await worker.turns(10)
            assert now() - start >= 9 * 5 / QUICK.per_second
            assert peak(times, Rate(per_second=2, burst=1)) <= 1.05
            assert isinstance(worker.told[0], LimitsLost)
            assert worker.told[0].workers == 5


async def test_a_pause_while_the_store_is_away_holds_for_its_own_client(directory: Path) -> None:
    async with working(directory, 1, QUICK) as (worker,):
        await worker.turns(1)
        with stalled(directory):
            await worker.turns(1)
            worker.bucket.pause(30)
            start = now()
            await worker.turns(1)
            assert now() - start >= 30


async def test_a_bucket_that_rests_is_forgotten_and_one_in_use_is_not(directory: Path) -> None:
    async with working(directory, 1) as (worker,):
        idle = []
        for wait in (0, DEFAULT.refill + 0.1):
            await worker.turns(2)
            await asyncio.sleep(wait)
            idle.append(worker.bucket.is_idle)
        worker.bucket.pause(10)
        await asyncio.sleep(9)
        assert [*idle, worker.bucket.is_idle] == [False, True, False]


async def test_closed_it_leaves_no_task_and_is_no_worker_any_more(directory: Path) -> None:
    async with working(directory, 2) as workers:
        await asyncio.gather(*(worker.turns(1) for worker in workers))
        store = FileStore(directory)
        assert (await store.census()).workers == 3
    assert (await store.census()).workers == 1


async def test_a_worker_that_was_idle_while_others_came_knows_of_them_when_it_matters(directory: Path) -> None:
    async with working(directory, 1, QUICK) as (first,), working(directory, 3, QUICK) as others:
        for worker in (first, *others):
            await worker.turns(1)
            await asyncio.sleep(20)
        await asyncio.sleep(100)
        times: list[float] = []
        with gone(directory):
            end = now() + 30

            async def work(worker: Worker) -> None:
                while now() < end:
                    await worker.bucket.acquire()
                    times.append(now())

            await asyncio.gather(*map(work, (first, *others)))
        assert peak(times, QUICK) <= 1.1
        assert len(times) >= 0.9 * 30 * QUICK.per_second


class Flaky(FileStore):
    """The files, seen over a line that holds each answer back for too long."""

    async def take(self, key: str, rate: Rate) -> StoreReply:
        await asyncio.sleep(2 * PATIENCE)
        return await super().take(key, rate)


async def test_one_that_does_not_reach_the_store_in_time_takes_nothing_from_the_others(directory: Path) -> None:
    far = Worker(directory, QUICK)
    far.shared = SharedLimits(Flaky(directory), far.told.append)
    far.bucket = Bucket(QUICK, far.shared.limiter("fly:machines.get:m1", QUICK))
    async with working(directory, 3, QUICK) as near:
        got = dict.fromkeys((far, *near), 0)
        times: list[float] = []
        end = now() + 60

        async def work(worker: Worker) -> None:
            while now() < end:
                await worker.bucket.acquire()
                got[worker] += 1
                times.append(now())

        await asyncio.gather(*map(work, got))
        assert sum(got.values()) >= 0.85 * 60 * QUICK.per_second
        assert got[far] > 60 * QUICK.per_second / 4 / 4, "it keeps to its share rather than to look again and again"
        assert sum(isinstance(event, LimitsLost) for event in far.told) <= 6
        assert len(times) <= QUICK.usable + 1.25 * 60 * QUICK.per_second
    await far.shared.close()


async def test_more_questions_than_the_store_can_take_at_once_wait_and_do_not_lose_it(directory: Path) -> None:
    class Slow(FileStore):
        async def take(self, key: str, rate: Rate) -> StoreReply:
            await asyncio.sleep(PATIENCE / 10)
            return await super().take(key, rate)

    told: list[ClientEvent] = []
    shared = SharedLimits(Slow(directory), told.append)
    buckets = [Bucket(QUICK, shared.limiter(f"key-{number}", QUICK)) for number in range(1000)]
    await asyncio.gather(*(bucket.acquire() for bucket in buckets))
    assert told == []
    await shared.close()


async def test_a_store_that_takes_a_cancellation_for_its_own_does_not_keep_a_client_from_closing(
    directory: Path,
) -> None:
    class Deaf(FileStore):
        async def census(self) -> Census:
            with suppress(asyncio.CancelledError):  # as one that waits for bytes, and whose time is up
                await asyncio.sleep(100)
            raise OSError("no bytes")

    shared = SharedLimits(Deaf(directory), lambda _: None)
    with stalled(directory):
        await Bucket(QUICK, shared.limiter("key", QUICK)).acquire()
        await asyncio.sleep(PROBE + PATIENCE / 2)
        start = now()
        await shared.close()
        assert now() - start < 1


@pytest.mark.parametrize("when", ["while it closes", "afterwards"])
async def test_whoever_asks_limits_that_are_closed_is_neither_cancelled_nor_left_alone(
    directory: Path, when: str
) -> None:
    async with working(directory, 1, QUICK) as (worker,):
        await worker.turns(1)
        with stalled(directory):
            asking = asyncio.create_task(worker.turns(2)) if when == "while it closes" else None
            await asyncio.sleep(PATIENCE / 2)
            await worker.shared.close()
            await (asking or worker.turns(2))
        assert worker.told == []


async def test_a_file_with_nonsense_begins_anew_and_no_call_fails_of_it(directory: Path) -> None:
    async with working(directory, 1, QUICK) as (worker,):
        await worker.turns(1)
        for path in directory.iterdir():  # noqa: ASYNC240 - nothing else runs
            path.write_text('{"version":1,"born":0,"buckets":{"fly:machines.get:m1":"nonsense"}}\n')
        await worker.turns(5)
        assert worker.told == []


async def test_what_another_client_is_asked_to_wait_ends_within_the_limit_of_each_call(tmp_path: Path) -> None:
    told: list[ClientEvent] = []
    limited = Fault(does="refuse", action="listMachines", status=429, headers={"Retry-After": "3600"}, times=1)

    def client(emulator: Emulator, *, total: float) -> FlyClient:
        retry, limits = RetryPolicy(total=total), f"file:{tmp_path}"
        return FlyClient(emulator.token, base_url=emulator.url, limits=limits, retry=retry, on_event=told.append)

    async with Emulator(limits=False, faults=[limited]) as emulator:
        async with client(emulator, total=100) as fly:
            await fly.apps.create("web", org_slug="personal")
            with pytest.raises(RateLimited) as caught:
                await fly.machines.list("web")
            assert caught.value.retry_after == 3600
            await asyncio.sleep(1)
        start = now()
        async with client(emulator, total=60) as hasty, client(emulator, total=100) as patient:
            for _ in range(3):
                with pytest.raises(RateLimited) as caught:
                    await hasty.machines.list("web")
                assert caught.value.retry_after == pytest.approx(99, abs=0.5)
            assert now() - start < 1
            await asyncio.gather(*(patient.machines.list("web") for _ in range(3)))
            assert 98 < now() - start < 105
            await hasty.machines.list("web")
    pauses = [
        (it.operation, it.identifier, round(it.seconds), it.asked, it.is_ours) for it in told if isinstance(it, Paused)
    ]
    assert pauses == [("machines.list", "web", 100, 3600, True), *[("machines.list", "web", 99, None, False)] * 2]


async def test_two_clients_meet_no_429_when_they_count_together_and_do_when_they_do_not(tmp_path: Path) -> None:
    async def ask(limits: str) -> int:
        async with Emulator(seed=1, latency=(0.01, 0.05)) as emulator:

            def client() -> FlyClient:
                return FlyClient(emulator.token, base_url=emulator.url, limits=limits)

            async with client() as one, client() as other:
                await one.apps.create("web", org_slug="personal")
                await asyncio.gather(*(fly.machines.list("web") for fly in (one, other) for _ in range(20)))
            return sum(emulator.refused_by_limit().values())

    assert await ask(f"file:{tmp_path}") == 0
    assert await ask("memory") > 0


async def test_shared_limits_show_whether_the_store_answers(directory: Path) -> None:
    async with working(directory, 2, QUICK) as (worker, other):
        await asyncio.gather(worker.turns(1), other.turns(1))
        await asyncio.sleep(3)
        files = f"<SharedLimits the files in {directory}: "
        assert repr(worker.shared) == f"{files}in use, 2 workers>"
        with stalled(directory):
            await worker.turns(3)
            assert re.fullmatch(
                f"{re.escape(files)}lost for 0\\.\\d s, 3 requests sent meanwhile, 2 workers>", repr(worker.shared)
            )
        await asyncio.sleep(PROBE)
        assert re.fullmatch(f"{re.escape(files)}settling for [12]\\.\\d s, 2 workers>", repr(worker.shared))
        await worker.shared.close()
        assert repr(worker.shared) == f"{files}closed, 2 workers>"
        assert re.fullmatch(f"<FileStore {re.escape(str(directory))}, worker \\d+-\\w+>", repr(FileStore(directory)))


async def test_a_loop_that_was_busy_elsewhere_hears_an_answer_that_came_meanwhile(directory: Path) -> None:
    class Slow(FileStore):
        async def take(self, key: str, rate: Rate) -> StoreReply:
            await asyncio.sleep(0.6 * PATIENCE)
            for _ in range(5):  # as many steps as it takes to read an answer that has arrived
                await asyncio.sleep(0)
            return await super().take(key, rate)

    told: list[ClientEvent] = []
    shared = SharedLimits(Slow(directory), told.append)
    asking = asyncio.create_task(Bucket(QUICK, shared.limiter("key", QUICK)).acquire())
    await asyncio.sleep(0.2 * PATIENCE)
    burn(3 * PATIENCE)
    await asking
    assert told == []
    await shared.close()


async def test_what_was_sent_meanwhile_is_charged_in_full_though_charging_fails_at_first(directory: Path) -> None:
    class Hesitant(FileStore):
        charged: list[int] = []  # noqa: RUF012 - of this test alone

        async def charge(self, key: str, rate: Rate, requests: int) -> None:
            self.charged.append(requests)
            if len(self.charged) == 1:
                raise OSError("not yet")
            await super().charge(key, rate, requests)

    slow = Rate(per_second=0.5, burst=4)
    told: list[ClientEvent] = []
    shared = SharedLimits(Hesitant(directory), told.append)
    bucket = Bucket(slow, shared.limiter("key", slow))
    await bucket.acquire()
    with gone(directory):
        await granted(bucket.acquire, 2)
    await asyncio.sleep(2 * PROBE + 0.5)
    assert Hesitant.charged == [2, 2]
    assert [type(event) for event in told] == [LimitsLost, LimitsBack]
    await shared.close()


async def test_the_first_permit_of_its_own_share_leaves_out_the_intervals_next_to_now(directory: Path) -> None:
    shared = SharedLimits(FileStore(directory), lambda _: None)
    last, wait = shared.own_permit("key", QUICK, None)
    assert 0.1 < wait <= 0.2
    await asyncio.sleep(wait)
    number, wait = shared.own_permit("key", QUICK, last)
    assert (number, wait) == (last + 1, 0)
    await shared.close()


async def test_each_loss_leaves_out_the_intervals_next_to_it(directory: Path) -> None:
    async with working(directory, 1, QUICK) as (worker,):
        await worker.turns(1)
        for _ in range(2):
            with stalled(directory):
                await worker.turns(1)
                assert worker.bucket._limiter._own is not None  # type: ignore[attr-defined]
            await asyncio.sleep(PROBE + PATIENCE + SETTLE)
            await worker.turns(1)
            assert worker.bucket._limiter._own is None  # type: ignore[attr-defined]


async def test_a_store_that_only_counts_its_workers_is_not_back(directory: Path) -> None:
    class Half(FileStore):
        async def take(self, key: str, rate: Rate) -> StoreReply:
            raise OSError("not this file")

        async def charge(self, key: str, rate: Rate, requests: int) -> None:
            raise OSError("not this file")

    told: list[ClientEvent] = []
    shared = SharedLimits(Half(directory), told.append)
    await Bucket(QUICK, shared.limiter("key", QUICK)).acquire()
    await asyncio.sleep(60)
    assert [type(event) for event in told] == [LimitsLost]
    await shared.close()


async def test_what_a_bucket_has_refilled_by_then_is_not_charged(directory: Path) -> None:
    class Broken(FileStore):
        is_broken = True
        charged: list[str] = []  # noqa: RUF012 - of this test alone

        async def take(self, key: str, rate: Rate) -> StoreReply:
            raise OSError("away")

        async def charge(self, key: str, rate: Rate, requests: int) -> None:
            if self.is_broken:
                raise OSError("away")
            self.charged.append(key)

    store = Broken(directory)
    shared = SharedLimits(store, lambda _: None)
    for key in ("first", "second"):
        await Bucket(QUICK, shared.limiter(key, QUICK)).acquire()
    await asyncio.sleep(30)
    store.is_broken = False
    await asyncio.sleep(2 * PROBE)
    assert store.charged == ["first"]
    await shared.close()


async def test_a_wait_for_the_own_share_ends_when_the_store_is_back(directory: Path) -> None:
    slow = Rate(per_second=0.1, burst=2)
    async with working(directory, 1, slow, expected=50) as (worker,):
        with gone(directory):
            waiting = asyncio.create_task(worker.turns(1))
            await asyncio.sleep(PROBE / 2)
            assert worker.shared.is_lost
        start = now()
        await waiting
        assert now() - start < 30, "its own share would come once in 500 s"


async def test_workers_that_are_expected_count_though_the_store_has_not_seen_them(directory: Path) -> None:
    async with working(directory, 1, QUICK, expected=5) as (worker,):
        await worker.turns(1)
        await asyncio.sleep(5)
        assert repr(worker.shared).endswith("in use, 5 workers>")
        assert worker.shared._census.workers == 1
