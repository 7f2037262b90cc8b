"""Cleanup that a cancellation must not cut short, on plain asyncio and under the cancel scopes of anyio.

`task.cancel()` cancels a task once, and a second one cuts its cleanup short. A scope of anyio, which Starlette, Prefect
and MCP use, cancels its tasks in each iteration of the event loop until they have left the scope: without these
functions, that would cut all cleanup. `AllEnded` waits for thousands of coroutines whose cleanup is finished.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
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


class AllEnded(asyncio.Future[None]):
    """Runs coroutines concurrently, and is done once all have ended, with the first of their exceptions.

    As with `asyncio.gather(…, return_exceptions=True)`, an exception of one does not affect the others. Each
    cancellation of the caller is passed on to all that still run, and raised when they have ended. But gather refers to
    every task until the last one ends, and each of them to its coroutine and context: 700 bytes.
    """

    def __init__(self, coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._error: BaseException | None = None
        self._cancellation: tuple[Any] | None = None
        self._running = dict.fromkeys(map(asyncio.create_task, coroutines))  # a set would not keep their order
        end, context = self._end, copy_context()  # one of each, not one for each task
        for task in self._running:
            task.add_done_callback(end, context=context)
        if not self._running:
            self.set_result(None)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel all coroutines that still run."""
        cancelled = [task.cancel(msg) for task in tuple(self._running)]
        if any(cancelled):
            self._cancellation = (msg,)
        return any(cancelled)

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._error = self._error or error
        if self._running:
            return
        if self._cancellation:
            super().cancel(*self._cancellation)
        elif self._error:
            self.set_exception(self._error)
        else:
            self.set_result(None)
