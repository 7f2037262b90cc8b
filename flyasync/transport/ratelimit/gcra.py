"""The arithmetic of a shared bucket: the generic cell rate algorithm, with a queue of waiting workers.

All times are whole microseconds of one clock that all workers share; a worker is one client. A bucket is described by
the time at which it will be full again: the "theoretical arrival time" of the algorithm (ITU-T I.371). A worker that
gets no permit is queued, and gets a time at which to ask again. So the next permit goes to the worker that has waited
longest, not to the fastest one.
"""

from typing import Final

from attrs import evolve, frozen

from flyasync.transport.ratelimit.rates import LONGEST_PAUSE

LATE = 1_000_000
"""How late a worker may ask again without losing its position in the queue; after that it counts as gone."""
SLACK = 1_000_000
"""The largest step back of the clock that is ignored, since the clocks of two processes may differ by that much."""
LONGEST: Final = round(LONGEST_PAUSE * 1_000_000)
"""The longest valid pause; a longer one is corrupt data in the store."""


@frozen
class Reservation:
    """A worker's position in the queue; the worker is to ask again at `due`."""

    worker: str
    due: int


@frozen(kw_only=True)
class State:
    """A bucket at the time `at`: it will be full at `full_at`, and `queue` holds the waiting workers."""

    full_at: int
    at: int
    queue: tuple[Reservation, ...] = ()

    @classmethod
    def unseen(cls, now: int, *, born: int, room: int) -> "State":
        """Return the state of a bucket that the store does not contain: full, unless the store is too new for that.

        A store that was created at `born` may have lost the record of requests that had just emptied the bucket.
        """
        return cls(full_at=max(now, born + room), at=now)

    def is_idle(self, now: int) -> bool:
        """Whether the bucket is full and no worker waits for it, so that the store can drop it."""
        return self.full_at <= now and all(place.due + LATE < now for place in self.queue)

    def paused(self, *, room: int) -> int:
        """Return how long the bucket is still paused: only a pause moves `full_at` beyond that of an empty bucket."""
        return max(0, self.full_at - room - self.at)

    def seen_at(self, now: int, *, room: int) -> "State":
        """Return the bucket at `now`, without the workers that are too late to ask for their permit again."""
        # 1. The clock went back, for example after a restart of the host: all times in the bucket move back with it.
        if now < self.at - SLACK:
            back = self.at - now
            moved = tuple(evolve(place, due=place.due - back) for place in self.queue)
            state = evolve(self, full_at=self.full_at - back, at=now, queue=moved)
        # 2. The clocks of two processes differ by a little: the later one counts.
        else:
            now = max(now, self.at)
            there = tuple(place for place in self.queue if place.due + LATE >= now)
            state = State(full_at=max(self.full_at, now), at=now, queue=there)
        # An impossibly long pause is corrupt data: then the bucket counts as empty and not paused.
        return state if state.paused(room=room) <= LONGEST else State(full_at=now + room, at=now)


def take(state: State, worker: str, now: int, *, interval: int, room: int) -> tuple[State, int]:
    """Request one permit; return the new state, and 0 if it was granted, else the time to wait before asking again."""
    state = state.seen_at(now, room=room)
    # A worker that asks again keeps its position; a new one is queued last.
    workers = [place.worker for place in state.queue]
    place = workers.index(worker) if worker in workers else len(workers)
    before, behind = state.queue[:place], state.queue[place + 1 :]
    # `ready` is the time at which the bucket has a permit for each worker before this one, and one more.
    ready = state.full_at + (place + 1) * interval - room
    if ready <= state.at:
        return evolve(state, full_at=state.full_at + interval, queue=(*before, *behind)), 0
    return evolve(state, queue=(*before, Reservation(worker, ready), *behind)), ready - state.at


def pause(state: State, now: int, *, room: int, length: int) -> State:
    """Return the state in which nothing is granted for `length`, and no burst follows."""
    state = state.seen_at(now, room=room)
    return evolve(state, full_at=max(state.full_at, state.at + length + room))


def charge(state: State, now: int, *, interval: int, room: int, requests: int) -> State:
    """Count requests that were sent without a permit; they can empty the bucket, but not more than that."""
    state = state.seen_at(now, room=room)
    charged = min(state.full_at + requests * interval, state.at + room)
    return evolve(state, full_at=max(state.full_at, charged))


def share(now: int, *, interval: int, workers: int, rank: int, after: int) -> tuple[int, int]:
    """Return the number of the worker's next interval after interval `after`, and the time until it begins.

    This divides a rate among `workers` that cannot communicate. Time is split into intervals that are assigned to the
    workers in turn. If each worker sends one request in each of its intervals, all together keep the rate.
    """
    number = max(now // interval, after + 1)
    number += (rank - number) % workers
    return number, max(0, number * interval - now)
