"""Cleanup that a cancellation must not cut short, on plain asyncio and under the cancel scopes of anyio.

`task.cancel()` cancels a task once, and a second one cuts its cleanup short. A scope of anyio, which Starlette, Prefect
and MCP use, cancels its tasks in each iteration of the event loop until they have left the scope: without these
functions, that would cut all cleanup.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SCOPE = "Cancelled via cancel scope"
"""How the message of each cancellation by a scope of anyio begins; the scope's id follows."""


def unscoped() -> AbstractContextManager[Any]:
    """Keep the surrounding scopes of anyio from cancelling the block, which must end by itself in bounded time.

    `task.cancel()` still cancels it. A program that has not imported anyio has no scopes.
    """
    anyio = sys.modules.get("anyio")
    return anyio.CancelScope(shield=True) if anyio else nullcontext()


async def ended(task: "asyncio.Future[Any]", first: asyncio.CancelledError) -> None:
    """Wait until `task` has ended, although `first` has cancelled the caller; pass each further cancellation on to it.

    That is not raised, so that the caller can raise `first`.
    """
    with unscoped():
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as again:
                # If the caller is a task of asyncio.gather inside a scope, gather passes all cancellations of the scope
                # on to it, and no scope of its own can prevent that. They are one cancellation.
                if not (again.args == first.args and str(first).startswith(SCOPE)):
                    task.cancel()


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Finish `work` and return its result: a cancellation takes effect after that; a second one cuts it short."""
    task = asyncio.ensure_future(work)
    with unscoped():
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError as first:
            await ended(task, first)
            raise


def cancelled_once(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Decorate an async function whose cleanup must be finished; it runs in a task of its own, outside all scopes.

    When its caller is cancelled, so is the task, and the caller waits until it has ended. A scope cancels it only once.
    If it fails then, its error is raised.
    """

    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(function(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError as first:
            task.cancel()
            await ended(task, first)
            if not task.cancelled() and (error := task.exception()):
                raise error from None
            raise
        except GeneratorExit:
            task.cancel()  # this coroutine is closed, so it cannot wait for the task
            raise

    return run
