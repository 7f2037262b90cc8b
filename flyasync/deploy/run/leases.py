"""The leases of a deploy: one that keeps other deployers out, and one on each machine while it is changed.

Ctrl-C cancels the deploy: each machine's step under way ends, or is cancelled, inside `holding`, which releases that
machine's lease; at the end `run_deploy` calls `release_all` for the others. A lease that cannot be released expires.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.errors import FlyError, LeaseHeld
from flyasync.models.lease import Lease

TTL = 30
"""Seconds that a lease lasts unless it is refreshed: as long as a deployer that was killed blocks the next one."""

PATIENCE = TTL + 10.0
"""Seconds to wait for a lease that another client holds; one that its holder keeps fresh is not waited for."""

PAUSE = 2.0
"""Seconds between two attempts to acquire a lease."""

MARK = "flyasync deploy"
"""What the description of our leases begins with."""


class KeptLease:
    """A lease that a task of its own acquires with `hold` and keeps fresh until it is released."""

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
        """Wait until it is held; raises what acquiring it raises. Cancelled, it is given up, and seen released."""
        try:
            await asyncio.shield(self._nonce)
        except asyncio.CancelledError:
            self.task.cancel()
            await asyncio.wait([self.task])
            raise

    @property
    def nonce(self) -> str:
        """The proof that it is held; raises the error that lost it."""
        if self._lost:
            raise self._lost
        return self._nonce.result()

    def release(self) -> None:
        """Have its task release it, and end."""
        self._is_released.set()


class DeployLeases:
    """The leases that one deploy holds; each is kept fresh until it is released.

    The one on the machine `locking` keeps other deployers out.
    """

    def __init__(self, fly: FlyClient, app: str, launch: str) -> None:
        self._fly = fly
        self._app = app
        self._description = f"{MARK} {launch}"
        self._held: dict[str, KeptLease] = {}
        self._span = fly.spans.current
        self.locking: str | None = None

    def __repr__(self) -> str:
        return f"<DeployLeases of {self._app}: locked by {self.locking}, {self._held}>"

    async def lock(self, machine_id: str) -> None:
        """Have the lease on this machine be the one that keeps other deployers out; raises what `acquire` raises."""
        # The lease is the whole deploy's, whichever of its machines is about to acquire it.
        with self._fly.spans.within(self._span):
            await self.acquire(machine_id)
        self.locking = machine_id

    def unlock(self) -> None:
        """Record that the machine that locks is gone, and its lease with it."""
        self.locking = None

    def check(self) -> None:
        """Raise the error that lost the lease which keeps other deployers out, if it was lost."""
        if self.locking is not None:
            self.nonce(self.locking)

    def nonce(self, machine_id: str) -> str | None:
        """Return the proof of the lease on a machine, None where none was acquired; raises the error that lost it."""
        held = self._held.get(machine_id)
        return held.nonce if held else None

    def holds(self, machine_id: str | None) -> bool:
        """Whether this deploy has the lease on a machine."""
        return machine_id in self._held

    async def acquire(self, machine_id: str) -> None:
        """Acquire the lease on a machine, unless this deploy has it. Raises LeaseHeld when another client keeps it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        seen: Lease | None = None
        while machine_id not in self._held:
            lease = KeptLease(self._fly.leases.hold(self._app, machine_id, ttl=TTL, description=self._description))
            # 1. It was free: its task keeps it fresh from now on.
            # 2. Another client refreshes it, or still has it when our patience ends: the error names that client.
            # 3. Another client has it, and may have been killed: its lease may end by itself, and is asked for again.
            # 4. Whether it is free is not known: it is asked for again.
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
                    # The description tells whether it is a deploy, and which.
                    description = (theirs and theirs.description) or ""
                    launch = description.removeprefix(MARK).partition("#")[0].strip() if MARK in description else None
                    holder = (
                        f"another deploy is running, launch {launch}"
                        if launch
                        else "another client holds the machine's lease"
                    )
                    wait = "Wait until the lease expires, or release it: flyasync machines lease clear"
                    advice = "Deploy again once it is over" if launch else wait
                    message = f"{holder}, so nothing was changed ({error.message})"
                    raise error.explained(advice, message=message) from error.__cause__
                seen = theirs
            except TROUBLE:
                if loop.time() + PAUSE >= until:
                    raise
            else:
                self._held[machine_id] = lease
                return
            await asyncio.sleep(PAUSE)

    @asynccontextmanager
    async def holding(self, machine_id: str | None) -> AsyncIterator[None]:
        """Hold the lease on a machine, if there is one to hold, for the block; raises what `acquire` raises.

        The one that locks outlasts the block. What the API answers to a release does not matter, since a lease ends by
        itself.
        """
        if machine_id is None:
            yield
            return
        await self.acquire(machine_id)
        try:
            yield
        finally:
            held = self._held.pop(machine_id, None) if machine_id != self.locking else None
            if held:
                held.release()
                await asyncio.wait([held.task])

    async def release_all(self) -> None:
        """Release all leases, within a bounded time; a cancellation waits for that, the next one cuts it."""
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
