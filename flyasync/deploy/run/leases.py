"""The leases of a deploy: one that keeps other deployers out, and one on each machine while it is changed."""

import asyncio
from contextlib import suppress

from attrs import Factory, define

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.errors import FlyError, LeaseHeld
from flyasync.models.lease import Lease

TTL = 30
"""Seconds that a lease lasts if nobody refreshes it: as long as a deployer that was killed blocks the next one."""

PATIENCE = TTL + 10.0
"""Seconds to wait for a lease that somebody else holds; one that its holder keeps fresh is not waited for."""

PAUSE = 2.0

MARK = "flyasync deploy"
"""What the description of our leases begins with."""


@define(eq=False)
class _Held:
    """A lease that a task keeps until it is told to let go."""

    nonce: "asyncio.Future[str]"
    let_go: asyncio.Event = Factory(asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    lost: FlyError | None = None


class Leases:
    """The leases that one deploy holds; each is kept fresh until it is given back.

    The one on the machine `locking` keeps other deployers out.
    """

    def __init__(self, fly: FlyClient, app: str, launch: str) -> None:
        self._fly = fly
        self._app = app
        self._description = f"{MARK} {launch}"
        self._held: dict[str, _Held] = {}
        self._span = fly.spans.current
        self.locking: str | None = None

    async def lock(self, machine_id: str) -> None:
        """Have the lease on this machine be the one that keeps other deployers out; raises what `take` raises."""
        with self._fly.spans.within(self._span):  # it is the whole deploy's, whichever of its machines comes to it
            await self.take(machine_id)
        self.locking = machine_id

    def unlock(self) -> None:
        """Note that the machine that locks is gone, and its lease with it."""
        self.locking = None

    def check(self) -> None:
        """Raise the error that lost the lease which keeps other deployers out, if it was lost."""
        if self.locking is not None:
            self.nonce(self.locking)

    def nonce(self, machine_id: str) -> str | None:
        """Give the proof of the lease on a machine; raises the error that lost it, None where none was taken."""
        held = self._held.get(machine_id)
        if held is None:
            return None
        if held.lost:
            raise held.lost
        return held.nonce.result()

    def holds(self, machine_id: str | None) -> bool:
        """Tell whether this deploy has the lease on a machine."""
        return machine_id in self._held

    async def take(self, machine_id: str) -> None:
        """Take the lease on a machine, unless this deploy has it. Raises LeaseHeld when somebody else keeps it."""
        loop = asyncio.get_running_loop()
        until, seen = loop.time() + PATIENCE, None
        while machine_id not in self._held:
            try:
                await self._try(machine_id)
            except LeaseHeld as error:
                seen = await self._wait_for_holder(machine_id, error, seen, until)
            except TROUBLE:
                if loop.time() + PAUSE >= until:
                    raise
                await asyncio.sleep(PAUSE)

    async def _try(self, machine_id: str) -> None:
        held = _Held(asyncio.get_running_loop().create_future())
        held.task = asyncio.create_task(self._keep(machine_id, held))
        try:
            await asyncio.shield(held.nonce)
        except asyncio.CancelledError:
            held.task.cancel()
            await asyncio.wait([held.task])
            raise
        self._held[machine_id] = held

    async def _keep(self, machine_id: str, held: _Held) -> None:
        try:
            async with self._fly.leases.hold(self._app, machine_id, ttl=TTL, description=self._description) as lease:
                held.nonce.set_result(lease.nonce)
                await held.let_go.wait()
        except FlyError as error:
            held.lost = error
            if not held.nonce.done():
                held.nonce.set_exception(error)
        finally:
            held.nonce.cancel()

    async def _wait_for_holder(
        self, machine_id: str, error: LeaseHeld, seen: Lease | None, until: float
    ) -> Lease | None:
        """Wait a moment for the holder to be done; raise if it keeps the lease fresh, or there is no time left."""
        lease = await self._look(machine_id)
        is_kept = seen and lease and seen.nonce == lease.nonce and (lease.expires_at or 0) > (seen.expires_at or 0)
        if is_kept or asyncio.get_running_loop().time() + PAUSE >= until:
            message = f"{_holder(lease)}, and nothing was changed here ({error.message})"
            raise error.explained(_advice(lease), message=message)
        await asyncio.sleep(PAUSE)
        return lease

    async def _look(self, machine_id: str) -> Lease | None:
        with suppress(FlyError):
            return await self._fly.leases.get(self._app, machine_id)
        return None

    async def give_back(self, machine_id: str) -> None:
        """Give one lease back, unless it is the one that locks.

        What the API says to that does not matter, since it ends by itself.
        """
        if machine_id == self.locking:
            return
        held = self._held.pop(machine_id, None)
        if held and held.task:
            held.let_go.set()
            await asyncio.wait([held.task])

    async def give_all_back(self) -> None:
        """Give all leases back, within a bounded time; a cancellation waits for that, the next one cuts it."""
        tasks = [held.task for held in self._held.values() if held.task]
        for held in self._held.values():
            held.let_go.set()
        self._held.clear()
        if not tasks:
            return
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise


def _holder(lease: Lease | None) -> str:
    """Say who is in the way."""
    launch = _launch(lease)
    return f"another deploy is under way, launch {launch}" if launch else "somebody holds the machine"


def _advice(lease: Lease | None) -> str:
    if _launch(lease):
        return "Deploy again once it is over"
    return "Wait until the lease expires, or release it: flyasync machines lease clear"


def _launch(lease: Lease | None) -> str | None:
    """Name the launch of the deploy that holds a lease, if that is what it is."""
    description = (lease and lease.description) or ""
    return description.removeprefix(MARK).partition("#")[0].strip() if MARK in description else None
