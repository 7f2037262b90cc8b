"""Have a machine run by its name: find it, or create it, start it and wait, once for all concurrent callers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol, Unpack

from attrs import Factory, define, frozen

from flyasync.api.machines.create_once import CreateOnce, CreateOptions, Creation
from flyasync.api.machines.shared_lists import SharedLists
from flyasync.api.machines.wait import LAST_CHECK, why_late
from flyasync.cancellation import finished
from flyasync.errors import AlreadyStarting, FlyError, LeaseHeld, NameTaken, NotFound, WaitFailed, WrongState
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, Machine, expected_checks
from flyasync.models.machine_results import StartResult

ENSURE = "ensure-running"
"""The launch tag of the machines that are created here; a machine of any other launch is used as well."""

LONG = 86_400.0
"""Seconds of the waits inside a call; each of its callers has a timeout of its own."""


class Waiter(Protocol):
    """Waits for a state, as `fly.machines.wait` does."""

    async def __call__(
        self, app: str, machine_id: str, /, *, state: str, timeout: float, just_created: bool = False
    ) -> str:
        """Wait for the state for `timeout` seconds."""


class HealthWaiter(Protocol):
    """Waits for the checks, as `fly.machines.wait_healthy` does."""

    async def __call__(self, app: str, machine_id: str, /, *, checks: int, timeout: float) -> Machine:
        """Wait for `timeout` seconds until all checks pass."""


@frozen(kw_only=True)
class Ensured:
    """A machine that runs, and what it took: the seconds of each part, which are 0 if it was not necessary."""

    machine: Machine
    """The machine, as last read; it is started, and its checks pass."""

    created: bool = False
    """Whether this call created it."""

    started: bool = False
    """Whether this call started it from `stopped` or `suspended`."""

    find_seconds: float = 0.0
    """The time to look it up, which includes the wait for the list that concurrent lookups share."""

    create_seconds: float = 0.0
    """The time to create it, which includes the queue for the limit of one create per second."""

    start_seconds: float = 0.0
    """The time until it was started, which includes the wait for a stop or an update that was under way."""

    healthy_seconds: float = 0.0
    """The time until all its checks passed after that."""

    @property
    def seconds(self) -> float:
        """The time in total."""
        return self.find_seconds + self.create_seconds + self.start_seconds + self.healthy_seconds


@define
class _Call:
    """A call for one name, which others of that name share, and what it has observed so far."""

    app: str
    name: str
    config: MachineConfig
    options: CreateOptions
    callers: int = 0
    machine: Machine | None = None
    created: bool = False
    started: bool = False
    failures: int = 0
    refusal: FlyError | None = None
    seconds: dict[str, float] = Factory(lambda: dict.fromkeys(("find", "create", "start", "healthy"), 0.0))

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds of the block to a part."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            yield
        finally:
            self.seconds[part] += clock() - began

    def join(self) -> None:
        """Count one more caller."""
        self.callers += 1

    def leave(self) -> bool:
        """Count one caller less, and return whether it was the last one."""
        self.callers -= 1
        return not self.callers

    def saw(self, machine: Machine | None, *, created: bool = False) -> Machine | None:
        """Record the machine as it was read, and whether this call created it; return it."""
        self.machine = machine
        self.created |= created
        return machine

    def may_restart(self) -> bool:
        """Return whether this is the first time that the machine is seen to have failed."""
        self.failures += 1
        return self.failures == 1

    def was_started(self) -> None:
        """Record that a start of this call was accepted."""
        self.started = True

    def was_refused(self, refusal: FlyError) -> None:
        """Record why the machine could not be started yet."""
        self.refusal = refusal

    def late(self, timeout: float) -> WaitFailed:
        """Return the error of a caller whose time is up."""
        subject, state = (self.machine.id, self.machine.state) if self.machine else (self.name, "missing")
        if self.machine and state == "started":
            wanted, reason = "healthy", why_late(self.machine, expected_checks(self.machine.config), timeout)
        else:
            refused = f"; the last start was refused: {self.refusal}" if self.refusal else ""
            wanted, reason = "started", f"{why_late(None, 0, timeout)}{refused}"
        return WaitFailed(self.app, subject, wanted=wanted, state=state, reason=reason, hopeless=False)

    def result(self) -> Ensured:
        """Return what was done."""
        assert self.machine is not None  # noqa: S101 - it runs
        parts = {f"{part}_seconds": seconds for part, seconds in self.seconds.items()}
        return Ensured(machine=self.machine, created=self.created, started=self.started, **parts)


@define(eq=False)
class EnsureRunning:
    """The calls of `fly.machines.ensure_running` of one client."""

    _once: CreateOnce
    _get: Callable[[str, str], Awaitable[Machine]]
    _start: Callable[[str, str], Awaitable[StartResult]]
    _wait: Waiter
    _wait_healthy: HealthWaiter
    _lists: SharedLists
    _tasks: "dict[tuple[str, str], tuple[_Call, asyncio.Task[Ensured]]]" = Factory(dict)

    async def ensure(
        self, app: str, name: str, config: MachineConfig, *, timeout: float, **options: Unpack[CreateOptions]
    ) -> Ensured:
        """Have the machine run within `timeout` seconds, in the task that all callers of its name share."""
        key = app, name
        if key not in self._tasks:
            new = _Call(app, name, config, options)
            task = asyncio.create_task(self._run(new), name=f"ensure_running {app}/{name}")
            self._tasks[key] = new, task
            task.add_done_callback(partial(self._forget, key))
        call, task = self._tasks[key]
        call.join()
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(task)
        except TimeoutError as error:
            if call.machine and call.machine.state == "started":  # its checks do not pass: read which
                with suppress(FlyError, TimeoutError):
                    async with asyncio.timeout(LAST_CHECK):
                        await self._read(call)
            raise call.late(timeout) from error
        finally:
            # The last caller leaves before the end. A create that was sent is awaited, as `create_once` promises. Who
            # calls meanwhile begins anew, since this task ends with a cancellation; names are unique in an app.
            if call.leave() and not task.done():
                self._forget(key, task)
                task.cancel()
                await finished(asyncio.wait([task]))

    def _forget(self, key: tuple[str, str], task: "asyncio.Task[Ensured]") -> None:
        """Let no more callers join the task."""
        if key in self._tasks and self._tasks[key][1] is task:
            del self._tasks[key]

    async def _run(self, call: _Call) -> Ensured:
        with call.timed("find"):
            listed = await self._lists.find(call.app)
            machine = call.saw(next((each for each in listed if each.name == call.name), None))
            if machine and machine.state == "started":
                machine = await self._read(call)  # lists lag
        # Each round does what the machine's state requires, until it runs.
        while machine is None or machine.state != "started":
            # 1. There is none: create it, or find the one that another client creates.
            if machine is None or machine.state in GONE:
                with call.timed("create"):
                    if machine and machine.state == "destroying":  # its name is in use until it is gone
                        await self._wait(call.app, machine.id, state="destroyed", timeout=LONG)
                    machine = await self._create(call)
                continue
            with call.timed("start"):
                try:
                    await self._bring_up(call, machine)
                    machine = await self._read(call)
                # It is gone, or just created and not known to all of the API's nodes: its name shows which.
                except NotFound:
                    machine = call.saw(None)
        if not machine.checks_pass:
            with call.timed("healthy"):
                checks = expected_checks(machine.config)
                call.saw(await self._wait_healthy(call.app, machine.id, checks=checks, timeout=LONG))
        return call.result()

    async def _bring_up(self, call: _Call, machine: Machine) -> None:
        """Do what brings a machine that exists closer to running."""
        # 2. It was created by this call, and boots.
        if call.created and machine.state in {"created", "starting"}:
            await self._wait(call.app, machine.id, state="started", timeout=LONG, just_created=True)
        # 3. It rests. Once started, a machine that has failed fails for good.
        elif machine.state in {"stopped", "suspended"} or (machine.state == "failed" and call.may_restart()):
            await self._start_once(call, machine)
        # 4. It is changing its state: it is stopping, for example, or another client starts it.
        elif machine.state != "failed":
            await self._wait(call.app, machine.id, state="settled", timeout=LONG)
        else:
            reason = "it has failed, and a start did not help"
            raise WaitFailed(call.app, machine.id, wanted="started", state="failed", reason=reason, hopeless=True)

    async def _create(self, call: _Call) -> Machine | None:
        """Create the machine, or return the one that has its name; None if the API does not show that one yet."""
        creation = Creation(app=call.app, config=call.config, name=call.name, launch=ENSURE, options=call.options)
        try:
            machine = await self._once.create(creation)
        except NameTaken as taken:
            if not taken.existing_id:
                raise
            with suppress(NotFound):
                return call.saw(await self._get(call.app, taken.existing_id))
            await asyncio.sleep(1)
            return call.saw(None)
        return call.saw(machine, created=not creation.adopted)

    async def _start_once(self, call: _Call, machine: Machine) -> None:
        """Start the machine and wait until it has started, unless another client does, or it is not possible yet."""
        try:
            await self._start(call.app, machine.id)
        except AlreadyStarting:
            pass
        # The lease is held by a deploy, or by the Fly Proxy, which starts the machine itself.
        except (LeaseHeld, WrongState) as refusal:
            call.was_refused(refusal)
            await asyncio.sleep(1)
            return
        else:
            call.was_started()
        await self._wait(call.app, machine.id, state="started", timeout=LONG)

    async def _read(self, call: _Call) -> Machine | None:
        assert call.machine is not None  # noqa: S101 - it was found or created
        try:
            return call.saw(await self._get(call.app, call.machine.id))
        except NotFound:
            return call.saw(None)
