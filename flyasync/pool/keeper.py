"""Keep machines ready: recycle what dead holders left, destroy what no claim may have, and create what is missing."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from attrs import Factory, define, frozen

from flyasync.api.client import FlyClient
from flyasync.errors import Conflict, FlyError, NameTaken, NotFound
from flyasync.models.machine import Machine
from flyasync.pool.claims import BOOT, RECENT, Claims
from flyasync.pool.events import DestroyReason, MachineCreated, OnPoolEvent
from flyasync.pool.observed import Observed
from flyasync.pool.spec import PoolSpec, Standby

log = logging.getLogger("flyasync.pool")

# Seconds between two rounds while nothing changes in this process: what others leave is found within that time.
EVERY = 10.0

# Seconds between two rounds at most, while machines cannot be created.
LONGEST = 160.0


@frozen(kw_only=True)
class PoolStatus:
    """The machines of a pool, as one list shows them; `ready` counts those that are free."""

    ready: int
    claimed: int
    kept: int
    machines: int
    max: int


@frozen(kw_only=True)
class Reconciled:
    """What one round did."""

    created: list[str] = Factory(list)
    """The ids of the machines that it created."""

    destroyed: Counter[DestroyReason] = Factory(Counter)
    """How many machines it destroyed, by reason."""

    failures: list[FlyError] = Factory(list)
    """What it could not do."""


@define(eq=False)
class Keeper:
    """Keeps `ready` machines of a pool free. Any number of processes may do so for the same pool."""

    _fly: FlyClient
    _spec: Callable[[], PoolSpec]
    _ready: Callable[[], int]
    _claims: Claims
    _emit: OnPoolEvent
    _wake: asyncio.Event = Factory(asyncio.Event)

    def wake(self) -> None:
        """Begin the next round soon: something has changed in this process."""
        self._wake.set()

    async def run(self) -> None:
        """Reconcile until cancelled: when something changes, and every 10 s; less often while that fails."""
        clock = asyncio.get_running_loop().time
        pause, ended = EVERY, float("-inf")
        while True:
            self._wake.clear()
            try:
                # A list that a claim has received since the last round saves one.
                failures: Sequence[Exception] = (await self.reconcile(since=max(ended, clock() - RECENT))).failures
            except Exception as error:  # noqa: BLE001 - `ready` may raise anything
                failures = [error]
            for failure in failures:
                log.warning("pool %s of %s: %r", self._spec().name, self._spec().app, failure)
            ended = clock()
            pause = min(2 * pause, LONGEST) if failures else EVERY
            with suppress(TimeoutError):
                # Processes that were started together do not stay in step.
                async with asyncio.timeout(pause * random.uniform(0.75, 1.25)):  # noqa: S311
                    await self._wake.wait()
            await asyncio.sleep(1)  # several changes at once cause one round

    async def reconcile(self, *, replace_outdated: bool = False, since: float | None = None) -> Reconciled:
        """Destroy what is left over, then create what is missing, as a list that was received after `since` shows."""
        spec, ready, observed, done = self._spec(), self._ready(), await self._claims.observe(since=since), Reconciled()
        left_over = self._left_over(observed, ready, replace_outdated=replace_outdated)
        await asyncio.gather(*(self._destroy(*each, done) for each in left_over))
        await asyncio.gather(*(self._rest(each, done) for each in observed.free() if each.state == "started"))
        filled = Counter(each.region for each in observed.free())
        # One after the other, since the limit is one a second, and claims come first. All processes fill the slots in
        # the same order, so that they do not create more than is missing; the first one continues, the others stop.
        vacant = (slot for slot in observed.vacant() if not self._claims.is_occupied(slot))
        async with asyncio.TaskGroup() as work:
            for slot in islice(vacant, max(0, ready - filled.total())):
                region = min(spec.regions, key=filled.__getitem__, default=None)
                if not (created := await self._create(slot, region, done)):
                    break
                filled[created.region] += 1
                if spec.standby is Standby.SUSPENDED:
                    work.create_task(self._rest(created, done, just_created=True))
        return done

    async def drain(self) -> Reconciled:
        """Destroy every machine that is not claimed."""
        observed, done = await self._claims.observe(), Reconciled()
        unclaimed = (each for each in observed.machines.values() if not each.lease)
        await asyncio.gather(*(self._destroy(each, DestroyReason.DRAINED, done) for each in unclaimed))
        return done

    def _left_over(
        self, observed: Observed, ready: int, *, replace_outdated: bool
    ) -> Iterator[tuple[Machine, DestroyReason]]:
        """Yield the machines to destroy. Those of another config only on request: a rolling release has two configs."""
        yield from ((each, DestroyReason.ABANDONED) for each in observed.kept())
        slots = self._spec().slots
        for each in observed.outdated():
            if replace_outdated or each.name not in slots or not each.is_alive:
                yield each, DestroyReason.OUTDATED
        # The machines in the last slots, so that all processes choose the same ones.
        free = sorted(observed.free(), key=lambda each: slots[each.name])
        yield from ((each, DestroyReason.SURPLUS) for each in free[ready:])

    async def _destroy(self, machine: Machine, reason: DestroyReason, done: Reconciled) -> None:
        try:
            if await self._claims.destroy(machine, reason):
                done.destroyed[reason] += 1
        except FlyError as error:
            done.failures.append(error)

    async def _create(self, slot: str, region: str | None, done: Reconciled) -> Machine | None:
        """Create a machine that is ready, and return it; None if another process was faster, or it failed."""
        creation = self._spec().creation(slot, region)
        try:
            with self._claims.occupy(slot):
                machine = await self._fly.machines.once.create(creation)
        except NameTaken:
            return None
        except FlyError as error:
            done.failures.append(error)
            return None
        if creation.adopted:
            return None
        done.created.append(machine.id)
        self._emit(MachineCreated(machine_id=machine.id, region=machine.region))
        return machine

    async def _rest(self, machine: Machine, done: Reconciled, *, just_created: bool = False) -> None:
        """Bring a free machine that has started, or is about to, into the state in which machines wait."""
        if self._claims.is_occupied(machine.name):
            return
        try:
            with suppress(Conflict, NotFound):  # a claim has it by now
                if just_created:
                    await self._fly.machines.wait(self._spec().app, machine.id, timeout=BOOT, just_created=True)
                await self._claims.rest(machine)
        except FlyError as error:
            done.failures.append(error)
