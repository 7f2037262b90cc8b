"""Verifies machines from outside, by a shell command or a function of the user."""

import asyncio
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from weakref import WeakKeyDictionary

from flyasync.api.client import FlyClient
from flyasync.deploy.plan.config_merge import UNVERIFIED
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.verification import VerifyMachine
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.child_process import CommandEnd, run_command
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.verify import LAST_LINES, masked, variables
from flyasync.errors import FlyError
from flyasync.models.machine import Machine
from flyasync.models.redaction import contains_secret, names_a_secret, without_passwords
from flyasync.safe_text import brief, readable

AT_ONCE = 8
"""How many machines are verified at the same time, by the deploys of one client together."""

LONGEST_LINE = 500
"""The maximum length of a line of output in a report, in characters."""


_PERMITS: WeakKeyDictionary[FlyClient, asyncio.Semaphore] = WeakKeyDictionary()


class VerificationFailed(FlyError):
    """A machine is up, but the check from outside failed or took too long."""


class Proof:
    """Verifies the machines of one deploy from outside, at most `AT_ONCE` at the same time per client."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context

    async def demand(self, run: MachineRun) -> None:
        """Verify a machine; raises VerificationFailed if the check fails or takes too long.

        If cancelled, the processes of a command are terminated first.
        """
        context, verification = self._context, self._context.spec.verification
        assert verification is not None  # noqa: S101 - only then a plan has this step
        async with _PERMITS.setdefault(context.fly, asyncio.Semaphore(AT_ONCE)):
            context.notify(run, Phase.VERIFYING)
            machine = await context.fly.machines.get(context.app, run.machine_id)
            run.observe(machine)
            if verification.command is not None:
                why = await _by_command(verification.command, context.app, machine, verification.timeout)
            else:
                assert verification.function is not None  # noqa: S101 - one of the two is set
                why = await self._by_function(verification.function, machine, verification.timeout)
        if why is not None:
            raise VerificationFailed("\n".join(_safe(f"the verification failed: {why}", run, machine)))
        if UNVERIFIED in ((run.config and run.config.metadata) or {}):
            with suppress(FlyError):  # then a later deploy verifies it again
                await context.fly.machines.patch_metadata(context.app, machine.id, {UNVERIFIED: None})
        context.notify(run, Phase.VERIFIED)

    async def _by_function(self, function: VerifyMachine, machine: Machine, timeout: float) -> str | None:
        """Await the function; return why it failed, or None."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                result: object = function(self._context.fly, machine)
                if not inspect.isawaitable(result):
                    return "the function is not async"
                return "the function returned False" if await result is False else None
        except asyncio.CancelledError:
            # The function may have cancelled itself; only a cancellation of the deploy ends the deploy.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return "the function was cancelled"
        except VerificationFailed as error:
            return brief(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is a failure of the machine
            return _too_long(timeout) if limit.expired() else brief(f"{type(error).__name__}: {error}")


async def _by_command(command: str, app: str, machine: Machine, timeout: float) -> str | None:
    """Run the command; return why it failed, with the end of its output, or None."""
    try:
        end = await run_command(command, env={**os.environ, **facts(app, machine)}, timeout=timeout)
    except OSError as error:
        return f"the command could not be started: {error.strerror}"
    return None if end.status == 0 else "\n".join([_status(end, timeout), *_last_lines(end.output)])


def facts(app: str, machine: Machine) -> Mapping[str, str]:
    """Return the variables that name the machine to verify for a command; those that are unknown are empty."""
    return {
        "FLY_APP_NAME": app,
        "FLY_MACHINE_ID": machine.id,
        "FLY_MACHINE_NAME": machine.name,
        "FLY_REGION": machine.region,
        "FLY_PRIVATE_IP": machine.private_ip or "",
        "FLY_PROCESS_GROUP": group_of(machine) or "",
        "FLY_IMAGE_REF": machine.image or "",
    }


def _status(end: CommandEnd, timeout: float) -> str:
    if end.status is None:
        return _too_long(timeout)
    return f"signal {-end.status}" if end.status < 0 else f"exit status {end.status}"


def _too_long(timeout: float) -> str:
    return f"it did not end within {timeout:g} s, and was stopped"


def _last_lines(output: str) -> Iterator[str]:
    lines = readable(output).rstrip().splitlines()
    return (f"| {line}" for line in lines[-LAST_LINES:])


def _safe(text: str, run: MachineRun, machine: Machine) -> Iterator[str]:
    """Yield the lines of a text without the values of the machine's environment, and without our own secrets."""
    ours = ((name, value) for name, value in os.environ.items() if names_a_secret(name) or contains_secret(value))
    env = [*variables(config for config in (run.config, machine.config) if config), *ours]
    for line in masked(text.splitlines(), env):
        safe = readable(without_passwords(line))
        yield safe if len(safe) <= LONGEST_LINE else f"{safe[:LONGEST_LINE]}…"
