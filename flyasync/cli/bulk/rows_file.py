"""The rows of a file: CSV with a header, or JSON lines; each row has its line number."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from itertools import chain
from typing import Any, BinaryIO

from attrs import field, frozen

Cell = str | tuple[str, ...]
"""The content of a cell: one text or several."""

KEEP = 4096
"""How many different texts are shared between rows."""

_LONGEST_SHOWN = 60  # characters of an unknown column name
_MOST_LISTED = 12  # columns in a message
_NAMED = ("env", "metadata")  # each of their cells has a name, as in env.LOG_LEVEL
_ALIASES = {"regions": "region"}
_UNCLOSED = "a quote is not closed"
_QUOTE_OPEN = "unexpected end of data"  # the error of the csv module
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # its byte order marks, as bytes that are not UTF-8


@frozen
class AppRow:
    """One row: its app, and its nonempty cells by column."""

    line: int
    app: str
    columns: tuple[str, ...]
    cells: tuple[Cell, ...] = field(repr=False)


@frozen
class InvalidLine:
    """An invalid line, and why; its content, which may be a secret, is not included."""

    line: int
    why: str


class InvalidRowError(Exception):
    """A row or a header is invalid, for the reason in the text."""


def read_rows(file: BinaryIO, known: Sequence[str]) -> Iterator[AppRow | InvalidLine]:
    """Yield the rows, with columns of these `known` names, and the invalid lines.

    A file that starts with a brace is JSON lines, any other CSV. Empty lines and rows of empty cells are skipped.
    """
    text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = enumerate(text, start=1)
    cells = _Cells(known)
    try:
        number, first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
        if first.startswith(_UTF_16):
            yield InvalidLine(number, "the file is UTF-16: save it as UTF-8")
        elif first.startswith("["):
            yield InvalidLine(number, "the file is a JSON array: write each object on a separate line")
        elif not first.lstrip().startswith("{"):
            if first:
                yield from _csv_rows(number, chain([first], (line for _, line in lines)), cells)
        else:
            for each, line in chain([(number, first)], lines):
                try:
                    if line.strip():
                        yield cells.row(each, _json_cells(line))
                except InvalidRowError as error:
                    yield InvalidLine(each, str(error))
    finally:
        text.detach()  # the caller closes the file


# JSON lines


def _json_cells(line: str) -> Iterator[tuple[str, Cell]]:
    """Yield the cells of a JSON object; env and metadata are objects with a column for each name; null is skipped."""
    for word, value in _json_object(line).items():
        kind = word.strip().lower()
        if isinstance(value, dict) and kind in _NAMED:
            for name, text in value.items():
                if not isinstance(text, str):
                    raise InvalidRowError(f"{word}: {name} must be a string, in quotes")
                yield f"{word}.{name}", text
        elif isinstance(value, dict) and kind == "count":
            yield word, tuple(f"{region}={_scalar(word, count)}" for region, count in value.items())
        elif isinstance(value, list):
            yield word, tuple(_scalar(word, each) for each in value)
        elif value is not None:
            yield word, _scalar(word, value)


def _json_object(line: str) -> Mapping[str, Any]:
    """Parse a line; raises InvalidRowError, which never contains the line."""
    _check_utf_8(line)
    text = line.rstrip()
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            why = f"{_UNCLOSED}, at column {error.colno}"
        else:
            why = "it ends too early" if error.pos >= len(text) else f"{error.msg}, at column {error.colno}"
        raise InvalidRowError(f"it is not JSON: {why}") from None
    except (RecursionError, ValueError):
        raise InvalidRowError("the JSON is nested too deeply, or contains a number that is too long") from None
    if not isinstance(value, dict):
        raise InvalidRowError("it is not a JSON object")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raises InvalidRowError for a duplicate name, which the parser would accept."""
    values = dict(pairs)
    if len(values) < len(pairs):
        _check_given_once([name for name, _ in pairs])
    return values


def _scalar(word: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise InvalidRowError(f"{word}: expected a text or a number")
    return str(value)


# CSV


def _csv_rows(first: int, lines: Iterable[str], cells: "_Cells") -> Iterator[AppRow | InvalidLine]:
    records = _records(first, lines)
    number, header = next(records)
    try:
        columns = _header(header, cells)
    except InvalidRowError as error:  # without a header no row can be read
        yield InvalidLine(number, str(error))
        return
    for number, record in records:
        try:
            texts = _record(record, len(columns))
            if any(map(str.strip, texts)):
                yield cells.row(number, ((name, text) for name, text in zip(columns, texts, strict=True) if text))
        except InvalidRowError as error:
            yield InvalidLine(number, str(error))


def _records(first: int, lines: Iterable[str]) -> Iterator[tuple[int, "list[str] | csv.Error"]]:
    """Yield records with the line on which each starts: a quoted cell may span several lines."""
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    while True:
        number = first + reader.line_num
        try:
            record = next(reader, None)
        except csv.Error as error:
            yield number, error
            continue
        if record is None:
            return
        if record:
            yield number, record


def _header(record: "list[str] | csv.Error", cells: "_Cells") -> list[str]:
    words = _record(record, None)
    if len(words) == 1 and re.search(r"[;\t]", words[0]):
        raise InvalidRowError("the header has one column: separate columns by commas")
    if not all(map(str.strip, words)):
        raise InvalidRowError(f"column {[bool(word.strip()) for word in words].index(False) + 1} has no name")
    columns = [cells.column(word) for word in words]
    _check_given_once(columns)
    if "app" not in columns:
        raise InvalidRowError("the header has no column app")
    return columns


def _record(record: "list[str] | csv.Error", width: int | None) -> list[str]:
    """Return a record of this many cells; raises InvalidRowError for another number, and for invalid CSV."""
    if isinstance(record, csv.Error):
        why = _UNCLOSED if str(record) == _QUOTE_OPEN else str(record)
        raise InvalidRowError(f"it is not CSV: {why}")
    _check_utf_8("".join(record))
    if width is not None and len(record) != width:
        raise InvalidRowError(
            f"it has {len(record)} cells, but the header has {width}; a cell with a comma needs quotes"
        )
    return record


def _check_utf_8(text: str) -> None:
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidRowError("it is not UTF-8 text")


def _check_given_once(names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise InvalidRowError(f"{name} is given twice")


# Cells under names


class _Cells:
    """Makes rows that share equal texts, as a file may have 100,000 rows."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = ("app", *known)
        self._columns: dict[str, str] = {}
        self._texts: dict[Any, Any] = {}

    def row(self, line: int, stated: Iterable[tuple[str, Cell]]) -> AppRow:
        """Return a row; raises InvalidRowError."""
        cells: dict[str, Cell] = {}
        for word, cell in stated:
            name = self.column(word)
            if name in cells:
                raise InvalidRowError(f"{name} is given twice")
            is_variable = "." in name  # its value may be empty, or start with a space
            value = cell if is_variable or isinstance(cell, tuple) else cell.strip()
            if value or is_variable:
                cells[name] = value
        app = cells.pop("app", None)
        if not isinstance(app, str):
            raise InvalidRowError("the row has no app: set the column app")
        return AppRow(line, app, self._shared(tuple(cells)), tuple(map(self._shared, cells.values())))

    def column(self, word: str) -> str:
        """Return the name of the column `word`; raises InvalidRowError for an unknown one."""
        if word in self._columns:
            return self._columns[word]
        kind, dot, variable = word.strip().partition(".")
        name = word.strip().lower().replace("-", "_")
        name = _ALIASES.get(name, name)
        # 1. A variable, such as env.LOG_LEVEL: the part after the dot is kept as written.
        # 2. An option, in any case, with dashes or underscores.
        # 3. Neither: the error suggests a similar name, or lists the first ones.
        if kind.lower() in _NAMED:
            if not (dot and variable.strip()):
                raise InvalidRowError(
                    f"{kind}: use one column for each variable, such as {kind.lower()}.LOG_LEVEL, or an object in JSON"
                )
            name = f"{kind.lower()}.{variable.strip()}"
        elif name not in self._known:
            close = get_close_matches(name, [*self._known, *_ALIASES], n=1, cutoff=0.7)
            first = ", ".join([*self._known][:_MOST_LISTED])
            listed = f"the columns are {first} and other options of flyasync bulk --help, env.NAME and metadata.NAME"
            hint = f"did you mean {close[0]}?" if close else listed
            raise InvalidRowError(f"unknown column {word.strip()[:_LONGEST_SHOWN]!r}: {hint}")
        return self._columns.setdefault(word, name)

    def _shared(self, value: Any) -> Any:
        if len(self._texts) < KEEP:
            return self._texts.setdefault(value, value)
        return self._texts.get(value, value)
