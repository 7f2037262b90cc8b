"""The places of one lane: how many of its serving machines may be away at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define


@define(eq=False)
class Place:
    """A place to be away in; one that `is_lost` does not come back, for its machine stays away."""

    is_there: bool = True
    is_lost: bool = False


class Places:
    """So many places, first come, first served."""

    def __init__(self, width: int) -> None:
        self._left = max(0, width)
        self._free = asyncio.Semaphore(self._left)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Place]:
        """Wait for a place and keep it for the block; it is not there when all have been lost."""
        if self._left <= 0:
            yield Place(is_there=False)
            return
        await self._free.acquire()
        place = Place(is_there=self._left > 0)
        try:
            yield place
        finally:
            self._left -= place.is_lost
            # The last one that is lost lets the others go, each to find that no place is left.
            if not place.is_lost or self._left <= 0:
                self._free.release()
