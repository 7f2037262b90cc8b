"""Keep machines ready: recycle what dead holders left, destroy what no claim may have, and create what is missing."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from secrets import token_hex

from attrs import Factory, define, frozen

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import Creation
from flyasync.errors import Conflict, FlyError, NameTaken, NotFound
from flyasync.models.machine import Machine
from flyasync.pool.claims import BOOT, Claims
from flyasync.pool.events import DestroyReason, MachineCreated, OnPoolEvent
from flyasync.pool.observed import Observed, is_abandoned
from flyasync.pool.spec import KEY, PoolSpec, Standby

log = logging.getLogger("flyasync.pool")

EVERY = 10.0
"""Seconds between two rounds while nothing changes in this process: what others leave is found within that time."""

LONGEST = 160.0
"""Seconds between two rounds at most, while machines cannot be created."""


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
    """What one round did: the machines it created, those it destroyed by reason, and what it could not do."""

    created: int = 0
    destroyed: dict[DestroyReason, int] = Factory(dict)
    failures: tuple[FlyError, ...] = ()


@define
class _Round:
    """One round over the machines of a pool, as it proceeds."""

    created: int = 0
    destroyed: Counter[DestroyReason] = Factory(Counter)
    failures: list[FlyError] = Factory(list)

    def count_created(self) -> None:
        """Count a machine that was created."""
        self.created += 1

    def result(self) -> Reconciled:
        """Return what was done."""
        return Reconciled(created=self.created, destroyed=dict(self.destroyed), failures=tuple(self.failures))


class Keeper:
    """Keeps `ready` machines of a pool free. Any number of processes may do so for the same pool."""

    def __init__(
        self,
        fly: FlyClient,
        spec: Callable[[], PoolSpec],
        ready: Callable[[], int],
        claims: Claims,
        on_event: OnPoolEvent,
    ) -> None:
        self._fly = fly
        self._spec = spec
        self._ready = ready
        self._claims = claims
        self._emit = on_event
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Begin the next round soon: something has changed in this process."""
        self._wake.set()

    async def run(self) -> None:
        """Reconcile until cancelled: when something changes, and every 10 s; less often while creates fail."""
        pause = EVERY
        while True:
            self._wake.clear()
            failures: tuple[FlyError, ...] = ()
            try:
                failures = (await self.reconcile()).failures
            except FlyError as error:
                failures = (error,)
            for failure in failures:
                log.warning("pool %s of %s: %s", self._spec().name, self._spec().app, failure)
            pause = min(2 * pause, LONGEST) if failures else EVERY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            await asyncio.sleep(1)  # several changes at once cause one round

    async def reconcile(self, *, replace_outdated: bool = False) -> Reconciled:
        """Destroy what is left over, then create what is missing."""
        spec, observed, done = self._spec(), await self._claims.observe(), _Round()
        async with asyncio.TaskGroup() as work:
            for machine, reason in self._left_over(observed, replace_outdated=replace_outdated):
                work.create_task(self._destroy(machine, reason, done))
        free = observed.free()
        missing = max(0, self._ready() - len(free)) if not self._claims.waiting else 0
        # All processes fill the slots in the same order, so that two of them do not create more than is missing.
        vacant = [slot for slot in observed.vacant() if not self._claims.is_occupied(slot)]
        regions = self._least_filled(spec, free)
        async with asyncio.TaskGroup() as work:
            for slot in vacant[:missing]:
                work.create_task(self._create(slot, next(regions), done))
        return done.result()

    async def drain(self) -> Reconciled:
        """Destroy every machine that is not claimed."""
        observed, done = await self._claims.observe(), _Round()
        async with asyncio.TaskGroup() as work:
            for machine in observed.machines.values():
                if not machine.lease:
                    work.create_task(self._destroy(machine, DestroyReason.DRAINED, done))
        return done.result()

    async def status(self) -> PoolStatus:
        """Count the machines of the pool, as one list shows them."""
        observed = await self._claims.observe()
        return PoolStatus(
            ready=len(observed.free()),
            claimed=len(observed.claimed()),
            kept=len(observed.kept()),
            machines=len(observed.machines),
            max=self._spec().max,
        )

    def _left_over(self, observed: Observed, *, replace_outdated: bool) -> Iterator[tuple[Machine, DestroyReason]]:
        """Yield the machines to destroy. Those of another config only on request: a rolling release has two configs."""
        yield from ((each, DestroyReason.ABANDONED) for each in observed.kept())
        outdated = [each for each in observed.outdated() if replace_outdated or self._is_useless(each)]
        yield from ((each, DestroyReason.OUTDATED) for each in outdated)
        # The machines in the last slots, so that all processes choose the same ones.
        free = sorted(observed.free(), key=lambda each: self._spec().slots().index(each.name))
        yield from ((each, DestroyReason.SURPLUS) for each in free[max(self._ready(), 0) :])

    def _is_useless(self, machine: Machine) -> bool:
        return machine.name not in self._spec().slots() or not machine.is_alive

    async def _destroy(self, machine: Machine, reason: DestroyReason, done: _Round) -> None:
        spec = self._spec()

        def is_due(fresh: Machine, now: float) -> bool:
            if reason is DestroyReason.ABANDONED:
                return is_abandoned(fresh, spec, now)
            return reason is DestroyReason.DRAINED or KEY not in fresh.metadata

        if self._claims.is_occupied(machine.name):
            return
        try:
            if await self._claims.destroy(machine, reason, is_due):
                done.destroyed[reason] += 1
        except FlyError as error:
            done.failures.append(error)

    def _least_filled(self, spec: PoolSpec, free: list[Machine]) -> Iterator[str | None]:
        """Yield the region for each new machine, so that all regions have equally many that are free."""
        filled = Counter(dict.fromkeys(spec.regions, 0))
        filled.update(each.region for each in free if each.region in filled)
        while True:
            region = min(filled, key=filled.__getitem__, default=None)
            if region:
                filled[region] += 1
            yield region

    async def _create(self, slot: str, region: str | None, done: _Round) -> None:
        """Create a machine that is ready, in the state in which machines wait."""
        spec = self._spec()
        creation = Creation(
            app=spec.app,
            config=spec.config_for(),
            name=slot,
            launch=f"pool-{token_hex(4)}",
            options={
                "region": spec.regions_from(region) or None,
                "skip_launch": True if spec.standby is Standby.STOPPED else None,
            },
        )
        try:
            with self._claims.occupy(slot):
                machine = await self._fly.machines.once.create(creation)
                done.count_created()
                self._emit(MachineCreated(machine_id=machine.id, region=machine.region))
                if spec.standby is Standby.SUSPENDED:
                    await self._fly.machines.wait(spec.app, machine.id, timeout=BOOT, just_created=True)
        except NameTaken:
            return  # another process was faster
        except FlyError as error:
            done.failures.append(error)
            return
        if spec.standby is Standby.SUSPENDED:
            with suppress(Conflict, NotFound):  # a claim has it by now
                await self._claims.rest(machine)
