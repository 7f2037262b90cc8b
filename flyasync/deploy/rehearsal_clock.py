"""A clock to rehearse by, and what there is to stand in line for; pure."""

from collections import deque
from collections.abc import Generator
from heapq import heappop, heappush

from attrs import Factory, define, frozen

LOOK_EVERY = 1.0
"""Seconds between two such lists, and between two looks at the checks of one machine."""

Waits = Generator["float | Places", None, None]
"""The waits of one machine, one after the other: so many seconds, or for a place."""


@frozen(kw_only=True)
class Pace:
    """How many creates of one app may leave at once, and how many a second from then on; volumes keep it too."""

    usable: float
    per_second: float


@define
class Clock:
    """Advances many at once, each from wait to wait; first come, first served."""

    now: float = 0.0
    _due: list[tuple[float, int, Waits]] = Factory(list)
    _count: int = 0

    def begin(self, waits: Waits, *, after: float = 0.0) -> None:
        """Let one more begin, now or later."""
        self._count += 1
        heappush(self._due, (self.now + after, self._count, waits))

    def run(self) -> None:
        """Let everyone come to the end."""
        while self._due:
            self.now, _, waits = heappop(self._due)
            wait = next(waits, None)
            if isinstance(wait, Places):
                wait.line_up(waits)
            elif wait is not None:
                self.begin(waits, after=wait)


@define(eq=False)
class Places:
    """So many places, and a line before them; once open, places for all."""

    _clock: Clock
    _free: int = 1
    _line: deque[Waits] = Factory(deque)
    is_open: bool = False

    def line_up(self, waits: Waits) -> None:
        """Give a place now, or as soon as one is free."""
        if self.is_open:
            self._clock.begin(waits)
        elif self._free:
            self._free -= 1
            self._clock.begin(waits)
        else:
            self._line.append(waits)

    def leave(self) -> None:
        """Give a place back."""
        if self._line:
            self._clock.begin(self._line.popleft())
        else:
            self._free += 1

    def open(self) -> None:
        """Let everyone in, those in line first."""
        self.is_open = True
        while self._line:
            self.leave()


@define(eq=False)
class Doorway:
    """The line of one region: until the region has answered once, the next one waits for that."""

    gate: Places
    has_answered: bool = False


@define
class Bucket:
    """Turns at a pace, kept as the time at which the bucket would be empty again."""

    _pace: Pace
    _empty_at: float = float("-inf")

    def turn(self, now: float) -> float:
        """Take the next turn; give the seconds until then."""
        at = max(now, self._empty_at - (self._pace.usable - 1) / self._pace.per_second)
        self._empty_at = max(self._empty_at, at) + 1 / self._pace.per_second
        return at - now


@define
class Looks:
    """The list that all who wait in one app share, and how many they are."""

    waiting: int = 0
    _last: float = float("-inf")

    def next(self, now: float) -> float:
        """Give the seconds until the next list."""
        if self._last <= now:
            self._last = max(now, self._last + LOOK_EVERY)
        return self._last - now
