"""Claim a machine of a pool and return it. The machine's lease is the claim, so the API ends that of a dead holder."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from weakref import WeakValueDictionary
from zlib import crc32

from attrs import Factory, define, evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.leases import HeldLease
from flyasync.api.machines.shared_lists import SharedLists
from flyasync.api.resource import TROUBLE
from flyasync.cancellation import finished
from flyasync.errors import (
    FlyError,
    LeaseHeld,
    NameTaken,
    NoCapacity,
    NoFreeVolume,
    NotFound,
    PoolExhausted,
    WaitFailed,
    WrongState,
)
from flyasync.models.machine import Machine
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
from flyasync.pool.observed import Observed
from flyasync.pool.spec import KEPT_UNTIL, KEY, OnRelease, PoolSpec, Standby

LOOK_AGAIN = 1.0
"""Seconds between two attempts of a claim while the pool is exhausted: a list a second is all that the limit allows."""

RECENT = 10.0
"""Seconds for which a list is good enough to look for a free machine, or for what should be done about machines."""

BOOT = 120.0
"""Seconds within which a machine must start for a claim; a machine that takes longer is replaced."""


@define(eq=False)
class Claims:
    """The claims of one process on the machines of a pool."""

    _fly: FlyClient
    _spec: Callable[[], PoolSpec]
    _emit: OnPoolEvent
    _lists: SharedLists = Factory(
        lambda self: SharedLists(self._fly.machines.list, include_leases=True), takes_self=True
    )
    _listed: tuple[Machine, ...] = ()
    _listed_at: float = float("-inf")
    _slots: set[str] = Factory(set)
    # Claims of one key follow each other: by these locks in this process, by the lease across processes.
    _keys: WeakValueDictionary[str, asyncio.Lock] = Factory(WeakValueDictionary)
    # More searches than the pool may have machines could not succeed at once; the others wait in order.
    _searches: asyncio.Semaphore = Factory(lambda self: asyncio.Semaphore(self._spec().max), takes_self=True)
    _one_ended: asyncio.Event = Factory(asyncio.Event)
    open: int = 0
    """The number of claims of this process, those that have no machine yet included."""

    def resize(self) -> None:
        """Let as many claims search at once as the pool may have machines now."""
        self._searches = asyncio.Semaphore(self._spec().max)

    async def observe(self, *, since: float | None = None) -> Observed:
        """Return the machines of the pool from a list that is at most a second old, or was received after `since`."""
        spec = self._spec()
        if since is None or self._listed_at < since:
            # All machines of the app: each of their names is in use, whether it is of this pool or not.
            self._listed = await self._lists.find(spec.app)
            self._listed_at = asyncio.get_running_loop().time()
        return Observed.of(spec, self._listed)

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
        async with AsyncExitStack() as claim:
            self.open += 1
            claim.callback(self._end)
            try:
                machine, held, source = await self._find(claim, key, region, timeout)
            except BaseException as error:
                self._emit(ClaimFailed(key=key, error=type(error).__name__, seconds=clock() - began))
                raise
            got, id_ = clock(), machine.id
            self._emit(
                MachineClaimed(key=key, machine_id=id_, region=machine.region, source=source, seconds=got - began)
            )
            try:
                yield ClaimedMachine(self._fly, self._spec().app, key, machine)
            finally:
                await finished(self._give_back(machine, held))
                self._emit(MachineReleased(key=key, machine_id=id_, seconds=clock() - got))

    def _end(self) -> None:
        self.open -= 1
        self._one_ended.set()

    async def ended(self) -> None:
        """Wait until all claims of this process have ended."""
        while self.open:
            self._one_ended.clear()
            await self._one_ended.wait()

    async def _find(
        self, claim: AsyncExitStack, key: str, region: str | None, timeout: float
    ) -> tuple[Machine, HeldLease, ClaimSource]:
        """Find a machine for a claim within `timeout` seconds, and hold it until the claim ends."""
        # The limit of one list a second is for all processes. So an older list comes first, unless another process may
        # keep a machine for the key by now.
        is_kept = self._spec().on_release is OnRelease.KEEP
        since = None if is_kept else asyncio.get_running_loop().time() - RECENT
        observed, refusal = Observed.of(self._spec(), ()), None
        try:
            async with asyncio.timeout(timeout):
                await claim.enter_async_context(self._keys.setdefault(key, asyncio.Lock()))
                async with self._searches:
                    while True:
                        try:
                            observed = await self.observe(since=since)
                            if taken := await self._take(claim, key, region, observed):
                                return taken
                            if since is None and (made := await self._make(claim, key, region, observed)):
                                return *made, ClaimSource.COLD
                        # Its result may be unknown, but no machine is lost by that: its lease expires, and the next
                        # list shows it.
                        except (NoCapacity, NoFreeVolume, *TROUBLE) as error:
                            refusal, since = error, None
                        if since is None:
                            await asyncio.sleep(LOOK_AGAIN)
                        since = None
        except TimeoutError as late:
            machines, claimed, spec = len(observed.machines), len(observed.claimed()), self._spec()
            raise PoolExhausted(
                spec.app, spec.name, timeout, most=spec.max, machines=machines, claimed=claimed, refusal=refusal
            ) from late

    async def _take(
        self, claim: AsyncExitStack, key: str, region: str | None, observed: Observed
    ) -> tuple[Machine, HeldLease, ClaimSource] | None:
        """Claim a machine that exists: the one that was claimed for the key before, or one that is free."""
        own = observed.of_key(key)
        for machine in [own] if own else observed.free(region):
            is_taken = machine.lease or self.is_occupied(machine.name)
            if not is_taken and (held := await self._try(claim, machine, key)):
                return *held, ClaimSource.KEPT if own else ClaimSource.WARM
        return None

    async def _make(
        self, claim: AsyncExitStack, key: str, region: str | None, observed: Observed
    ) -> tuple[Machine, HeldLease] | None:
        """Create a machine, or make room for one; None as long as another client holds that of the key."""
        if observed.of_key(key):
            return None
        # 1. In a vacant slot. Two processes that claim one new key at once choose the same slot, so that only
        #    one of them gets it; claims of different keys seldom do.
        vacant = observed.vacant()
        if slots := [slot for slot in vacant if not self.is_occupied(slot)]:
            slot = min(slots, key=lambda each: crc32(f"{each} {key!r}".encode()))
            return await self._create(claim, slot, key, region)
        # 2. Each slot has a machine: one that no claim may have, or that is kept for another key, makes room, unless
        #    another one does so already.
        spare = (each for each in [*observed.outdated(), *observed.kept()] if not self.is_occupied(each.name))
        if not (vacant or observed.leaving()) and (evicted := next(spare, None)):
            await self.destroy(evicted, DestroyReason.EVICTED)
        return None

    async def _try(self, claim: AsyncExitStack, machine: Machine, key: str) -> tuple[Machine, HeldLease] | None:
        """Claim a machine and make it serve; None if another client holds it, or it is of no use."""
        spec = self._spec()
        try:
            async with AsyncExitStack() as attempt:
                attempt.enter_context(self.occupy(machine.name))
                lease = await self._fly.leases.acquire_once(
                    spec.app, machine.id, ttl=spec.claim_ttl, description=f"pool {spec.name}"
                )
                held = await attempt.enter_async_context(self._keep(machine, lease.nonce))
                # The list lags, and may be a second old: only what is read under the lease counts.
                fresh = await self._fly.machines.get(spec.app, machine.id)
                if not Observed.of(spec, [fresh]).is_usable(fresh, key):
                    return None
                if KEY not in fresh.metadata:
                    await self._fly.machines.set_metadata(spec.app, fresh.id, KEY, key)
                try:
                    served = await self._fly.machines.starter.serve(spec.app, fresh, nonce=held.nonce, timeout=BOOT)
                except (WaitFailed, WrongState, NoCapacity):
                    await self._discard(fresh, held.nonce, DestroyReason.UNUSABLE)
                    return None
                claim.push_async_exit(attempt.pop_all())
                return served, held
        # Another client has the lease, maybe since this one lost it; or the machine is gone.
        except (LeaseHeld, NotFound):
            return None

    async def _create(
        self, claim: AsyncExitStack, slot: str, key: str, region: str | None
    ) -> tuple[Machine, HeldLease] | None:
        """Create a machine that is claimed from its first moment; None if another client has the slot."""
        spec, clock, sent = self._spec(), asyncio.get_running_loop().time, list[float]()
        creation = spec.creation(slot, region, key=key, on_leave=lambda: sent.append(clock()))
        try:
            async with AsyncExitStack() as attempt:
                attempt.enter_context(self.occupy(slot))
                machine = await self._fly.machines.once.create(creation)
                # 1. Another client was faster. 2. It was found after a lost response, and maybe so late that another
                # client holds its lease by now: it has the key, so the next list leads to it.
                if creation.adopted or clock() - sent[0] > spec.claim_ttl / 2:
                    return None
                nonce = machine.nonce or (await self._fly.leases.get(spec.app, machine.id)).nonce
                held = await attempt.enter_async_context(self._keep(machine, nonce))
                await self._fly.machines.wait(spec.app, machine.id, timeout=BOOT, just_created=True)
                booted = evolve(machine, state="started")
                served = await self._fly.machines.starter.serve(spec.app, booted, nonce=nonce, timeout=BOOT)
                claim.push_async_exit(attempt.pop_all())
                return served, held
        except (NameTaken, LeaseHeld, NotFound):
            return None
        except BaseException:
            # Nobody else would destroy it soon: it has the key of this claim. Its lease was released, or has the nonce.
            if (made := creation.machine) and not creation.adopted:
                await finished(self._discard(made, made.nonce, DestroyReason.UNUSABLE))
            raise

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
                        until = f"{lease.acquired_at(spec.claim_ttl) + spec.keep_for:.0f}"
                        await machines.set_metadata(spec.app, machine.id, KEPT_UNTIL, until)
                        await self.rest(machine, nonce=held.nonce)

    async def rest(self, machine: Machine, *, nonce: str | None = None) -> None:
        """Bring a started machine into the state in which machines wait."""
        spec, machines = self._spec(), self._fly.machines
        if spec.standby is not Standby.STARTED:
            bring = machines.stop if spec.standby is Standby.STOPPED else machines.suspend
            await bring(spec.app, machine.id, nonce=nonce)

    async def destroy(self, machine: Machine, reason: DestroyReason) -> bool:
        """Destroy a machine under its lease if that is still due then; return whether it was destroyed."""
        if self.is_occupied(machine.name):
            return False
        spec, id_, ttl = self._spec(), machine.id, self._spec().claim_ttl
        with self.occupy(machine.name):
            try:
                async with self._fly.leases.hold(spec.app, id_, ttl=ttl, description=f"pool {spec.name}") as lease:
                    fresh = await self._fly.machines.get(spec.app, id_)
                    is_due = Observed.of(spec, [fresh]).is_due(fresh, reason, lease.acquired_at(ttl))
                    if is_due:
                        await self._delete(fresh, lease.nonce, reason)
                    return is_due
            except (LeaseHeld, NotFound):
                pass  # another client has claimed or destroyed it
        return False

    def _keep(self, machine: Machine, nonce: str) -> AbstractAsyncContextManager[HeldLease]:
        spec = self._spec()
        return self._fly.leases.keep(spec.app, machine.id, nonce, ttl=spec.claim_ttl)

    async def _delete(self, machine: Machine, nonce: str | None, reason: DestroyReason) -> None:
        with suppress(NotFound):
            await self._fly.machines.delete(self._spec().app, machine.id, force=True, nonce=nonce)
        self._emit(MachineDestroyed(machine_id=machine.id, reason=reason))

    async def _discard(self, machine: Machine, nonce: str | None, reason: DestroyReason) -> None:
        """Destroy a machine of no use; if that fails, `reconcile` does it later."""
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(self._spec().claim_ttl):
                await self._delete(machine, nonce, reason)
