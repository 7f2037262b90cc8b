"""Handlers: functions from the world and a request to a response, some of them asynchronous."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.world.world import World

Handler = Callable[[World, ApiRequest], ApiResponse]
LongHandler = Callable[[Scheduler, ApiRequest], Awaitable[ApiResponse]]
H = TypeVar("H", Handler, LongHandler)


class Handlers(dict[str, H], Generic[H]):
    """The handlers of a module by the operations that they serve, named as in the API document."""

    def serves(self, *operations: str) -> Callable[[H], H]:
        """Return a decorator that registers a function as the handler of these operations."""

        def register(handler: H) -> H:
            self.update(dict.fromkeys(operations, handler))
            return handler

        return register
