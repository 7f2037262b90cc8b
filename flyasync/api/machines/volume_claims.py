"""Claims on volumes by machines that no longer exist."""

from collections.abc import Awaitable, Callable

from attrs import evolve

from flyasync.errors import ClaimLingers, NotFound, Refused, VolumeInUse
from flyasync.models.machine import GONE, Machine
from flyasync.transport.request import Request


async def outlast_claim(request: Request, refusal: VolumeInUse, get: Callable[[str], Awaitable[Machine]]) -> Request:
    """Return `request` changed so that it is retried until the claim of a machine that no longer exists is cleared.

    Raise `refusal` if `get` shows that its machine still exists, or if the request has already waited for the claim.
    After a lost response a request gets here only if it may be repeated, so sending it again is safe.
    """
    # ClaimLingers names no machine: the API has shown that it no longer exists, and the sender has waited already.
    if isinstance(refusal, ClaimLingers) or refusal.machine_id is None:
        raise refusal
    try:
        holder = await get(refusal.machine_id)
    except NotFound:
        pass
    else:
        if holder.state not in GONE:
            raise refusal
    return evolve(request, clears_within=_as_lingering)


def _as_lingering(refusal: Refused) -> float:
    return ClaimLingers.clears_within if isinstance(refusal, VolumeInUse) else 0.0
