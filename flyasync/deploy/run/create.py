"""Creates the machines of one deploy, each exactly once, where there is room, and with its volume."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, Self

from attrs import define, evolve

from flyasync.api.machines.create_once import LAUNCH, CreateOptions, Creation
from flyasync.deploy.list_lag import fetch
from flyasync.deploy.observe import nearest_with_room
from flyasync.deploy.plan.fleet import group_of
from flyasync.deploy.plan.new_group import standing_by
from flyasync.deploy.plan.placement import Refusal, next_region
from flyasync.deploy.plan.plan import Create, Target
from flyasync.deploy.plan.reconcile import RESTING
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.deploy.plan.spec import LaneKey
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.sharing import sharing
from flyasync.errors import FlyError, NameTaken, NoCapacity, NotFound, Scope, VolumeInUse, WaitFailed
from flyasync.models.config import MachineConfig
from flyasync.models.machine import GONE, Machine
from flyasync.safe_text import readable

VOLUME_TRIES = 3
"""How many volumes to create for one machine, if each is placed on a host without room for the machine."""

NOT_RUNNING = RESTING | {"failed", "created"}
"""The states of a release machine whose command is not running."""


class NoRoomError(Exception):
    """No region that the deploy may use has room for the machine."""


class NotBegunError(Exception):
    """The deploy ended while a machine waited to become the first of its group."""


class StillRunning(FlyError):
    """A release command of an earlier deploy is still running; a second one now could do harm."""

    def __init__(self, machine: Machine, app: str) -> None:
        super().__init__(
            f"{machine.name} (machine {machine.id} of {app}, {machine.state}, created at {machine.created_at}) still "
            "runs an earlier release command. Wait until it exits, or destroy the machine with: "
        )
        self.app = app
        self.machine_id = machine.id

    def _text(self) -> str:
        return f"{super()._text()}fly.machines.delete({self.app!r}, {self.machine_id!r}, force=True)"

    @property
    def for_command(self) -> str:
        """The text with the command that destroys the machine, where `str()` names the method."""
        return readable(f"{super()._text()}flyasync machines destroy {self.app} {self.machine_id} --force")


class Unlisted(FlyError):
    """A machine of the group already has the name of one to be created, but no list showed it to the planner."""

    def __init__(self, machine: Machine, taken: NameTaken) -> None:
        super().__init__(
            f"{machine.name} already exists (machine {machine.id}), but the list of machines did not show it yet: "
            f"deploy again in a moment ({taken.message})"
        )
        self.machine = machine


def _may_repeat(run: MachineRun, machine: Machine) -> bool:
    """Whether a machine of an earlier deploy, which runs the command of this run, may be replaced: it runs twice then.

    A release command must be repeatable. A seed command is repeated only if it is known to have failed.
    """
    end = machine.exit_event
    return run.target is Target.END or (run.target is Target.SEED and end is not None and bool(end.exit_code))


class RegionQueue:
    """The queue in which the machines of one region wait for their creates, one at a time.

    Until the region has responded to its first create, the next create waits for that response. From then on, it only
    waits until the request before it has been sent. So a region without any room costs one create, a region that fills
    up costs those already sent and one more, and a region with room never delays a create.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._has_responded = False

    @property
    def is_taken(self) -> bool:
        """Whether the next create has to wait for another one."""
        return self._lock.locked()

    def __repr__(self) -> str:
        return f"<RegionQueue: {'responded' if self._has_responded else 'no response yet'}, {self._lock!r}>"

    def front(self) -> Coroutine[Any, Any, Literal[True]]:
        """Return the coroutine that waits until one create may be sent; the queue is then held until `pass_on`."""
        return self._lock.acquire()

    def respond(self) -> None:
        """Record that the region has responded to a create."""
        self._has_responded = True

    def pass_on(self) -> bool:
        """Admit the next create if the region has responded before; return whether it was admitted."""
        if self._has_responded:
            self._lock.release()
        return self._has_responded


@define(eq=False)
class QueueTurn:
    """The turn of one create in its region: until the end of the block, when the region has responded.

    If `is_held`, it is at the front of the queue, and the next create waits until this one has left.
    """

    _queue: RegionQueue
    is_held: bool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.respond()
        self.leave()

    def leave(self) -> None:
        """Admit the next create; called when the request has been sent, and again when its response has arrived."""
        self.is_held = self.is_held and not self._queue.pass_on()


class MachineCreator:
    """Creates machines; once a region has refused one for lack of room, the others of its group do not try it."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context
        self._fly = context.fly
        self._spec = context.spec
        self._sent: dict[str, tuple[MachineConfig, MachineConfig]] = {}  # of each region, as planned and as sent
        self._made: Machine | None = None  # the latest machine created
        self._full: dict[LaneKey, Refusal] = {}  # by region and group, since groups may differ in size
        self._queues: defaultdict[str, RegionQueue] = defaultdict(RegionQueue)
        self._nearest: dict[str, tuple[str, ...]] = {}
        self._turns: dict[MachineRun, tuple[asyncio.Lock | None, QueueTurn | None]] = {}
        self._unsent: set[MachineRun] = set()  # those whose creates wait in any queue
        self._map = asyncio.Lock()  # so that all machines of a region share one request for the regions with room
        self._first = asyncio.Lock()  # one for all groups, so that deployers contend for the same machine
        # A launch needs no lock: it only adds machines, and the API refuses a second machine of the same name.
        locks = context.plan.locks
        self.unlocked = {group for group in context.plan.groups if not context.leases.holds(locks.get(group))}

    async def line_up(self, run: MachineRun, step: Create, *, is_urgent: bool = False) -> None:
        """Wait until the create of a run may be sent, which `create` does then; one that `is_urgent` goes first.

        So thousands of machines can wait without the coroutines that send a create: these would take 5 kB each.
        """
        if (queue := self._queue(run, step, is_urgent=is_urgent)) is not None:
            self._context.notify(run, Phase.QUEUED, queue)
        self._unsent.add(run)
        digest = None
        try:
            digest = await self._context.metadata.turn(step.config.image)
            # Forking a volume is slow, so it is done before the machine enters the queue.
            if not (run.source or is_urgent):
                await self._queues[run.region].front()
            self._turns[run] = digest, None if run.source else QueueTurn(self._queues[run.region], not is_urgent)
        except BaseException:
            self._leave_line(run, digest)
            raise

    def _leave_line(self, run: MachineRun, digest: asyncio.Lock | None) -> None:
        """Record that a create is over, or not sent at all."""
        self._unsent.discard(run)
        if digest:
            digest.release()

    async def follows(self, run: MachineRun) -> bool:
        """Wait while the first machine of a group is created; return whether the create of a run follows another one.

        Raises NotBegunError if the deploy has closed in the meantime.
        """
        group = run.desired.group
        if not run.target.command and group in self.unlocked:
            async with self._first:
                if not self._context.admission.admits(run.desired.lane):
                    raise NotBegunError
        return run.target.command is not None or group not in self.unlocked

    async def create_under_lock(self, run: MachineRun, step: Create) -> None:
        """Create a machine of a group while other deployers are locked out; raises what `create` raises.

        An empty group has no machine whose lease could lock them out. So its first machine is created alone, and its
        lease becomes the lock; the others wait for that. Raises NotBegunError if the deploy has closed in the meantime.
        """
        run.restart_timeout()
        group = run.desired.group
        if not run.target.command and group in self.unlocked:
            async with self._first:
                if not self._context.admission.admits(run.desired.lane):
                    raise NotBegunError
                if group in self.unlocked:
                    await self.create(run, step)
                    await self._context.leases.lock(group, run.machine_id)
                    self.unlocked.discard(group)
                    return
        await self.create(run, step)

    async def create(self, run: MachineRun, step: Create, *, is_urgent: bool = False) -> None:
        """Create the machine of a run, before all others if it `is_urgent`; raises FlyError or NoRoomError."""
        if run not in self._turns:
            await self.line_up(run, step, is_urgent=is_urgent)
        digest, turn = self._turns.pop(run)
        try:
            while refusal := await self._create_in_region(run, step, turn, is_urgent=is_urgent):
                turn = None
                run.refuse(refusal)
                # The regions to fall back to, in order of preference; a command may run anywhere.
                fallback, home = self._spec.fallback, run.desired.region
                alternatives = self._spec.regions if run.target.command else ()
                if fallback == "nearest":
                    async with self._map:
                        if home not in self._nearest:
                            self._nearest[home] = await nearest_with_room(self._fly, self._spec, home)
                    alternatives += self._nearest[home]
                elif fallback != "skip":
                    alternatives += fallback
                full = [region for region, group in self._full if group == run.desired.group]
                region = next_region(run.refusals, alternatives, full)
                if region is None:
                    raise NoRoomError
                # A volume cannot leave its region, so the machine needs another one in the new region.
                if region != run.region and run.volume_id:
                    await self._drop_volume(run)
                run.move(region)
                self._context.notify(run, Phase.MOVING, str(refusal))
        finally:
            self._leave_line(run, digest)

    def _queue(self, run: MachineRun, step: Create, *, is_urgent: bool) -> str | None:
        """Return in words what a create has to wait for; None if it can be sent at once."""
        ahead = 0 if is_urgent else len(self._unsent)
        seconds = self._fly.machines.once.expected_wait(self._context.app, ahead=ahead)
        # 1. The limiter has no permit for it yet, and may or may not know for how long.
        # 2. Another create goes first: the one that shows the digest of the image, or another one in its region.
        if seconds is None:
            return "behind the create limit"
        if seconds > 0:
            return f"behind the create limit ({math.ceil(seconds)} s)"
        if self._context.metadata.is_awaited(step.config.image):
            return "behind the first create, which shows the digest of the image"
        is_behind = not is_urgent and self._queues[run.region].is_taken
        return f"behind another create in {run.region}" if is_behind else None

    async def _create_in_region(
        self, run: MachineRun, step: Create, turn: QueueTurn | None, *, is_urgent: bool
    ) -> Refusal | None:
        """Create the machine in its current region, whose queue it enters unless it has its `turn` there.

        Returns the refusal if the region has no room.
        """
        try:
            if turn is None:
                if run.source:
                    await self._ensure_volume(run)
                if not is_urgent:
                    await self._queues[run.region].front()
                turn = QueueTurn(self._queues[run.region], is_held=not is_urgent)
            with turn:
                if refusal := self._full.get((run.region, run.desired.group)):
                    return refusal
                for _ in range(VOLUME_TRIES):
                    creation = await self._creation(run, step, turn, is_urgent=is_urgent)
                    try:
                        await self._create_once(run, creation)
                    except NoCapacity as error:
                        # The host of the volume is full: a new volume may be placed on another host.
                        if error.scope is not Scope.VOLUME_HOST or run.volume_id is None:
                            raise
                        await self._drop_volume(run)
                        run.refuse(Refusal.of(run.region, error))
                    except VolumeInUse as held:
                        # Another client was faster to take a free volume, or the claim of a machine that no longer
                        # exists has not been cleared in time: a new one is created.
                        if run.volume_id is None or run.volume_id in run.made_volumes or creation.may_have_happened:
                            raise
                        run.leave_volume(is_claimed=held.machine_id is None)
                    else:
                        return None
        except NoCapacity as error:
            refusal = Refusal.of(run.region, error)
            if refusal.is_of_the_region:
                self._full[run.region, run.desired.group] = refusal
            return refusal
        raise NoRoomError

    async def _creation(self, run: MachineRun, step: Create, turn: QueueTurn, *, is_urgent: bool) -> Creation:
        """Return the creation as planned, with the machine's volume."""
        planned = evolve(step.config, metadata={**(step.config.metadata or {}), **self._spec.origin.marks})
        planned = self._context.metadata.added_to(planned, is_unverified=run.awaits_proof)
        # Machines of a region mostly get equal configs, which are kept once; they have the same unknown keys.
        base, sent = self._sent.get(run.region, (None, None))
        if base is not step.config or sent != planned:
            self._sent[run.region] = step.config, planned
        config = run.send(self._sent[run.region][1])
        if volume_id := await self._ensure_volume(run):
            config = run.send(evolve(config, mounts=[evolve(m, volume=volume_id) for m in step.config.mounts or ()]))

        if step.standby_for:
            config = run.send(standing_by(config, self._context.runs[step.standby_for].machine_id))

        def leave() -> None:
            turn.leave()
            if run in self._unsent:  # it is not a repetition
                self._unsent.discard(run)
                # A machine that moves is shown as moving until it is created.
                if run.phase is not Phase.MOVING:
                    self._context.notify(run, Phase.CREATING)

        options: CreateOptions = {
            "region": run.region,
            "skip_launch": step.skip_launch or None,
            "skip_service_registration": step.cordoned or None,
            "min_secrets_version": self._context.metadata.secrets_version,
        }
        return Creation(
            app=self._context.app,
            config=config,
            name=step.name or run.desired.name,
            launch=(config.metadata or {}).get(LAUNCH, self._spec.launch),
            options=options,
            on_leave=leave,
            is_urgent=is_urgent,
            may_have_happened=run.in_doubt,
        )

    async def _create_once(self, run: MachineRun, creation: Creation) -> None:
        """Create the machine, or adopt the machine that has its name if this deploy created it.

        Raises Unlisted if the name belongs to a machine of the group that is not in the plan.
        """
        mine = None
        try:
            await self._fly.machines.once.create(creation)
            # An earlier run of this launch created the machine of a command, and was killed before it had exited.
            found = creation.machine if creation.adopted else None
            if found and found.state in NOT_RUNNING and _may_repeat(run, found):
                await self._clear(run, found)
                creation = evolve(creation, adopted=False)
                await self._fly.machines.once.create(creation)
        except NameTaken as taken:
            holder = None
            with suppress(FlyError):
                if self._spec.strategy.only_adds:
                    pass  # a launch does not touch machines that it has not created
                elif taken.existing_id:
                    holder = await fetch(self._fly, creation.app, taken.existing_id)
                else:
                    machines = await self._fly.machines.list(creation.app)
                    holder = next((each for each in machines if each.name == creation.name), None)
            group = group_of(holder) if holder else None
            is_of_this_deploy = (
                holder is not None
                and group == run.desired.group
                and self._spec.of(run.desired).made(holder)
                and holder.state not in GONE
            )
            # 1. It is the machine of a command of an earlier deploy, which was killed: it is replaced, if it may be.
            # 2. An earlier run of this deploy created it: it is adopted, unless it lacks the volume.
            # 3. It belongs to the group, but no list has shown it: only a new plan can include it.
            # 4. It is not a machine of this deploy: the name stays taken.
            if holder and group == RELEASE_GROUP and _may_repeat(run, holder):
                await self._clear(run, holder)
                await self._fly.machines.once.create(creation)
            elif is_of_this_deploy and run.volume_id is None:
                mine = holder
            elif holder and group == run.desired.group and not run.target.command:
                raise Unlisted(holder, taken) from taken
            else:
                raise
        finally:
            run.doubt(in_doubt=creation.may_have_happened and mine is None)
            if machine := mine or creation.machine:
                self._context.metadata.learn(machine)
                self._made = sharing(machine, self._made) if self._made else machine
                run.assign(self._made, adopted=mine is not None or creation.adopted)
                self._context.notify(run, Phase.CREATED)

    async def _clear(self, run: MachineRun, leftover: Machine) -> None:
        """Destroy the release machine of an earlier, killed deploy, once its command has exited.

        Raises StillRunning if it does not exit within the time limit of this deploy's own command.
        """
        app, timeout, command = self._context.app, self._spec.timeout, self._spec.release or self._spec.seed
        with suppress(WaitFailed, NotFound):
            await self._fly.machines.wait(app, leftover.id, state="settled", timeout=timeout)
        machine = await fetch(self._fly, app, leftover.id)
        if machine and command and machine.state not in GONE | NOT_RUNNING:
            self._context.notify(run, Phase.QUEUED, "behind the release command of an earlier deploy")
            with suppress(WaitFailed, NotFound):
                await self._fly.machines.wait(app, machine.id, state="stopped", timeout=command.timeout)
            machine = await fetch(self._fly, app, machine.id)
        if machine is None:
            return
        if machine.state not in GONE | NOT_RUNNING:
            raise StillRunning(machine, app)
        with suppress(NotFound):
            await self._fly.machines.delete(app, machine.id, force=True)
        await self._fly.machines.wait(app, machine.id, state="destroyed", timeout=timeout)

    async def _ensure_volume(self, run: MachineRun) -> str | None:
        """Return the id of the machine's volume, if it needs one: the chosen one, or a new one in its region."""
        if run.volume is None:
            return None
        if run.volume_id and run.region != run.desired.region and run.volume_id not in run.made_volumes:
            run.leave_volume()  # an existing volume, which is in the region that the machine has moved from
        if run.volume_id is None:
            guest = run.config.guest if run.config else None
            made = await self._context.volumes.make(run.volume, run.region, source=run.source, guest=guest)
            run.gain_volume(made)
            if run.source:
                await self._context.volumes.ready(made)
        return run.volume_id

    async def _drop_volume(self, run: MachineRun) -> None:
        """Drop a volume whose host is full: delete it if it was created for this machine, else leave it unchanged."""
        if run.volume_id in run.made_volumes:
            await self._context.volumes.delete(run.volume_id)
            run.lose_volume(run.volume_id)
        run.leave_volume()
