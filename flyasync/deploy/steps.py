"""One step becomes its API calls; the only file that changes a machine."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from flyasync.api.client import FlyClient
from flyasync.api.once import Creation
from flyasync.deploy.deployment import Deployment
from flyasync.deploy.door import Door, Ticket
from flyasync.deploy.observe import nearest_with_room
from flyasync.deploy.outcome import Phase, Run
from flyasync.deploy.placement import Refusal, next_region
from flyasync.deploy.plan import Adopt, AwaitHealthy, AwaitStarted, Create, Start, Step
from flyasync.errors import AlreadyStarting, NoCapacity, NotFound, WrongState
from flyasync.models.machine import Machine

SETTLING = 10
"""How often to ask a machine to start that is still stopping, a second apart; it was seen to take up to eight."""


class NoRoomError(Exception):
    """No region that the deploy may use has room for the machine."""


Tell = Callable[[Run, Phase, str | None], None]


class Steps:
    """Takes the steps of one deploy; what one machine learns about a full region, the others know."""

    def __init__(self, fly: FlyClient, deployment: Deployment, tell: Tell) -> None:
        self._fly = fly
        self._deployment = deployment
        self._tell = tell
        self._full: dict[str, Refusal] = {}
        self._doors: defaultdict[str, Door] = defaultdict(Door)
        self._map = asyncio.Lock()  # one look at the map for all machines of a region
        self._near: dict[str, tuple[str, ...]] = {}

    async def take(self, step: Step, run: Run) -> None:
        """Take one step with one machine; raises FlyError, or NoRoomError."""
        match step:
            case Create():
                await self._create(run)
            case Adopt():
                await self._adopt(run, step.machine_id)
            case Start():
                await self._start(run)
            case AwaitStarted():
                await self._await_started(run)
            case AwaitHealthy():
                await self._await_healthy(run)

    async def destroy(self, run: Run) -> None:
        """Destroy a machine that this deploy made; one that is gone already is fine."""
        with suppress(NotFound):
            await self._fly.machines.delete(self._deployment.app, run.machine_id, force=True)

    async def _create(self, run: Run) -> None:
        self._tell(run, Phase.CREATING, None)
        while refusal := await self._ask(run):
            await self._move(run, refusal)

    async def _ask(self, run: Run) -> Refusal | None:
        """Create the machine in its present region, once it is this one's turn there."""
        ticket = await self._doors[run.region].enter()
        try:
            return self._full.get(run.region) or await self._try(run, ticket)
        finally:
            ticket.give_back(answered=True)

    async def _try(self, run: Run, ticket: Ticket) -> Refusal | None:
        """Create the machine in its present region; give the refusal where there is no room."""
        creation = Creation(
            app=self._deployment.app,
            config=self._deployment.tagged,
            name=run.wanted.name,
            launch=self._deployment.launch,
            options={"region": run.region},
            on_leave=ticket.give_back,
            may_have_happened=run.in_doubt,
        )
        try:
            await self._fly.machines.once.create(creation)
        except NoCapacity as error:
            return self._refused(run, error)
        finally:
            run.in_doubt = creation.may_have_happened
            if creation.machine:
                run.adopted = creation.adopted
                self._has(run, creation.machine)
        return None

    def _refused(self, run: Run, error: NoCapacity) -> Refusal:
        refusal = Refusal.of(run.region, error)
        if refusal.is_of_the_region:
            self._full[run.region] = refusal
        return refusal

    async def _move(self, run: Run, refusal: Refusal) -> None:
        run.refusals.append(refusal)
        region = next_region(run.refusals, await self._alternatives(run.wanted.region), self._full)
        if region is None:
            raise NoRoomError
        run.region = region
        self._tell(run, Phase.MOVING, str(refusal))

    async def _alternatives(self, home: str) -> tuple[str, ...]:
        fallback = self._deployment.fallback
        if fallback == "skip":
            return ()
        if fallback != "nearest":
            return fallback
        async with self._map:
            if home not in self._near:
                self._near[home] = await nearest_with_room(self._fly, self._deployment, home)
        return self._near[home]

    async def _adopt(self, run: Run, machine_id: str) -> None:
        run.adopted = True
        self._has(run, await self._fly.machines.get(self._deployment.app, machine_id), Phase.ADOPTED)

    async def _start(self, run: Run) -> None:
        """Start the machine; one that has just stopped refuses for some seconds."""
        for last in (*[False] * SETTLING, True):
            try:
                await self._fly.machines.start(self._deployment.app, run.machine_id)
            except AlreadyStarting:
                return
            except WrongState:
                if last:
                    raise
                await asyncio.sleep(1)
            else:
                return

    async def _await_started(self, run: Run) -> None:
        self._tell(run, Phase.STARTING, None)
        await self._fly.machines.wait(
            self._deployment.app,
            run.machine_id,
            state="started",
            version=run.machine.current_version if run.machine else None,
            timeout=self._time_left(run),
            just_created=True,
        )
        self._tell(run, Phase.STARTED, None)

    async def _await_healthy(self, run: Run) -> None:
        self._tell(run, Phase.CHECKING, None)
        await self._fly.machines.wait_healthy(
            self._deployment.app, run.machine_id, timeout=self._time_left(run), just_created=True
        )
        self._tell(run, Phase.HEALTHY, None)

    def _has(self, run: Run, machine: Machine, phase: Phase = Phase.CREATED) -> None:
        run.machine, run.region = machine, machine.region
        self._tell(run, phase, None)

    def _time_left(self, run: Run) -> float:
        """Divide the time that a machine has from its first wait on among its waits."""
        now = asyncio.get_running_loop().time()
        if run.deadline is None:
            run.deadline = now + self._deployment.timeout
        return max(run.deadline - now, 0.001)
