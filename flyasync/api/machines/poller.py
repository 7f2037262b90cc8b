"""One list of an app's machines per second, shared by any number of waits."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol

from attrs import Factory, define

from flyasync.api.resource import TROUBLE, Caller, request
from flyasync.errors import FlyError
from flyasync.models.machine import Machine
from flyasync.transport.request import Repeat

Detail = Literal["states", "events", "checks"]
"""What a list contains for each machine: its state and version; also its events; or everything."""

EVENTS_EVERY = 5
"""Every fifth list contains events, which show, for example, a process that crashes repeatedly.

Without events, a list is much smaller. After a list in which a machine has stopped, the next one contains events, which
show why.
"""

_NOT_FOR_STATES: Final = frozenset({"config", "incomplete_config", "image_ref", "checks"})
"""Members that are irrelevant for the state of a machine, and take most of the time to read."""


class Survey(Protocol):
    """Lists an app's machines for the poller."""

    async def __call__(self, app: str, /, *, detail: Detail) -> tuple[Machine, ...]:
        """List the machines in that detail."""


async def survey(caller: Caller, app: str, *, detail: Detail) -> tuple[Machine, ...]:
    """List an app's machines, reading only the members that the waits need."""
    ask = request(
        "machines.list",
        app,
        to="GET apps/{}/machines",
        repeat=Repeat.ANYTIME,
        query={"summary": True if detail == "states" else None},
    )
    return await caller.read(ask, tuple[Machine, ...], pick=None if detail == "checks" else _without_config)


def _without_config(machines: Any) -> Any:
    return [
        {key: value for key, value in machine.items() if key not in _NOT_FOR_STATES}
        if isinstance(machine, dict)
        else machine  # `read` raises for it
        for machine in machines
    ]


@define(eq=False)
class Waiter:
    """A wait for a relevant change of one machine, in a list that begins after list number `since`."""

    machine_id: str
    matters: Callable[[Machine], bool]
    needs_checks: bool
    since: int
    is_notified: bool = False
    machine: Machine | None = None
    _woken: asyncio.Future[None] | None = None

    async def sleep(self) -> None:
        """Sleep until notified, or until this waiter becomes the leader."""
        self._woken = asyncio.get_running_loop().create_future()
        await self._woken

    def wake(self) -> None:
        """End the sleep."""
        if self._woken and not self._woken.done():
            self._woken.set_result(None)

    def notify(self, machine: Machine | None) -> None:
        """Record the machine, or None if the list does not contain it, and end the sleep."""
        self.is_notified, self.machine = True, machine
        self.wake()


@define(eq=False, repr=False)
class Poller:
    """Lists all machines of one app at most once a second, and wakes the waiters for which the list is relevant.

    The poller has no task of its own: one of the waiters, the leader, lists for all while the others sleep; when it
    leaves, the next one becomes the leader. `begun` is the number of the newest list; pollers start at different
    numbers, so that they do not all list events in the same second. `waits` is the number of all waits of the app,
    including those that need no list.
    """

    app: str
    _survey: Survey
    _slots: asyncio.Semaphore
    _begun: int
    waits: int = 0
    _waiters: dict[Waiter, None] = Factory(dict)
    _listed_at: float = float("-inf")
    _is_led: bool = False
    _stopped: frozenset[str] = frozenset()
    _has_new_stops: bool = False

    def __repr__(self) -> str:
        leader = "listing" if self._is_led else "no leader"
        listed = f"list {self._begun} at {self._listed_at:.1f} s" if self._listed_at > 0 else "nothing listed yet"
        return f"<Poller {self.app}: {self.waits} waits, {len(self._waiters)} by list, {leader}, {listed}>"

    def join(self) -> None:
        """Add one wait of the app."""
        self.waits += 1

    def leave(self, *, few: int) -> None:
        """Remove one wait of the app. If `few` are left, they are notified to poll for themselves.

        The last waits of many may take long, and then long polls are cheaper than lists.
        """
        self.waits -= 1
        if self.waits == few:
            self._notify(self._begun + 1, {})

    async def news(self, machine_id: str, matters: Callable[[Machine], bool], *, needs_checks: bool) -> Machine | None:
        """Return the machine from the first new list for which `matters` is True; None if the list lacks it.

        `matters` is called with the machine in each list. A temporary error is raised only in the leader; the other
        waiters continue.
        """
        waiter = Waiter(machine_id, matters, needs_checks, self._begun)
        self._waiters[waiter] = None
        try:
            # 1. Another waiter leads: sleep until its list matters here, or until it stops leading.
            # 2. No waiter leads: list for all of them.
            while not waiter.is_notified:
                await (waiter.sleep() if self._is_led else self._lead())
            return waiter.machine
        finally:
            self._waiters.pop(waiter, None)
            self._hand_over()

    async def _lead(self) -> None:
        """List for all waiters, at most once a second."""
        self._is_led = True
        try:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._listed_at + 1.0 - loop.time())
            self._listed_at = loop.time()
            number = self._begun = self._begun + 1
            detail: Detail = "states"
            if any(waiter.needs_checks for waiter in self._waiters):
                detail = "checks"
            elif self._has_new_stops or number % EVENTS_EVERY == 0:
                detail = "events"
            try:
                async with self._slots:
                    shown = {machine.id: machine for machine in await self._survey(self.app, detail=detail)}
            except TROUBLE:
                raise
            except FlyError:
                shown = {}  # refused permanently: each waiter reads its machine by id, and handles the error itself
            self._notify(number, shown)

            # If a machine that is waited for has stopped, only events show why, so the next list contains them.
            waited_for = (shown.get(waiter.machine_id) for waiter in self._waiters)
            stopped = frozenset(machine.id for machine in waited_for if machine and machine.state == "stopped")
            is_explained = detail != "states"
            self._has_new_stops = not (is_explained or stopped <= self._stopped)
            self._stopped = stopped if is_explained else stopped & self._stopped
        finally:
            self._is_led = False
            self._hand_over()

    def _notify(self, number: int, shown: Mapping[str, Machine]) -> None:
        for waiter in tuple(self._waiters):
            # A list that began before the waiter joined may be older than what the waiter already knows.
            if waiter.since < number:
                machine = shown.get(waiter.machine_id)
                if machine is None or waiter.matters(machine):
                    waiter.notify(machine)
                    del self._waiters[waiter]

    def _hand_over(self) -> None:
        if not self._is_led and (first := next(iter(self._waiters), None)):
            first.wake()
