"""`MachinePool`: machines on demand, each claimed by one caller at a time, across processes and hosts."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Self, Unpack

from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.cancellation import cancelled_once, ended, unscoped
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.pool.claimed import ClaimedMachine
from flyasync.pool.claims import Claims
from flyasync.pool.events import MachineDestroyed, OnPoolEvent, PoolEvent
from flyasync.pool.keeper import Keeper, PoolStatus, Reconciled, log
from flyasync.pool.spec import PoolOptions, PoolSpec, demand_count

Ready = int | Callable[[], int]


class MachinePool:
    """A pool of machines of one app, from which each caller gets one.

        async with MachinePool(fly, "sandboxes", config, ready=3, max=50, regions=("iad", "lhr")) as pool:
            async with pool.acquire(key="user-7", region="lhr") as machine:
                print(machine.private_url(8080))

    Any number of processes and hosts may share a pool: they name the same app and pool. The claim on a machine is the
    machine's lease, which its holder refreshes; if the holder dies, the API's clock ends the claim, and the machine is
    recycled. Machines are named POOL-0, POOL-1 and so on; names are unique in an app, so there are never more than
    `max`. The key is stored in the machine's metadata, which anyone with access to the app can read, and which every
    machine of the organization can look up in the private DNS.

    Inside the block, a task keeps `ready` machines free: it creates missing ones within the limit of one create per
    second, unless a claim waits, which comes first. Leaving the block ends that task and waits until the claims of this
    process have ended; the machines stay, for other processes and the next start. `drain` destroys them.

    Deploys leave the machines alone, unless the metadata of `config` names a process group: then the lease of a claimed
    machine keeps deploys from changing it, and they report LeaseHeld. The Fly Proxy starts a stopped machine under a
    lease of its own, and a claim then takes another machine.

    Args:
        fly: the client; with several processes, let them share the limits (see `Limits.shared`).
        app: the app.
        config: the config of new machines. A machine of another config is claimed no more, unless it is kept for the
            key, and is replaced when its slot is needed, or by `reconcile(replace_outdated=True)`.
        ready: how many machines to keep free, or a function that returns it, which is called at least every 13 s. All
            processes should keep the same number, since each destroys what is free beyond its own.
        max: how many machines the pool may have, the claimed ones included.
        on_event: called with each `PoolEvent`; an exception in it is logged and otherwise ignored.
        options: the other options, by their names:
        name: the name of the pool, unique in the app, and the first part of the names of its machines; `pool` by
            default.
        regions: the region of new machines, or several, over which they are spread evenly; a region without capacity is
            skipped. By default the API chooses one.
        standby: the state in which free machines wait: `stopped`, the default (no cost but the disk), `suspended`
            (resumes in less than a second; see the limits of suspend in Fly's documentation) or `started`.
        on_release: what happens to a machine when its claim ends: `recycle`, the default, destroys it, so that the next
            claim sees nothing of this one; `stop` stops it, for any key; `keep` keeps it for the same key, for
            `keep_for` seconds.
        keep_for: the seconds for which `keep` keeps a machine, 600 by default. If the pool is full, the one with the
            least time left makes room for another key.
        claim_ttl: seconds after which the claim of a dead holder ends, 30 by default; a third of it is the interval of
            refreshing.

    Raises InvalidInput for a wrong value.
    """

    def __init__(
        self,
        fly: FlyClient,
        app: str,
        config: MachineConfig,
        *,
        ready: Ready,
        max: int,  # noqa: A002 - the word that users of pools expect
        on_event: OnPoolEvent = lambda _event: None,
        **options: Unpack[PoolOptions],
    ) -> None:
        self._given = PoolSpec(app=app, config=config, max=max, **options)
        self._set_ready(ready)
        self._observer = on_event
        self._claims = Claims(fly, self._spec, self._emit)
        self._keeper = Keeper(fly, self._spec, self._count_ready, self._claims, self._emit)
        self._keeping: asyncio.Task[None] | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        spec = self._given
        return f"<MachinePool {spec.name} of {spec.app}: {self._claims.open} claims of at most {spec.max} machines>"

    def acquire(
        self, key: str, *, region: str | None = None, timeout: float = 60.0
    ) -> AbstractAsyncContextManager[ClaimedMachine]:
        """Claim a machine while the block runs: it has started, its checks pass, and no other caller has it.

        In order of preference: the machine that was claimed for `key` before and still exists, a free one in `region`,
        a free one elsewhere, a new one. A machine that is free and started takes three requests, a stopped or suspended
        one five, apart from a list a second that all claims of all processes share. Except with `on_release="keep"`, a
        list of this process that is up to ten seconds old is used first.

        Two claims of one key follow each other in a process, and across processes once a list shows the first one. If
        two processes claim a new key at the same time, each may get a machine: one that is free, for example.

        If the lease is lost while the block runs, the block is cancelled and the error is raised, since from then on
        another caller may have the machine.

        Raises PoolExhausted after `timeout` seconds, with the error of the last attempt as `refusal`: that of checks
        that do not pass, for example. Also raises WaitFailed if a new machine cannot start, or does not serve within
        two minutes, and what `create` raises. If cancelled while it waits, or when its time is up, a machine that was
        created for it is destroyed, and one that was taken for it is recycled by the next round, unless it is kept. At
        the end of the block, cancellation included, the machine is returned first, for up to `claim_ttl` seconds.

        Args:
            key: what the machine is claimed for, such as a user or a job.
            region: the preferred region, such as that of the request.
            timeout: seconds to wait for a machine.
        """
        if not key:
            raise InvalidInput("the key is empty: pass what the machine is claimed for, such as the id of a user")
        if timeout <= 0:
            raise InvalidInput(f"timeout is {timeout!r}, but must be a number of seconds above 0")
        if self._is_closed:
            raise InvalidInput("the pool is closed: claim machines inside its `async with` block")
        return self._claims.claim(key, region=region, timeout=timeout)

    def resize(self, *, ready: Ready | None = None, max: int | None = None) -> None:  # noqa: A002 - as in __init__
        """Change how many machines to keep free, or how many there may be, from the next round on.

        Free machines beyond the new numbers are destroyed. A claimed machine stays until it is released.
        """
        if max is not None:
            self._given = evolve(self._given, max=max)
            self._claims.resize()
        if ready is not None:
            self._set_ready(ready)
        self._keeper.wake()

    async def status(self) -> PoolStatus:
        """Count the pool's machines, as a list that is at most a second old shows them.

        It may not show yet what this process has just created, claimed or destroyed.
        """
        observed = await self._claims.observe()
        return PoolStatus(
            ready=len(observed.free()),
            claimed=len(observed.claimed()),
            kept=len(observed.kept()),
            machines=len(observed.machines),
            max=self._given.max,
        )

    @cancelled_once
    async def reconcile(self, *, replace_outdated: bool = False) -> Reconciled:
        """Do one round now, as a cron job does: recycle what dead holders left, create what is missing.

        Surplus machines are destroyed. It needs no open pool, and may run while others use the pool. With
        `replace_outdated`, free machines of another config are replaced as well: do that once all processes have the
        new config.
        """
        return await self._keeper.reconcile(replace_outdated=replace_outdated)

    @cancelled_once
    async def drain(self) -> Reconciled:
        """Destroy every machine that is not claimed. A pool that is open elsewhere creates new ones."""
        return await self._keeper.drain()

    async def __aenter__(self) -> Self:
        self._is_closed = False
        self._keeping = asyncio.create_task(self._keeper.run(), name=f"pool {self._given.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closed = True
        with unscoped():
            if self._keeping:
                self._keeping.cancel()
                try:
                    # Unlike the task itself, this raises CancelledError only if the caller is cancelled.
                    await asyncio.wait([self._keeping])
                except asyncio.CancelledError as first:
                    await ended(self._keeping, first)
                    raise
            await self._claims.ended()

    def _spec(self) -> PoolSpec:
        return self._given

    def _set_ready(self, ready: Ready) -> None:
        self._ready = ready if callable(ready) else demand_count("ready", ready, least=0)

    def _count_ready(self) -> int:
        return demand_count("ready", self._ready(), least=0) if callable(self._ready) else self._ready

    def _emit(self, event: PoolEvent) -> None:
        try:
            self._observer(event)
        except Exception:  # noqa: BLE001 - whatever an observer raises
            log.exception("on_event of the pool %s raised an exception", self._given.name)
        if isinstance(event, MachineDestroyed):
            self._keeper.wake()
