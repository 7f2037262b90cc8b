"""Verifies that machines come up and stay up; collects how they ended, and their last log lines."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress

from flyasync.api.machines.wait import JUST_CREATED
from flyasync.api.resource import TROUBLE
from flyasync.deploy.list_lag import settled
from flyasync.deploy.plan.config_merge import holds
from flyasync.deploy.plan.machine_roles import Role, role
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.errors import FlyError, NotFound, WaitFailed
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, Machine, expected_checks

SETTLING = 10
"""The number of polls, one second apart, in which a machine that is gone may still lack its exit event."""

POLL_EVERY = 2.5
"""Seconds between two polls of a machine that must stay up."""

SHORTEST_MASKED = 6
"""The minimum length of a value that is masked in log lines; shorter values occur in words by chance."""

LAST_LINES = 10
"""How many of a failed machine's last log lines are in the report."""

DIAGNOSIS = 10.0
"""Seconds that the diagnosis of a failed machine may take."""


class Verifier:
    """Verifies the machines of one deploy, and deletes a release machine once its command has exited."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context
        self._fly = context.fly
        self._app = context.app
        self._spec = context.spec

    async def until_healthy(self, run: MachineRun, timeout: float | None = None) -> None:
        """Wait until all checks of a machine pass; raises WaitFailed after `timeout` seconds.

        The default is what is left of the machine's own timeout, but at least the checks' grace periods and one try.
        """
        now, just_created = asyncio.get_running_loop().time(), timeout is None
        if timeout is None:
            timeout = max(run.time_left(now, self._spec.timeout), run.checked_from - now)
        healthy = await self._fly.machines.wait_healthy(
            self._app,
            run.machine_id,
            version=run.machine.current_version if run.machine else None,
            checks=expected_checks(run.config),
            timeout=timeout,
            just_created=just_created,
        )
        run.observe(healthy)

    async def until_settled(self, run: MachineRun) -> None:
        """Wait until an update is complete and the machine is stopped in its new version; raises WaitFailed."""
        version = run.machine.current_version if run.machine else None
        timeout = run.time_left(asyncio.get_running_loop().time(), self._spec.timeout)
        await self._fly.machines.wait(self._app, run.machine_id, state="settled", version=version, timeout=timeout)
        self._context.notify(run, Phase.SETTLED)

    async def see_up(self, run: MachineRun) -> None:
        """Verify that a machine is up as the spec requires, waiting if it is not; raises WaitFailed."""
        machine = await self._fly.machines.get(self._app, run.machine_id)
        goal = self._spec.goal_of(run.config)
        if goal is None or self._spec.is_up(machine, run.config):
            return
        if goal == "healthy":
            await self.until_healthy(run, self._spec.timeout)
        else:
            await self._fly.machines.wait(self._app, run.machine_id, timeout=self._spec.timeout)

    async def stay_up(self, run: MachineRun, seconds: float) -> None:
        """Poll the machine for `seconds`; raises WaitFailed if it does not stay up.

        The last poll has to show it up. Raises the error of the poll if polls keep failing until the spec's timeout
        after that time.
        """
        self._context.notify(run, Phase.WATCHING)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        is_seen_at_the_end = False
        while not is_seen_at_the_end:
            await asyncio.sleep(min(POLL_EVERY, max(until - loop.time(), 0.5)))
            is_over = loop.time() >= until
            is_seen_at_the_end = await self._poll(run, until + self._spec.timeout) and is_over

    async def still_up(self, run: MachineRun) -> None:
        """Verify that a machine that was up is still up now; raises what `stay_up` raises."""
        patience = asyncio.get_running_loop().time() + self._spec.timeout
        while True:
            if await self._poll(run, patience):
                return
            await asyncio.sleep(POLL_EVERY)

    async def _poll(self, run: MachineRun, patience: float) -> bool:
        """Poll once, and return whether the machine could be fetched; raises WaitFailed if it is down.

        `patience` is the time of the loop from which a failed poll raises its error.
        """
        try:
            machine = await self._fly.machines.get(self._app, run.machine_id)
        except TROUBLE:
            if asyncio.get_running_loop().time() >= patience:
                raise
            return False
        if machine.state != "started":
            machine = await settled(
                self._fly, self._app, machine
            )  # during an update it is shown as stopped for a moment
        run.observe(machine)
        if reason := self.why_down(run, machine):
            raise WaitFailed(self._app, machine.id, wanted="up", state=machine.state, reason=reason, hopeless=True)
        return True

    async def has_ended_well(self, run: MachineRun) -> bool:
        """Whether the machine runs on a schedule and its process has exited with code 0 by now."""
        return _ended_well(run, await self._fly.machines.get(self._app, run.machine_id))

    def why_down(self, run: MachineRun, machine: Machine) -> str | None:
        """Return why a machine that was up is not up any more; None if it is up."""
        # 1. Its process has failed since.
        # 2. It may be stopped, or its job has exited with code 0: that is not a failure.
        # 3. It is not running, or has another config.
        # 4. A check fails after its grace period, or is no longer reported.
        end = machine.exit_event
        if end and end != run.old_exit and end.exit_code and not end.requested_stop:
            return f"its process ended with {end}"
        if self._spec.rests(machine, run.config) or _ended_well(run, machine):
            return None
        if machine.state != "started":
            return "it did not stay up"
        if run.config and machine.config and not holds(machine.config, run.config):
            return "it does not have the config that this deploy sent"
        # A check may be critical until its first try. That is not a failure before `checked_from`.
        is_due = asyncio.get_running_loop().time() >= run.checked_from
        failing = ", ".join(
            f"{check.name} {check.status}"
            for check in machine.failing_checks
            if is_due or (run.was_healthy and check.status != "warning")
        )
        if failing:
            return f"checks fail: {failing}"
        missing = run.was_healthy and len(machine.reported_checks) < expected_checks(run.config)
        return "some of its checks are no longer reported" if missing else None

    async def run_to_end(self, run: MachineRun, seconds: float) -> None:
        """Wait for the command of the machine to exit; raises WaitFailed for an exit code but 0, or after `seconds`."""
        self._context.notify(run, Phase.RUNNING)
        command, reason = run.target.command, None
        try:
            async with asyncio.timeout(seconds):
                await self._until_ended(run)
        except TimeoutError:
            reason = f"the {command} did not exit within {seconds:g} s"
        finally:
            # The machine is usually gone already, so an error of this delete does not matter.
            if run.machine and run.machine.state not in GONE:
                with suppress(FlyError):
                    await self._fly.machines.delete(self._app, run.machine_id, force=True)
        end = run.machine.exit_event if run.machine else None
        if reason is None and (end is None or end.exit_code):
            code = f"exit code {end.exit_code}" if end else "an unknown exit code"
            reason = f"the {command} ended with {code}"
        if reason:
            state = run.machine.state if run.machine else "unknown"
            raise WaitFailed(self._app, run.machine_id, wanted="exit code 0", state=state, reason=reason, hopeless=True)
        self._context.notify(run, Phase.ENDED, "exit code 0")

    async def _until_ended(self, run: MachineRun) -> None:
        """Poll until the machine's process has exited; a 404 shortly after the create means that the API lags."""
        patience, known_by = SETTLING, asyncio.get_running_loop().time() + JUST_CREATED
        while True:
            try:
                machine = await self._fly.machines.get(self._app, run.machine_id)
            except NotFound:
                if asyncio.get_running_loop().time() >= known_by:
                    raise
            except TROUBLE:
                pass
            else:
                run.observe(machine)
                patience -= machine.state in GONE
                if machine.exit_event or machine.state == "failed" or not patience:
                    return
            await asyncio.sleep(1)

    async def diagnose(self, run: MachineRun) -> None:
        """Collect how a machine's process ended and its last log lines, as far as DIAGNOSIS seconds allow."""
        if run.machine is None:
            return
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(DIAGNOSIS):
                machine = await self._fly.machines.get(self._app, run.machine_id)
                end = machine.exit_event
                if end and end != run.old_exit and not end.requested_stop:
                    run.end(str(end))
                lines = await self._fly.logs.recent(self._app, machine=run.machine_id)
                # The log may repeat values of the environment, which may be secret.
                env = variables(config for config in (run.config, machine.config) if config)
                run.log(masked((line.message or "" for line in lines[-LAST_LINES:]), env))


def _ended_well(run: MachineRun, machine: Machine) -> bool:
    end = machine.exit_event
    return role(run.config) is Role.SCHEDULED and end is not None and end != run.old_exit and not end.exit_code


def variables(configs: Iterable[MachineConfig]) -> list[tuple[str, str]]:
    """Return the variables in the environments of configs and of their containers, with their values."""
    known = list(configs)
    containers = [each for config in known for each in config.containers or ()]
    envs = [*(each.env for each in known), *(each.env for each in containers)]
    return [item for each in envs for item in (each or {}).items()]


def masked(lines: Iterable[str], env: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Replace each variable's value, or a line of it, by `<NAME>`; values under 6 characters are not replaced."""
    parts = ((name, part.strip()) for name, value in env for part in str(value).splitlines())
    names = {part: f"<{name}>" for name, part in parts if len(part) >= SHORTEST_MASKED}
    if not names:
        return tuple(lines)
    # The longest values come first, so that a value that contains another one is masked completely.
    values = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    return tuple(values.sub(lambda found: names[found[0]], line) for line in lines)
