"""A table of fly.toml, read key by key, so that no key is ignored silently."""

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any, Final, TypeVar, cast

from attrs import evolve, fields

from flyasync.errors import InvalidInput
from flyasync.models.json.codec import Mismatch, structure
from flyasync.models.lint.finding import Finding, warning
from flyasync.models.model import NOTHING_KEPT, Model, similar_key, unknown_in
from flyasync.models.types import Duration

T = TypeVar("T")

INVALID_VALUE: Final = "value"
"""The code of the finding about a value that cannot be used."""
UNKNOWN_KEY: Final = "unknown-key"
"""The code of the warning about a key without an effect."""

_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15}) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,15}")
_KINDS: Final[Mapping[type, str]] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "a table",
}
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class Section:
    """The table at `path` of a fly.toml. Each key is taken once; `finish` reports the keys that were not taken.

    The methods return None or an empty value for a missing key. A value of the wrong type is added to `found` with its
    path, and counts as missing, so that all problems of a file are found in one pass.
    """

    def __init__(self, path: str, table: Any, found: list[Finding]) -> None:
        self.path = path
        self.found = found
        is_table = isinstance(table, Mapping)
        self._left: dict[str, Any] = dict(table) if is_table else {}
        self._known: set[str] = set()  # the keys that were asked for
        if not is_table:
            found.append(Finding(INVALID_VALUE, path, "must be a table", "see reference/configuration in Fly's docs"))

    def where(self, key: str) -> str:
        """Return the path of a key, including the tables that contain it."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, problem: str) -> None:
        """Report a value that cannot be used."""
        self.found.append(Finding(INVALID_VALUE, self.where(key), problem, "see reference/configuration in Fly's docs"))

    def warn(self, code: str, key: str, problem: str, advice: str) -> None:
        """Report a value that is used, but may have been meant differently."""
        self.found.append(warning(code, self.where(key), problem, advice))

    def take(self, key: str) -> Any:
        """Take a value unchecked."""
        self._known.add(key)
        return self._left.pop(key, None)

    def text(self, key: str) -> str | None:
        """Take a string."""
        return self._of(key, str)

    def flag(self, key: str) -> bool | None:
        """Take a boolean."""
        return self._of(key, bool)

    def integer(self, key: str) -> int | None:
        """Take an integer, possibly written as 2.0."""
        value = self.take(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return self._checked(key, value, int)

    def port(self, key: str) -> int | None:
        """Take an integer, possibly quoted, which flyctl accepts only for the ports of `[[services]]`."""
        value = self._left.get(key)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            self._left[key] = int(value)
        return self.integer(key)

    def number(self, key: str) -> float | None:
        """Take a number."""
        return self._checked(key, self.take(key), int, float)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Take a list of strings."""
        value = self._of(key, list)
        if value is not None and not all(isinstance(item, str) for item in value):
            self.wrong(key, "must be a list of strings")
            return None
        return None if value is None else tuple(value)

    def words(self, key: str) -> tuple[str, ...] | None:
        """Take a list of strings; a single string counts as a list of one."""
        value = self._left.get(key)
        if isinstance(value, str):
            self._left[key] = [value]
        return self.texts(key)

    def strings(self, key: str) -> dict[str, str] | None:
        """Take a table whose values are strings."""
        value = self._of(key, dict)
        if value is not None and not all(isinstance(item, str) for item in value.values()):
            self.wrong(key, "must be a table of strings")
            return None
        return value

    def table(self, key: str) -> "Section | None":
        """Take a table."""
        value = self.take(key)
        return None if value is None else self._inside(self.where(key), value)

    def tables(self, key: str) -> "list[Section]":
        """Take a list of tables; a single table counts as a list of one."""
        value = self.take(key)
        if value is None:
            return []
        if isinstance(value, Mapping):
            return [self._inside(self.where(key), value)]
        if not isinstance(value, list):
            self.wrong(key, "must be a table, or a list of tables")
            return []
        return [self._inside(f"{self.where(key)}[{number}]", table) for number, table in enumerate(value)]

    def listed(self, key: str) -> "list[Section]":
        """Take a list of tables; unlike in `tables`, a single table is not accepted."""
        value = self._left.get(key)
        if isinstance(value, Mapping):
            self.take(key)
            self.wrong(key, f"must be a list of tables: write [[{key}]] instead of [{key}]")
            return []
        return self.tables(key)

    def named(self) -> "list[tuple[str, Section]]":
        """Take all remaining keys as tables, by name."""
        return [(name, self._inside(self.where(name), table)) for name, table in self.rest().items()]

    def rest(self) -> dict[str, Any]:
        """Take all remaining keys unchecked."""
        left, self._left = self._left, {}
        return left

    @property
    def is_empty(self) -> bool:
        """Whether no remaining key has a value other than an empty one."""
        return all(map(_is_empty, self._left.values()))

    def duration(self, key: str, *, unit: float, may_be_empty: bool = False) -> Duration | None:
        """Take a duration: a Go duration, or a plain number of units of `unit` seconds, of which fractions are dropped.

        An empty string counts as missing if it `may_be_empty`, as in the sections that flyctl translates.
        """
        value = self.take(key)
        if value == "" and may_be_empty:
            return None
        try:
            if isinstance(value, str):
                return Duration.parse(value)
            number = self._checked(key, value, int, float)
            return None if number is None else Duration(int(number) * unit)
        except InvalidInput as error:
            self.wrong(key, f"is wrong: {error}")
        except (OverflowError, ValueError):  # infinite, or not a number
            self.wrong(key, "is wrong: the duration is too long")
        return None

    def size(self, key: str, *, unit: str, thousand: int, quoted: bool = False) -> int | None:
        """Take a size such as "512mb", and return it in whole units `m` or `g`; a plain number is in these units.

        `thousand` is the factor between units: 1000 or 1024. A size that must be `quoted` cannot be a plain number.
        """
        value = self.take(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or value == "":
            return None
        if type(value) is int and not quoted:
            return value
        text = value if isinstance(value, str) else ""
        if _INTEGER.fullmatch(text):
            return int(text)
        match = _SIZE.fullmatch(text)
        if match is None:
            self.wrong(key, 'is not a valid size: write it as "512mb" or "1gb"')
            return None
        number, prefix = match.groups()
        return int(float(number) * thousand ** (_POWERS[prefix.lower()] - _POWERS[unit]))

    def model(self, key: str, kind: type[T]) -> T | None:
        """Take a table in the API's own format; unknown keys in it are reported and dropped."""
        value = self.take(key)
        if value is None:
            return None
        try:
            made = structure(value, kind)
        except Mismatch as mismatch:
            self.wrong(key, f"is wrong: {mismatch}")
            return None
        for unknown in unknown_in(made):
            self._report_unknown(self.where(key) + unknown.path, similar=unknown.similar)
        return cast("T", _known(made))

    def ignore(self, *keys: str) -> None:
        """Ignore keys that do not affect machines."""
        for key in keys:
            self.take(key)

    def finish(self, **elsewhere: str) -> Mapping[str, str]:
        """Report the keys that were not taken and are not empty; `elsewhere` has the advice for certain keys.

        Return the known keys that may have been meant, with the unknown ones that resemble them.
        """
        meant: dict[str, str] = {}
        for key, value in self._left.items():
            if not _is_empty(value):
                similar = similar_key(key, self._known)
                self._report_unknown(self.where(key), elsewhere.get(key), similar=similar)
                meant |= {similar: key} if similar else {}
        return meant

    def _inside(self, path: str, table: Any) -> "Section":
        return Section(path, table, self.found)

    def _report_unknown(self, path: str, advice: str | None = None, *, similar: str | None = None) -> None:
        if similar and not advice:
            message, advice = f"unknown key: did you mean {similar!r}?", "correct its name"
        else:
            message = "no known equivalent in a machine config, so it has no effect"
        self.found.append(
            warning(UNKNOWN_KEY, path, message, advice or "remove it, and set what you need on the config")
        )

    def _of(self, key: str, kind: type[T]) -> T | None:
        return self._checked(key, self.take(key), kind)

    def _checked(self, key: str, value: Any, *kinds: type[T]) -> T | None:
        if value is None or type(value) in kinds:
            return value  # type: ignore[no-any-return]  # of one of the kinds
        article = _KINDS.get(type(value), f"a {type(value).__name__}")
        self.wrong(key, f"must be {_KINDS[kinds[-1]]}, not {article}")
        return None


def text_of(value: Any) -> str | None:
    """Return a number, a boolean or a time as the string that flyctl makes of it; None for other types."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, str | int) else None


def _is_empty(value: Any) -> bool:
    return value in (None, "", [], {})


def _known(value: Any) -> Any:
    """Return the value without unknown keys."""
    if isinstance(value, Model):
        inside = {one.name: _known(getattr(value, one.name)) for one in fields(type(value)) if one.name != "extra"}
        return evolve(value, **inside, extra=NOTHING_KEPT)
    return tuple(map(_known, value)) if isinstance(value, tuple) else value
