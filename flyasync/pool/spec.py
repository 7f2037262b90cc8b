"""What a pool is made of: the options of `MachinePool`, checked, and what they mean for one machine."""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, Literal, NoReturn, TypedDict

from attrs import evolve, field, frozen

from flyasync.api.machines.create_once import OURS, CreateOptions, Creation
from flyasync.api.machines.leases import LEAST_TO_HOLD
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import unstructure
from flyasync.models.lint.linter import check_config, refuse

# The metadata key that names the pool of a machine.
POOL = f"{OURS}pool"

# The metadata key for what a machine was claimed for. Who holds the machine's lease decides; this only names it.
KEY = f"{OURS}pool_key"

# The metadata key for the unix time, by the API's clock, until which a machine is kept for its key.
KEPT_UNTIL = f"{OURS}pool_kept_until"

# The metadata key for the digest of the pool's config that a machine was created with.
DIGEST = f"{OURS}pool_config"


class _Choice(StrEnum):
    """The values of an option."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise InvalidInput(f"{value!r} is not a value of {cls.__name__}, but must be one of {', '.join(cls)}")


class Standby(_Choice):
    """The state in which machines wait for a claim."""

    STARTED = "started"
    STOPPED = "stopped"
    SUSPENDED = "suspended"


class OnRelease(_Choice):
    """What happens to a machine when its claim ends."""

    RECYCLE = "recycle"
    """It is destroyed, and a new one takes its place: the next claim sees nothing of this one."""

    STOP = "stop"
    """It is stopped, for any key. Its volume keeps its data; the rest of its file system is reset by the next start."""

    KEEP = "keep"
    """It is kept for its key, for `keep_for` seconds."""


class PoolOptions(TypedDict, total=False):
    """The options of `MachinePool` that have defaults, which it documents."""

    name: str
    regions: str | Iterable[str]
    standby: Literal["started", "stopped", "suspended"]
    on_release: Literal["recycle", "stop", "keep"]
    keep_for: float
    claim_ttl: int


def _codes(regions: str | Iterable[str]) -> tuple[str, ...]:
    return (regions,) if isinstance(regions, str) else tuple(regions)


@frozen(kw_only=True)
class PoolSpec:
    """The options of a pool, checked."""

    app: str
    config: MachineConfig
    max: int
    name: str = "pool"
    regions: tuple[str, ...] = field(default=(), converter=_codes)
    standby: Standby = field(default=Standby.STOPPED, converter=Standby)
    on_release: OnRelease = field(default=OnRelease.RECYCLE, converter=OnRelease)
    keep_for: float = 600.0
    claim_ttl: int = 30
    digest: str = field(init=False)

    @digest.default
    def _digest(self) -> str:
        return sha256(json.dumps(unstructure(self.config), sort_keys=True).encode()).hexdigest()[:12]

    # The names of the machines, in order. The API keeps names unique in an app, so there are never more.
    slots: Mapping[str, int] = field(init=False, repr=False)

    @slots.default
    def _slots(self) -> Mapping[str, int]:
        return {f"{self.name}-{number}": number for number in range(demand_count("max", self.max, least=1))}

    def __attrs_post_init__(self) -> None:
        refuse(check_config(self.config, volumes_by_name=True))
        if not self.name:
            raise InvalidInput("name is empty, but the machines of the pool are named after it")
        if self.keep_for <= 0:
            raise InvalidInput(f"keep_for is {self.keep_for!r}, but must be a number of seconds above 0")
        demand_count("claim_ttl", self.claim_ttl, least=LEAST_TO_HOLD)

    def creation(
        self, slot: str, region: str | None, *, key: str | None = None, on_leave: Callable[[], None] | None = None
    ) -> Creation:
        """Return the creation of a machine that is free, or claimed for a key; in `region` if that has capacity."""
        marks = {POOL: self.name, DIGEST: self.digest}
        options: CreateOptions = {}
        if key is not None:
            marks[KEY] = key
            options["lease_ttl"] = self.claim_ttl
        elif self.standby is Standby.STOPPED:
            options["skip_launch"] = True
        if regions := dict.fromkeys([*filter(None, [region]), *self.regions]):
            options["region"] = tuple(regions)
        return Creation(
            app=self.app,
            config=evolve(self.config, metadata={**(self.config.metadata or {}), **marks}),
            name=slot,
            launch=self.name,  # one for all, so that a deploy reports them in one line
            options=options,
            on_leave=on_leave,
            is_urgent=key is not None,
        )


def demand_count(name: str, value: Any, *, least: int) -> int:
    """Return `value`. Raise InvalidInput unless it is a whole number that is large enough."""
    if type(value) is not int or value < least:
        raise InvalidInput(f"{name} is {value!r}, but must be a whole number, {least} or more")
    return value
