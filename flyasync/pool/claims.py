"""Claim a machine of a pool and return it. The machine's lease is the claim, so the API ends that of a dead holder."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
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

# Seconds between two attempts of a claim while the pool is exhausted: a list a second is all that the limit allows.
LOOK_AGAIN = 1.0

# Seconds for which a list is good enough to look for a free machine, or for what should be done about machines.
RECENT = 10.0

# Seconds within which a machine must start for a claim; a machine that takes longer is replaced.
BOOT = 120.0

# Seconds of the shortest wait of a claim. If that is all that is left, the waits of the claim are over.
LEAST = 0.1

# A machine that serves, the lease on it, and where it came from.
Found = tuple[Machine, HeldLease, ClaimSource]


@define(eq=False)
class _Search:
    """The search of one claim for a machine; `holds` is what the claim holds until it ends."""

    holds: AsyncExitStack
    key: str
    region: str | None
    timeout: float
    began: float = Factory(lambda: asyncio.get_running_loop().time())
    refusal: FlyError | None = None

    @property
    def seconds_left(self) -> float:
        """The seconds for waits, which end before the timeout, so that their errors show why there is no machine."""
        ends = self.began + self.timeout - min(1.0, self.timeout / 10)
        return min(BOOT, max(LEAST, ends - asyncio.get_running_loop().time()))

    def was_refused(self, refusal: FlyError) -> None:
        """Record why the last attempt failed. Raise TimeoutError if there is no time for another one."""
        self.refusal = refusal
        if self.seconds_left <= LEAST:
            raise TimeoutError


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
    # Seconds by which the API's clock is ahead of the loop's; infinite until a lease has shown it.
    _api_ahead: float = float("inf")
    # The number of claims of this process, those that have no machine yet included.
    open: int = 0

    def resize(self) -> None:
        """Let as many claims search at once as the pool may have machines now."""
        self._searches = asyncio.Semaphore(self._spec().max)

    async def observe(self, *, since: float | None = None) -> Observed:
        """Return the machines of the pool from a list that is at most a second old, or was received after `since`."""
        if since is None or self._listed_at < since:
            # All machines of the app: each of their names is in use, whether it is of this pool or not.
            self._listed = await self._lists.find(self._spec().app)
            self._listed_at = asyncio.get_running_loop().time()
        return Observed.of(self._spec(), self._listed)

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
        async with AsyncExitStack() as holds:
            self.open += 1
            holds.callback(self._end)
            search = _Search(holds, key, region, timeout)
            try:
                machine, held, source = await self._find(search)
            except BaseException as error:
                self._emit(ClaimFailed(key=key, error=type(error).__name__, seconds=clock() - search.began))
                raise
            got, id_, code = clock(), machine.id, machine.region
            self._emit(MachineClaimed(key=key, machine_id=id_, region=code, source=source, seconds=got - search.began))
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

    async def _find(self, search: _Search) -> Found:
        """Find a machine for a claim within its timeout, and hold it until the claim ends."""
        # The limit of one list a second is for all processes. So an older list comes first, unless another process may
        # keep a machine for the key by now.
        since = None if self._spec().on_release is OnRelease.KEEP else search.began - RECENT
        observed = Observed.of(self._spec(), self._listed)
        try:
            async with asyncio.timeout(search.timeout):
                await search.holds.enter_async_context(self._keys.setdefault(search.key, asyncio.Lock()))
                async with self._searches:
                    while True:
                        try:
                            observed = await self.observe(since=since)
                            if taken := await self._take(search, observed):
                                return taken
                            if since is None and (made := await self._make(search, observed)):
                                return *made, ClaimSource.COLD
                        except WaitFailed as failure:
                            search.was_refused(failure)
                            raise  # it is not for lack of time that the new machine does not serve
                        # Its result may be unknown, but no machine is lost by that: its lease expires, and the next
                        # list shows it.
                        except (NoCapacity, NoFreeVolume, *TROUBLE) as error:
                            search.was_refused(error)
                        if since is None:
                            await asyncio.sleep(LOOK_AGAIN)
                        since = None
        except TimeoutError as late:
            total, held, spec = len(observed.machines), len(observed.claimed()), self._spec()
            raise PoolExhausted(
                spec.app, spec.name, search.timeout, most=spec.max, machines=total, claimed=held, refusal=search.refusal
            ) from late

    async def _take(self, search: _Search, observed: Observed) -> Found | None:
        """Claim a machine that exists: the one that was claimed for the key before, or one that is free."""
        own = observed.of_key(search.key)
        for machine in [own] if own else observed.free(search.region):
            is_taken = machine.lease or self.is_occupied(machine.name)
            if not is_taken and (held := await self._try(search, machine)):
                return *held, ClaimSource.KEPT if own else ClaimSource.WARM
        return None

    async def _make(self, search: _Search, observed: Observed) -> tuple[Machine, HeldLease] | None:
        """Create a machine, or make room for one; None as long as another client holds that of the key."""
        if observed.of_key(search.key):
            return None
        # 1. In a vacant slot. Two processes that claim one new key at once choose the same slot, so that only
        #    one of them gets it; claims of different keys seldom do.
        vacant = observed.vacant()
        if slots := [slot for slot in vacant if not self.is_occupied(slot)]:
            return await self._create(search, min(slots, key=lambda each: crc32(f"{each} {search.key!r}".encode())))
        # 2. Each slot has a machine: one that no claim may have, or that is kept for another key, makes room, unless
        #    another one does so already.
        spare = (each for each in [*observed.outdated(), *observed.kept()] if not self.is_occupied(each.name))
        is_leaving = any(each.state == "destroying" for each in observed.machines.values())
        if not (vacant or is_leaving) and (evicted := next(spare, None)):
            await self.destroy(evicted, DestroyReason.EVICTED)
        return None

    async def _try(self, search: _Search, machine: Machine) -> tuple[Machine, HeldLease] | None:
        """Claim a machine and make it serve; None if another client holds it, or it is of no use."""
        spec, serve = self._spec(), self._fly.machines.starter.serve
        try:
            async with AsyncExitStack() as attempt:
                attempt.enter_context(self.occupy(machine.name))
                lease = await self._fly.leases.acquire_once(
                    spec.app, machine.id, ttl=spec.claim_ttl, description=f"pool {spec.name}"
                )
                keep = self._fly.leases.keep(spec.app, machine.id, lease.nonce, ttl=spec.claim_ttl)
                held = await attempt.enter_async_context(keep)
                # The list lags, and may be a second old: only what is read under the lease counts.
                fresh = await self._fly.machines.get(spec.app, machine.id)
                if not Observed.of(spec, [fresh]).is_usable(fresh, search.key):
                    return None
                if KEY not in fresh.metadata:
                    await self._fly.machines.set_metadata(spec.app, fresh.id, KEY, search.key)
                try:
                    served = await serve(spec.app, fresh, nonce=held.nonce, timeout=search.seconds_left)
                except (WaitFailed, WrongState, NoCapacity) as failure:
                    # If this ends the claim, the machine may only be slow: the next claim of the key continues with it.
                    search.was_refused(failure)
                    await self._discard(fresh, held.nonce, DestroyReason.UNUSABLE)
                    return None
                search.holds.push_async_exit(attempt.pop_all())
                return served, held
        # Another client has the lease, maybe since this one lost it; or the machine is gone.
        except (LeaseHeld, NotFound):
            return None

    async def _create(self, search: _Search, slot: str) -> tuple[Machine, HeldLease] | None:
        """Create a machine that is claimed from its first moment; None if another client has the slot."""
        spec, clock, sent = self._spec(), asyncio.get_running_loop().time, list[float]()
        machines = self._fly.machines
        creation = spec.creation(slot, search.region, key=search.key, on_leave=lambda: sent.append(clock()))
        try:
            async with AsyncExitStack() as attempt:
                attempt.enter_context(self.occupy(slot))
                machine = await machines.once.create(creation)
                # 1. Another client was faster. 2. It was found after a lost response, and maybe so late that another
                # client holds its lease by now: it has the key, so the next list leads to it.
                if creation.adopted or clock() - sent[0] > spec.claim_ttl / 2:
                    return None
                nonce = machine.nonce or (await self._fly.leases.get(spec.app, machine.id)).nonce
                keep = self._fly.leases.keep(spec.app, machine.id, nonce, ttl=spec.claim_ttl)
                held = await attempt.enter_async_context(keep)
                await machines.wait(spec.app, machine.id, timeout=search.seconds_left, just_created=True)
                machine = evolve(machine, state="started")
                served = await machines.starter.serve(spec.app, machine, nonce=nonce, timeout=search.seconds_left)
                search.holds.push_async_exit(attempt.pop_all())
                return served, held
        except (NameTaken, LeaseHeld, NotFound):
            return None
        except BaseException:
            # No other client would destroy it soon: it has the key of this claim. Its lease was released, or has the
            # nonce.
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
        if self.is_occupied(machine.name) or not self._is_due(machine, reason):
            return False
        spec, id_, ttl = self._spec(), machine.id, self._spec().claim_ttl
        # With an error of these, another client has claimed or destroyed it.
        with self.occupy(machine.name), suppress(LeaseHeld, NotFound):
            async with self._fly.leases.hold(spec.app, id_, ttl=ttl, description=f"pool {spec.name}") as lease:
                self._api_ahead = lease.acquired_at(ttl) - asyncio.get_running_loop().time()
                fresh = await self._fly.machines.get(spec.app, id_)
                if is_due := self._is_due(fresh, reason):
                    await self._delete(fresh, lease.nonce, reason)
                return is_due
        return False

    def _is_due(self, machine: Machine, reason: DestroyReason) -> bool:
        """Whether to destroy a machine, as it was read; one that is kept seems due until the API's time is known."""
        now = asyncio.get_running_loop().time() + self._api_ahead
        return Observed.of(self._spec(), [machine]).is_due(machine, reason, now)

    async def _delete(self, machine: Machine, nonce: str | None, reason: DestroyReason) -> None:
        with suppress(NotFound):
            await self._fly.machines.delete(self._spec().app, machine.id, force=True, nonce=nonce)
        self._emit(MachineDestroyed(machine_id=machine.id, reason=reason))

    async def _discard(self, machine: Machine, nonce: str | None, reason: DestroyReason) -> None:
        """Destroy a machine of no use; if that fails, `reconcile` does it later."""
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(self._spec().claim_ttl):
                await self._delete(machine, nonce, reason)
