"""How a group is changed: the strategies as data."""

import math
import re
from typing import Any, ClassVar

from attrs import field, frozen, validators

from flyasync.errors import InvalidInput

Waves = tuple[tuple[str, ...], ...]
"""Regions that go together, wave after wave."""


@frozen
class Share:
    """So many machines of a region: a count from 1, or a share of them, above 0 and at most 1.0."""

    amount: int | float

    @classmethod
    def of(cls, given: Any, what: str) -> "Share":
        """Read a count, a share, or the text of one, such as `2` or `33%`."""
        if isinstance(given, Share):
            return given
        amount = _read(given) if isinstance(given, str) else given
        if isinstance(amount, float) and 0 < amount <= 1:
            return cls(amount)
        if type(amount) is int and amount >= 1:
            return cls(amount)
        raise InvalidInput(
            f"{what} is {given!r}, but must be a number of machines from 1, or a share such as 33% or 0.33"
        )

    def at_most(self, machines: int) -> int:
        """Say how many of so many machines that is, rounded down, but never none."""
        if isinstance(self.amount, int):
            return self.amount
        return max(1, math.floor(round(self.amount * machines, 9)))

    def __str__(self) -> str:
        return f"{self.amount:.0%}" if isinstance(self.amount, float) else str(self.amount)


def _read(text: str) -> int | float | None:
    if re.fullmatch(r"\d+", text):
        return int(text)
    if re.fullmatch(r"\d+(\.\d+)?%", text):
        return float(text[:-1]) / 100
    return float(text) if re.fullmatch(r"\d*\.\d+", text) else None


_THIRD = Share(0.33)


@frozen(kw_only=True)
class Rolling:
    """Update machines in place, a few of each region at a time; one machine of all goes first.

    `max_unavailable` is how many of a region's serving machines may be away at once: a count, or a share of them
    rounded down, but never less than one.
    """

    name: ClassVar[str] = "rolling"
    max_unavailable: Share = _THIRD


@frozen(kw_only=True)
class Canary:
    """Update `machines` of the first wave first, a count or a share, watch them for `soak` seconds, then roll on."""

    name: ClassVar[str] = "canary"
    machines: Share = Share(1)
    soak: float = field(default=60.0, validator=validators.ge(0))
    max_unavailable: Share = _THIRD


@frozen(kw_only=True)
class BlueGreen:
    """Make new machines outside routing; once all are healthy let them in, then take the old ones out.

    Each old machine gets `drain` seconds between its last new request and its stop.
    """

    name: ClassVar[str] = "bluegreen"
    drain: float = field(default=10.0, validator=validators.ge(0))


@frozen(kw_only=True)
class Immediate:
    """Update all machines at once, whatever that interrupts."""

    name: ClassVar[str] = "immediate"


Strategy = Rolling | Canary | BlueGreen | Immediate
