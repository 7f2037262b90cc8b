"""Updating the machines of one deploy: their configs merged or replaced, and those awake that are to be."""

import asyncio
from collections.abc import Iterable, Set as AbstractSet
from contextlib import suppress
from functools import partial

from attrs import evolve

from flyasync.api.machines.create_once import LAUNCH
from flyasync.api.resource import TROUBLE
from flyasync.deploy.list_lag import settled
from flyasync.deploy.plan.config_merge import STOPPED
from flyasync.deploy.plan.plan import Update
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.verify import Verifier
from flyasync.errors import AlreadyStarting, FlyError
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change, differences, same
from flyasync.models.machine import Machine

UPDATE_TRIES = 8
"""How often an update is tried whose answers are lost; sent again it does nothing if it has happened."""


class ChangedMeanwhile(FlyError):
    """A machine that another client changed after the plan was made, so that the plan would undo that."""

    def __init__(self, run: MachineRun, changes: Iterable[Change]) -> None:
        paths = ", ".join(change.path for change in changes)
        super().__init__(
            f"{run.desired.name}, machine {run.machine_id}, was changed by another client after this was planned "
            f"({paths}), and keeps that. Plan again from what is there now"
        )


class Updater:
    """Updates and starts the machines of one deploy, under the leases that it holds."""

    def __init__(self, context: DeployContext, verifier: Verifier) -> None:
        self._context = context
        self._fly = context.fly
        self._verifier = verifier

    async def update(self, run: MachineRun, step: Update) -> None:
        """Give a machine its new config; raises NoCapacity where its host is full.

        One that ran when the plan was made runs afterwards.
        """
        context, before = self._context, run.machine
        context.notify(run, Phase.UPDATING)
        run.restart_timeout()
        was_stopped = await self._is_stopped(run, RESTING)
        async with context.metadata.in_turn((step.config or context.spec.tagged).image):
            # Tried until it is certain what has become of it: after a lost answer, the machine's config tells.
            for last in (*[False] * (UPDATE_TRIES - 1), True):
                try:
                    is_left_stopped = not step.launches and await self._is_stopped(run, RESTING | {"created"})
                    updated = await self._fly.machines.modify(
                        context.app,
                        run.machine_id,
                        partial(self._desired, run, step, before),
                        nonce=context.leases.nonce(run.machine_id),
                        skip_launch=True if is_left_stopped else None,
                        min_secrets_version=context.metadata.secrets_version,
                    )
                    break
                except TROUBLE:
                    if last:
                        raise
                await asyncio.sleep(1)
            run.observe(updated)
            context.metadata.learn(updated)
        # The proxy may have stopped it since the plan was made, and an update leaves a stopped machine stopped. A start
        # sent before it has come to rest is lost.
        if step.launches and was_stopped:
            await self._verifier.until_settled(run)
            await self.start(run, run.machine_id)
        context.notify(run, Phase.UPDATED)

    async def start(self, run: MachineRun, machine_id: str) -> None:
        """Start a machine, which loses the mark of one that was stopped; one that starts already is fine."""
        with suppress(AlreadyStarting):
            await self._fly.machines.start(self._context.app, machine_id, nonce=self._context.leases.nonce(machine_id))
        if run.machine and STOPPED in run.machine.metadata:
            with suppress(FlyError):  # it does no harm while the machine runs
                await self._fly.machines.patch_metadata(self._context.app, machine_id, {STOPPED: None})

    async def _is_stopped(self, run: MachineRun, states: AbstractSet[str]) -> bool:
        """Whether the machine is known to be in one of `states` now: the proxy may have changed that since the plan."""
        with suppress(*TROUBLE):
            machine = await self._fly.machines.get(self._context.app, run.machine_id)
            return (await settled(self._fly, self._context.app, machine, known=run.machine)).state in states
        return False

    def _desired(self, run: MachineRun, step: Update, before: Machine | None, current: MachineConfig) -> MachineConfig:
        """Return what an update sends, from the config of that moment; the machine is judged by that from now on."""
        metadata, spec = self._context.metadata, self._context.spec
        # 1. A whole config would undo what another client has changed since the plan was made: refused.
        # 2. What the deploy states is merged into whatever is there.
        # 3. So are newer secrets alone, which are not a release of their own.
        if step.config is not None:
            config = run.send(metadata.added_to(step.config))
            if step.over and not (same(current, step.over) or same(current, config)):
                raise ChangedMeanwhile(run, differences(step.over, current))
            return config
        desired = spec.desired(current)
        if not spec.only_secrets:
            desired = evolve(desired, metadata={**(desired.metadata or {}), LAUNCH: spec.launch})
        if step.launches and desired.metadata:  # it runs from here on, whatever has stopped it before
            kept = {key: value for key, value in desired.metadata.items() if key != STOPPED}
            desired = evolve(desired, metadata=kept)
        return run.send(metadata.added_to(desired, before=before))
