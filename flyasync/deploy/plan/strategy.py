"""What every strategy is: a value that holds its parameters, checks a spec, and makes a plan."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import fields, frozen

from flyasync.errors import InvalidInput

if TYPE_CHECKING:  # these hold a strategy, or are made from what does
    from flyasync.deploy.plan.fleet import Fleet
    from flyasync.deploy.plan.plan import Plan
    from flyasync.deploy.plan.spec import DeploySpec


@frozen
class Share:
    """A number of machines of a region: a count from 1, or a share of them, above 0 and at most 1.0."""

    amount: int | float

    @classmethod
    def of(cls, given: Any, parameter: str) -> "Share":
        """Parse a count, a share, or the text of one, such as `2` or `33%`, that was passed as `parameter`."""
        if isinstance(given, Share):
            return given
        amount = given
        if isinstance(given, str):
            # Only what people write for these: no sign, no exponent, and a share without a percent sign needs its dot.
            if re.fullmatch(r"\d+", given):
                amount = int(given)
            elif re.fullmatch(r"\d+(\.\d+)?%", given):
                amount = float(given[:-1]) / 100
            elif re.fullmatch(r"\d*\.\d+", given):
                amount = float(given)
        if isinstance(amount, float) and 0 < amount <= 1:
            return cls(amount)
        if type(amount) is int and amount >= 1:
            return cls(amount)
        raise InvalidInput(
            f"{parameter} is {given!r}, but must be a number of machines from 1, or a share such as 33% or 0.33",
            parameter=parameter,
        )

    def at_most(self, machines: int) -> int:
        """Return how many of `machines` that is, rounded down, but at least 1."""
        if isinstance(self.amount, int):
            return self.amount
        # Rounded first: 0.29 * 100 is a little less than 29 in floating point.
        return max(1, math.floor(round(self.amount * machines, 9)))

    def of_each(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Return the same for the machines of each region."""
        return {region: self.at_most(count) for region, count in counts.items()}

    def __str__(self) -> str:
        return f"{self.amount:.0%}" if isinstance(self.amount, float) else str(self.amount)


THIRD = Share(0.33)


@frozen(kw_only=True)
class Strategy(ABC):
    """How a deploy brings machines to its spec; its fields are its parameters.

    `name` is what the command, plans, reports and the journal call it. A strategy that `only_adds` makes the machines
    of its launch and changes no others. One that `replaces_machines` makes a new machine for each that differs, so no
    volume can stay with its machine. `default_requirement` and `default_smoke` apply if the spec states none.
    """

    name: ClassVar[str]
    only_adds: ClassVar[bool] = False
    replaces_machines: ClassVar[bool] = False
    default_requirement: ClassVar[float | str] = "all"
    default_smoke: ClassVar[float] = 10.0

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the parameters, which are also those of the builder's method."""
        return tuple(one.name for one in fields(cls))

    @abstractmethod
    def check(self, spec: "DeploySpec") -> None:
        """Raise InvalidInput for a spec that the strategy cannot carry out."""

    @abstractmethod
    def plan(self, spec: "DeploySpec", fleet: "Fleet") -> "Plan":
        """Return the plan; raises InvalidInput for a fleet that the strategy cannot change to the spec."""

    def widths(self, serving: Mapping[str, int]) -> dict[str, int]:
        """Return how many of each region's `serving` machines may be unavailable at once; without an entry, no limit.

        An undo uses these limits too, whatever the strategy was, so every strategy defines them.
        """
        return THIRD.of_each(serving)


def demand_seconds(name: str, value: float, *, least: float = 0) -> None:
    """Raise InvalidInput unless `value` is a number of seconds from `least`."""
    if isinstance(value, bool) or not value >= least:
        raise InvalidInput(f"{name} is {value!r}, but must be a number of seconds from {least:g}", parameter=name)


def is_seconds(_: Any, attribute: Any, value: float) -> None:
    """Validate an attrs field that is a number of seconds from 0."""
    demand_seconds(attribute.name, value)
