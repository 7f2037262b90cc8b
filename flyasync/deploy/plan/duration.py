"""Durations as text, and estimates of durations; pure."""

import math
from collections.abc import Callable

from attrs import frozen

_FINE = 20  # seconds; longer times are rounded to steps of five
_LONG = 100 * 60.0  # seconds; longer times are rounded to minutes


@frozen(kw_only=True)
class Estimate:
    """How many seconds something takes, estimated from observed times.

    `likely` is the expected time; in nine cases of ten the time is from `least` to `most`. If it depends on times that
    have not been observed often enough, `unobserved` names them, such as `boots`, and `likely` and `most` are None:
    then only `least` is known. The same holds for a deploy that pauses between waves.
    """

    least: float
    likely: float | None = None
    most: float | None = None
    unobserved: tuple[str, ...] = ()

    def after(self, seconds: float) -> "Estimate":
        """Return what is left after `seconds` have passed, at least 0."""
        return Estimate(
            least=_less(self.least, seconds),
            likely=None if self.likely is None else _less(self.likely, seconds),
            most=None if self.most is None else _less(self.most, seconds),
            unobserved=self.unobserved,
        )

    @property
    def is_close(self) -> bool:
        """Whether both bounds are within a quarter of the expected time, or within three seconds of it."""
        if self.likely is None or self.most is None:
            return False
        return max(self.most - self.likely, self.likely - self.least) <= max(self.likely / 4, 3.0)

    def __str__(self) -> str:
        if self.likely is None or self.most is None:
            return f"at least {duration(self.least, math.floor)}"
        # Bounds that are close to the expected time would add no information.
        bounds = "" if self.is_close else f" ({duration(self.least, math.floor)} to {duration(self.most)})"
        return f"about {duration(self.likely)}{bounds}"


def duration(seconds: float, whole: Callable[[float], int] = math.ceil) -> str:
    """Return a duration as text, rounded by `whole`; longer durations are rounded more coarsely."""
    if seconds >= _LONG:
        hours, minutes = divmod(whole(seconds / 60), 60)
        return f"{hours} h {minutes} min"
    rounded = whole(seconds) if seconds <= _FINE else whole(seconds / 5) * 5
    minutes, rest = divmod(rounded, 60)
    return " ".join([*([f"{minutes} min"] if minutes else []), *([f"{rest} s"] if rest or not minutes else [])])


def _less(seconds: float, passed: float) -> float:
    return round(max(0.0, seconds - passed), 3)
