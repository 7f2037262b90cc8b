"""The arithmetic of a shared bucket: the generic cell rate algorithm, and a line of those who wait for it.

All times are whole microseconds of one clock that all workers share; a worker is one client. A bucket is known by the
time at which it will be full again (the theoretical arrival time). Whoever is turned away has a place in line and is
told when to come again, so that the next one is not whoever happens to be quickest.
"""

from typing import Final

from attrs import evolve, frozen

from flyasync.transport.ratelimit.rates import LONGEST_PAUSE

LATE = 1_000_000
"""How long after its time a worker may come and still find its place; from then on it counts as gone."""
SLACK = 1_000_000
"""How far the clock may go back before that counts: less is the clocks of two processes differing."""
LONGEST: Final = round(LONGEST_PAUSE * 1_000_000)
"""A pause that has longer to go was never asked for: what is in the store is wrong."""


@frozen
class Reservation:
    """A worker's place in line, and when it was told to come."""

    worker: str
    due: int


@frozen(kw_only=True)
class State:
    """A bucket: full again at `full_at`, as seen at `at`, and those in line for it."""

    full_at: int
    at: int
    line: tuple[Reservation, ...] = ()

    @classmethod
    def unseen(cls, now: int, *, born: int, room: int) -> "State":
        """Give a bucket that the store does not know: full, unless the store is too young to know that.

        What a store that was born at `born` has forgotten may have emptied the bucket then.
        """
        return cls(full_at=max(now, born + room), at=now)

    def is_at_rest(self, now: int) -> bool:
        """Tell whether a bucket that is not known would be the same."""
        return self.full_at <= now and all(place.due + LATE < now for place in self.line)

    def paused(self, *, room: int) -> int:
        """Return how long nothing gets through, whoever asks: only a pause takes a bucket further than empty."""
        return max(0, self.full_at - room - self.at)

    def seen_at(self, now: int, *, room: int) -> "State":
        """Move to `now`, without those who did not come; a clock that was set back takes nothing with it.

        A pause that cannot be true leaves the bucket empty.
        """
        if now < self.at - SLACK:
            back = self.at - now
            moved = tuple(evolve(place, due=place.due - back) for place in self.line)
            state = evolve(self, full_at=self.full_at - back, at=now, line=moved)
        else:
            now = max(now, self.at)
            there = tuple(place for place in self.line if place.due + LATE >= now)
            state = State(full_at=max(self.full_at, now), at=now, line=there)
        return state if state.paused(room=room) <= LONGEST else State(full_at=now + room, at=now)


def take(state: State, worker: str, now: int, *, interval: int, room: int) -> tuple[State, int]:
    """Ask for one request: give the bucket as it is then, and how long to wait before asking again; 0 grants it."""
    state = state.seen_at(now, room=room)
    names = [place.worker for place in state.line]
    before = names.index(worker) if worker in names else len(names)
    ready = state.full_at + (before + 1) * interval - room  # when there is one for each before, and one more
    others = state.line[:before], state.line[before + 1 :]
    if ready <= state.at:
        return evolve(state, full_at=state.full_at + interval, line=(*others[0], *others[1])), 0
    return evolve(state, line=(*others[0], Reservation(worker, ready), *others[1])), ready - state.at


def pause(state: State, now: int, *, room: int, length: int) -> State:
    """Let nothing through for `length`, and from then on without a burst."""
    state = state.seen_at(now, room=room)
    return evolve(state, full_at=max(state.full_at, state.at + length + room))


def charge(state: State, now: int, *, interval: int, room: int, requests: int) -> State:
    """Count requests that were made without asking; more than a whole burst of them is as good as that."""
    state = state.seen_at(now, room=room)
    charged = min(state.full_at + requests * interval, state.at + room)
    return evolve(state, full_at=max(state.full_at, charged))


def share(now: int, *, interval: int, workers: int, rank: int, after: int) -> tuple[int, int]:
    """Give the next turn of one of so many workers, who cannot ask each other: its number, and how long until then.

    Time is cut into turns of one interval each, which go round among the workers. Whoever keeps to its own, each once,
    keeps all of them together to the rate. The number is greater than `after`.
    """
    turn = max(now // interval, after + 1)
    turn += (rank - turn) % workers
    return turn, max(0, turn * interval - now)
