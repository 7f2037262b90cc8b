"""Claims on volumes that outlive the machine that made them."""

from collections.abc import Awaitable, Callable

from attrs import evolve

from flyasync.errors import ClaimLingers, NotFound, Refused, VolumeInUse
from flyasync.models.machine import GONE, Machine
from flyasync.transport.request import Request


async def outlast_claim(request: Request, refusal: VolumeInUse, get: Callable[[str], Awaitable[Machine]]) -> Request:
    """Return `request` as one that outlasts the claim of a machine that is gone, to be sent again.

    Raise `refusal` if the machine that it names still exists, which `get` shows, or if the claim was outlasted already.
    A request gets here after a lost answer only if it may be repeated, so sending it again is safe.
    """
    # ClaimLingers names no machine: the API itself says that it is gone, and the request has waited for that claim.
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
