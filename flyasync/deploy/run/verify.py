"""Looking at machines: that they stay up, how they ended, what they said last; it takes but release machines away."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress

from flyasync.api.client import FlyClient
from flyasync.api.machines.wait import JUST_CREATED
from flyasync.api.resource import TROUBLE
from flyasync.deploy.freshness import settled
from flyasync.deploy.plan.config_merge import holds
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.create import Tell
from flyasync.errors import FlyError, NotFound, WaitFailed
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, CheckStatus, ExitEvent, Machine, expected_checks

SETTLING = 10
"""How many seconds a machine that has just stopped, or gone, may take to be told as it is."""

LOOK_EVERY = 2.5
"""Seconds between two looks at a machine that has to stay up."""

SHORTEST_MASKED = 6
"""Values of so many characters or more are masked in log lines; shorter ones stand in too many words by chance."""

LAST_LINES = 10
"""How many of a failed machine's last log lines go into the report."""


class Watching:
    """Looks at the machines of one deploy, and takes a release machine away when it has ended."""

    def __init__(self, fly: FlyClient, spec: DeploySpec, tell: Tell) -> None:
        self._fly = fly
        self._app = spec.app
        self._spec = spec
        self._tell = tell

    async def stay_up(self, run: MachineRun, seconds: float) -> None:
        """Look at the machine again and again; raises WaitFailed when it has not stayed up.

        It has to be seen up when the time is over. Raises what hides it, once it has been hidden for as long as a
        machine may take.
        """
        self._tell(run, Phase.WATCHING, None)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        is_seen_at_the_end = False
        while not is_seen_at_the_end:
            await asyncio.sleep(min(LOOK_EVERY, max(until - loop.time(), 0.5)))
            is_over = loop.time() >= until
            is_seen_at_the_end = await self._look(run, until + self._spec.timeout) and is_over

    async def still_up(self, run: MachineRun) -> None:
        """See that a machine that has come up is as it shall be at this moment; raises what `stay_up` raises."""
        patience = asyncio.get_running_loop().time() + self._spec.timeout
        while True:
            if await self._look(run, patience):
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self, run: MachineRun, patience: float) -> bool:
        """Look once, and tell whether the machine was seen; raises WaitFailed when it is down."""
        try:
            machine = await self._fly.machines.get(self._app, run.machine_id)
        except TROUBLE:
            if asyncio.get_running_loop().time() >= patience:
                raise
            return False
        if machine.state != "started":
            machine = await settled(self._fly, self._app, machine)  # for a moment of an update it reads as stopped
        run.machine = machine
        if reason := self.why_down(run, machine):
            raise WaitFailed(self._app, machine.id, wanted="up", state=machine.state, reason=reason, hopeless=True)
        return True

    async def has_ended_well(self, run: MachineRun) -> bool:
        """Whether the machine runs on a schedule, and has come to its end by now with exit code 0."""
        return _ended_well(run, await self._fly.machines.get(self._app, run.machine_id))

    def why_down(self, run: MachineRun, machine: Machine) -> str | None:
        """Return why a machine that has come up is not as it shall be, if so."""
        end = machine.exit_event
        if end and end != run.old_exit and end.exit_code and not end.requested_stop:
            return f"its process ended with exit code {end.exit_code}, {end.restart_count} restarts"
        if self._spec.rests(machine, run.config) or _ended_well(run, machine):
            return None
        if machine.state != "started":
            return "it has not stayed up"
        if run.config and machine.config and not holds(machine.config, run.config):
            return "it does not have the config that it was given"
        failing = ", ".join(f"{check.name} {check.status}" for check in machine.failing_checks if _counts(run, check))
        if failing:
            return f"checks fail: {failing}"
        missing = run.was_healthy and len(machine.reported_checks) < expected_checks(run.config)
        return "some of its checks are not reported any more" if missing else None

    async def run_to_end(self, run: MachineRun, seconds: float) -> None:
        """Let the release command run; raises WaitFailed when it ends with anything but 0, or does not end."""
        self._tell(run, Phase.RUNNING, None)
        try:
            async with asyncio.timeout(seconds):
                machine = await self._ended(run)
        except TimeoutError:
            raise self._unfinished(run, f"it did not end within {seconds:g} s") from None
        finally:
            await self._remove(run)
        end = machine.exit_event
        if end is None or end.exit_code:
            code = f"exit code {end.exit_code}" if end else "no exit code to be seen"
            raise self._unfinished(run, f"the release command ended with {code}")
        self._tell(run, Phase.ENDED, "exit code 0")

    async def _ended(self, run: MachineRun) -> Machine:
        """Look until the machine's process has ended, and give the machine as it is then."""
        patience, known_by = SETTLING, asyncio.get_running_loop().time() + JUST_CREATED
        while True:
            if machine := await self._seen(run, known_by):
                run.machine = machine
                patience -= machine.state in GONE
                if machine.exit_event or machine.state == "failed" or not patience:
                    return machine
            await asyncio.sleep(1)

    async def _seen(self, run: MachineRun, known_by: float) -> Machine | None:
        """Look at a machine that was just created; until `known_by` it may be unknown to some of the API's nodes."""
        try:
            return await self._fly.machines.get(self._app, run.machine_id)
        except NotFound:
            if asyncio.get_running_loop().time() >= known_by:
                raise
        except TROUBLE:
            pass
        return None

    def _unfinished(self, run: MachineRun, reason: str) -> WaitFailed:
        state = run.machine.state if run.machine else "unknown"
        return WaitFailed(self._app, run.machine_id, wanted="exit code 0", state=state, reason=reason, hopeless=True)

    async def _remove(self, run: MachineRun) -> None:
        """Take the release machine away; as a rule it has gone by itself, so that this fails is no failure."""
        if run.machine and run.machine.state not in GONE:
            with suppress(FlyError):
                await self._fly.machines.delete(self._app, run.machine_id, force=True)

    async def evidence(self, run: MachineRun) -> None:
        """Find out how a machine's process ended and what it said last, as far as that can be had at once."""
        if run.machine is None:
            return
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(10):
                machine = await self._fly.machines.get(self._app, run.machine_id)
                run.exit = exit_in_words(machine, since=run.old_exit)
                lines = await self._fly.logs.recent(self._app, machine=run.machine_id)
                said = (line.message or "" for line in lines[-LAST_LINES:])
                run.logs = masked(said, [*_env(run.config), *_env(machine.config)])


def _ended_well(run: MachineRun, machine: Machine) -> bool:
    end = machine.exit_event
    return role(run.config) is Role.SCHEDULED and end is not None and end != run.old_exit and not end.exit_code


def _counts(run: MachineRun, check: CheckStatus) -> bool:
    """Whether a check that does not pass is a failure: not while it waits for its first try, as far as that shows."""
    is_due = asyncio.get_running_loop().time() >= run.checked_from
    return is_due or (run.was_healthy and check.status != "warning")


def _env(config: MachineConfig | None) -> Iterable[tuple[str, str]]:
    inside = (config and config.containers) or ()
    return [item for each in (config, *inside) for item in ((each and each.env) or {}).items()]


def masked(lines: Iterable[str], env: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Write `<NAME>` wherever the value of a variable, or a line of it, stands; one under 6 characters is left."""
    parts = ((name, part.strip()) for name, value in env for part in str(value).splitlines())
    names = {part: f"<{name}>" for name, part in parts if len(part) >= SHORTEST_MASKED}
    if not names:
        return tuple(lines)
    # The longest come first, so that a value which holds another one is masked whole.
    values = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    return tuple(values.sub(lambda found: names[found[0]], line) for line in lines)


def exit_in_words(machine: Machine, *, since: ExitEvent | None = None) -> str | None:
    """Say how a machine's process last ended since then, unless it was asked to."""
    end = machine.exit_event
    if end is None or end == since or end.requested_stop:
        return None
    memory = ", out of memory" if end.oom_killed else ""
    restarts = f", restarted {end.restart_count} times" if end.restart_count else ""
    return f"exit code {end.exit_code}{memory}{restarts}"
