"""A table of fly.toml, read key by key, so that nothing in it is passed over unseen."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from attrs import fields

from flyasync.errors import InvalidInput
from flyasync.models.convert import Mismatch, structure
from flyasync.models.record import Record
from flyasync.models.scalars import Duration

T = TypeVar("T")

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class Section:
    """A table at `path` of a fly.toml; each key is taken once, and `finish` refuses what is left over.

    Every method raises InvalidInput, with the path, for a value of another kind than it is asked for; what is absent is
    None, or empty.
    """

    def __init__(self, path: str, table: Any) -> None:
        if not isinstance(table, Mapping):
            raise InvalidInput(f"fly.toml: {path} is no table")
        self.path = path
        self._left = dict(table)

    def where(self, key: str) -> str:
        """Name a key with the tables it stands in."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, problem: str) -> InvalidInput:
        """Make the error for a key, to be raised."""
        return InvalidInput(f"fly.toml: {self.where(key)} {problem}")

    def take(self, key: str) -> Any:
        """Take a value as it is."""
        return self._left.pop(key, None)

    def text(self, key: str) -> str | None:
        """Take a text."""
        return self._of(key, str)

    def flag(self, key: str) -> bool | None:
        """Take a boolean."""
        return self._of(key, bool)

    def integer(self, key: str) -> int | None:
        """Take a whole number, also one in quotes."""
        value = self.take(key)
        if isinstance(value, str) and value.isdecimal():
            return int(value)
        return self._checked(key, value, int)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Take a list of texts."""
        value = self._of(key, list)
        if value is not None and not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "must be a list of texts")
        return None if value is None else tuple(value)

    def words(self, key: str) -> tuple[str, ...] | None:
        """Take a list of texts, or one text as a list of one."""
        value = self._left.get(key)
        if isinstance(value, str):
            self._left[key] = [value]
        return self.texts(key)

    def table(self, key: str) -> "Section | None":
        """Take a table."""
        value = self.take(key)
        # Generated files of old say `processes = []` for none.
        return None if value is None or value == [] else Section(self.where(key), value)

    def tables(self, key: str) -> "list[Section]":
        """Take a list of tables, or one table as a list of one."""
        value = self.take(key) or []
        if isinstance(value, Mapping):
            return [Section(self.where(key), value)]
        if not isinstance(value, list):
            raise self.wrong(key, "must be a table, or a list of tables")
        return [Section(f"{self.where(key)}[{number}]", table) for number, table in enumerate(value)]

    def named(self) -> "list[tuple[str, Section]]":
        """Take all that is left as tables by their names."""
        left, self._left = self._left, {}
        return [(name, Section(self.where(name), table)) for name, table in left.items()]

    def rest(self) -> dict[str, Any]:
        """Take all that is left as it is."""
        left, self._left = self._left, {}
        return left

    def duration(self, key: str, *, unit: float) -> Duration | None:
        """Take a duration: Go's text, or a bare number of `unit` seconds."""
        value = self.take(key)
        if isinstance(value, str) and not value.isdecimal():
            try:
                return Duration.parse(value)
            except InvalidInput as error:
                raise self.wrong(key, str(error)) from None
        if isinstance(value, str):
            value = int(value)
        number = self._checked(key, value, int, float)
        return None if number is None else Duration(number * unit)

    def size(self, key: str, *, unit: str, thousand: int) -> int | None:
        """Take a size such as "512mb" in whole units, `m` or `g`, counted by `thousand`; a bare number is in units."""
        value = self.take(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise self.wrong(key, 'is no size: write it as "512mb" or "1gb"')
        number, prefix = match.groups()
        power = _POWERS[unit] if value.strip().isdecimal() else _POWERS[prefix.lower()]
        return int(float(number) * thousand ** (power - _POWERS[unit]))

    def model(self, key: str, kind: type[T]) -> T | None:
        """Take a table that is written as the API writes it; a key in it that is not known here is refused."""
        value = self.take(key)
        if value is None:
            return None
        try:
            made = structure(value, kind)
        except Mismatch as mismatch:
            raise self.wrong(key, f"is not as it should be: {mismatch}") from None
        _refuse([self.where(key) + inside for inside in _unknown(made)])
        return made

    def ignore(self, *keys: str) -> None:
        """Pass over what changes no machine."""
        for key in keys:
            self._left.pop(key, None)

    def finish(self) -> None:
        """Refuse what is left over, unless it is empty."""
        _refuse([self.where(key) for key, value in self._left.items() if value not in (None, "", [], {})])

    def _of(self, key: str, kind: type[T]) -> T | None:
        return self._checked(key, self.take(key), kind)

    def _checked(self, key: str, value: Any, *kinds: type[T]) -> T | None:
        if value is None or type(value) in kinds:
            return value  # type: ignore[no-any-return]  # of one of the kinds
        raise self.wrong(key, f"must be {' or '.join(kind.__name__ for kind in kinds)}, not {type(value).__name__}")


def _refuse(left: Sequence[str]) -> None:
    if left:
        raise InvalidInput(
            f"fly.toml: {', '.join(left)}: no equivalent is known in a machine's config; "
            "take it out, and set what you need on the config"
        )


def _unknown(value: Any) -> Iterator[str]:
    """Give the places inside a value that no model knows."""
    if isinstance(value, Record):
        yield from (f".{key}" for key in value.extra)
        for one in fields(type(value)):
            if one.name != "extra":
                yield from (f".{one.name}{inside}" for inside in _unknown(getattr(value, one.name)))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from (f"[{number}]{inside}" for inside in _unknown(item))
