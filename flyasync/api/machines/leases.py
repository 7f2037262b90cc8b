"""Leases: the right to change a machine, for a few seconds at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from secrets import token_hex
from typing import Any

from attrs import frozen

from flyasync.api.resource import TROUBLE, Caller, given, request
from flyasync.errors import FlyError, InvalidInput, LeaseHeld, NoReplyInTime
from flyasync.models.lease import Lease
from flyasync.transport.request import Flight, Repeat

LEAST_TO_HOLD = 3
"""Seconds of the shortest lease that can be kept: one refresh a second is all that the rate limit allows."""


@frozen
class Leases:
    """`fly.leases`: acquire, refresh and release leases on machines (docs: machines/api/machines-resource).

    While one holds a machine's lease, nobody without its nonce can update, start, stop, restart, suspend, destroy,
    cordon or uncordon it; reads, metadata, exec and signals stay open to all. A lease ends by itself after its ttl,
    and with its machine. Anyone with access to the app can read the nonce and release it: it keeps honest clients
    apart, and the Fly Proxy takes short ones too.
    """

    _caller: Caller

    async def acquire(self, app: str, machine_id: str, *, ttl: int = 30, description: str | None = None) -> Lease:
        """Take the machine's lease for `ttl` seconds. Raises LeaseHeld with the holder and the end of its lease.

        Not repeated when the answer is lost: the lease may then be held by nobody who knows its nonce, until it ends.
        Cancelled, the same.
        """
        return await self._acquire(app, machine_id, ttl=ttl, description=description, repeat=Repeat.UNSENT)

    async def refresh(self, app: str, machine_id: str, nonce: str, *, ttl: int = 30) -> Lease:
        """Let the lease run for `ttl` seconds from now on; the nonce stays the same.

        Raises LeaseHeld when it ended and somebody else took it. To the API this is the same action as acquiring, and
        shares its rate.
        """
        return await self._acquire(app, machine_id, ttl=ttl, nonce=nonce, repeat=Repeat.ANYTIME)

    async def _acquire(
        self,
        app: str,
        machine_id: str,
        *,
        ttl: int,
        repeat: Repeat,
        description: str | None = None,
        nonce: str | None = None,
        flight: Flight | None = None,
    ) -> Lease:
        if ttl < 1 or ttl != int(ttl):
            raise InvalidInput(f"ttl is {ttl!r}, but must be a whole number of seconds, 1 or more")
        ttl = int(ttl)
        ask = request(
            "leases.acquire",
            app,
            machine_id,
            to="POST apps/{}/machines/{}/lease",
            repeat=repeat,
            # The documents put the ttl into the body, the official client into the query.
            query={"ttl": ttl},
            body={"ttl": ttl, **given(description=description)},
            nonce=nonce,
            flight=flight,
        )
        return await self._caller.read(ask, Lease, pick=_envelope)

    async def get(self, app: str, machine_id: str) -> Lease:
        """Get the lease on a machine, its nonce included. Raises NotFound when nobody holds one."""
        return await self._caller.read(
            request("leases.get", app, machine_id, to="GET apps/{}/machines/{}/lease", repeat=Repeat.ANYTIME),
            Lease,
            pick=_envelope,
        )

    async def release(self, app: str, machine_id: str, nonce: str) -> None:
        """Give the lease back. Repeated after a lost answer. Raises NotFound when it has ended already."""
        await self._caller.ask(
            request(
                "leases.release",
                app,
                machine_id,
                to="DELETE apps/{}/machines/{}/lease",
                repeat=Repeat.ANYTIME,
                nonce=nonce,
            )
        )

    @asynccontextmanager
    async def hold(
        self, app: str, machine_id: str, *, ttl: int = 30, description: str | None = None
    ) -> AsyncIterator[Lease]:
        """Hold the machine's lease for as long as the block runs, refreshed every third of its ttl of 3 s or more.

        The lease's description is yours with a mark of this hold after it. By it the lease is known again when the
        answer to its acquire is lost, or when that was delivered twice and so refused, and kept; the error comes out
        only when the lease is not to be found.

        Raises LeaseHeld at the start. Should the lease be lost on the way, the block is cancelled and the error that
        lost it is raised, since from then on others may change the machine; trouble with the API loses it only when it
        lasts for half the ttl. The lease is released at the end whatever happens, cancellation included, within `ttl`
        seconds at most; after that it ends by itself. Cancelled while the request for it is under way, it waits for
        the answer, as long again at most, to give the lease back; a second cancellation leaves it to end by itself.
        """
        if ttl < LEAST_TO_HOLD:
            raise InvalidInput(f"ttl is {ttl!r}, but a lease that is to be kept must last {LEAST_TO_HOLD} s or more")
        mark = " ".join(filter(None, (description, f"#{token_hex(4)}")))
        lease = await self._take(app, machine_id, ttl=ttl, mark=mark)
        try:
            async with _beside(partial(self._keep_fresh, app, machine_id, lease.nonce, ttl=ttl)):
                yield lease
        finally:
            await self._let_go(app, machine_id, lease.nonce, ttl=ttl)

    async def _take(self, app: str, machine_id: str, *, ttl: int, mark: str) -> Lease:
        """Take the lease; cancelled on the way, give back what the request for it has led to."""
        flight = Flight()
        taking = asyncio.ensure_future(self._acquire_or_find(app, machine_id, ttl=ttl, mark=mark, flight=flight))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            flight.is_abandoned = True
            if not flight.is_out:
                taking.cancel()
            with suppress(FlyError, TimeoutError):
                async with asyncio.timeout(ttl):
                    lease = await taking
                await self._let_go(app, machine_id, lease.nonce, ttl=ttl)
            raise

    async def _acquire_or_find(self, app: str, machine_id: str, *, ttl: int, mark: str, flight: Flight) -> Lease:
        try:
            return await self._acquire(app, machine_id, ttl=ttl, description=mark, repeat=Repeat.UNSENT, flight=flight)
        except FlyError as error:
            # A request that was delivered twice is refused for the sake of the lease that it was granted itself.
            if not (error.may_have_happened or isinstance(error, LeaseHeld)):
                raise
            flight.is_out = True  # its answer is still to be found out
            lease = await self._find(app, machine_id, ttl=ttl, mark=mark)
            if lease is None:
                raise
            return lease

    async def _find(self, app: str, machine_id: str, *, ttl: int, mark: str) -> Lease | None:
        """Give the lease with that mark, made to last for `ttl` seconds from now; None if it cannot be had."""
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(ttl):
                lease = await self.get(app, machine_id)
                if lease.description == mark:
                    return await self._renew(app, machine_id, lease.nonce, ttl=ttl)
        return None

    async def _renew(self, app: str, machine_id: str, nonce: str, *, ttl: int) -> Lease:
        """Refresh a lease that was found; should that fail, give it back."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._let_go, app, machine_id, nonce, ttl=ttl)
            lease = await self.refresh(app, machine_id, nonce, ttl=ttl)
            stack.pop_all()
            return lease

    async def _keep_fresh(self, app: str, machine_id: str, nonce: str, *, ttl: int) -> FlyError:
        """Refresh the lease again and again; give the error that lost it."""
        while True:
            await asyncio.sleep(ttl / 3)
            try:
                async with asyncio.timeout(ttl / 2):
                    await self._insist(app, machine_id, nonce, ttl=ttl)
            except FlyError as error:
                return error
            except TimeoutError:
                return _lost(app, machine_id, ttl)

    async def _insist(self, app: str, machine_id: str, nonce: str, *, ttl: int) -> None:
        """Refresh the lease, through whatever trouble passes; a lost answer must not use up all the time there is."""
        while True:
            with suppress(TimeoutError, *TROUBLE):
                async with asyncio.timeout(ttl / 6):
                    await self.refresh(app, machine_id, nonce, ttl=ttl)
                return
            await asyncio.sleep(min(1.0, ttl / 6))  # a bucket that is paused for long turns a call away at once

    async def _let_go(self, app: str, machine_id: str, nonce: str, *, ttl: int) -> None:
        release = asyncio.ensure_future(self._release_in_time(app, machine_id, nonce, ttl=ttl))
        try:
            await asyncio.shield(release)
        except asyncio.CancelledError:
            await release
            raise

    async def _release_in_time(self, app: str, machine_id: str, nonce: str, *, ttl: int) -> None:
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(ttl):
                await self.release(app, machine_id, nonce)


@asynccontextmanager
async def _beside(watch: Callable[[], Awaitable[FlyError]]) -> AsyncIterator[None]:
    """Run `watch` beside the block; when it ends, cancel the block and raise the error that it gave."""
    body = asyncio.current_task()
    assert body is not None  # noqa: S101 - a coroutine always runs in a task
    cancelled_before = body.cancelling()

    async def watching() -> FlyError:
        try:
            return await watch()
        finally:
            if not done.is_set():
                body.cancel()  # however the watch ended: from here on nobody keeps it

    done = asyncio.Event()
    watcher = asyncio.create_task(watching())
    try:
        yield
    except asyncio.CancelledError:
        if not watcher.done() or body.cancelling() > cancelled_before + 1:
            raise
    finally:
        done.set()
        if watcher.done():
            body.uncancel()
        watcher.cancel()
        await asyncio.wait([watcher])
    if not watcher.cancelled():
        raise watcher.result()


def _envelope(answer: Any) -> Any:
    """Take the lease out of its envelope; the document shows it bare, the live API does not send it so."""
    return answer.get("data", answer) if isinstance(answer, dict) else answer


def _lost(app: str, machine_id: str, ttl: int) -> NoReplyInTime:
    return NoReplyInTime(
        "leases.acquire", f"{app}/{machine_id}", f"the lease of {ttl} s could not be refreshed in time"
    )
