"""The shape of a handler: the world and an ask go in, an answer comes out, now or a little later."""

from collections.abc import Awaitable, Callable

from flyasync.emulator.http.request import ApiRequest, ApiResponse
from flyasync.emulator.world.world import World

Handler = Callable[[World, ApiRequest], ApiResponse]
LongHandler = Callable[[ApiRequest], Awaitable[ApiResponse]]
