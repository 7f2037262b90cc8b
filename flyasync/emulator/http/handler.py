"""Handlers: the world and a request go in, a response comes out, at once or a little later."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.http.scheduler import Scheduler
from flyasync.emulator.world.world import World

Handler = Callable[[World, ApiRequest], ApiResponse]
LongHandler = Callable[[Scheduler, ApiRequest], Awaitable[ApiResponse]]
H = TypeVar("H", Handler, LongHandler)


class Handlers(dict[str, H], Generic[H]):
    """The handlers of a file by the operations that they serve, under the names of the API's document."""

    def serves(self, *operations: str) -> Callable[[H], H]:
        """Return a decorator that lets a function serve these operations."""

        def register(handler: H) -> H:
            self.update(dict.fromkeys(operations, handler))
            return handler

        return register
