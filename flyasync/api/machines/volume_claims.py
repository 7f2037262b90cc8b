"""Claims on volumes that linger when the machine that made them is gone."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import evolve

from flyasync.errors import ClaimLingers, NotFound, Refused, VolumeInUse
from flyasync.models.machine import GONE, Machine
from flyasync.transport.request import Request

Result = TypeVar("Result")


async def unclaimed(
    request: Request, send: Callable[[Request], Awaitable[Result]], get: Callable[[str], Awaitable[Machine]]
) -> Result:
    """Send a request that needs a volume free; outlast the claim of a machine that is gone, as `get` shows it.

    Raises VolumeInUse at once when the machine that the API names is there. After a lost answer only what may be
    repeated gets here, so it can be sent again.
    """
    try:
        return await send(request)
    except ClaimLingers:
        raise  # it was outlasted already
    except VolumeInUse as claimed:
        if not await _is_gone(claimed.machine_id, get):
            raise
    return await send(evolve(request, clears_within=_as_lingering))


def _as_lingering(refusal: Refused) -> float:
    return ClaimLingers.clears_within if isinstance(refusal, VolumeInUse) else 0.0


async def _is_gone(machine_id: str | None, get: Callable[[str], Awaitable[Machine]]) -> bool:
    try:
        return machine_id is not None and (await get(machine_id)).state in GONE
    except NotFound:
        return True
