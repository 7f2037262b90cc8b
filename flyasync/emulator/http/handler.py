"""The shape of a handler: the world and an ask go in, an answer comes out, now or a little later."""

from collections.abc import Awaitable, Callable

from flyasync.emulator.http.request import Answer, Ask
from flyasync.emulator.world.world import World

Handler = Callable[[World, Ask], Answer]
LongHandler = Callable[[Ask], Awaitable[Answer]]
