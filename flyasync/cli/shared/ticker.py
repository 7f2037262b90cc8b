"""Refresh a live display ten times a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

REFRESH = 0.1
"""Seconds between two refreshes."""


class Refreshable(Protocol):
    """A display that changes as time passes."""

    def refresh(self) -> None:
        """Show the time that has passed."""

    def close(self) -> None:
        """Restore the terminal."""


R = TypeVar("R", bound=Refreshable)


@asynccontextmanager
async def refreshing(display: R) -> AsyncIterator[R]:
    """Refresh a display until the end of the block, then close it, whatever ends the block."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(REFRESH)
            display.refresh()

    ticking = asyncio.ensure_future(tick())
    try:
        yield display
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        display.close()
