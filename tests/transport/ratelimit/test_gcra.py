"""The arithmetic of shared buckets: never too much, never too little, and in the order of the queue."""

import heapq
import random
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from flyasync.transport.ratelimit.gcra import LATE, LONGEST, SLACK, Reservation, State, charge, pause, share, take

SECOND = 1_000_000


class Store:
    """One bucket, as a store keeps it, and what it granted to whom."""

    def __init__(self, *, interval: int = SECOND, burst: float = 2, now: int = 0) -> None:
        self.interval, self.room = interval, round(burst * interval)
        self.state = State(full_at=now, at=now)
        self.granted: list[tuple[int, str]] = []

    def take(self, worker: str, now: int) -> int:
        self.state, wait = take(self.state, worker, now, interval=self.interval, room=self.room)
        if not wait:
            self.granted.append((now, worker))
        return wait

    def pause(self, now: int, length: int) -> None:
        self.state = pause(self.state, now, room=self.room, length=length)

    @property
    def times(self) -> list[int]:
        return [at for at, _ in self.granted]

    def peak(self) -> float:
        """Return the greatest number of grants in any stretch of time, less what the rate allows in it."""
        peak, low = 0.0, 0.0
        for number, at in enumerate(self.times):
            credit = number - at / self.interval
            low = credit if number == 0 else min(low, credit)
            peak = max(peak, credit - low + 1)
        return peak


def keep_asking(store: Store, workers: int, until: int, *, seed: int, latest: int, dead: int = 0) -> None:
    """Have workers ask without end, each as late as its network makes it; the first `dead` ask once and never again."""
    noise = random.Random(seed)
    asking = [(noise.randrange(latest), number) for number in range(workers)]
    heapq.heapify(asking)
    while asking[0][0] < until:
        now, number = heapq.heappop(asking)
        wait = store.take(f"worker-{number}", now)
        if number >= dead:
            heapq.heappush(asking, (now + wait + noise.randrange(1, latest), number))


def test_one_worker_gets_the_burst_and_then_the_rate() -> None:
    store = Store(burst=3)
    now = 0
    for _ in range(6):
        while wait := store.take("a", now):
            now += wait
    assert store.times == [0, 0, 0, SECOND, 2 * SECOND, 3 * SECOND]


def test_of_half_a_request_the_other_half_is_waited_for() -> None:
    store = Store(burst=2.5)
    now = 0
    for _ in range(5):
        while wait := store.take("a", now):
            now += wait
    assert store.times == [0, 0, SECOND // 2, 3 * SECOND // 2, 5 * SECOND // 2]


def test_those_who_wait_are_told_different_times_and_served_in_that_order() -> None:
    store = Store(burst=1)
    assert [store.take(worker, 0) for worker in "abcd"] == [0, SECOND, 2 * SECOND, 3 * SECOND]
    assert store.take("d", SECOND) > 0, "it is another one's turn"
    assert store.take("b", SECOND) == 0
    assert store.take("c", 2 * SECOND) == 0
    assert store.take("d", 3 * SECOND) == 0


def test_asking_twice_keeps_the_place() -> None:
    store = Store(burst=1)
    store.take("a", 0)
    first = store.take("b", 0)
    store.take("c", 0)
    assert store.take("b", 0) == first


@given(
    workers=st.integers(1, 12),
    burst=st.integers(2, 40).map(lambda halves: halves / 2),
    per_second=st.sampled_from([1, 5, 200]),
    latest=st.sampled_from([2, 1_000, 50_000, 2_000_000]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_never_more_than_the_burst_and_the_rate_whoever_asks_when(
    workers: int, burst: float, per_second: int, latest: int, seed: int
) -> None:
    store = Store(interval=SECOND // per_second, burst=burst)
    keep_asking(store, workers, 300 * store.interval + latest, seed=seed, latest=latest)
    assert store.granted
    assert store.peak() <= burst + 1e-6


@pytest.mark.parametrize("latest", [2, 400, 2_000])
def test_eight_workers_share_alike_and_leave_nothing_unused(latest: int) -> None:
    store = Store(interval=5_000, burst=50)
    keep_asking(store, 8, 10 * SECOND, seed=1, latest=latest)
    shares = Counter(worker for _, worker in store.granted)
    assert max(shares.values()) <= 1.05 * min(shares.values())
    assert len(store.granted) >= 0.97 * (50 + 200 * 10)


def test_an_unlucky_worker_far_away_is_not_passed_over() -> None:
    store = Store(interval=100_000, burst=2)
    noise, now = random.Random(3), [0] * 8
    for _ in range(2_000):
        number = min(range(8), key=now.__getitem__)
        wait = store.take(f"worker-{number}", now[number])
        now[number] += wait + (40_000 if number == 0 else noise.randrange(50, 500))
    shares = Counter(worker for _, worker in store.granted)
    assert max(shares.values()) <= 1.5 * min(shares.values())


def test_workers_that_died_in_line_cost_the_others_nothing() -> None:
    store = Store(interval=5_000, burst=50)
    keep_asking(store, 8, 10 * SECOND, seed=2, latest=400, dead=3)
    assert len(store.granted) >= 0.97 * (50 + 200 * 10)


def test_with_a_burst_of_one_a_dead_worker_holds_its_place_for_a_second_and_no_longer() -> None:
    store = Store(burst=1)
    store.take("a", 0)
    store.take("dead", 0)
    now = 0
    while wait := store.take("b", now):
        now += wait
    assert now <= SECOND + LATE + SECOND


def test_a_pause_is_kept_by_everyone_and_ends_without_a_burst() -> None:
    store = Store(burst=3)
    store.take("a", 0)
    store.pause(0, 5 * SECOND)
    now = 0
    for _ in range(3):
        while wait := store.take("b", now):
            now += wait
    assert store.times[1:] == [6 * SECOND, 7 * SECOND, 8 * SECOND]


def test_what_was_asked_without_the_store_counts_up_to_a_whole_burst() -> None:
    for requests, expected in [(0, 0), (1, 1), (2, 2), (50, 3)]:
        state = charge(State(full_at=0, at=0), 0, interval=SECOND, room=3 * SECOND, requests=requests)
        assert state.full_at == expected * SECOND


def test_what_was_asked_without_the_store_ends_no_pause() -> None:
    store = Store()
    store.pause(0, 60 * SECOND)
    before = store.state.full_at
    assert charge(store.state, 0, interval=SECOND, room=2 * SECOND, requests=1).full_at == before


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    store = Store()
    store.pause(0, 60 * SECOND)
    before = store.state.full_at
    store.pause(0, SECOND)
    assert store.state.full_at == before


def test_a_clock_that_was_set_back_neither_grants_twice_nor_stops_everyone() -> None:
    store = Store(burst=2, now=1_000 * SECOND)
    assert [store.take(worker, 1_000 * SECOND) for worker in "aab"] == [0, 0, SECOND]
    assert store.take("b", 10 * SECOND) == SECOND
    assert store.take("b", 11 * SECOND) == 0
    assert store.state.queue == ()


def test_clocks_that_differ_a_little_do_not_add_up_to_a_burst() -> None:
    store = Store(burst=1)
    noise = random.Random(4)
    for now in range(0, 60 * SECOND, 10_000):
        store.take("a", max(0, now - noise.randrange(SLACK // 2)))
    assert len(store.granted) <= 61


def test_a_store_that_was_just_born_knows_no_full_bucket() -> None:
    young = State.unseen(500, born=0, room=3 * SECOND)
    assert take(young, "a", 500, interval=SECOND, room=3 * SECOND)[1] == SECOND - 500
    old = State.unseen(3 * SECOND, born=0, room=3 * SECOND)
    assert old.full_at == 3 * SECOND


def test_a_bucket_is_at_rest_when_it_is_full_and_nobody_is_expected() -> None:
    assert State(full_at=5, at=0).is_idle(5)
    assert not State(full_at=6, at=0).is_idle(5)
    assert not State(full_at=0, at=0, queue=(Reservation("a", 4),)).is_idle(4 + LATE)
    assert State(full_at=0, at=0, queue=(Reservation("a", 4),)).is_idle(5 + LATE)


def test_a_worker_keeps_its_place_until_it_is_late_and_no_longer() -> None:
    state = State(full_at=9 * SECOND, at=0, queue=(Reservation("a", 4),))
    assert state.seen_at(4 + LATE, room=SECOND).queue == state.queue
    assert state.seen_at(5 + LATE, room=SECOND).queue == ()


@given(
    workers=st.integers(1, 12),
    start=st.integers(0, 10**16),
    interval=st.sampled_from([5_000, 200_000, SECOND, 666_667]),
)
def test_without_the_store_the_workers_turns_are_all_turns_and_nobody_has_the_same(
    workers: int, start: int, interval: int
) -> None:
    first = start // interval + 2
    turns = []
    for rank in range(workers):
        after = first - 1
        for _ in range(3):
            after, wait = share(start, interval=interval, workers=workers, rank=rank, after=after)
            assert wait == after * interval - start
            turns.append(after)
    assert sorted(turns) == list(range(first, first + 3 * workers))


def test_a_turn_that_has_begun_can_still_be_taken_once() -> None:
    turn, wait = share(10_500, interval=1_000, workers=2, rank=0, after=4)
    assert (turn, wait) == (10, 0)
    assert share(10_500, interval=1_000, workers=2, rank=0, after=turn) == (12, 1_500)


def test_how_long_a_pause_goes_on_is_known_to_whoever_asks() -> None:
    store = Store(burst=2)
    for _ in range(4):
        store.take("a", 0)
    assert store.state.paused(room=store.room) == 0, "that it is empty is not a pause"
    store.pause(0, 90 * SECOND)
    for worker, now in (("b", 0), ("c", 30 * SECOND), ("b", 89 * SECOND)):
        assert store.take(worker, now) > 0
        assert store.state.paused(room=store.room) == 90 * SECOND - now
    assert store.take("b", 91 * SECOND) == 0
    assert store.state.paused(room=store.room) == 0


@pytest.mark.parametrize("back", [0, 10 * SECOND])
def test_a_pause_that_cannot_be_true_is_ignored_with_all_who_wait_for_its_end(back: int) -> None:
    now = 100 * SECOND
    ends = now + 10**18
    store = Store(burst=2, now=now)
    store.state = State(full_at=ends, at=now, queue=tuple(Reservation(f"gone-{n}", ends + n) for n in range(20)))
    store.pause(now - back, 0)
    assert store.state.paused(room=store.room) == 0
    assert store.take("a", now - back) == SECOND, "without a burst"
    assert store.take("a", now - back + SECOND) == 0
    store.pause(now, LONGEST)
    assert store.state.paused(room=store.room) == LONGEST


def test_a_clock_that_was_set_back_takes_the_queue_with_it() -> None:
    state = State(full_at=12 * SECOND, at=10 * SECOND, queue=(Reservation("a", 11 * SECOND),))
    moved = state.seen_at(5 * SECOND, room=SECOND)
    assert moved == State(full_at=7 * SECOND, at=5 * SECOND, queue=(Reservation("a", 6 * SECOND),))
