"""The events of a pool, for `on_event`."""

from collections.abc import Callable
from enum import StrEnum

from attrs import frozen


class Source(StrEnum):
    """Where the machine of a claim came from."""

    KEPT = "kept"
    """It had been kept for the key."""

    WARM = "warm"
    """It was free."""

    COLD = "cold"
    """It was created for the claim, as nothing was free."""


class Reason(StrEnum):
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
class Claimed:
    """A claim has its machine, which serves; `seconds` is the time since the call."""

    key: str
    machine_id: str
    region: str
    source: Source
    seconds: float


@frozen(kw_only=True)
class Released:
    """A claim has ended, after `seconds`."""

    key: str
    machine_id: str
    seconds: float


@frozen(kw_only=True)
class NotClaimed:
    """A claim got no machine, for the reason of the error with that class name."""

    key: str
    error: str
    seconds: float


@frozen(kw_only=True)
class Created:
    """A machine was created to be ready."""

    machine_id: str
    region: str


@frozen(kw_only=True)
class Destroyed:
    """A machine was destroyed."""

    machine_id: str
    reason: Reason


PoolEvent = Claimed | Released | NotClaimed | Created | Destroyed
OnPoolEvent = Callable[[PoolEvent], None]
