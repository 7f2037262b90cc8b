"""Cordons, uncordons, stops and destroys machines, and returns verified ones to their former state."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from flyasync.deploy.plan.config_merge import ADOPTED, RETIRED, STOPPED
from flyasync.deploy.plan.fleet import is_in
from flyasync.deploy.plan.plan import AwaitOthersStopped, Cordon, Destroy, Return, Start, Step, Stop, Target, Update
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.errors import AlreadyStarting, FlyError, NotFound, Refused, WaitFailed, WrongState

STOPPING = 20.0
"""Seconds to wait for a stop or an update in progress before the machine is started again."""


class Retirement:
    """Cordons, uncordons, stops and destroys machines under the leases that the deploy holds."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context
        self._machines = context.fly.machines
        self._app = context.app
        self._leases = context.leases
        self._timeout = context.spec.timeout

    async def cordon(self, run: MachineRun, step: Cordon) -> None:
        """Cordon a machine, and wait for its drain time."""
        machine_id = step.machine_id or run.machine_id
        if marks := self._adoption(run, machine_id):
            await self._machines.patch_metadata(self._app, machine_id, marks)
        await self._machines.cordon(self._app, machine_id, nonce=self._leases.nonce(machine_id))
        self._context.notify(run, Phase.CORDONED)
        await asyncio.sleep(step.drain)

    async def uncordon(self, run: MachineRun) -> None:
        """Uncordon the machine of a run."""
        await self._machines.uncordon(self._app, run.machine_id, nonce=self._leases.nonce(run.machine_id))
        self._context.notify(run, Phase.UNCORDONED)

    async def stop(self, run: MachineRun, machine_id: str, *, returns: bool = False) -> None:
        """Stop a machine; if it does not stop, no error is raised, since its destroy is forced.

        A machine that `returns` is marked first, so that a later deploy starts it if this deploy cannot.
        """
        self._context.notify(run, Phase.STOPPING)
        if returns:
            await self._machines.patch_metadata(self._app, machine_id, {STOPPED: self._context.spec.launch})
        with suppress(NotFound, WrongState, WaitFailed):
            await self._machines.stop(self._app, machine_id, nonce=self._leases.nonce(machine_id))
            version = run.machine.current_version if run.machine and run.machine.id == machine_id else None
            await self._machines.wait(self._app, machine_id, state="stopped", version=version, timeout=self._timeout)
            self._context.notify(run, Phase.STOPPED)

    async def give_back(self, run: MachineRun, step: Return) -> None:
        """Return a machine that was started only for verification to its former state."""
        if step.state == "suspended":
            self._context.notify(run, Phase.STOPPING)
            with suppress(Refused, WaitFailed):  # a machine that can no longer be suspended is stopped
                nonce = self._leases.nonce(run.machine_id)
                await self._machines.suspend(self._app, run.machine_id, nonce=nonce)
                await self._machines.wait(self._app, run.machine_id, state="suspended", timeout=self._timeout)
                self._context.notify(run, Phase.SETTLED)
                return
        await self.stop(run, run.machine_id)
        self._context.notify(run, Phase.SETTLED)

    async def recover(self, run: MachineRun, done: Sequence[Step], left: Sequence[Step]) -> None:
        """Return a machine whose track has ended early to its former state, as far as possible.

        `done` are the steps that have been completed, `left` the others; if none is left, nothing is done.
        """
        if run.machine is None or not left:
            return
        # 1. The machine was started only for verification, or was going to be: it is stopped or suspended again.
        for step in left:
            if isinstance(step, Return):
                with suppress(FlyError):
                    await self.give_back(run, step)
        # 2. The machine was stopped for its update and has not been started again: start it. A stop or an update in
        #    progress has to end first, because until then the machine cannot be started.
        has_stopped = isinstance(left[0], Stop) or any(isinstance(step, Stop) for step in done)
        if has_stopped and any(isinstance(step, Update | Start | AwaitOthersStopped) for step in left):
            with suppress(FlyError):
                await self._machines.wait(self._app, run.machine_id, state="settled", timeout=STOPPING)
                with suppress(AlreadyStarting):
                    await self._machines.start(self._app, run.machine_id, nonce=self._leases.nonce(run.machine_id))
                await self._machines.patch_metadata(self._app, run.machine_id, {STOPPED: None})

    async def destroy(self, run: MachineRun, step: Destroy) -> None:
        """Destroy the machine of the run, or the machine that it replaces."""
        machine_id = step.machine_id or run.machine_id
        is_replaced = run.machine is not None and machine_id != run.machine.id
        if run.target is Target.GO or is_replaced:
            with suppress(FlyError):  # only an undo needs this mark, to find the machine
                marks = {RETIRED: self._context.spec.launch, **self._adoption(run, machine_id)}
                await self._machines.patch_metadata(self._app, machine_id, marks)
        # From here on, other deployers lock another machine: the new one. So this deploy has to hold its lease.
        if is_replaced and self._leases.locking.get(run.desired.group) == machine_id:
            await self._leases.lock(run.desired.group, run.machine_id)
        await self.delete(machine_id)
        self._leases.unlock(machine_id)
        if run.machine and not is_replaced:
            self._context.notify(run, Phase.DESTROYED)

    def _adoption(self, run: MachineRun, machine_id: str) -> dict[str, str]:
        """Return the mark of a machine that its group adopts to replace it: an undo needs it to find the machine."""
        is_own = run.machine is None or run.machine.id != machine_id or is_in(run.machine, run.desired.group)
        return {} if is_own else {ADOPTED: self._context.spec.launch}

    async def delete(self, machine_id: str) -> None:
        """Delete a machine by force; a machine that is already gone is not an error."""
        with suppress(NotFound):
            await self._machines.delete(self._app, machine_id, force=True, nonce=self._leases.nonce(machine_id))
