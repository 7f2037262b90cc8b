"""The leases of a deploy: one that locks out other deployers, and one on each machine while it is changed.

Ctrl-C cancels the deploy: each machine's current step ends, or is cancelled, inside `holding`, which releases the lease
of that machine; at the end `run_deploy` calls `release_all` for the others. A lease that cannot be released expires.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.errors import FlyError, LeaseHeld
from flyasync.models.lease import Lease

TTL = 30
"""Seconds that a lease lasts unless it is refreshed; a killed deployer blocks the next one for that long."""

PATIENCE = TTL + 10.0
"""Seconds to wait for a lease that another client holds, unless that client keeps refreshing it."""

PAUSE = 2.0
"""Seconds between two attempts to acquire a lease."""

MARK = "flyasync deploy"
"""The prefix of the description of each lease of a deploy."""


class KeptLease:
    """A lease that a background task acquires with `hold`, and refreshes until it is released."""

    def __init__(self, hold: AbstractAsyncContextManager[Lease]) -> None:
        self._nonce: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._is_released = asyncio.Event()
        self._lost: FlyError | None = None
        self.task = asyncio.create_task(self._keep(hold))

    def __repr__(self) -> str:
        state = "lost" if self._lost else "released" if self._is_released.is_set() else "kept"
        return f"<KeptLease: {state if self._nonce.done() else 'being acquired'}>"

    async def _keep(self, hold: AbstractAsyncContextManager[Lease]) -> None:
        try:
            async with hold as lease:
                self._nonce.set_result(lease.nonce)
                await self._is_released.wait()
        except FlyError as error:
            self._lost = error
            if not self._nonce.done():
                self._nonce.set_exception(error)
        finally:
            self._nonce.cancel()

    async def acquired(self) -> None:
        """Wait until the lease is held; raises what acquiring it raises.

        If cancelled, it stops acquiring the lease, and waits until the lease is released if it was acquired.
        """
        try:
            await asyncio.shield(self._nonce)
        except asyncio.CancelledError:
            self.task.cancel()
            await asyncio.wait([self.task])
            raise

    @property
    def nonce(self) -> str:
        """The nonce of the lease; raises the error that lost the lease."""
        if self._lost:
            raise self._lost
        return self._nonce.result()

    def release(self) -> None:
        """Let the background task release the lease and end."""
        self._is_released.set()


class DeployLeases:
    """The leases that one deploy holds; each is refreshed until it is released.

    `locking` has the id of the machine of each group whose lease locks out other deployers.
    """

    def __init__(self, fly: FlyClient, app: str, launch: str) -> None:
        self._fly = fly
        self._app = app
        self._description = f"{MARK} {launch}"
        self._held: dict[str, KeptLease] = {}
        self._span = fly.spans.current
        self.locking: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<DeployLeases of {self._app}: locked by {self.locking}, {self._held}>"

    async def lock(self, group: str, machine_id: str) -> None:
        """Make the lease on this machine the one that locks other deployers out of a group.

        Raises what `acquire` raises.
        """
        # The lease belongs to the whole deploy, whichever machine's track acquires it.
        with self._fly.spans.within(self._span):
            await self.acquire(machine_id)
        self.locking[group] = machine_id

    def unlock(self, machine_id: str) -> None:
        """Record that a machine is gone, and its lease with it."""
        self.locking = {group: locking for group, locking in self.locking.items() if locking != machine_id}

    def check(self) -> None:
        """Raise the error that ended a locking lease, if one was lost."""
        for machine_id in self.locking.values():
            self.nonce(machine_id)

    def nonce(self, machine_id: str) -> str | None:
        """Return the nonce of the lease on a machine, None if there is no lease; raises the error that ended it."""
        held = self._held.get(machine_id)
        return held.nonce if held else None

    def holds(self, machine_id: str | None) -> bool:
        """Whether this deploy holds the lease on a machine."""
        return machine_id in self._held

    async def acquire(self, machine_id: str) -> None:
        """Acquire the lease on a machine, unless this deploy holds it; raises LeaseHeld if another client keeps it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        seen: Lease | None = None
        while machine_id not in self._held:
            lease = KeptLease(self._fly.leases.hold(self._app, machine_id, ttl=TTL, description=self._description))
            # 1. The lease was free: its task refreshes it from now on.
            # 2. Another client refreshes it, or still holds it when PATIENCE is over: the error names that client.
            # 3. Another client holds it, but may have been killed: its lease may expire, so try again.
            # 4. It is not known whether the lease is free: try again.
            try:
                await lease.acquired()
            except LeaseHeld as error:
                theirs = None
                with suppress(FlyError):
                    theirs = await self._fly.leases.get(self._app, machine_id)
                is_fresh = (
                    seen is not None
                    and theirs is not None
                    and seen.nonce == theirs.nonce
                    and (theirs.expires_at or 0) > (seen.expires_at or 0)
                )
                if is_fresh or loop.time() + PAUSE >= until:
                    # The description shows whether the holder is a deploy, and its launch.
                    description = (theirs and theirs.description) or ""
                    launch = description.removeprefix(MARK).partition("#")[0].strip() if MARK in description else None
                    holder = (
                        f"another deploy is running, launch {launch}"
                        if launch
                        else "another client holds the machine's lease"
                    )
                    message = f"{holder}, so nothing was changed ({error.message})"
                    again = "Deploy again once it has finished"
                    wait = "Wait until the lease expires, or release it:"
                    raise error.explained(
                        again if launch else f"{wait} fly.leases.release({self._app!r}, {machine_id!r}, nonce)",
                        command=again if launch else f"{wait} flyasync machines lease clear {self._app} {machine_id}",
                        message=message,
                    ) from error.__cause__
                seen = theirs
            except TROUBLE:
                if loop.time() + PAUSE >= until:
                    raise
            else:
                self._held[machine_id] = lease
                return
            await asyncio.sleep(PAUSE)

    @asynccontextmanager
    async def holding(self, machine_id: str) -> AsyncIterator[None]:
        """Hold the lease on a machine for the block; raises what `acquire` raises.

        The locking lease is kept after the block. A failed release is ignored, since the lease expires by itself.
        """
        await self.acquire(machine_id)
        try:
            yield
        finally:
            held = self._held.pop(machine_id, None) if machine_id not in self.locking.values() else None
            if held:
                held.release()
                await asyncio.wait([held.task])

    async def release_all(self) -> None:
        """Release all leases, within a bounded time; a cancellation waits for that, a second one interrupts it."""
        held = list(self._held.values())
        self._held.clear()
        for lease in held:
            lease.release()
        tasks = [lease.task for lease in held]
        if not tasks:
            return
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
