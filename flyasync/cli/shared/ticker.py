"""Whatever shows the seconds that pass is asked again and again to show them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

REFRESH = 0.1
"""Seconds between two pictures."""


class Watched(Protocol):
    """Something that changes with the time."""

    def refresh(self) -> None:
        """Show the time that has passed."""

    def close(self) -> None:
        """Leave all as it was."""


W = TypeVar("W", bound=Watched)


@asynccontextmanager
async def watching(screen: W) -> AsyncIterator[W]:
    """Keep the screen's seconds running, and leave the terminal as it was."""
    ticking = asyncio.ensure_future(_tick(screen))
    try:
        yield screen
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        screen.close()


async def _tick(screen: Watched) -> None:
    while True:
        await asyncio.sleep(REFRESH)
        screen.refresh()
