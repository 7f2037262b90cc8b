"""The final check: a report shows what was observed at the end of a plan, not what earlier responses imply."""

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress

from attrs import evolve

from flyasync.deploy import list_lag
from flyasync.deploy.list_lag import APART, CATCH_UP, is_behind, past_pauses
from flyasync.deploy.observe import observe
from flyasync.deploy.plan.fleet import Fleet, group_of, home
from flyasync.deploy.reporting.result import Result, result_of
from flyasync.deploy.reporting.run_state import Observation
from flyasync.deploy.run.context import DeployContext
from flyasync.errors import FlyError
from flyasync.models.machine import GONE, Machine

LAST_CHECK = 30.0
"""Seconds that the check of a cancelled deploy may take."""


class FinalCheck:
    """Observes the machines of a plan; a volume that one list has shown counts as listed from then on."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context
        self._fly = context.fly
        self._listed_volumes: set[str] = set()

    async def check(self, *, changed: Collection[str] = ()) -> Observation:
        """Observe the machines; one that was in doubt and is found belongs to its run from then on.

        Lists lag. A list row is trusted only if it shows a machine in its promised state and is at least as recent as
        the last observation of this plan. All other machines are fetched by id, as are those that another plan has
        `changed`.
        """
        runs = tuple(self._context.runs.values())
        try:
            hint = self._seen(await self._listed())
        except FlyError as error:
            return self._blind(error)
        mine = {machine.id: run for run in runs if (machine := run.machine or hint.machine(run))}
        # A list row can prove that a machine is in its promised state, but not that it is not.
        doubtful = set(changed) & mine.keys()
        for id_, run in mine.items():
            row = hint.machine(run)
            is_current = row is not None and run.machine is not None and not is_behind(row, run.machine)
            is_good = {Result.RUNNING, Result.RESTING}
            if run.error or not is_current or result_of(self._context.spec, hint, run)[0] not in is_good:
                doubtful.add(id_)
        others = (*hint.surplus, *(machine_id for run in runs for machine_id in run.beside))
        ids = tuple(dict.fromkeys([*doubtful, *others]))
        found = dict(zip(ids, await asyncio.gather(*map(self.fetch, ids)), strict=True))
        hidden = {id_: error for id_, error in found.items() if isinstance(error, FlyError)}
        kept = (machine for machine in hint.seen if machine.id not in found or machine.id in hidden)
        observation = evolve(
            hint,
            seen=(*kept, *(machine for machine in found.values() if isinstance(machine, Machine))),
            unseen={run.desired.name: hidden[id_] for id_, run in mine.items() if id_ in hidden},
        )
        before = {machine.id for machine in self._context.plan.before.machines} if self._context.plan.before else set()
        for run in runs:
            found_now = run.machine or observation.machine(run)
            run.find(found_now, was_there=found_now is not None and found_now.id in before)
        return observation

    async def check_cancelled(self) -> Observation:
        """Observe the machines after a cancellation, within a bounded time; a second cancellation interrupts it."""
        try:
            async with asyncio.timeout(LAST_CHECK):
                return await self.check()
        except (TimeoutError, asyncio.CancelledError):
            return self._blind(FlyError("the final check was interrupted"))

    def unchanged(self) -> Observation:
        """Return what was observed when the plan was made; for a plan with nothing to do."""
        before = self._context.plan.before
        seen = self._concerning(before.machines if before else ())
        return Observation(runs=tuple(self._context.runs.values()), seen=seen, left_alone=self._left_alone(seen))

    async def fetch(self, machine_id: str) -> Machine | FlyError | None:
        """Return the machine, None if it is gone, or the error that prevented the request."""
        try:
            machine = await list_lag.fetch(self._fly, self._context.app, machine_id)
        except FlyError as error:
            return error
        return None if machine is None or machine.state in GONE else machine

    async def _listed(self) -> Fleet:
        """List the machines and volumes, and list again if what the first list lacks shows that it lags."""
        runs = self._context.runs.values()

        async def list_() -> Fleet:
            return await observe(self._fly, self._context.spec, by_id=False, with_secrets=False)

        fleet = await past_pauses(list_)
        # A machine that may have been created is missing from the list: a later list may show it.
        in_doubt = [run for run in runs if run.in_doubt and run.machine is None]
        if not all(fleet.named(run.desired.name) for run in in_doubt):
            await asyncio.sleep(APART)
            fleet = await past_pauses(list_)
        # A list without the volumes created here lags, so it may also lack volumes that only a list can show.
        made = {volume_id for run in runs for volume_id in run.made_volumes}
        until = asyncio.get_running_loop().time() + CATCH_UP
        while True:
            self._listed_volumes |= {volume.id for volume in fleet.volumes}
            if made <= self._listed_volumes or asyncio.get_running_loop().time() >= until:
                return fleet
            await asyncio.sleep(1)
            with suppress(FlyError):  # the next list may succeed
                fleet = evolve(fleet, volumes=await self._fly.volumes.list(self._context.app))

    def _seen(self, fleet: Fleet) -> Observation:
        """Return the observation that a list gives."""
        plan, spec, runs = self._context.plan, self._context.spec, tuple(self._context.runs.values())
        # A create whose response was lost, or that arrived twice, may have left a volume behind: one that is new since
        # the plan, attached to no machine, and not recorded by any run.
        loose: tuple[str, ...] = ()
        if plan.before is not None:
            names = {
                volume.name
                for volume in (*(each.volume for each in spec.groups), *(run.volume for run in runs))
                if volume
            }
            known = {volume.id for volume in plan.before.volumes}
            known |= {volume_id for run in runs for volume_id in run.made_volumes}
            known |= {
                mount.volume or "" for each in fleet.machines if each.config for mount in each.config.mounts or ()
            }
            free = (volume for volume in fleet.volumes if volume.is_free and volume.name in names)
            loose = tuple(volume.id for volume in free if volume.id not in known)
        machines = self._concerning(fleet.machines)
        return Observation(
            runs=runs,
            seen=machines,
            others=fleet.others,
            left_alone=self._left_alone(machines),
            settled=self._context.admission.settled,
            launch=spec.launch if plan.group is not None else None,
            loose_volumes=loose,
            closed_by=self._context.admission.closed_by,
        )

    def _blind(self, error: FlyError) -> Observation:
        """Return an observation in which no machine could be observed."""
        blind = Observation.blind(tuple(self._context.runs.values()), error)
        return evolve(blind, closed_by=self._context.admission.closed_by)

    def _concerning(self, machines: Iterable[Machine]) -> tuple[Machine, ...]:
        """Return the machines that this deploy manages: those of the launch, or of its groups, and adopted ones."""
        plan = self._context.plan
        groups = {*plan.groups, *self._context.spec.retired_groups}
        # An adopted machine is outside its group before its update and after a rollback.
        mine = {run.machine.id for run in self._context.runs.values() if run.machine}
        return tuple(
            each for each in machines if plan.group is None or each.id in mine or (group_of(each) or "") in groups
        )

    def _left_alone(self, machines: Iterable[Machine]) -> frozenset[str]:
        """Return the ids of the machines of the groups in regions that the deploy does not manage."""
        if self._context.plan.group is None:
            return frozenset()
        counts = {each.group: each.counts for each in self._context.spec.groups}
        return frozenset(each.id for each in machines if home(each) not in counts.get(group_of(each) or "", ()))
