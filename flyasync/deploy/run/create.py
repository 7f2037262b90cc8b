"""Creating the machines of one deploy: each once, where there is room, with its volume; nothing else."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import LAUNCH, CreateOptions, Creation
from flyasync.deploy.freshness import fetch
from flyasync.deploy.observe import nearest_with_room
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.placement import Refusal, next_region
from flyasync.deploy.plan.plan import Create, Target
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.deploy.plan.spec import DeploySpec, DesiredVolume
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.launch_metadata import Stamp
from flyasync.deploy.run.region_queue import Door, Ticket
from flyasync.deploy.run.volumes import Volumes
from flyasync.errors import FlyError, NameTaken, NoCapacity, NotFound, Scope, WaitFailed
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, Machine

VOLUME_TRIES = 3
"""How many volumes to make for one machine while each lands on a host without room for the machine."""


NOT_RUNNING = RESTING | {"failed", "created"}
"""The states of a release machine whose command does not run."""


class NoRoomError(Exception):
    """No region that the deploy may use has room for the machine."""


class StillRunning(FlyError):
    """A release command of an earlier deploy that has not ended: another one beside it could do harm."""

    def __init__(self, machine: Machine, app: str) -> None:
        super().__init__(
            f"{machine.name}, machine {machine.id} of {app}, still runs an earlier release command and is "
            f"{machine.state}; it was created at {machine.created_at}. Let it end, or destroy it with: "
            f"flyasync machines destroy {app} {machine.id} --force"
        )


class Unlisted(FlyError):
    """A machine of the group that has the name of one to be made, and that no list showed when this was planned."""

    def __init__(self, machine: Machine, taken: NameTaken) -> None:
        super().__init__(
            f"{machine.name} is there already, machine {machine.id}, which the list of machines lacked, for lists lag: "
            f"deploy again in a moment ({taken.message})"
        )
        self.machine = machine


Tell = Callable[[MachineRun, Phase, str | None], None]


class Creating:
    """Creates machines; what one of them learns about a full region, the others know."""

    def __init__(self, fly: FlyClient, spec: DeploySpec, tell: Tell, volumes: Volumes, stamp: Stamp) -> None:
        self._fly = fly
        self._spec = spec
        self._tell = tell
        self._volumes = volumes
        self._full: dict[str, Refusal] = {}
        self._doors: defaultdict[str, Door] = defaultdict(Door)
        self._map = asyncio.Lock()  # one look at the map for all machines of a region
        self._near: dict[str, tuple[str, ...]] = {}
        self._stamp = stamp

    async def create(self, run: MachineRun, step: Create, *, is_urgent: bool = False) -> None:
        """Create the machine of a run, ahead of all others if it `is_urgent`; raises FlyError, or NoRoomError."""
        self._tell(run, Phase.CREATING, None)
        async with self._stamp.in_turn(step.config.image):
            while refusal := await self._ask(run, step, is_urgent=is_urgent):
                await self._move(run, refusal)

    async def _ask(self, run: MachineRun, step: Create, *, is_urgent: bool) -> Refusal | None:
        """Create the machine in its present region, once it is this one's turn there."""
        if run.source and (refusal := await self._fork(run)):
            return refusal
        door = self._doors[run.region]
        ticket = door.bypass() if is_urgent else await door.enter()
        try:
            return self._full.get(run.region) or await self._try(run, step, ticket)
        finally:
            ticket.give_back(answered=True)

    async def _fork(self, run: MachineRun) -> Refusal | None:
        """Fork the volume in the present region; that takes its time, so nobody stands in line behind it."""
        try:
            if run.volume is not None:
                await self._volume(run, run.volume)
        except NoCapacity as error:
            return self._refused(run, error)
        return None

    async def _try(self, run: MachineRun, step: Create, ticket: Ticket) -> Refusal | None:
        """Create the machine in its present region; give the refusal where there is no room."""
        try:
            for _ in range(VOLUME_TRIES):
                config = await self._config(run, step)
                if not await self._has_moved_volume(run, self._creation(run, step, config, ticket)):
                    return None
        except NoCapacity as error:
            return self._refused(run, error)
        raise NoRoomError

    async def _has_moved_volume(self, run: MachineRun, creation: Creation) -> bool:
        """Create the machine; where its volume's host has no room, drop the volume and say so."""
        try:
            await self._once(run, creation)
        except NoCapacity as error:
            if error.scope is not Scope.VOLUME_HOST or run.volume_id is None:
                raise
            await self._drop_volume(run)
            run.refusals.append(Refusal.of(run.region, error))
            return True
        return False

    async def _drop_volume(self, run: MachineRun) -> None:
        """Let go of a volume on a full host: one made for this machine is deleted, any other stays as it was."""
        assert run.volume_id is not None  # noqa: S101 - only called for a machine with a volume
        if run.volume_id in run.made_volumes:
            await self._volumes.delete(run.volume_id)
            run.made_volumes.remove(run.volume_id)
        run.volume_id = None

    def _creation(self, run: MachineRun, step: Create, config: MachineConfig, ticket: Ticket) -> Creation:
        options: CreateOptions = {
            "region": run.region,
            "skip_launch": step.skip_launch or None,
            "skip_service_registration": step.cordoned or None,
            "min_secrets_version": self._stamp.secrets_version,
        }
        return Creation(
            app=self._spec.app,
            config=config,
            name=step.name or run.wanted.name,
            launch=(config.metadata or {}).get(LAUNCH, self._spec.launch),
            options=options,
            on_leave=ticket.give_back,
            is_urgent=not ticket.stands_in_line,
            may_have_happened=run.in_doubt,
        )

    async def _config(self, run: MachineRun, step: Create) -> MachineConfig:
        """Return the config of one machine: as planned, with its volume."""
        run.config = self._stamp.on(step.config)
        if run.volume is not None:
            volume_id = await self._volume(run, run.volume)
            run.config = evolve(run.config, mounts=[evolve(m, volume=volume_id) for m in step.config.mounts or ()])
        return run.config

    async def _volume(self, run: MachineRun, wanted: DesiredVolume) -> str:
        """Give the volume that was taken for the machine, or make one where it is going to be."""
        if run.volume_id and run.region != run.wanted.region and run.volume_id not in run.made_volumes:
            run.volume_id = None  # it stays in its region
        if run.volume_id is None:
            guest = run.config.guest if run.config else None
            run.volume_id = await self._volumes.make(wanted, run.region, source=run.source, guest=guest)
            run.made_volumes.append(run.volume_id)
            if run.source:
                await self._volumes.ready(run.volume_id)
        return run.volume_id

    async def _once(self, run: MachineRun, creation: Creation) -> None:
        try:
            await self._fly.machines.once.create(creation)
            if (
                run.target is Target.END
                and creation.adopted
                and creation.machine
                and creation.machine.state in NOT_RUNNING
            ):
                await self._clear(creation.machine)
                creation.adopted = False
                await self._fly.machines.once.create(creation)
        except NameTaken as taken:
            holder = await self._holder(creation, taken)
            if run.target is Target.END and holder and group_of(holder) == RELEASE_GROUP:
                await self._clear(holder)
                await self._fly.machines.once.create(creation)
            elif holder and self._is_mine(holder) and run.volume_id is None:
                creation.machine, creation.adopted, creation.may_have_happened = holder, True, False
            elif run.target is not Target.END and holder and group_of(holder) == self._spec.group:
                raise Unlisted(holder, taken) from taken
            else:
                raise
        finally:
            run.in_doubt = creation.may_have_happened
            if creation.machine:
                self._stamp.learn(creation.machine)
                run.adopted = creation.adopted
                self.has(run, creation.machine)

    async def _holder(self, creation: Creation, taken: NameTaken) -> Machine | None:
        """Return the machine that has the name, if it can be read."""
        if self._spec.strategy.only_adds:
            return None
        with suppress(FlyError):
            if taken.existing_id:
                return await fetch(self._fly, creation.app, taken.existing_id)
            return next(
                (each for each in await self._fly.machines.list(creation.app) if each.name == creation.name), None
            )
        return None

    def _is_mine(self, machine: Machine) -> bool:
        """Whether an earlier run of this very deployment made the machine."""
        mine = group_of(machine) == self._spec.group and self._spec.made(machine)
        return mine and machine.state not in GONE

    async def _clear(self, leftover: Machine) -> None:
        """Destroy the release machine of an earlier deploy that was killed; raises StillRunning for one that runs."""
        app, timeout = self._spec.app, self._spec.timeout
        with suppress(WaitFailed, NotFound):
            await self._fly.machines.wait(app, leftover.id, state="settled", timeout=timeout)
        machine = await fetch(self._fly, app, leftover.id)
        if machine is None:
            return
        if machine.state not in GONE | NOT_RUNNING:
            raise StillRunning(machine, app)
        with suppress(NotFound):
            await self._fly.machines.delete(app, machine.id, force=True)
        await self._fly.machines.wait(app, machine.id, state="destroyed", timeout=timeout)

    def _refused(self, run: MachineRun, error: NoCapacity) -> Refusal:
        refusal = Refusal.of(run.region, error)
        if refusal.is_of_the_region:
            self._full[run.region] = refusal
        return refusal

    async def _move(self, run: MachineRun, refusal: Refusal) -> None:
        run.refusals.append(refusal)
        region = next_region(run.refusals, await self._alternatives(run), self._full)
        if region is None:
            raise NoRoomError
        if region != run.region:
            await self._leave_volume(run)
        run.region = region
        self._tell(run, Phase.MOVING, str(refusal))

    async def _leave_volume(self, run: MachineRun) -> None:
        """Take no volume along to another region; one made for the machine is no use there."""
        if run.volume_id:
            await self._drop_volume(run)

    async def _alternatives(self, run: MachineRun) -> tuple[str, ...]:
        fallback, home = self._spec.fallback, run.wanted.region
        elsewhere = self._spec.regions if run.target is Target.END else ()  # a release command may run anywhere
        if fallback == "skip":
            return elsewhere
        if fallback != "nearest":
            return (*elsewhere, *fallback)
        async with self._map:
            if home not in self._near:
                self._near[home] = await nearest_with_room(self._fly, self._spec, home)
        return (*elsewhere, *self._near[home])

    def has(self, run: MachineRun, machine: Machine, phase: Phase = Phase.CREATED) -> None:
        """Note which machine a run has, and tell."""
        if run.machine and run.machine.id != machine.id:
            run.beside.append(run.machine.id)
        run.machine, run.region = machine, machine.region
        self._tell(run, phase, None)
