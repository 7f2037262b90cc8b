"""The arithmetic of a shared bucket: the generic cell rate algorithm, and a queue of the workers that wait for it.

All times are whole microseconds of one clock that all workers share; a worker is one client. A bucket is described by
the time at which it will be full again: the "theoretical arrival time" of the algorithm (ITU-T I.371). A worker that is
turned away gets a place in the queue and a time to ask again, so that the next permit does not go to whichever worker
happens to be quickest.
"""

from typing import Final

from attrs import evolve, frozen

from flyasync.transport.ratelimit.rates import LONGEST_PAUSE

LATE = 1_000_000
"""How long after its time a worker may ask again and keep its place; from then on it counts as gone."""
SLACK = 1_000_000
"""How far the clock may go back before that counts: by less, the clocks of two processes differ anyway."""
LONGEST: Final = round(LONGEST_PAUSE * 1_000_000)
"""No pause is longer than this, so what would be one is wrong data in the store."""


@frozen
class Reservation:
    """A worker's place in the queue: it was told to ask again at `due`."""

    worker: str
    due: int


@frozen(kw_only=True)
class State:
    """A bucket, as seen at `at`: it is full again at `full_at`, and `queue` holds the workers that wait for it."""

    full_at: int
    at: int
    queue: tuple[Reservation, ...] = ()

    @classmethod
    def unseen(cls, now: int, *, born: int, room: int) -> "State":
        """Return a bucket that the store does not know: full, unless the store is too young to know that.

        A store that was created at `born` may have forgotten requests that had just emptied the bucket.
        """
        return cls(full_at=max(now, born + room), at=now)

    def is_at_rest(self, now: int) -> bool:
        """Whether a bucket that the store does not know would be the same."""
        return self.full_at <= now and all(place.due + LATE < now for place in self.queue)

    def paused(self, *, room: int) -> int:
        """Return for how long no worker is granted anything: only a pause makes a bucket emptier than empty."""
        return max(0, self.full_at - room - self.at)

    def seen_at(self, now: int, *, room: int) -> "State":
        """Return the bucket at `now`, without the workers that did not ask again in time."""
        # 1. The clock was set back, as by a restart of the host: every time in the bucket moves back with it.
        if now < self.at - SLACK:
            back = self.at - now
            moved = tuple(evolve(place, due=place.due - back) for place in self.queue)
            state = evolve(self, full_at=self.full_at - back, at=now, queue=moved)
        # 2. The clocks of two processes differ by a little: the later one counts.
        else:
            now = max(now, self.at)
            there = tuple(place for place in self.queue if place.due + LATE >= now)
            state = State(full_at=max(self.full_at, now), at=now, queue=there)
        # A pause that was never asked for is wrong data: then the bucket is empty, and not paused.
        return state if state.paused(room=room) <= LONGEST else State(full_at=now + room, at=now)


def take(state: State, worker: str, now: int, *, interval: int, room: int) -> tuple[State, int]:
    """Ask for one permit; return the bucket afterwards, and how long to wait before asking again, 0 for a permit."""
    state = state.seen_at(now, room=room)
    # A worker that asks again keeps its place; a new one stands behind all others.
    workers = [place.worker for place in state.queue]
    place = workers.index(worker) if worker in workers else len(workers)
    before, behind = state.queue[:place], state.queue[place + 1 :]
    # Ready is the time at which the bucket has a permit for each worker before, and one more.
    ready = state.full_at + (place + 1) * interval - room
    if ready <= state.at:
        return evolve(state, full_at=state.full_at + interval, queue=(*before, *behind)), 0
    return evolve(state, queue=(*before, Reservation(worker, ready), *behind)), ready - state.at


def pause(state: State, now: int, *, room: int, length: int) -> State:
    """Grant nothing for `length`, and no burst right after that."""
    state = state.seen_at(now, room=room)
    return evolve(state, full_at=max(state.full_at, state.at + length + room))


def charge(state: State, now: int, *, interval: int, room: int, requests: int) -> State:
    """Count requests that were sent without asking; more than a whole burst of them empty the bucket, and no more."""
    state = state.seen_at(now, room=room)
    charged = min(state.full_at + requests * interval, state.at + room)
    return evolve(state, full_at=max(state.full_at, charged))


def share(now: int, *, interval: int, workers: int, rank: int, after: int) -> tuple[int, int]:
    """Return the number of a worker's next own interval, which is greater than `after`, and how long until it begins.

    For `workers` that cannot ask each other. Time is cut into intervals that go round among them. If each worker sends
    one request in each interval of its own, all of them together keep to the rate.
    """
    number = max(now // interval, after + 1)
    number += (rank - number) % workers
    return number, max(0, number * interval - now)
