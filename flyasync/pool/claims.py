"""Claim a machine of a pool and return it. The machine's lease is the claim, so the API ends that of a dead holder."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from secrets import token_hex

from attrs import define, evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import Creation
from flyasync.api.machines.leases import HeldLease
from flyasync.api.machines.shared_lists import SharedLists
from flyasync.api.resource import TROUBLE
from flyasync.cancellation import finished
from flyasync.errors import (
    AlreadyStarting,
    FlyError,
    LeaseHeld,
    NameTaken,
    NoCapacity,
    NotFound,
    PoolExhausted,
    WaitFailed,
    WrongState,
)
from flyasync.models.lease import Lease
from flyasync.models.machine import Machine, expected_checks
from flyasync.pool.claimed import ClaimedMachine
from flyasync.pool.events import (
    ClaimFailed,
    ClaimSource,
    DestroyReason,
    MachineClaimed,
    MachineDestroyed,
    MachineReleased,
    OnPoolEvent,
)
from flyasync.pool.observed import Observed, is_of_pool
from flyasync.pool.spec import KEPT_UNTIL, KEY, POOL, OnRelease, PoolSpec, Standby

LOOK_AGAIN = 1.0
"""Seconds between two attempts of a claim while the pool is exhausted: a list a second is all that the limit allows."""

BOOT = 120.0
"""Seconds within which a machine must start for a claim; a machine that takes longer is replaced."""


class Claims:
    """The claims of one process on the machines of a pool."""

    def __init__(self, fly: FlyClient, spec: Callable[[], PoolSpec], on_event: OnPoolEvent) -> None:
        self._fly = fly
        self._spec = spec
        self._emit = on_event
        self._lists = SharedLists(fly.machines.list, include_leases=True)
        self._slots: set[str] = set()
        self._keys: set[str] = set()
        self._returned = asyncio.Condition()
        self.waiting = 0
        """The number of claims that have no machine yet; they take precedence over keeping machines ready."""

    @property
    def open(self) -> int:
        """The number of claims of this process, those that have no machine yet included."""
        return len(self._keys)

    async def observe(self) -> Observed:
        """Return the machines of the pool from a list that is at most a second old."""
        spec = self._spec()
        return Observed.of(spec, await self._lists.find(spec.app, {POOL: spec.name}))

    @contextmanager
    def occupy(self, slot: str) -> Iterator[None]:
        """Keep other tasks of this process from claiming or filling a slot while the block runs."""
        self._slots.add(slot)
        try:
            yield
        finally:
            self._slots.discard(slot)

    def is_occupied(self, slot: str) -> bool:
        """Whether a task of this process claims or fills the slot."""
        return slot in self._slots

    @asynccontextmanager
    async def claim(self, key: str, *, region: str | None, timeout: float) -> AsyncIterator[ClaimedMachine]:
        """Hold a machine for `key` while the block runs."""
        clock = asyncio.get_running_loop().time
        began = clock()
        search = _Search(key, region)
        async with AsyncExitStack() as claim:
            self.waiting += 1
            try:
                async with asyncio.timeout(timeout):
                    await self._reserve(claim, key)
                    machine, held, source = await self._find(claim, search)
            except BaseException as error:
                is_late = isinstance(error, TimeoutError)
                failure = search.exhausted(self._spec(), timeout) if is_late else error
                self._emit(ClaimFailed(key=key, error=type(failure).__name__, seconds=clock() - began))
                if failure is error:
                    raise
                raise failure from error
            finally:
                self.waiting -= 1
            got = clock()
            took = got - began
            self._emit(
                MachineClaimed(key=key, machine_id=machine.id, region=machine.region, source=source, seconds=took)
            )
            try:
                yield ClaimedMachine(self._fly, self._spec().app, key, machine)
            finally:
                await finished(self._give_back(machine, held))
                self._emit(MachineReleased(key=key, machine_id=machine.id, seconds=clock() - got))

    async def _reserve(self, claim: AsyncExitStack, key: str) -> None:
        """Wait until no other claim of this process has the key; the lease orders those of other processes."""
        async with self._returned:
            await self._returned.wait_for(lambda: key not in self._keys)
        self._keys.add(key)
        claim.push_async_callback(lambda: finished(self._return(key)))

    async def _return(self, key: str) -> None:
        self._keys.discard(key)
        async with self._returned:
            self._returned.notify_all()

    async def ended(self) -> None:
        """Wait until all claims of this process have ended."""
        async with self._returned:
            await self._returned.wait_for(lambda: not self._keys)

    async def _find(self, claim: AsyncExitStack, search: "_Search") -> tuple[Machine, HeldLease, ClaimSource]:
        """Find a machine for a claim, and hold it until the claim ends; only the claim's timeout ends the search."""
        while True:
            try:
                if found := await self._look(claim, search):
                    return found
            # Its result may be unknown, but no machine is lost by that: its lease expires, and the next list shows it.
            except (NoCapacity, *TROUBLE) as refusal:
                search.refused(refusal)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN), self._returned:
                    await self._returned.wait()

    async def _look(self, claim: AsyncExitStack, search: "_Search") -> tuple[Machine, HeldLease, ClaimSource] | None:
        """Try each machine that one list shows, then each slot without a machine."""
        observed = search.saw(await self.observe())
        own = observed.of_key(search.key)
        # 1. A machine that was claimed for the key before. If it is claimed now, wait until it no longer is.
        # 2. A machine that is free.
        for machine in [own] if own else observed.free(search.region):
            if machine.lease or self.is_occupied(machine.name):
                continue
            if held := await self._try(claim, machine, search.key):
                return *held, ClaimSource.KEPT if own else ClaimSource.WARM
        if own:
            return None
        # 3. A new one, in a slot without a machine. Another process may take the slot first.
        for slot in observed.vacant():
            if not self.is_occupied(slot) and (held := await self._create(claim, slot, search)):
                return *held, ClaimSource.COLD
        # 4. Each slot has a machine: one that no claim may have, or that is kept for another key, makes room.
        if not observed.vacant() and (spare := [*observed.outdated(), *observed.kept()]):
            await self.destroy(spare[0], DestroyReason.EVICTED, lambda _machine, _now: True)
        return None

    async def _try(self, claim: AsyncExitStack, machine: Machine, key: str) -> tuple[Machine, HeldLease] | None:
        """Claim a machine and make it serve; None if another client holds it, or it is of no use."""
        spec = self._spec()
        async with AsyncExitStack() as attempt:
            attempt.enter_context(self.occupy(machine.name))
            try:
                lease = await self._lease(machine)
                held = await attempt.enter_async_context(self._keep(machine, lease.nonce))
                # The list lags, and may be a second old: only what is read under the lease counts.
                fresh = await self._fly.machines.get(spec.app, machine.id)
            except (LeaseHeld, NotFound):
                return None
            if not (is_of_pool(fresh, spec.name) and Observed(spec, {}).is_usable(fresh, key)):
                return None
            if KEY not in fresh.metadata:
                await self._fly.machines.set_metadata(spec.app, fresh.id, KEY, key)
            try:
                served = await self._serve(fresh, held)
            except (WaitFailed, WrongState, NoCapacity):
                await self._delete(fresh, held.nonce, DestroyReason.UNUSABLE)
                return None
            claim.push_async_exit(attempt.pop_all())
            return served, held

    async def _serve(self, machine: Machine, held: HeldLease) -> Machine:
        """Start the machine if necessary, and wait until its checks pass; return it as last observed."""
        app, machines = self._spec().app, self._fly.machines
        if machine.state != "started":
            if not machine.is_settled or machine.state == "created":
                state = await machines.wait(app, machine.id, state="settled", timeout=BOOT)
                machine = evolve(machine, state=state)
            if machine.state != "started":
                with suppress(AlreadyStarting):
                    await machines.start(app, machine.id, nonce=held.nonce)
                await machines.wait(app, machine.id, timeout=BOOT)
            machine = evolve(machine, state="started", checks=None)
        if (checks := expected_checks(machine.config)) and not machine.checks_pass:
            machine = await machines.wait_healthy(app, machine.id, checks=checks, timeout=BOOT)
        return machine

    async def _create(self, claim: AsyncExitStack, slot: str, search: "_Search") -> tuple[Machine, HeldLease] | None:
        """Create a machine that is claimed from its first moment; None if another client has the slot."""
        spec = self._spec()
        creation = Creation(
            app=spec.app,
            config=spec.config_for(search.key),
            name=slot,
            launch=f"pool-{token_hex(4)}",
            options={"lease_ttl": spec.claim_ttl, "region": spec.regions_from(search.region) or None},
            is_urgent=True,
        )
        async with AsyncExitStack() as attempt:
            attempt.enter_context(self.occupy(slot))
            try:
                machine = await self._fly.machines.once.create(creation)
            except NameTaken:
                return None
            except asyncio.CancelledError:
                if made := creation.machine:
                    await finished(self._delete(made, made.nonce, DestroyReason.RELEASED))
                raise
            # The machine may have been found after a lost response, which had the nonce.
            nonce = machine.nonce or (await self._fly.leases.get(spec.app, machine.id)).nonce
            held = await attempt.enter_async_context(self._keep(machine, nonce))
            try:
                await self._fly.machines.wait(spec.app, machine.id, timeout=BOOT, just_created=True)
                served = await self._serve(evolve(machine, state="started"), held)
            except BaseException:
                # Nobody else would: it has the key of this claim.
                await finished(self._delete(machine, held.nonce, DestroyReason.UNUSABLE))
                raise
            claim.push_async_exit(attempt.pop_all())
            return served, held

    async def _give_back(self, machine: Machine, held: HeldLease) -> None:
        """Return a machine to the pool; what is not finished when the lease ends is left to `reconcile`."""
        if held.is_lost:
            return  # another client may hold the machine
        spec, machines = self._spec(), self._fly.machines
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(spec.claim_ttl):
                match spec.on_release:
                    case OnRelease.RECYCLE:
                        await self._delete(machine, held.nonce, DestroyReason.RELEASED)
                    case OnRelease.STOP:
                        await machines.stop(spec.app, machine.id, nonce=held.nonce)
                        await machines.delete_metadata(spec.app, machine.id, KEY)
                    case OnRelease.KEEP:
                        lease = await self._fly.leases.refresh(spec.app, machine.id, held.nonce, ttl=spec.claim_ttl)
                        until = f"{now_of(lease, spec.claim_ttl) + spec.keep_for:.0f}"
                        await machines.set_metadata(spec.app, machine.id, KEPT_UNTIL, until)
                        await self.rest(machine, nonce=held.nonce)

    async def rest(self, machine: Machine, *, nonce: str | None = None) -> None:
        """Bring a started machine into the state in which machines wait."""
        spec = self._spec()
        match spec.standby:
            case Standby.STOPPED:
                await self._fly.machines.stop(spec.app, machine.id, nonce=nonce)
            case Standby.SUSPENDED:
                await self._fly.machines.suspend(spec.app, machine.id, nonce=nonce)
            case Standby.STARTED:
                pass

    async def destroy(self, machine: Machine, reason: DestroyReason, is_due: Callable[[Machine, float], bool]) -> bool:
        """Destroy a machine under its lease if that is due; return whether it was destroyed.

        `is_due` decides by the machine as read under the lease, and the unix time by the API's clock.
        """
        spec = self._spec()
        with self.occupy(machine.name):
            try:
                lease = await self._lease(machine)
                async with self._keep(machine, lease.nonce) as held:
                    fresh = await self._fly.machines.get(spec.app, machine.id)
                    if not (is_of_pool(fresh, spec.name) and is_due(fresh, now_of(lease, spec.claim_ttl))):
                        return False
                    await self._delete(fresh, held.nonce, reason)
                    return True
            except (LeaseHeld, NotFound):
                return False  # another client has claimed or destroyed it

    async def _lease(self, machine: Machine) -> Lease:
        spec = self._spec()
        return await self._fly.leases.acquire_once(
            spec.app, machine.id, ttl=spec.claim_ttl, description=f"pool {spec.name}"
        )

    def _keep(self, machine: Machine, nonce: str) -> AbstractAsyncContextManager[HeldLease]:
        spec = self._spec()
        return self._fly.leases.keep(spec.app, machine.id, nonce, ttl=spec.claim_ttl)

    async def _delete(self, machine: Machine, nonce: str | None, reason: DestroyReason) -> None:
        with suppress(NotFound):
            await self._fly.machines.delete(self._spec().app, machine.id, force=True, nonce=nonce)
        self._emit(MachineDestroyed(machine_id=machine.id, reason=reason))


@define
class _Search:
    """What a claim looks for, and what it has observed."""

    key: str
    region: str | None
    observed: Observed | None = None
    refusal: FlyError | None = None

    def saw(self, observed: Observed) -> Observed:
        """Record what the last list showed; return it."""
        self.observed = observed
        return observed

    def refused(self, refusal: FlyError) -> None:
        """Record why the last attempt failed: no region has capacity, or the API did not respond."""
        self.refusal = refusal

    def exhausted(self, spec: PoolSpec, seconds: float) -> PoolExhausted:
        """Return the error of a claim whose time is up."""
        machines, claimed = (len(self.observed.machines), len(self.observed.claimed())) if self.observed else (0, 0)
        return PoolExhausted(
            spec.app, spec.name, seconds, most=spec.max, machines=machines, claimed=claimed, refusal=self.refusal
        )


def now_of(lease: Lease, ttl: int) -> float:
    """Return the unix time by the API's clock at which a lease of `ttl` seconds was acquired or refreshed."""
    return float((lease.expires_at or 0) - ttl)
