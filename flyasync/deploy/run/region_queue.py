"""One machine of a region in line at a time, so that a full region turns few away before the others know."""

import asyncio

from attrs import Factory, define, field


@define
class Door:
    """Where the machines wanted in one region come to stand in line for their create.

    Until the region has answered once, the next one waits for that answer; from then on only until the one before has
    left. So a region without any room costs one create, and one that fills up costs those under way and one more, while
    a region with room is never waited for: somebody stands in line at any time.
    """

    _lock: asyncio.Lock = Factory(asyncio.Lock)
    has_answered: bool = False

    async def enter(self) -> "Ticket":
        """Wait until nobody else of this region stands in line."""
        await self._lock.acquire()
        return Ticket(self, self._lock)

    def bypass(self) -> "Ticket":
        """Return the ticket of an urgent create, which does not wait here."""
        return Ticket(self, self._lock, stands_in_line=False)


@define(eq=False)
class Ticket:
    """The right to stand in line for one region; given back once."""

    _door: Door
    _lock: asyncio.Lock
    stands_in_line: bool = True
    _is_held: bool = field(init=False, default=Factory(lambda self: self.stands_in_line, takes_self=True))

    def give_back(self, *, answered: bool = False) -> None:
        """Let the next one in: on leaving if the region is known to answer, and after an answer in any case."""
        self._door.has_answered |= answered
        if self._is_held and self._door.has_answered:
            self._is_held = False
            self._lock.release()
