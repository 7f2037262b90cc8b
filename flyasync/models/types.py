"""Values that can be written in several ways in JSON; they keep the original spelling.

A value that was read is sent back exactly as it was received, so that reading and writing a config changes nothing.
"""

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import Final, Self, SupportsIndex, final

from flyasync.errors import InvalidInput

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_TERM: Final = r"(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)"
_WHOLE: Final = re.compile(rf"([+-]?)(0|(?:{_TERM})+)", re.ASCII)
_PARTS: Final = re.compile(r"([\d.]+)([a-zµμ]+)")
_LONGEST: Final = 2**63  # nanoseconds; Go counts them in an int64


@final
class Duration(float):
    """A length of time in seconds, written to the API as a Go duration such as `1m30s`.

    A plain number means seconds. Only in the API's JSON does a number mean nanoseconds; `from_wire` reads those.
    """

    # A subclass of float, so that durations can be compared, sorted and passed to asyncio as seconds.

    __slots__ = ("_wire",)
    _wire: str | float | None

    def __new__(cls, seconds: float | str, *, wire: str | float | None = None) -> "Duration":
        """Accept seconds or a Go duration. Raise InvalidInput for anything else, and for more than 292 years."""
        if isinstance(seconds, str):
            return cls.parse(seconds)
        # A bool is an int to Python, and the mistake of a caller here.
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise InvalidInput(f'{seconds!r} is not a duration: use a number of seconds, or a text such as "1m30s"')
        if not math.isfinite(seconds) or abs(seconds) * 1e9 >= _LONGEST:
            raise InvalidInput(f"{seconds!r} seconds is not a valid duration: the maximum is 292 years")
        self = super().__new__(cls, seconds)
        self._wire = wire
        return self

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Parse a Go duration: `300ms`, `-1.5h`, `1h2m3.5s`, `1µs`, `0`. Raise InvalidInput for anything else."""
        return _parsed(text)

    @classmethod
    def from_wire(cls, value: str | float) -> "Duration":
        """Parse a value from the API: a Go duration, or a number of nanoseconds."""
        return _parsed(value) if isinstance(value, str) else cls(value / 1e9, wire=value)

    @property
    def wire(self) -> str | float:
        """The value to send: the spelling that was read, else a Go duration."""
        return go_duration(self) if self._wire is None else self._wire

    def __str__(self) -> str:
        return go_duration(self)

    def __repr__(self) -> str:
        return f"Duration({go_duration(self)!r})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[object, ...]:
        return partial(Duration, wire=self._wire), (float(self),)


# Every machine of a fleet has the same few durations, and parsing one takes longer than reading the rest of a check.
@lru_cache(maxsize=1024)
def _parsed(text: str) -> Duration:
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise InvalidInput(f'{text!r} is not a duration: use a Go duration, such as "30s", "1m30s" or "250ms"')
    sign, terms = match.groups()
    # As in Go's time.ParseDuration, each term is truncated to whole nanoseconds; Decimal does not round.
    total = sum(int(Decimal(number) * _NANOSECONDS[unit]) for number, unit in _PARTS.findall(terms))
    return Duration((-total if sign == "-" else total) / 1e9, wire=text)


def go_duration(seconds: float) -> str:
    """Return seconds as Go prints a duration: `1m30s`, `1.5s`, `300ms`, `0s`."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    # Below a second, Go uses the largest unit with a whole part.
    if rest < _NANOSECONDS["s"]:
        unit = next(unit for unit in ("ms", "µs", "ns") if rest >= _NANOSECONDS[unit])
        return f"{sign}{_decimal(rest, _NANOSECONDS[unit])}{unit}"
    # From a second on, Go omits only leading zeros: an hour is 1h0m0s.
    minutes, rest = divmod(rest, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds_part = _decimal(rest, _NANOSECONDS["s"]) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds_part}"
    return f"{sign}{minutes}m{seconds_part}" if minutes else sign + seconds_part


def _decimal(count: int, unit: int) -> str:
    text = f"{Decimal(count) / unit:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Autostop(str):
    """What the Fly Proxy does with an idle machine: `off`, `stop`, `suspend`, or a value that is not known yet.

    The API may return `off` and `stop` as the booleans false and true; both spellings are equal.
    """

    __slots__ = ("_wire",)
    _wire: bool | None

    def __new__(cls, word: str | bool) -> Self:  # noqa: FBT001 - the API's own two spellings
        """Accept a word, or one of the API's booleans."""
        if isinstance(word, bool):
            self = super().__new__(cls, "stop" if word else "off")
            self._wire = word
        else:
            self = super().__new__(cls, word)
            self._wire = None
        return self

    @property
    def wire(self) -> str | bool:
        """The value to send: the boolean that was read, else the word."""
        return str(self) if self._wire is None else self._wire

    def __repr__(self) -> str:
        return f"Autostop({str(self)!r})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[object, ...]:
        return Autostop, (self.wire,)


class Timestamp(str):
    """A time as the API returned it (RFC 3339); use `datetime` for arithmetic."""

    # A string, because the API returns up to nine decimals of a second, and a datetime has six.

    __slots__ = ()

    @property
    def datetime(self) -> datetime | None:
        """The time in its time zone (UTC if it has none), truncated to microseconds; None if the text is not a time."""
        try:
            moment = datetime.fromisoformat(self)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def duration(value: float | str | None) -> Duration | None:
    """Convert seconds or a Go duration; None stays None."""
    return value if value is None or isinstance(value, Duration) else Duration(value)


def autostop(value: str | bool | None) -> Autostop | None:  # noqa: FBT001 - the API's own two spellings
    """Convert a word or one of the API's booleans; None stays None."""
    return value if value is None or isinstance(value, Autostop) else Autostop(value)


def timestamp(value: str | None) -> Timestamp | None:
    """Convert an RFC 3339 text; None stays None."""
    return value if value is None or isinstance(value, Timestamp) else Timestamp(value)
