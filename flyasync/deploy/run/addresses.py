"""Allocates the addresses of an app's first deploy, each only once, and releases them."""

import asyncio
import math
from collections.abc import Iterable
from contextlib import suppress

from attrs import define, field

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.deploy.plan.addresses import AddressType, type_of
from flyasync.deploy.run.volumes import LISTS, TRIES
from flyasync.errors import FlyError, NotFound
from flyasync.models.ip_assignment import IPAssignment


@define
class AddressAllocator:
    """Allocates addresses for an app that has none, and releases exactly those.

    `made` are the addresses that it has allocated and not released, also after an error or a cancellation.

    The API has no idempotent allocation: each request allocates another address. So three lists limit the damage.

    1. Before each request: an address of the type that another client has allocated since is used.
    2. After a lost response, for ten seconds: one of the type that is not in `made` is the one just allocated. Only if
       none is found, the request is sent again.
    3. At the end of the deploy, when each of several first deploys sees what all of them have allocated:
       `release_surplus` keeps the oldest of each type, so that each deploy releases its own others.

    A surplus address stays only if its deploy is killed before the third list, or if the API refuses the release. And
    if the deploy that allocated the oldest one rolls back, it releases that, whatever others have released before.
    """

    _fly: FlyClient
    _app: str
    made: list[IPAssignment] = field(factory=list, init=False)

    async def allocate(self, types: Iterable[AddressType]) -> tuple[IPAssignment, ...]:
        """Allocate an address of each type that the app still lacks, one after another, and return those allocated.

        Raises what allocating an address raises; the error `may_have_happened` if an address may have been allocated
        that no list shows. Cancelled, it waits for the response of the request that has been sent.
        """
        for kind in types:
            if any(type_of(each) == kind for each in await self._fly.ip_assignments.list(self._app)):
                continue
            allocation = asyncio.ensure_future(self._allocate(kind))
            try:
                await asyncio.shield(allocation)
            except asyncio.CancelledError:
                with suppress(FlyError):
                    await allocation
                raise
        return tuple(self.made)

    async def _allocate(self, kind: AddressType) -> None:
        for last in (*[False] * (TRIES - 1), True):
            try:
                address = await self._fly.ip_assignments.create(self._app, type=kind)
            except FlyError as error:
                # 1. It was certainly not allocated: raise the error.
                # 2. It may have been allocated, and a list shows it: use it.
                # 3. No list shows it, even after the time that lists lag: send the request again.
                if not error.may_have_happened:
                    raise
                found = await self._unanswered(kind)
                if found is None:
                    if last:
                        raise
                    continue
                address = found
            self.made.append(address)
            return

    async def _unanswered(self, kind: AddressType) -> IPAssignment | None:
        """Return the address whose allocation got no response, as soon as a list shows it; None if no list does."""
        known = {each.ip for each in self.made}
        for pause in LISTS:
            await asyncio.sleep(pause)
            with suppress(*TROUBLE):
                for address in await self._fly.ip_assignments.list(self._app):
                    if type_of(address) == kind and address.ip not in known:
                        return address
        return None

    async def release_surplus(self) -> None:
        """Release each address of whose type another client has allocated an older one, as another first deploy does.

        Raises what listing and releasing addresses raise.
        """
        listed = await self._fly.ip_assignments.list(self._app) if self.made else ()
        mine = {address.ip for address in self.made}
        for address in [each for each in listed if each.ip in mine]:
            rivals = (each for each in listed if each.ip not in mine and type_of(each) == type_of(address))
            if any(_age(rival) < _age(address) for rival in rivals):
                with suppress(NotFound):
                    await self._fly.ip_assignments.delete(self._app, str(address.ip))
                self.made = [each for each in self.made if each.ip != address.ip]

    async def release(self) -> None:
        """Release the addresses that were allocated; one that is already gone is not an error.

        Raises what releasing an address raises; `made` then has those that are left.
        """
        while self.made:
            with suppress(NotFound):
                await self._fly.ip_assignments.delete(self._app, str(self.made[-1].ip))
            self.made.pop()


def _age(address: IPAssignment) -> tuple[float, str]:
    """Return a sort key by which all deploys agree on the oldest of several addresses."""
    made = address.created_at.datetime if address.created_at else None
    return made.timestamp() if made else math.inf, address.ip or ""
