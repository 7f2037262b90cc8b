"""One look a second at all machines of an app, for any number of onlookers."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from attrs import Factory, define

from flyasync.api.resource import TROUBLE
from flyasync.errors import FlyError
from flyasync.models.machine import Machine

Detail = Literal["states", "events", "checks"]
"""How much a look shows of each machine: its state and version; also what happened to it; or all there is."""

EVENTS_EVERY = 5
"""Every so many looks one shows events as well, for what only they tell, such as a process that crashes over and over.

Without them a list is a small part of what it is to send and to read. After a look that shows a machine stopped, the
next one tells why.
"""


class Survey(Protocol):
    """What lists an app's machines, for waits."""

    async def __call__(self, app: str, /, *, detail: Detail) -> tuple[Machine, ...]:
        """List them, with so much of each."""


@define(eq=False)
class Onlooker:
    """Who waits for news of one machine, by a look that begins after the one of number `since`."""

    machine_id: str
    matters: Callable[[Machine], bool]
    needs_checks: bool
    since: int
    is_told: bool = False
    machine: Machine | None = None
    _woken: asyncio.Future[None] | None = None

    async def sleep(self) -> None:
        """Sleep until there is news, or nobody who looks."""
        self._woken = asyncio.get_running_loop().create_future()
        await self._woken

    def wake(self) -> None:
        """End the sleep."""
        if self._woken and not self._woken.done():
            self._woken.set_result(None)

    def tell(self, machine: Machine | None) -> None:
        """Say what the machine is like, or that it was not seen."""
        self.is_told, self.machine = True, machine
        self.wake()


@define(eq=False)
class Watch:
    """Looks at all machines of one app, at most once a second, and wakes those to whom it matters.

    One of the onlookers looks for all, while the others sleep; when it leaves, another one takes its place. `_begun` is
    the number of the newest look; watches that begin with different ones do not show events all in the same second.
    """

    _app: str
    _survey: Survey
    _begun: int
    _onlookers: dict[Onlooker, None] = Factory(dict)
    _looked_at: float = float("-inf")
    _is_led: bool = False
    _stopped: frozenset[str] = frozenset()
    _has_new_stops: bool = False

    async def news(self, machine_id: str, matters: Callable[[Machine], bool], *, needs_checks: bool) -> Machine | None:
        """Wait until a look that begins from now on shows the machine in a way that matters; None if it is not shown.

        `matters` is asked about what each look shows. Raises what a look raises, if that passes by itself, to the one
        who looks; all others go on.
        """
        onlooker = Onlooker(machine_id, matters, needs_checks, self._begun)
        self._onlookers[onlooker] = None
        try:
            while not onlooker.is_told:
                await (onlooker.sleep() if self._is_led else self._lead())
            return onlooker.machine
        finally:
            self._onlookers.pop(onlooker, None)
            self._hand_on()

    def dismiss(self) -> None:
        """Have all of them look for themselves."""
        self._tell(self._begun + 1, {})

    async def _lead(self) -> None:
        """Look for all, once a second at most."""
        self._is_led = True
        try:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._looked_at + 1.0 - loop.time())
            self._looked_at = loop.time()
            number = self._begun = self._begun + 1
            detail = self._detail(number)
            shown = await self._look(detail)
            self._tell(number, shown)
            self._note_stops(shown, explained=detail != "states")
        finally:
            self._is_led = False
            self._hand_on()

    async def _look(self, detail: Detail) -> Mapping[str, Machine]:
        try:
            return {machine.id: machine for machine in await self._survey(self._app, detail=detail)}
        except TROUBLE:
            raise
        except FlyError:
            return {}  # no list at all: each onlooker asks by name, and hears what that means for it

    def _detail(self, number: int) -> Detail:
        if any(onlooker.needs_checks for onlooker in self._onlookers):
            return "checks"
        return "events" if self._has_new_stops or number % EVENTS_EVERY == 0 else "states"

    def _note_stops(self, shown: Mapping[str, Machine], *, explained: bool) -> None:
        """Have the next look show events where a machine that is waited for has stopped: only they tell why."""
        waited = (shown.get(onlooker.machine_id) for onlooker in self._onlookers)
        stopped = frozenset(machine.id for machine in waited if machine and machine.state == "stopped")
        self._has_new_stops = not (explained or stopped <= self._stopped)
        self._stopped = stopped if explained else stopped & self._stopped

    def _tell(self, number: int, shown: Mapping[str, Machine]) -> None:
        for onlooker in tuple(self._onlookers):
            if onlooker.since < number:
                machine = shown.get(onlooker.machine_id)
                if machine is None or onlooker.matters(machine):
                    onlooker.tell(machine)
                    del self._onlookers[onlooker]

    def _hand_on(self) -> None:
        if not self._is_led and (first := next(iter(self._onlookers), None)):
            first.wake()
