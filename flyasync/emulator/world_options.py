"""The options of an emulator that describe its world: checked once, and used for each new world."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from attrs import field, frozen

from flyasync.emulator.core.accepted_token import AcceptedToken
from flyasync.emulator.core.faults import Faults
from flyasync.emulator.core.processes import Output
from flyasync.emulator.core.ranges import Range, is_range
from flyasync.emulator.world import ip_assignments
from flyasync.emulator.world.world import ChangeObserver, World, demand_codes, demand_regions


def _frozen_codes(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(codes)


def _token_tuple(tokens: Iterable[AcceptedToken]) -> tuple[AcceptedToken, ...]:
    return tuple(tokens)


def _text_tuple(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(texts)


@frozen(kw_only=True)
class WorldOptions:
    """The options that describe a world, as `Emulator` documents them; raises ValueError for an invalid one."""

    seed: int
    boot: Range = field(validator=is_range)
    startup: Range = field(validator=is_range)
    lag: Range = field(validator=is_range)
    secrets_lag: Range = field(validator=is_range)
    linger: Range = field(validator=is_range)
    image_lag: Range = field(validator=is_range)
    capacity: Mapping[str, int | None]
    retired: frozenset[str] = field(converter=_frozen_codes)
    tag_moves: Mapping[str, float]
    tokens: tuple[AcceptedToken, ...] = field(converter=_token_tuple)
    addresses: tuple[str, ...] = field(converter=_text_tuple)
    commands: Mapping[str, Output]
    epoch: datetime | None

    def __attrs_post_init__(self) -> None:
        demand_regions(self.capacity)
        demand_codes("retired", self.retired)
        for image, at in self.tag_moves.items():
            if not image or not 0 <= at < math.inf:
                raise ValueError(f"tag_moves: {image!r} needs a name and a number of seconds, 0 or more")
        for kind in self.addresses:
            if kind not in ip_assignments.KINDS:
                raise ValueError(f"addresses: {kind!r} must be one of {', '.join(ip_assignments.KINDS)}")

    def world(self, *, faults: Faults, observers: list[ChangeObserver]) -> World:
        """Return a new, empty world with these options."""
        # An epoch without a time zone is in UTC, as all times of the API are.
        epoch = self.epoch or datetime.now(UTC)
        return World(
            seed=self.seed,
            epoch=epoch if epoch.tzinfo else epoch.replace(tzinfo=UTC),
            boot=self.boot,
            startup=self.startup,
            lag=self.lag,
            secrets_lag=self.secrets_lag,
            linger=self.linger,
            image_lag=self.image_lag,
            capacity=dict(self.capacity),
            retired=set(self.retired),
            tag_moves=dict(self.tag_moves),
            tokens=list(self.tokens),
            addresses=self.addresses,
            commands=dict(self.commands),
            faults=faults,
            observers=observers,
        )
