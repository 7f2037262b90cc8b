"""Waiting for machines: many, for long, without a connection each."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, cycle, repeat

from attrs import Factory, define

from flyasync.api.machines.poller import EVENTS_EVERY, Detail, Survey, Watch
from flyasync.api.machines.reachable import is_there, is_wrong, why_hopeless
from flyasync.api.resource import TROUBLE
from flyasync.errors import BadRequest, Conflict, FlyError, NotFound, RateLimited, TimedOut, WaitFailed
from flyasync.models.machine import Machine
from flyasync.models.machine_results import WaitResult

DIRECT = 32
"""Up to this many waits of one app poll; from there on one list a second serves all.

A long poll answers at the very moment, but holds a connection. One list a second is all that its rate limit allows,
and tells the state of every machine of the app in one request, for 33 machines as for 3,000; `benchmarks/waiting.py`
has the figures. For checks there is no poll: up to so many machines are looked at by name.
"""

POLLS = (5.0, 10.0, 20.0, 40.0)
LONGEST_POLL = 60.0
"""Seconds of one long poll after the other, then the longest one for good: the API cuts each at 60.

Between two of them the machine is looked at, since a poll for `started` does not notice that it has failed. The first
are short, so that a crash at start shows within seconds; a machine waited on for ten minutes costs 13 polls.
"""

JUST_CREATED = 30.0
"""Seconds for which a machine that was just created may be unknown to some of the API's nodes."""


def most_pollers(places: int) -> int:
    """Say how many waits may poll where so many polls have a place; any more are served by looks, few or not.

    A poll that waits for a place says nothing for as long as others hold theirs, which may be a minute. So a fifth of
    the places is left to whoever else polls.
    """
    return max(1, places * 4 // 5)


def most_lookers(places: int) -> int:
    """Say how many looks may be under way where so many calls have a place; the others wait for each other.

    Waits beyond those that poll look once a second each, or each app: thousands of them would fill every place for
    good, and a short call would stand behind them all. So three quarters of the places are left to other calls.
    """
    return max(1, places // 4)


@define
class _Wait:
    """One wait: for what, since when, and what was seen so far.

    `polled` is the version that polls name: the one waited for, or, once the API has refused a poll without any, the
    machine's present one.
    """

    app: str
    machine_id: str
    wanted: str
    version: str | None
    new_until: float
    watch: Watch
    checks: int = 0
    polled: str | None = Factory(lambda self: self.version, takes_self=True)
    polls: Iterator[float] = Factory(lambda: chain(POLLS[1:], repeat(LONGEST_POLL)))
    poll: float = POLLS[0]
    polls_from: float = 0.0  # until then, the API wants no poll
    state: str = "unknown"
    machine: Machine | None = None

    def check(self, machine: Machine) -> Machine:
        """Take note of what the machine is doing; raise when it can no longer get there."""
        self._note(machine)
        if reason := why_hopeless(machine, self.wanted, self.version):
            raise self.failed(reason, hopeless=True)
        return machine

    def ends_with(self, machine: Machine) -> bool:
        """Take note of it just the same, and say whether this is the end, one way or the other."""
        self._note(machine)
        return self.is_met_by(machine) or bool(why_hopeless(machine, self.wanted, self.version))

    def is_met_by(self, machine: Machine) -> bool:
        """Whether the machine is what is waited for."""
        return is_there(machine, self.wanted, self.version, self.checks)

    def _note(self, machine: Machine) -> None:
        self.state, self.machine = machine.state, machine if self.wanted == "healthy" else None
        if self.polled and self.version is None:
            self.polled = machine.current_version

    async def bear(self, absent: NotFound) -> None:
        """Give a machine that was just created a moment to become known; any other is not there."""
        # Each absence is confirmed by a second request, so that the next one would be known two seconds from now.
        if asyncio.get_running_loop().time() + 2 >= self.new_until:
            raise absent
        await asyncio.sleep(1)

    def lateness(self, timeout: float) -> str:
        """Say that the time is up, and which checks have kept it waiting."""
        failing = self.machine.failing_checks if self.machine else ()
        checks = "".join(f", check {check.name} is {check.status}: {check.output}" for check in failing)
        reported = len(self.machine.reported_checks) if self.machine else 0
        missing = f", {reported} of {self.checks} checks have reported" if reported < self.checks else ""
        return f"it was not within {round(timeout, 1):g} s{checks}{missing}"

    def failed(self, reason: str, *, hopeless: bool) -> WaitFailed:
        return WaitFailed(
            self.app, self.machine_id, wanted=self.wanted, state=self.state, reason=reason, hopeless=hopeless
        )


class Waits:
    """All waits of one client: by long polls while they are few in an app, by shared lists when they are many."""

    def __init__(
        self,
        get: Callable[[str, str], Awaitable[Machine]],
        survey: Survey,
        poll: Callable[[str, str, str, str | None, float], Awaitable[WaitResult]],
        *,
        direct: int = DIRECT,
        pollers: int,
        lookers: int,
    ) -> None:
        self._places = asyncio.Semaphore(lookers)
        self._get_at_once = get
        self._survey = survey
        self._poll = poll
        self._direct = direct
        self._pollers = pollers
        self._polling = 0
        self._waiting: Counter[str] = Counter()
        self._watches: dict[str, Watch] = {}
        self._numbers = cycle(range(EVENTS_EVERY))

    async def _get(self, app: str, machine_id: str) -> Machine:
        async with self._places:
            return await self._get_at_once(app, machine_id)

    async def _list(self, app: str, *, detail: Detail) -> tuple[Machine, ...]:
        async with self._places:
            return await self._survey(app, detail=detail)

    async def until(
        self, app: str, machine_id: str, wanted: str, *, version: str | None, timeout: float, just_created: bool
    ) -> str:
        """Wait until the machine is in the state `wanted`; give the state reached."""
        async with self._in_time(app, machine_id, wanted, version, timeout, just_created=just_created) as wait:
            wait.state = await self._reach(wait)
        return wait.state

    async def until_healthy(
        self,
        app: str,
        machine_id: str,
        *,
        timeout: float,
        just_created: bool,
        version: str | None = None,
        checks: int = 0,
    ) -> Machine:
        """Wait until the machine is started and every check of its config passes, so many at least; return it."""
        async with self._in_time(app, machine_id, "healthy", version, timeout, just_created=just_created) as wait:
            wait.checks = checks
            await self._reach(wait)
        assert wait.machine is not None  # noqa: S101 - only a wait for destroyed ends without a machine
        return wait.machine

    async def _reach(self, wait: _Wait) -> str:
        """Ask again and again, each time in the way that fits how many there are; give the state reached."""
        while True:
            try:
                if reached := await (self._poll_once(wait) if self._may_poll(wait) else self._look_once(wait)):
                    return reached
            except NotFound as absent:
                if wait.wanted == "destroyed":
                    return wait.wanted
                await wait.bear(absent)

    def _may_poll(self, wait: _Wait) -> bool:
        is_possible = wait.wanted != "healthy"  # there is no poll for checks
        is_possible = is_possible and wait.polls_from <= asyncio.get_running_loop().time()
        return is_possible and self._waiting[wait.app] <= self._direct and self._polling < self._pollers

    async def _poll_once(self, wait: _Wait) -> str | None:
        self._polling += 1
        try:
            result = await self._poll(wait.app, wait.machine_id, wait.wanted, wait.polled, wait.poll)
            return await self._reached(wait, result)
        except (BadRequest, Conflict):
            if is_wrong(wait.wanted, wait.version):
                raise
            return await self._look_after(wait)
        except TROUBLE as trouble:
            # Whatever is wrong with the look, the next poll says it too.
            with suppress(NotFound, *TROUBLE):
                wait.check(await self._get(wait.app, wait.machine_id))
            if isinstance(trouble, TimedOut):
                wait.poll = next(wait.polls)
            if isinstance(trouble, RateLimited):
                wait.polls_from = asyncio.get_running_loop().time() + (trouble.retry_after or 1.0)
        finally:
            self._polling -= 1
        return None

    async def _look_after(self, wait: _Wait) -> str | None:
        """Look at a machine after a poll was refused; return the state if it is the one waited for.

        What was asked for is right. But the API also refuses while a machine is on its way to another state, such as
        one that is being replaced, and, in places, polls that name no version.
        """
        try:
            machine = wait.check(await self._get(wait.app, wait.machine_id))
        except TROUBLE:
            machine = None
        if machine and wait.is_met_by(machine):
            return machine.state
        if machine and not wait.polled:
            wait.polled = machine.current_version
        await asyncio.sleep(1)
        return None

    async def _reached(self, wait: _Wait, result: WaitResult) -> str:
        """Name the state reached; where the API's answer does not, or tells of an old version, the machine does."""
        if wait.wanted != "settled":
            return result.state or wait.wanted
        if result.state in {None, "replaced"}:
            return wait.check(await self._get(wait.app, wait.machine_id)).state
        return result.state

    async def _look_once(self, wait: _Wait) -> str | None:
        try:
            machine = await self._look(wait)
        except TROUBLE:
            await asyncio.sleep(1)
            return None
        return machine.state if machine and wait.is_met_by(wait.check(machine)) else None

    async def _look(self, wait: _Wait) -> Machine | None:
        """Give the machine; None when there is a better way to ask by now."""
        if self._are_many(wait):
            needs_checks = wait.wanted == "healthy"
            machine = await wait.watch.news(wait.machine_id, wait.ends_with, needs_checks=needs_checks)
            if machine and not why_hopeless(machine, wait.wanted, wait.version):
                return machine
            if machine is None and self._may_poll(wait):
                return None
        elif wait.state != "unknown":
            await asyncio.sleep(1)
        # Lists lag: that one lacks a machine or shows it lost proves nothing, so it is asked after by name.
        return await self._get(wait.app, wait.machine_id)

    def _are_many(self, wait: _Wait) -> bool:
        """Whether one list is better than a look at each machine; who may not poll for want of room is one of many."""
        return self._waiting[wait.app] > (self._direct if wait.wanted == "healthy" else 1)

    async def _is_there(self, wait: _Wait) -> bool:
        """Look at a machine that was never seen, for no answer came through, in two seconds more at most."""
        if wait.state == "unknown":
            with suppress(FlyError, TimeoutError):
                async with asyncio.timeout(2):
                    wait.machine = await self._get(wait.app, wait.machine_id)
                    wait.state = wait.machine.state
                    return wait.is_met_by(wait.machine)
        return False

    @asynccontextmanager
    async def _in_time(
        self, app: str, machine_id: str, wanted: str, version: str | None, timeout: float, *, just_created: bool
    ) -> AsyncIterator[_Wait]:
        """Count the wait among its app's, and end it with WaitFailed when its time is up."""
        now = asyncio.get_running_loop().time()
        new_until = now + JUST_CREATED if just_created else now
        if wanted == "destroyed":
            version = None  # a machine goes as a whole, and old versions read `replaced` for ever
        wait = _Wait(app, machine_id, wanted, version, new_until, self._watch(app))
        self._waiting[app] += 1
        try:
            async with asyncio.timeout(timeout):
                yield wait
        except TimeoutError as error:
            if await self._is_there(wait):
                return
            raise wait.failed(wait.lateness(timeout), hopeless=False) from error
        finally:
            self._waiting[app] -= 1
            if self._waiting[app] == self._direct // 4:
                wait.watch.dismiss()  # whoever is left of many may have long to wait: no more lists for so few
            if not self._waiting[app]:
                del self._waiting[app], self._watches[app]

    def _watch(self, app: str) -> Watch:
        if (watch := self._watches.get(app)) is None:
            watch = self._watches[app] = Watch(app, self._list, next(self._numbers))
        return watch
