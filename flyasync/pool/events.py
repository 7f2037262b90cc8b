"""The events of a pool, for `on_event`."""

from collections.abc import Callable
from enum import StrEnum

from attrs import frozen


class ClaimSource(StrEnum):
    """Where the machine of a claim came from."""

    KEPT = "kept"
    """It had been kept for the key."""

    WARM = "warm"
    """It was free."""

    COLD = "cold"
    """It was created for the claim, as nothing was free."""


class DestroyReason(StrEnum):
    """Why a machine of the pool was destroyed."""

    RELEASED = "released"
    ABANDONED = "abandoned"
    """Its holder died, or the time for which it was kept is over."""

    EVICTED = "evicted"
    """It was kept for a key, and another key needed its place."""

    OUTDATED = "outdated"
    """It has another config than the pool's, its name is beyond `max`, or it has failed."""

    SURPLUS = "surplus"
    """More machines were free than the pool is to keep ready."""

    UNUSABLE = "unusable"
    """It could not be started for a claim."""

    DRAINED = "drained"


@frozen(kw_only=True)
class MachineClaimed:
    """A claim has its machine, which serves; `seconds` is the time since the call."""

    key: str
    machine_id: str
    region: str
    source: ClaimSource
    seconds: float


@frozen(kw_only=True)
class MachineReleased:
    """A claim has ended, after `seconds`."""

    key: str
    machine_id: str
    seconds: float


@frozen(kw_only=True)
class ClaimFailed:
    """A claim got no machine, for the reason of the error with that class name."""

    key: str
    error: str
    seconds: float


@frozen(kw_only=True)
class MachineCreated:
    """A machine was created to be ready."""

    machine_id: str
    region: str


@frozen(kw_only=True)
class MachineDestroyed:
    """A machine was destroyed."""

    machine_id: str
    reason: DestroyReason


PoolEvent = MachineClaimed | MachineReleased | ClaimFailed | MachineCreated | MachineDestroyed
OnPoolEvent = Callable[[PoolEvent], None]
