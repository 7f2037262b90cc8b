"""Leases: the right to change a machine, for a few seconds at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from secrets import token_hex
from typing import Any

from attrs import define, field, frozen

from flyasync.api.resource import TROUBLE, Caller, given, request
from flyasync.cancellation import ended, finished, unscoped
from flyasync.errors import FlyError, InvalidInput, LeaseHeld, NoReplyInTime
from flyasync.models.lease import Lease
from flyasync.transport.request import Flight, Repeat

LEAST_TO_HOLD = 3
"""Seconds of the shortest lease that can be held: the rate limit allows one refresh a second."""


@define
class HeldLease:
    """A lease that is being refreshed: its nonce, and whether it has been lost, so that others may hold it now."""

    nonce: str = field(repr=False)
    is_lost: bool = False

    def lose(self) -> None:
        """Record that the lease has been lost."""
        self.is_lost = True


@frozen
class Leases:
    """`fly.leases`: acquire, refresh and release leases on machines (docs: machines/api/machines-resource).

    While a client holds a machine's lease, no client without its nonce can update, start, stop, restart, suspend,
    destroy, cordon or uncordon it; reads, metadata, exec and signals stay open to all. A lease ends after its ttl, or
    when its machine is destroyed. Any client with access to the app can read the nonce and release the lease, so it
    only protects against clients that respect it. The Fly Proxy acquires short leases too.
    """

    _caller: Caller

    async def acquire(self, app: str, machine_id: str, *, ttl: int = 30, description: str | None = None) -> Lease:
        """Acquire the machine's lease for `ttl` seconds. Raises LeaseHeld with the holder and the end of its lease.

        Not repeated after a lost response. After a lost response or a cancellation, the lease may exist until it
        expires, without any client knowing its nonce.
        """
        return await self._acquire(app, machine_id, ttl=ttl, description=description, repeat=Repeat.UNSENT)

    async def refresh(self, app: str, machine_id: str, nonce: str, *, ttl: int = 30) -> Lease:
        """Extend the lease to `ttl` seconds from now; the nonce stays the same.

        Raises LeaseHeld if it ended and another client acquired it. To the API this is the same action as acquiring,
        and shares its rate.
        """
        return await self._acquire(app, machine_id, ttl=ttl, nonce=nonce, repeat=Repeat.ANYTIME)

    async def get(self, app: str, machine_id: str) -> Lease:
        """Get the lease on a machine, its nonce included. Raises NotFound if there is none."""
        return await self._caller.read(
            request("leases.get", app, machine_id, to="GET apps/{}/machines/{}/lease", repeat=Repeat.ANYTIME),
            Lease,
            pick=_envelope,
        )

    async def release(self, app: str, machine_id: str, nonce: str) -> None:
        """Release the lease. Repeated after a lost response. Raises NotFound if it has ended already."""
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

    async def acquire_once(self, app: str, machine_id: str, *, ttl: int = 30, description: str | None = None) -> Lease:
        """Acquire the machine's lease in spite of a lost response, and leave none behind when cancelled.

        The lease's description is yours, followed by a mark of this call. The mark identifies the lease if the response
        to its acquire is lost, or if the request was delivered twice and therefore refused; the error is raised only if
        the lease is not found.

        Raises LeaseHeld with the holder and the end of its lease. Cancelled while the request is under way, it waits
        for the response, for `ttl` seconds at most, to release the lease; a second cancellation leaves it to expire.
        """
        mark = " ".join(filter(None, (description, f"#{token_hex(4)}")))
        flight = Flight()
        acquiring = asyncio.ensure_future(self._acquire_or_find(app, machine_id, ttl=ttl, mark=mark, flight=flight))
        try:
            return await asyncio.shield(acquiring)
        except asyncio.CancelledError as cancelled:
            # 1. The request has not been sent: it must not be sent any more. 2. It has been sent: wait for the nonce in
            #    the response, to release the lease. 3. That takes too long, or is cancelled too: the lease expires.
            flight.abandon()
            if not flight.is_out:
                acquiring.cancel()
            with suppress(FlyError, asyncio.CancelledError):
                async with asyncio.timeout(ttl):
                    await ended(acquiring, cancelled)
                await self._release_shielded(app, machine_id, acquiring.result().nonce, ttl=ttl)
            raise

    @asynccontextmanager
    async def hold(
        self, app: str, machine_id: str, *, ttl: int = 30, description: str | None = None
    ) -> AsyncIterator[Lease]:
        """Hold the machine's lease while the block runs, refreshed every third of its ttl, which is 3 s or more.

        It is acquired with `acquire_once`. If it is lost while the block runs, the block is cancelled and the error
        that ended it is raised, since from then on other clients may change the machine. Errors of the API end it only
        if they last for half the ttl. The lease is released at the end in any case, cancellation included, within `ttl`
        seconds at most; after that it ends by itself.
        """
        _demand_refreshable(ttl)
        lease = await self.acquire_once(app, machine_id, ttl=ttl, description=description)
        async with self.keep(app, machine_id, lease.nonce, ttl=ttl):
            yield lease

    @asynccontextmanager
    async def keep(self, app: str, machine_id: str, nonce: str, *, ttl: int = 30) -> AsyncIterator[HeldLease]:
        """Keep a lease that was acquired before while the block runs, as `hold` does; release it at the end.

        `nonce` is that of a lease of `ttl` seconds, which `acquire_once` returned, or `create` with `lease_ttl`. The
        value shows whether the lease has been lost, since the end of the block cannot tell from its cancellation alone.
        """
        _demand_refreshable(ttl)
        held = HeldLease(nonce)
        try:
            async with _cancelled_at_the_end_of(partial(self._keep_fresh, app, machine_id, held, ttl=ttl)):
                yield held
        finally:
            await self._release_shielded(app, machine_id, nonce, ttl=ttl)

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
            # The documentation puts the ttl into the body, the official client into the query.
            query={"ttl": ttl},
            body={"ttl": ttl, **given(description=description)},
            nonce=nonce,
            flight=flight,
        )
        return await self._caller.read(ask, Lease, pick=_envelope)

    async def _acquire_or_find(self, app: str, machine_id: str, *, ttl: int, mark: str, flight: Flight) -> Lease:
        try:
            return await self._acquire(app, machine_id, ttl=ttl, description=mark, repeat=Repeat.UNSENT, flight=flight)
        except FlyError as error:
            # The lease may be ours in spite of the error: 1. the response was lost; or 2. the request was delivered
            # twice, and the second one was refused because of the lease that the first one had acquired.
            if not (error.may_have_happened or isinstance(error, LeaseHeld)):
                raise
            flight.leave()  # the result is unknown: a cancellation must wait for it
            with suppress(FlyError, TimeoutError):
                async with asyncio.timeout(ttl), AsyncExitStack() as undo:
                    lease = await self.get(app, machine_id)
                    if lease.description == mark:
                        # Found: refresh it, or release it if that fails.
                        undo.push_async_callback(self._release_shielded, app, machine_id, lease.nonce, ttl=ttl)
                        lease = await self.refresh(app, machine_id, lease.nonce, ttl=ttl)
                        undo.pop_all()
                        return lease
            raise

    async def _keep_fresh(self, app: str, machine_id: str, held: HeldLease, *, ttl: int) -> FlyError:
        """Refresh the lease every third of its ttl; return the error that ended it."""
        while True:
            await asyncio.sleep(ttl / 3)
            # After a third plus a half of the ttl, a sixth is left: the block ends before the lease does.
            try:
                async with asyncio.timeout(ttl / 2):
                    while True:
                        # One lost response must not use up all of the remaining time.
                        with suppress(TimeoutError, *TROUBLE):
                            async with asyncio.timeout(ttl / 6):
                                await self.refresh(app, machine_id, held.nonce, ttl=ttl)
                            break
                        await asyncio.sleep(min(1.0, ttl / 6))  # during a long pause of the bucket, calls fail at once
            except FlyError as error:
                held.lose()
                return error
            except TimeoutError:
                held.lose()
                text = f"the lease of {ttl} s could not be refreshed in time"
                return NoReplyInTime("leases.acquire", f"{app}/{machine_id}", text)

    async def _release_shielded(self, app: str, machine_id: str, nonce: str, *, ttl: int) -> None:
        """Release the lease; a cancellation takes effect only after that."""
        await finished(self._release_in_time(app, machine_id, nonce, ttl=ttl))

    async def _release_in_time(self, app: str, machine_id: str, nonce: str, *, ttl: int) -> None:
        """Release the lease within `ttl` seconds; if that fails, it expires by then."""
        with suppress(FlyError, TimeoutError):
            async with asyncio.timeout(ttl):
                await self.release(app, machine_id, nonce)


def _demand_refreshable(ttl: int) -> None:
    if ttl < LEAST_TO_HOLD:
        raise InvalidInput(f"ttl is {ttl!r}, but must be {LEAST_TO_HOLD} s or more for a lease that is refreshed")


@asynccontextmanager
async def _cancelled_at_the_end_of(guard: Callable[[], Awaitable[FlyError]]) -> AsyncIterator[None]:
    """Run `guard` concurrently with the block; when it ends, cancel the block and raise the error it returned."""
    body = asyncio.current_task()
    assert body is not None  # noqa: S101 - a coroutine always runs in a task
    cancelled_before = body.cancelling()
    done = asyncio.Event()

    async def guarding() -> FlyError:
        try:
            return await guard()
        finally:
            if not done.is_set():
                body.cancel()  # the lease is no longer refreshed, however the guard ended

    guardian = asyncio.create_task(guarding())
    try:
        yield
    except asyncio.CancelledError:
        # 1. Another task has cancelled the block, 2. or both have: the cancellation continues.
        # 3. Only the guard has cancelled it: its error is raised below instead.
        if not guardian.done() or body.cancelling() > cancelled_before + 1:
            raise
    finally:
        done.set()
        if guardian.done():
            body.uncancel()
        guardian.cancel()
        with unscoped():
            await asyncio.wait([guardian])
    if not guardian.cancelled():
        raise guardian.result()


def _envelope(response: Any) -> Any:
    """Return the lease without its envelope, which the live API adds but the documentation does not show."""
    return response.get("data", response) if isinstance(response, dict) else response
