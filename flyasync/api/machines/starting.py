"""Start a machine whose lease is held, and wait until it serves."""

import asyncio
from typing import Final, Protocol

from attrs import evolve, frozen

from flyasync.api.machines.ensure import HealthWaiter, Waiter
from flyasync.api.machines.wait import LAST_CHECK
from flyasync.errors import AlreadyStarting, WrongState
from flyasync.models.machine import Machine, expected_checks
from flyasync.models.machine_results import StartResult

STOPPING: Final = 15.0
"""Seconds to wait for a machine that is stopping, or that has just stopped and refuses to start."""


STARTING: Final = 30.0
"""Seconds for a stopped or suspended machine to start; its image is on its host already."""


class Start(Protocol):
    """Starts a machine, as `fly.machines.start` does."""

    async def __call__(self, app: str, machine_id: str, /, *, nonce: str | None) -> StartResult:
        """Start it."""


@frozen
class Starter:
    """`fly.machines.starter`: brings a machine that was read under its lease to where it serves."""

    _start: Start
    _wait: Waiter
    _wait_healthy: HealthWaiter

    async def serve(self, app: str, machine: Machine, *, nonce: str, timeout: float) -> Machine:
        """Start the machine if necessary, and wait until its checks pass; return it as last observed.

        It waits for `timeout` seconds at most: of these, 15 s for a stop that is under way, 30 s for the start, and the
        rest for the checks, 2 s at least. Two requests, if the machine is stopped or suspended and has no checks; none
        if it is started.

        Raises WaitFailed, WrongState for a state from which it cannot start, LeaseHeld if the nonce is no longer valid.
        """
        clock = asyncio.get_running_loop().time
        ends = clock() + timeout

        def left() -> float:
            return max(LAST_CHECK, ends - clock())

        if not machine.is_settled or machine.state == "created":
            patience = min(STOPPING, timeout)
            machine = evolve(machine, state=await self._wait(app, machine.id, state="settled", timeout=patience))
        if machine.state != "started":
            await self._start_settled(app, machine.id, nonce)
            await self._wait(app, machine.id, state="started", timeout=min(STARTING, left()))
            machine = evolve(machine, state="started", checks=None)
        if (checks := expected_checks(machine.config)) and not machine.checks_pass:
            machine = await self._wait_healthy(app, machine.id, checks=checks, timeout=left())
        return machine

    async def _start_settled(self, app: str, machine_id: str, nonce: str) -> None:
        clock = asyncio.get_running_loop().time
        refused_until = clock() + STOPPING
        while True:
            try:
                await self._start(app, machine_id, nonce=nonce)
            except AlreadyStarting:
                return
            except WrongState:  # for some seconds after a stop
                if clock() >= refused_until:
                    raise
                await asyncio.sleep(1)
            else:
                return
