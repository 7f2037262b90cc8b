"""Wait for many machines at once and for long, without a connection for each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import chain, cycle, repeat
from typing import Protocol

from attrs import Factory, define

from flyasync.api.machines.poller import EVENTS_EVERY, Poller, Survey
from flyasync.api.machines.reachable_states import has_reached, is_impossible, why_hopeless
from flyasync.api.resource import TROUBLE
from flyasync.errors import BadRequest, Conflict, FlyError, NotFound, RateLimited, TimedOut, WaitFailed
from flyasync.models.machine import Machine
from flyasync.models.machine_results import WaitResult

DIRECT = 32
"""Up to this many waits of one app use long polls; if there are more, one list per second serves all of them.

A long poll returns as soon as the state is reached, but holds a connection. One list per second is all that the rate
limit allows; it shows the states of all machines of the app, be it 33 or 3,000. `benchmarks/waiting.py` has the
figures. There is no poll for checks: up to this many machines are read by id.
"""

POLLS = (5.0, 10.0, 20.0, 40.0)
LONGEST_POLL = 60.0
"""The lengths in seconds of the first long polls, and of all others; the API's maximum is 60.

The machine is read between two polls, since a poll for `started` does not notice that the machine has failed. The first
polls are short, so that a crash at start is noticed within seconds. A wait of ten minutes takes 13 polls.
"""

JUST_CREATED = 30.0
"""Seconds for which some of the API's nodes may not know a machine that was just created."""

LAST_CHECK = 2.0
"""Seconds for one last read of the machine when a wait times out, if no response has shown its state."""


class LongPoll(Protocol):
    """Waits by one request, as `fly.machines.wait_once` does."""

    async def __call__(
        self, app: str, machine_id: str, /, *, state: str, version: str | None, timeout: float
    ) -> WaitResult:
        """Wait for the state for `timeout` seconds."""


def most_pollers(slots: int) -> int:
    """Return how many waits may use long polls at once, given the `slots` for polls; the others use lists or reads.

    A poll that waits for a slot makes no progress while others hold theirs, for up to a minute. So a fifth of the slots
    is left for other polls.
    """
    return max(1, slots * 4 // 5)


def most_readers(slots: int) -> int:
    """Return how many ordinary requests of waits may run at once, given the `slots` for calls.

    Waits without a long poll send one request per second, for each wait or for each app: thousands of them would occupy
    all slots, and other calls would be delayed. So three quarters of the slots are left for other calls.
    """
    return max(1, slots // 4)


@define
class Wait:
    """The state of one wait: what it waits for, and what is known about the machine.

    `machine` is kept only for `healthy`, since thousands of waits would keep thousands of configs. `polled` is the
    version that polls name: the one waited for, or, after the API has refused a poll without a version, the current
    one.
    """

    app: str
    machine_id: str
    desired: str
    version: str | None
    checks: int
    state: str = "unknown"
    machine: Machine | None = None
    polled: str | None = Factory(lambda self: self.version, takes_self=True)
    poll_seconds: float = POLLS[0]
    no_poll_before: float = 0.0
    _next_polls: Iterator[float] = Factory(lambda: chain(POLLS[1:], repeat(LONGEST_POLL)))

    def note(self, machine: Machine) -> Machine:
        """Record the state of the machine, and return the machine."""
        self.state, self.machine = machine.state, machine if self.desired == "healthy" else None
        if self.polled and self.version is None:
            self.polled = machine.current_version
        return machine

    def check(self, machine: Machine) -> Machine:
        """Record the machine's state, and return the machine. Raise WaitFailed if it can no longer reach the state."""
        self.note(machine)
        if reason := why_hopeless(machine, self.desired, self.version):
            raise self.failed(reason, hopeless=True)
        return machine

    def ends_with(self, machine: Machine) -> bool:
        """Record the state of the machine, and return whether it ends the wait, in success or failure."""
        self.note(machine)
        return self.is_met_by(machine) or bool(why_hopeless(machine, self.desired, self.version))

    def is_met_by(self, machine: Machine) -> bool:
        """Whether the machine is in the desired state."""
        return has_reached(machine, self.desired, self.version, self.checks)

    def reached(self, state: str) -> None:
        """Record the state reached."""
        self.state = state

    def poll_longer(self) -> None:
        """Make the next poll longer, up to the API's limit."""
        self.poll_seconds = next(self._next_polls)

    def poll_not_before(self, moment: float) -> None:
        """Send no poll before that time of the loop's clock, since the API has rate limited one."""
        self.no_poll_before = moment

    def name_version(self, machine: Machine) -> None:
        """Name a version in polls from now on: some nodes of the API refuse polls without one."""
        self.polled = self.polled or machine.current_version

    def failed(self, reason: str, *, hopeless: bool) -> WaitFailed:
        """Return the error that ends this wait."""
        return WaitFailed(
            self.app, self.machine_id, wanted=self.desired, state=self.state, reason=reason, hopeless=hopeless
        )


class Waits:
    """All waits of one client: by long polls if there are few in an app, by shared lists if there are many."""

    def __init__(
        self,
        get: Callable[[str, str], Awaitable[Machine]],
        survey: Survey,
        poll: LongPoll,
        *,
        direct: int = DIRECT,
        pollers: int,
        readers: int,
    ) -> None:
        self._slots = asyncio.Semaphore(readers)
        self._get_machine = get
        self._survey = survey
        self._poll = poll
        self._direct = direct
        self._most_polls = pollers
        self._polls = 0
        self._pollers: dict[str, Poller] = {}
        self._first_lists = cycle(range(EVENTS_EVERY))

    def __repr__(self) -> str:
        return f"<Waits: {self._polls} of {self._most_polls} polls, {list(self._pollers.values())}>"

    async def until(
        self,
        app: str,
        machine_id: str,
        desired: str,
        *,
        version: str | None,
        timeout: float,
        just_created: bool,
        checks: int = 0,
    ) -> Wait:
        """Wait until the machine is in the state `desired`, for `timeout` seconds; return the wait, with what it found.

        `desired` may also be `settled` or `healthy`; then `checks` is how many checks have to report at least. Raise
        WaitFailed when the time is up, or when the machine can no longer reach the state.
        """
        clock = asyncio.get_running_loop().time
        known_by = clock() + (JUST_CREATED if just_created else 0.0)
        if desired == "destroyed":
            version = None  # all versions are destroyed at once, and old ones read `replaced` indefinitely
        wait = Wait(app, machine_id, desired, version, checks)
        if (poller := self._pollers.get(app)) is None:
            poller = self._pollers[app] = Poller(app, self._survey, self._slots, next(self._first_lists))
        poller.join()
        try:
            async with asyncio.timeout(timeout):
                # Each round sends one request, of the kind that suits the current number of waits.
                while True:
                    try:
                        reached = await (self._by_poll(wait) if self._may_poll(wait) else self._by_reading(wait))
                    except NotFound:
                        # The machine does not exist. 1. That was waited for.
                        if desired == "destroyed":
                            reached = desired
                        # 2. It was just created, and will be known soon. The sender confirms each 404 by a second
                        #    request, so the next response takes two seconds.
                        elif clock() + 2 < known_by:
                            await asyncio.sleep(1)
                            continue
                        # 3. Otherwise the wait fails.
                        else:
                            raise
                    if reached:
                        wait.reached(reached)
                        return wait
        except TimeoutError as error:
            # The time is up. If no response has shown the state of the machine, try one last read.
            if wait.state == "unknown":
                with suppress(FlyError, TimeoutError):
                    async with asyncio.timeout(LAST_CHECK):
                        if wait.is_met_by(wait.note(await self._get(wait))):
                            return wait
            raise wait.failed(why_late(wait.machine, wait.checks, timeout), hopeless=False) from error
        finally:
            poller.leave(few=self._direct // 4)
            if not poller.waits:
                del self._pollers[app]

    def _may_poll(self, wait: Wait) -> bool:
        is_possible = wait.desired != "healthy"  # the API has no poll for checks
        is_possible = is_possible and wait.no_poll_before <= asyncio.get_running_loop().time()
        return is_possible and self._pollers[wait.app].waits <= self._direct and self._polls < self._most_polls

    async def _by_poll(self, wait: Wait) -> str | None:
        """Send one long poll; return the state reached, or None to continue."""
        self._polls += 1
        try:
            result = await self._poll(
                wait.app, wait.machine_id, state=wait.desired, version=wait.polled, timeout=wait.poll_seconds
            )
            # 1. The state is reached. For `settled`, the response may lack the state, or be about an old version: then
            #    read the machine.
            if wait.desired == "settled" and result.state in {None, "replaced"}:
                return wait.check(await self._get(wait)).state
            return result.state or wait.desired
        # 2. The API refuses the poll: permanently, because of its state or version; or because the machine is changing
        #    its state, for example while it is replaced; or, on some nodes, because the poll names no version.
        except (BadRequest, Conflict):
            if is_impossible(wait.desired, wait.version):
                raise
            with suppress(*TROUBLE):
                machine = wait.check(await self._get(wait))
                if wait.is_met_by(machine):
                    return machine.state
                wait.name_version(machine)
            await asyncio.sleep(1)
        # 3. The poll timed out, or failed temporarily. Read the machine, since a poll for `started` does not notice
        #    that it has failed; an error of this read is ignored, since the next poll shows it too.
        except TROUBLE as trouble:
            with suppress(NotFound, *TROUBLE):
                wait.check(await self._get(wait))
            if isinstance(trouble, TimedOut):
                wait.poll_longer()
            if isinstance(trouble, RateLimited):
                wait.poll_not_before(asyncio.get_running_loop().time() + (trouble.retry_after or 1.0))
        finally:
            self._polls -= 1
        return None

    async def _by_reading(self, wait: Wait) -> str | None:
        """Read the machine once, from a list or by id; return the state reached, or None to continue."""
        poller, machine = self._pollers[wait.app], None
        try:
            # 1. One list serves several waits. Two are enough if there is no slot for a poll.
            if poller.waits > (self._direct if wait.desired == "healthy" else 1):
                needs_checks = wait.desired == "healthy"
                machine = await poller.news(wait.machine_id, wait.ends_with, needs_checks=needs_checks)
                if machine is None and self._may_poll(wait):
                    return None  # other waits have ended, so a poll is better now
                # Lists lag: a machine that is missing, or can no longer reach the state, is read by id to be sure.
                if machine and why_hopeless(machine, wait.desired, wait.version):
                    machine = None
            # 2. The only wait of its app, or one for checks with few others: read by id, once a second.
            elif wait.state != "unknown":
                await asyncio.sleep(1)
            if machine is None:
                machine = await self._get(wait)
        except TROUBLE:
            await asyncio.sleep(1)
            return None
        return machine.state if wait.is_met_by(wait.check(machine)) else None

    async def _get(self, wait: Wait) -> Machine:
        async with self._slots:
            return await self._get_machine(wait.app, wait.machine_id)


def why_late(machine: Machine | None, checks: int, timeout: float) -> str:
    """Return the reason of a wait that timed out: the checks of the machine, as last read, that do not pass."""
    failing = machine.failing_checks if machine else ()
    failures = "".join(f", check {check.name} is {check.status}: {check.output}" for check in failing)
    reported = len(machine.reported_checks) if machine else 0
    missing = f", {reported} of {checks} checks have reported" if reported < checks else ""
    return f"it was not within {round(timeout, 1):g} s{failures}{missing}"
