"""How a deploy ends, for a recording: the moment of each cancellation, and the error that it raises."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from flyasync.api.client import FlyClient
from flyasync.errors import FlyError

T = TypeVar("T")


async def noting_cancellation(fly: FlyClient, app: str, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a deploy; if the client has a recording, each cancellation is noted in it at once.

    The deploy itself handles a cancellation only after its running tracks have ended.
    """
    if fly.recording is None:
        return await work
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                fly.recording.note("cancelled", {"app": app})
                task.cancel()
    return task.result()


@contextmanager
def noting_error(fly: FlyClient, app: str) -> Iterator[None]:
    """Note the error that a deploy raises in the recording of the client, if it has one."""
    try:
        yield
    except FlyError as error:
        if fly.recording:
            fly.recording.note("raised", {"app": app, "kind": type(error).__name__, "message": str(error)})
        raise
