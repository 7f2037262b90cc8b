"""Updates the machines of one deploy: merges or replaces their configs, and starts those that are to run."""

import asyncio
from collections.abc import Iterable, Set as AbstractSet
from contextlib import suppress
from functools import partial

from attrs import evolve

from flyasync.api.machines.create_once import LAUNCH
from flyasync.api.resource import TROUBLE
from flyasync.deploy.list_lag import settled
from flyasync.deploy.plan.config_merge import ADOPTED, STOPPED
from flyasync.deploy.plan.fleet import is_in
from flyasync.deploy.plan.new_group import standing_by
from flyasync.deploy.plan.plan import Update
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.verify import Verifier
from flyasync.errors import AlreadyStarting, FlyError
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change, differences, same
from flyasync.models.image import runs
from flyasync.models.machine import Machine

UPDATE_TRIES = 8
"""How often an update is sent while its responses are lost; repeating one that has happened changes nothing."""


class ChangedMeanwhile(FlyError):
    """Another client changed a machine after the plan was made; the planned update would undo that change."""

    def __init__(self, run: MachineRun, changes: Iterable[Change]) -> None:
        paths = ", ".join(change.path for change in changes)
        super().__init__(
            f"{run.desired.name} (machine {run.machine_id}) was changed by another client after this was planned "
            f"({paths}), so it was not updated. Make a new plan"
        )


class Updater:
    """Updates and starts the machines of one deploy, under the leases that it holds."""

    def __init__(self, context: DeployContext, verifier: Verifier) -> None:
        self._context = context
        self._fly = context.fly
        self._verifier = verifier

    async def update(self, run: MachineRun, step: Update) -> None:
        """Update a machine to its new config; raises NoCapacity if its host is full.

        A machine that was running when the plan was made is running afterwards.
        """
        context, before = self._context, run.machine
        context.notify(run, Phase.UPDATING)
        run.restart_timeout()
        was_stopped = await self._is_stopped(run, RESTING)
        async with context.metadata.in_turn((step.config or context.spec.of(run.desired).tagged).image):
            # Repeated until the result is known: after a lost response, `modify` reads the machine's config again.
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
        # The proxy may have stopped the machine since it was planned, and an update leaves a stopped machine stopped. A
        # start that is sent before the update is complete has no effect.
        if step.launches and was_stopped:
            await self._verifier.until_settled(run)
            await self.start(run, run.machine_id)
        context.notify(run, Phase.UPDATED)

    async def start(self, run: MachineRun, machine_id: str) -> None:
        """Start a machine and remove the mark of its stop; a machine that is already starting is not an error."""
        with suppress(AlreadyStarting):
            await self._fly.machines.start(self._context.app, machine_id, nonce=self._context.leases.nonce(machine_id))
        if run.machine and STOPPED in run.machine.metadata:
            with suppress(FlyError):  # the mark has no effect while the machine runs
                await self._fly.machines.patch_metadata(self._context.app, machine_id, {STOPPED: None})

    async def _is_stopped(self, run: MachineRun, states: AbstractSet[str]) -> bool:
        """Whether the machine is in one of `states` now; False if that is unknown.

        The proxy may have changed the state since the plan was made.
        """
        with suppress(*TROUBLE):
            machine = await self._fly.machines.get(self._context.app, run.machine_id)
            return (await settled(self._fly, self._context.app, machine, known=run.machine)).state in states
        return False

    def _desired(self, run: MachineRun, step: Update, before: Machine | None, current: MachineConfig) -> MachineConfig:
        """Return the config to send, from the machine's `current` one; later checks compare the machine with it."""
        metadata, spec = self._context.metadata, self._context.spec.of(run.desired)
        # 1. A complete config is refused if another client has changed the machine since the plan was made.
        # 2. Otherwise the spec is merged into the current config, with the tag and the origin of the launch.
        # 3. An update of the secrets alone is not a release, so it keeps the tag of the earlier launch.
        if step.config is not None:
            config = run.send(metadata.added_to(step.config, is_unverified=run.awaits_proof))
            if step.over and not (same(current, step.over) or same(current, config)):
                raise ChangedMeanwhile(run, differences(step.over, current))
            return config
        if spec.keeps_config and before and runs(before.image, current.image):
            current = evolve(current, image=before.image)  # a tag may have moved, but the image is kept
        desired = spec.desired(current)
        if step.standby_for:
            desired = standing_by(desired, self._context.runs[step.standby_for].machine_id)
        if not spec.only_secrets:
            joins = {ADOPTED: spec.launch} if before and not is_in(before, spec.group) else {}
            marks = {LAUNCH: spec.launch, **joins, **spec.origin.marks}
            desired = evolve(desired, metadata={**(desired.metadata or {}), **marks})
        if step.launches and desired.metadata:  # it runs from here on, so the mark of a stop is removed
            kept = {key: value for key, value in desired.metadata.items() if key != STOPPED}
            desired = evolve(desired, metadata=kept)
        return run.send(metadata.added_to(desired, before=before, is_unverified=run.awaits_proof))
