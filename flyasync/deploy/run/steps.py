"""One step becomes its API calls: here, in creating.py and what they use machines are changed, and nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Set as AbstractSet
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH
from flyasync.api.resource import TROUBLE
from flyasync.deploy.freshness import past_pauses, settled
from flyasync.deploy.plan.config_merge import RETIRED
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.plan.plan import (
    Adopt,
    AwaitHealthy,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    DeleteVolume,
    Destroy,
    GiveUp,
    Return,
    RunToEnd,
    Start,
    Step,
    Stop,
    TakeVolume,
    Target,
    Uncordon,
    Update,
    Watch,
)
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.create import Creating, NoRoomError, Tell
from flyasync.deploy.run.hedge import Hedge
from flyasync.deploy.run.launch_metadata import Stamp
from flyasync.deploy.run.leases import Leases
from flyasync.deploy.run.verify import Watching
from flyasync.deploy.run.volumes import Volumes
from flyasync.errors import (
    AlreadyStarting,
    FlyError,
    NoCapacity,
    NotFound,
    Refused,
    WaitFailed,
    WrongState,
)
from flyasync.models.config import MachineConfig
from flyasync.models.diff import Change, differences, same
from flyasync.models.machine import Machine, expected_checks

__all__ = ["RETIRED", "ChangedMeanwhile", "GaveUp", "NoRoomError", "NotBegunError", "Steps", "Tell"]

UPDATE_TRIES = 8
"""How often an update is tried whose answers are lost; asked again it does nothing if it has happened."""


class GaveUp(FlyError):
    """A machine that was left alone, since nothing that may be done here would help it."""


class ChangedMeanwhile(FlyError):
    """A machine that another client changed after the plan was made, so that the plan would take that back."""

    def __init__(self, run: MachineRun, changes: Iterable[Change]) -> None:
        paths = ", ".join(change.path for change in changes)
        super().__init__(
            f"{run.wanted.name}, machine {run.machine_id}, was changed by another client after this was planned "
            f"({paths}), and keeps that. Plan again from what is there now"
        )


class NotBegunError(Exception):
    """The deploy came to its end while a machine stood in line to be the first of its group."""


class Steps:
    """Takes the steps of one deploy, under the leases that it holds."""

    def __init__(self, fly: FlyClient, spec: DeploySpec, tell: Tell, leases: Leases) -> None:
        self._fly = fly
        self._app = spec.app
        self._spec = spec
        self._tell = tell
        self._leases = leases
        self._volumes = Volumes(fly, spec)
        self.stamp = Stamp(spec)
        self._creating = Creating(fly, spec, tell, self._volumes, self.stamp)
        self._hedge = Hedge(fly, spec, tell, self._creating)
        self.watching = Watching(fly, spec, tell)
        self._opening = asyncio.Lock()
        self.is_open = spec.strategy.only_adds
        self.may_begin: Callable[[str], bool] = lambda _: True
        self._takes: dict[type, Callable[[MachineRun, Any], Awaitable[None]]] = {
            TakeVolume: self._take_volume,
            Create: self._create,
            Adopt: self._adopt,
            Update: self._update,
            Start: self._start,
            AwaitStarted: self._await_started,
            AwaitHealthy: self._await_healthy,
            AwaitSettled: self._await_settled,
            Watch: self._watch,
            Cordon: self._cordon,
            Uncordon: self._uncordon,
            Stop: self._stop,
            Destroy: self._destroy,
            DeleteVolume: self._delete_volume,
            Return: self._return,
            RunToEnd: self._run_to_end,
            GiveUp: self._give_up,
        }

    async def take(self, step: Step, run: MachineRun) -> None:
        """Take one step with one machine; raises FlyError, or NoRoomError."""
        await self._take(step, run)
        run.taken += 1

    async def _take(self, step: Step, run: MachineRun) -> None:
        await past_pauses(partial(self._takes[type(step)], run, step))

    def know(self, fleet: Fleet) -> None:
        """Take note of what was there before."""
        self._volumes.claim(*(volume.id for volume in fleet.volumes))

    async def learn_secrets_version(self) -> str | None:
        """Have every machine from now on start with the app's secrets as they are now, or newer; report the outcome.

        The API shows the version of the secrets only to who changes them, so an empty change is sent. Where the token
        may not do that, machines start with whatever secrets have reached their host.
        """
        if self.stamp.secrets_version is not None:
            return None
        try:
            version = (await self._fly.secrets.update(self._app, {})).version
        except FlyError as error:
            return f"secrets: machines may start with older ones, for their version could not be found out: {error}"
        self.stamp.demand(version)
        return f"secrets: machines started with version {version} or newer, as an empty change of them answered"

    # Machines are made, taken, changed.

    async def _take_volume(self, run: MachineRun, step: TakeVolume) -> None:
        run.volume, run.volume_id, run.source = step.wanted, step.volume_id, step.source

    async def _create(self, run: MachineRun, step: Create) -> None:
        run.deadline = None
        if run.target is not Target.END and not self.is_open and await self._opens(run, step):
            return
        await self._creating.create(run, step)

    async def _opens(self, run: MachineRun, step: Create) -> bool:
        """Create the first machine of a group that is not there, alone; tell whether this was the one.

        Nothing else is there whose lease could keep other deployers out. The others stand in line until it is theirs.
        """
        async with self._opening:
            if not self.may_begin(run.wanted.region):
                raise NotBegunError
            if self.is_open:
                return False
            await self._creating.create(run, step)
            await self._leases.lock(run.machine_id)
            self.is_open = True
            return True

    async def _adopt(self, run: MachineRun, step: Adopt) -> None:
        machine = await self._fly.machines.get(self._app, step.machine_id)
        run.adopted, run.old_exit = True, machine.exit_event
        self._creating.has(run, machine, Phase.ADOPTED)

    async def _update(self, run: MachineRun, step: Update) -> None:
        self._tell(run, Phase.UPDATING, None)
        run.deadline = None
        try:
            was_at_rest = await self._is_at_rest(run)
            async with self.stamp.in_turn((step.config or self._spec.tagged).image):
                run.machine = await self._persistently(partial(self._modify, run, step, run.machine))
                self.stamp.learn(run.machine)
            if step.launches and was_at_rest:
                await self._wake(run)
        except NoCapacity as error:
            if not step.if_full:
                raise
            await self._replace(run, step, error)
        else:
            self._tell(run, Phase.UPDATED, None)

    async def _is_at_rest(self, run: MachineRun, states: AbstractSet[str] = RESTING) -> bool:
        """Look whether the machine runs at this moment: since the plan was made, the proxy may have changed that."""
        with suppress(*TROUBLE):
            machine = await self._fly.machines.get(self._app, run.machine_id)
            return (await settled(self._fly, self._app, machine, known=run.machine)).state in states
        return False

    async def _wake(self, run: MachineRun) -> None:
        """Start a machine that ran when the plan was made and was at rest when it was updated; that leaves it so."""
        await self._await_settled(run, AwaitSettled(cause="it was at rest"))
        await self._start(run, Start(cause="it ran when the plan was made"))

    async def see_up(self, run: MachineRun) -> None:
        """See that a machine is as this deploy wants machines to be; raises WaitFailed when it does not come up."""
        machine = await self._fly.machines.get(self._app, run.machine_id)
        goal = self._spec.goal_of(run.config)
        if goal is None or self._spec.is_up(machine, run.config):
            return
        if goal == "healthy":
            await self._until_healthy(run, self._spec.timeout)
        else:
            await self._fly.machines.wait(self._app, run.machine_id, timeout=self._spec.timeout)

    async def _modify(self, run: MachineRun, step: Update, before: Machine | None) -> Machine:
        return await self._fly.machines.modify(
            self._app,
            run.machine_id,
            partial(self._config, run, step, before),
            nonce=self._leases.nonce(run.machine_id),
            skip_launch=None if step.launches or not await self._is_at_rest(run, RESTING | {"created"}) else True,
            min_secrets_version=self.stamp.secrets_version,
        )

    def _config(self, run: MachineRun, step: Update, before: Machine | None, current: MachineConfig) -> MachineConfig:
        """Return what an update sends, from what is there at that moment; the machine is judged by that from now on.

        What others have changed since the plan was made is merged; a whole config would undo it, and is refused.
        """
        if step.config is not None:
            run.config = self.stamp.on(step.config)
            if step.over and not (same(current, step.over) or same(current, run.config)):
                raise ChangedMeanwhile(run, differences(step.over, current))
            return run.config
        desired = self._spec.desired(current)
        if not self._spec.only_secrets:  # which is not a release of its own
            desired = evolve(desired, metadata={**(desired.metadata or {}), LAUNCH: self._spec.launch})
        run.config = self.stamp.on(desired, before=before)
        return run.config

    async def _persistently(self, attempt: Callable[[], Awaitable[Machine]]) -> Machine:
        """Try until it is certain what has become of it."""
        for last in (*[False] * (UPDATE_TRIES - 1), True):
            try:
                return await attempt()
            except TROUBLE:
                if last:
                    raise
            await asyncio.sleep(1)
        raise AssertionError

    async def _replace(self, run: MachineRun, step: Update, error: NoCapacity) -> None:
        """Put another machine in the place of one whose host is full: the plan says how."""
        run.refusals.append(Refusal.of(run.region, error))
        self._tell(run, Phase.REPLACING, str(error))
        for instead in step.if_full:
            await self._take(instead, run)

    async def _start(self, run: MachineRun, step: Start) -> None:
        machine_id = step.machine_id or run.machine_id
        with suppress(AlreadyStarting):
            await self._fly.machines.start(self._app, machine_id, nonce=self._leases.nonce(machine_id))

    # Machines are waited for.

    async def _await_started(self, run: MachineRun, _: AwaitStarted) -> None:
        self._tell(run, Phase.STARTING, None)
        try:
            await self._hedge.race(run, self._until_started)
        except WaitFailed:
            if not await self.watching.has_ended_well(run):  # a job may be over before it is seen to run
                raise
        run.checked_from = asyncio.get_running_loop().time() + self._spec.time_for_checks(run.config)
        run.was_healthy = False
        self._tell(run, Phase.STARTED, None)

    async def _until_started(self, run: MachineRun, machine: Machine) -> None:
        await self._fly.machines.wait(
            self._app,
            machine.id,
            state="started",
            version=machine.current_version,
            timeout=self._time_left(run),
            just_created=True,
        )

    async def _await_healthy(self, run: MachineRun, _: AwaitHealthy) -> None:
        self._tell(run, Phase.CHECKING, None)
        # However little time is left, each check has its grace period, and a try after it.
        now = asyncio.get_running_loop().time()
        await self._until_healthy(run, max(self._time_left(run), run.checked_from - now), just_created=True)
        run.was_healthy = True
        self._tell(run, Phase.HEALTHY, None)

    async def _until_healthy(self, run: MachineRun, timeout: float, *, just_created: bool = False) -> None:
        run.machine = await self._fly.machines.wait_healthy(
            self._app,
            run.machine_id,
            version=run.machine.current_version if run.machine else None,
            checks=expected_checks(run.config),
            timeout=timeout,
            just_created=just_created,
        )

    async def _await_settled(self, run: MachineRun, _: AwaitSettled) -> None:
        version = run.machine.current_version if run.machine else None
        await self._fly.machines.wait(
            self._app, run.machine_id, state="settled", version=version, timeout=self._time_left(run)
        )
        self._tell(run, Phase.SETTLED, None)

    async def _watch(self, run: MachineRun, step: Watch) -> None:
        await self.watching.stay_up(run, step.seconds)

    async def _run_to_end(self, run: MachineRun, step: RunToEnd) -> None:
        await self.watching.run_to_end(run, step.seconds)

    async def evidence(self, run: MachineRun) -> None:
        """Find out how a machine's process ended and what it said last, as far as that can be had at once."""
        await self.watching.evidence(run)

    # Machines leave.

    async def _cordon(self, run: MachineRun, step: Cordon) -> None:
        machine_id = step.machine_id or run.machine_id
        await self._fly.machines.cordon(self._app, machine_id, nonce=self._leases.nonce(machine_id))
        self._tell(run, Phase.CORDONED, None)
        await asyncio.sleep(step.drain)

    async def _uncordon(self, run: MachineRun, _: Uncordon) -> None:
        await self._fly.machines.uncordon(self._app, run.machine_id, nonce=self._leases.nonce(run.machine_id))
        self._tell(run, Phase.UNCORDONED, None)

    async def _stop(self, run: MachineRun, step: Stop) -> None:
        """Stop the machine; one that will not end is destroyed by force afterwards, so that is no failure here."""
        machine_id = step.machine_id or run.machine_id
        self._tell(run, Phase.STOPPING, None)
        with suppress(NotFound, WrongState, WaitFailed):
            await self._fly.machines.stop(self._app, machine_id, nonce=self._leases.nonce(machine_id))
            version = run.machine.current_version if run.machine and run.machine.id == machine_id else None
            await self._fly.machines.wait(
                self._app, machine_id, state="stopped", version=version, timeout=self._spec.timeout
            )
            self._tell(run, Phase.STOPPED, None)

    async def _return(self, run: MachineRun, step: Return) -> None:
        nonce = self._leases.nonce(run.machine_id)
        if step.state == "suspended":
            self._tell(run, Phase.STOPPING, None)
            with suppress(Refused, WaitFailed):  # one that cannot be suspended any more is stopped
                await self._fly.machines.suspend(self._app, run.machine_id, nonce=nonce)
                await self._fly.machines.wait(self._app, run.machine_id, state="suspended", timeout=self._spec.timeout)
                self._tell(run, Phase.SETTLED, None)
                return
        await self._stop(run, Stop(cause=step.cause))
        self._tell(run, Phase.SETTLED, None)

    async def give_rest(self, steps: Iterable[Step], run: MachineRun) -> None:
        """Return a machine that was started only to verify it, and was not seen up, as far as that can be done."""
        for step in steps:
            if isinstance(step, Return) and run.machine:
                with suppress(FlyError):
                    await self._return(run, step)

    async def _destroy(self, run: MachineRun, step: Destroy) -> None:
        machine_id = step.machine_id or run.machine_id
        makes_way = run.machine is not None and machine_id != run.machine.id
        if run.target is Target.GO or makes_way:
            with suppress(FlyError):  # a mark for those who want it back; it is no condition
                await self._fly.machines.patch_metadata(self._app, machine_id, {RETIRED: self._spec.launch})
        if machine_id == self._leases.locking and run.machine and machine_id != run.machine_id:
            await self._leases.lock(run.machine_id)
        await self.destroy(machine_id)
        if machine_id == self._leases.locking:
            self._leases.unlock()
        if run.machine and machine_id == run.machine_id:
            self._tell(run, Phase.DESTROYED, None)

    async def destroy(self, machine_id: str) -> None:
        """Destroy a machine; one that is gone already is fine."""
        with suppress(NotFound):
            await self._fly.machines.delete(self._app, machine_id, force=True, nonce=self._leases.nonce(machine_id))

    async def _delete_volume(self, _: MachineRun, step: DeleteVolume) -> None:
        await self.delete_volume(step.volume_id)

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume that this deploy made."""
        await self._volumes.delete(volume_id)

    async def _give_up(self, _: MachineRun, step: GiveUp) -> None:
        raise GaveUp(step.cause)

    def _time_left(self, run: MachineRun) -> float:
        """Divide the time that a machine has from its first wait on among its waits."""
        now = asyncio.get_running_loop().time()
        if run.deadline is None:
            run.deadline = now + self._spec.timeout
        return max(run.deadline - now, 0.001)


def needs_lease(step: Step) -> bool:
    """Tell whether a step changes a machine that was there before."""
    return isinstance(step, Update | Start | Cordon | Uncordon | Stop | Destroy)
