"""The moment at which a deploy is cancelled, for a recording."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from flyasync.api.client import FlyClient

T = TypeVar("T")


async def noting_cancellation(fly: FlyClient, app: str, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a deploy; if the client has a recording, a cancellation is noted in it at once.

    The deploy itself handles a cancellation only after its running tracks have ended.
    """
    if fly.recording is None:
        return await work
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            fly.recording.note("cancelled", {"app": app})
            task.cancel()
        return await task
