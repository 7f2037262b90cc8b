"""Whether machines come up and stay so, how they ended, and what they logged last."""

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
from flyasync.models.machine import GONE, Machine, expected_checks

SETTLING = 10
"""Polls, a second apart, for which a machine that has just gone may lack the event of its exit."""

POLL_EVERY = 2.5
"""Seconds between two polls of a machine that has to stay up."""

SHORTEST_MASKED = 6
"""Values of n characters or more are masked in log lines; shorter ones are in too many words by chance."""

LAST_LINES = 10
"""How many of a failed machine's last log lines go into the report."""

DIAGNOSIS = 10.0
"""Seconds that finding out how a machine failed may take."""


class Verifier:
    """Verifies the machines of one deploy, and deletes a release machine when it has ended."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context
        self._fly = context.fly
        self._app = context.app
        self._spec = context.spec

    async def until_healthy(self, run: MachineRun, timeout: float | None = None) -> None:
        """Wait until all checks of a machine pass, for as long as it has been given; raises WaitFailed.

        Without a `timeout` that is the time left of its start. However little that is, each check has its grace period,
        and a try after it.
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
        """Wait until a machine has come to rest in its version; raises WaitFailed."""
        version = run.machine.current_version if run.machine else None
        timeout = run.time_left(asyncio.get_running_loop().time(), self._spec.timeout)
        await self._fly.machines.wait(self._app, run.machine_id, state="settled", version=version, timeout=timeout)
        self._context.notify(run, Phase.SETTLED)

    async def see_up(self, run: MachineRun) -> None:
        """See that a machine is as this deploy promises; raises WaitFailed when it does not come up."""
        machine = await self._fly.machines.get(self._app, run.machine_id)
        goal = self._spec.goal_of(run.config)
        if goal is None or self._spec.is_up(machine, run.config):
            return
        if goal == "healthy":
            await self.until_healthy(run, self._spec.timeout)
        else:
            await self._fly.machines.wait(self._app, run.machine_id, timeout=self._spec.timeout)

    async def stay_up(self, run: MachineRun, seconds: float) -> None:
        """Poll the machine until `seconds` are over; raises WaitFailed when it has not stayed up.

        It has to be seen up when the time is over. Raises what hides it, once it has been hidden for as long as a
        machine may take.
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
        """See that a machine that has come up is as promised at this moment; raises what `stay_up` raises."""
        patience = asyncio.get_running_loop().time() + self._spec.timeout
        while True:
            if await self._poll(run, patience):
                return
            await asyncio.sleep(POLL_EVERY)

    async def _poll(self, run: MachineRun, patience: float) -> bool:
        """Poll once, and return whether the machine was seen; raises WaitFailed when it is down."""
        try:
            machine = await self._fly.machines.get(self._app, run.machine_id)
        except TROUBLE:
            if asyncio.get_running_loop().time() >= patience:
                raise
            return False
        if machine.state != "started":
            machine = await settled(self._fly, self._app, machine)  # for a moment of an update it reads as stopped
        run.observe(machine)
        if reason := self.why_down(run, machine):
            raise WaitFailed(self._app, machine.id, wanted="up", state=machine.state, reason=reason, hopeless=True)
        return True

    async def has_ended_well(self, run: MachineRun) -> bool:
        """Whether the machine runs on a schedule, and has come to its end by now with exit code 0."""
        return _ended_well(run, await self._fly.machines.get(self._app, run.machine_id))

    def why_down(self, run: MachineRun, machine: Machine) -> str | None:
        """Return why a machine that has come up is not as promised any more, if so."""
        # 1. Its process has failed since.
        # 2. It rests, or its job has ended well: nothing is wrong with that.
        # 3. It does not run, or not with its config.
        # 4. A check fails that has had its time, or is not reported any more.
        end = machine.exit_event
        if end and end != run.old_exit and end.exit_code and not end.requested_stop:
            return f"its process ended with exit code {end.exit_code}, {end.restart_count} restarts"
        if self._spec.rests(machine, run.config) or _ended_well(run, machine):
            return None
        if machine.state != "started":
            return "it did not stay up"
        if run.config and machine.config and not holds(machine.config, run.config):
            return "it does not have the config that it was given"
        # A check that waits for its first try is no failure, as far as that shows: it may be critical until then.
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
        """Let the release command run; raises WaitFailed when it ends with anything but 0, or does not end."""
        self._context.notify(run, Phase.RUNNING)
        reason = None
        try:
            async with asyncio.timeout(seconds):
                await self._until_ended(run)
        except TimeoutError:
            reason = f"it did not end within {seconds:g} s"
        finally:
            # It usually has gone by itself, so that this fails is no failure.
            if run.machine and run.machine.state not in GONE:
                with suppress(FlyError):
                    await self._fly.machines.delete(self._app, run.machine_id, force=True)
        end = run.machine.exit_event if run.machine else None
        if reason is None and (end is None or end.exit_code):
            code = f"exit code {end.exit_code}" if end else "no exit code to be seen"
            reason = f"the release command ended with {code}"
        if reason:
            state = run.machine.state if run.machine else "unknown"
            raise WaitFailed(self._app, run.machine_id, wanted="exit code 0", state=state, reason=reason, hopeless=True)
        self._context.notify(run, Phase.ENDED, "exit code 0")

    async def _until_ended(self, run: MachineRun) -> None:
        """Poll until the machine's process has ended; until shortly after its create some API nodes do not know it."""
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
        """Find out how a machine's process ended and what it logged last, as far as that can be had at once."""
        if run.machine is None:
            return
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(DIAGNOSIS):
                machine = await self._fly.machines.get(self._app, run.machine_id)
                end = machine.exit_event
                if end and end != run.old_exit and not end.requested_stop:
                    memory = ", out of memory" if end.oom_killed else ""
                    restarts = f", restarted {end.restart_count} times" if end.restart_count else ""
                    run.end(f"exit code {end.exit_code}{memory}{restarts}")
                lines = await self._fly.logs.recent(self._app, machine=run.machine_id)
                # The log may repeat what the env holds, and that may be secret.
                configs = [config for config in (run.config, machine.config) if config]
                containers = [each for config in configs for each in config.containers or ()]
                envs = [*(each.env for each in configs), *(each.env for each in containers)]
                env = [item for each in envs for item in (each or {}).items()]
                run.log(masked((line.message or "" for line in lines[-LAST_LINES:]), env))


def _ended_well(run: MachineRun, machine: Machine) -> bool:
    end = machine.exit_event
    return role(run.config) is Role.SCHEDULED and end is not None and end != run.old_exit and not end.exit_code


def masked(lines: Iterable[str], env: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Write `<NAME>` wherever the value of a variable, or a line of it, stands; one under 6 characters is left."""
    parts = ((name, part.strip()) for name, value in env for part in str(value).splitlines())
    names = {part: f"<{name}>" for name, part in parts if len(part) >= SHORTEST_MASKED}
    if not names:
        return tuple(lines)
    # The longest come first, so that a value which holds another one is masked whole.
    values = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    return tuple(values.sub(lambda found: names[found[0]], line) for line in lines)
