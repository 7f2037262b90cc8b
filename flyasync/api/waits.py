"""Waiting for machines: many, for long, without a connection each."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat, takewhile

from attrs import Factory, define

from flyasync.api.call import TROUBLE
from flyasync.errors import FlyError, Forbidden, NotFound, TimedOut, WaitFailed
from flyasync.models.action import WaitResult
from flyasync.models.machine import GONE, ExitEvent, Machine, MachineEvent

DIRECT = 32
"""Up to this many machines of one app are asked after one by one; from there on one list a second serves all.

A long poll answers at the very moment, but holds a connection. One list a second is all that its rate limit allows,
and tells the state of every machine of the app in one request, for 33 machines as for 3,000.
"""

POLLS = (5.0, 10.0, 20.0, 40.0)
LONGEST_POLL = 60.0
"""Seconds of one long poll after the other, then the longest one for good: the API cuts each at 60.

Between two of them the machine is looked at, since a poll for `started` does not notice that it has failed. The first
are short, so that a crash at start shows within seconds; a machine waited on for ten minutes costs 13 polls.
"""

JUST_CREATED = 30.0
"""Seconds for which a machine that was just created may be unknown to some of the API's nodes."""


def why_hopeless(machine: Machine, wanted: str, version: str | None) -> str | None:
    """Say why `machine` can no longer reach the state `wanted` by itself, or None while it can."""
    # Versions sort by age; an older one than the one waited for is an old view of the machine.
    if version and (present := machine.current_version) and present > version:
        return f"version {version} was replaced by {present}"
    if wanted in {"destroyed", "settled"} or is_there(machine, wanted, None):
        return None
    if machine.state in GONE:
        return "it is gone for good"
    if version and machine.current_version != version:
        return None
    if machine.state == "failed":
        return "it has failed"
    return _end_in_words(machine) if wanted in {"started", "healthy"} else None


def is_there(machine: Machine, wanted: str, version: str | None) -> bool:
    """Tell whether `machine` is in the state `wanted`, in that version of it if one is given."""
    if version and machine.current_version != version:
        return False
    if wanted == "healthy":
        return machine.is_healthy
    # A machine does leave the state created by itself, once its image is there.
    return machine.state == wanted or (wanted == "settled" and machine.is_settled and machine.state != "created")


def _end_in_words(machine: Machine) -> str | None:
    """Say how the process of a machine that should run has ended, if that was for good or is a crash loop."""
    loop = _crash_loop(machine)
    if (end := loop or _crash(machine)) is None:
        return None
    memory = ", out of memory" if end.oom_killed else ""
    restarts = f", after {loop.restart_count} restarts" if loop else ""
    return f"its process ended with exit code {end.exit_code}{memory}{restarts}"


def _crash(machine: Machine) -> ExitEvent | None:
    """Give the exit that stopped the machine, unless it was asked for or the machine was started again since."""
    if machine.state != "stopped":
        return None
    for event in _newest_first(machine):
        if event.type in {"start", "restart", "launch", "update"}:
            return None
        if event.type == "exit" and (end := event.exit_event):
            return None if end.requested_stop else end
    return None


def _crash_loop(machine: Machine) -> ExitEvent | None:
    """Give the last exit of a process that fails and is restarted over and over, since somebody last began it.

    One crash may pass, be it that a database was not there yet. Crashes are counted too, for whether the API's own
    count begins anew with each start is not documented.
    """
    begun_here = takewhile(lambda event: not _is_asked_for(event), _newest_first(machine))
    ends = (end for event in begun_here if event.type == "exit" and (end := event.exit_event))
    crashes = tuple(takewhile(lambda end: end.exit_code != 0 and not end.requested_stop, ends))
    return crashes[0] if len(crashes) > 1 and crashes[0].restart_count > 1 else None


def _is_asked_for(event: MachineEvent) -> bool:
    """Tell whether somebody began the machine's process with this event; after a crash it is `flyd` that starts it."""
    return event.type in {"launch", "update"} or (event.type in {"start", "restart"} and event.source != "flyd")


def _newest_first(machine: Machine) -> Sequence[MachineEvent]:
    return sorted(machine.events or (), key=lambda event: event.timestamp or 0, reverse=True)


@define
class Watch:
    """Looks at all machines of one app, at most once a second, for any number of onlookers.

    Looks are numbered: `begun` is the newest, `number` the one that `machines` is from.
    """

    _list: Callable[[], Awaitable[tuple[Machine, ...]]]
    _lock: asyncio.Lock = Factory(asyncio.Lock)
    _looked_at: float = float("-inf")
    begun: int = 0
    number: int = 0
    machines: Mapping[str, Machine] = Factory(dict)

    async def look(self, seen: int) -> int:
        """Have `machines` be from a look after number `seen`; whoever comes first looks for all, and may fail alone."""
        async with self._lock:
            if self.number <= seen:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(self._looked_at + 1.0 - loop.time())
                self._looked_at = loop.time()
                number = self.begun = self.begun + 1
                self.machines = {machine.id: machine for machine in await self._listed()}
                self.number = number
            return self.number

    async def _listed(self) -> tuple[Machine, ...]:
        try:
            return await self._list()
        except (Forbidden, NotFound):
            return ()  # no list at all: each onlooker asks by name, and hears what that means for it


@define
class _Wait:
    """One wait: for what, since when, and what was seen so far."""

    app: str
    machine_id: str
    wanted: str
    version: str | None
    new_until: float
    watch: Watch
    seen: int
    state: str = "unknown"
    machine: Machine | None = None

    def check(self, machine: Machine) -> Machine:
        """Take note of what the machine is doing; raise when it can no longer get there."""
        self.state, self.machine = machine.state, machine
        if reason := why_hopeless(machine, self.wanted, self.version):
            raise self.failed(reason, hopeless=True)
        return machine

    async def bear(self, absent: NotFound) -> None:
        """Give a machine that was just created a moment to become known; any other is not there."""
        if asyncio.get_running_loop().time() >= self.new_until:
            raise absent
        await asyncio.sleep(1)

    def lateness(self, timeout: float) -> str:
        """Say that the time is up, and which checks have kept it waiting."""
        failing = self.machine.failing_checks if self.machine and self.wanted == "healthy" else ()
        checks = "".join(f", check {check.name} is {check.status}: {check.output}" for check in failing)
        return f"it was not within {round(timeout, 1):g} s{checks}"

    def failed(self, reason: str, *, hopeless: bool) -> WaitFailed:
        return WaitFailed(
            self.app, self.machine_id, wanted=self.wanted, state=self.state, reason=reason, hopeless=hopeless
        )


class Waits:
    """All waits of one client: by long polls while they are few in an app, by shared lists when they are many."""

    def __init__(
        self,
        get: Callable[[str, str], Awaitable[Machine]],
        list_: Callable[[str], Awaitable[tuple[Machine, ...]]],
        poll: Callable[[str, str, str, str | None, float], Awaitable[WaitResult]],
    ) -> None:
        self._get = get
        self._list = list_
        self._poll = poll
        self._waiting: Counter[str] = Counter()
        self._watches: dict[str, Watch] = {}

    async def until(
        self, app: str, machine_id: str, wanted: str, *, version: str | None, timeout: float, just_created: bool
    ) -> str:
        """Wait until the machine is in the state `wanted`; give the state reached."""
        async with self._in_time(app, machine_id, wanted, version, timeout, just_created=just_created) as wait:
            if self._waiting[app] <= DIRECT:
                wait.state = await self._by_polls(wait)
            else:
                machine = await self._by_looks(wait)
                wait.state = machine.state if machine else wanted
        return wait.state

    async def until_healthy(self, app: str, machine_id: str, *, timeout: float, just_created: bool) -> Machine:
        """Wait until the machine is started and every check of its config passes; give the machine."""
        async with self._in_time(app, machine_id, "healthy", None, timeout, just_created=just_created) as wait:
            wait.machine = await self._by_looks(wait)
        assert wait.machine is not None  # noqa: S101 - only a wait for destroyed ends without a machine
        return wait.machine

    async def _by_polls(self, wait: _Wait) -> str:
        lengths = chain(POLLS, repeat(LONGEST_POLL))
        seconds = next(lengths)
        while True:
            try:
                result = await self._poll(wait.app, wait.machine_id, wait.wanted, wait.version, seconds)
                return await self._reached(wait, result)
            except NotFound as absent:
                if wait.wanted == "destroyed":
                    return wait.wanted
                await wait.bear(absent)
            except TROUBLE as trouble:
                # Whatever is wrong with the look, the next poll says it too.
                with suppress(NotFound, *TROUBLE):
                    wait.check(await self._get(wait.app, wait.machine_id))
                if isinstance(trouble, TimedOut):
                    seconds = next(lengths)

    async def _reached(self, wait: _Wait, result: WaitResult) -> str:
        """Name the state reached; where the API's answer does not, or tells of an old version, the machine does."""
        if wait.wanted != "settled":
            return result.state or wait.wanted
        if result.state in {None, "replaced"}:
            return wait.check(await self._get(wait.app, wait.machine_id)).state
        return result.state

    async def _by_looks(self, wait: _Wait) -> Machine | None:
        while True:
            try:
                machine = wait.check(await self._look(wait))
            except NotFound as absent:
                if wait.wanted == "destroyed":
                    return None
                await wait.bear(absent)
            except TROUBLE:
                await asyncio.sleep(1)
            else:
                if is_there(machine, wait.wanted, wait.version):
                    return machine

    async def _look(self, wait: _Wait) -> Machine:
        if self._waiting[wait.app] > DIRECT:
            wait.seen = await wait.watch.look(wait.seen)
            machine = wait.watch.machines.get(wait.machine_id)
            if machine and not why_hopeless(machine, wait.wanted, wait.version):
                return machine
        elif wait.state != "unknown":
            await asyncio.sleep(1)
        # Lists lag: that one lacks a machine or shows it lost proves nothing, so it is asked after by name.
        return await self._get(wait.app, wait.machine_id)

    async def _is_there(self, wait: _Wait) -> bool:
        """Look at a machine that was never seen, for no answer came through, in two seconds more at most."""
        if wait.state == "unknown":
            with suppress(FlyError, TimeoutError):
                async with asyncio.timeout(2):
                    wait.machine = await self._get(wait.app, wait.machine_id)
                    wait.state = wait.machine.state
                    return is_there(wait.machine, wait.wanted, wait.version)
        return False

    @asynccontextmanager
    async def _in_time(
        self, app: str, machine_id: str, wanted: str, version: str | None, timeout: float, *, just_created: bool
    ) -> AsyncIterator[_Wait]:
        """Count the wait among its app's, and end it with WaitFailed when its time is up."""
        now = asyncio.get_running_loop().time()
        watch = self._watches.setdefault(app, Watch(lambda: self._list(app)))
        new_until = now + JUST_CREATED if just_created else now
        if wanted == "destroyed":
            version = None  # a machine goes as a whole, and old versions read `replaced` for ever
        wait = _Wait(app, machine_id, wanted, version, new_until, watch, watch.begun)
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
            if not self._waiting[app]:
                del self._waiting[app], self._watches[app]
