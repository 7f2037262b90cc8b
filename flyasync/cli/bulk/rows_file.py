"""The rows of a file of apps: CSV with a header, or JSON lines; each is told by its line, as an editor counts them."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from itertools import chain
from typing import Any, BinaryIO

from attrs import frozen

Cell = str | tuple[str, ...]
"""What stands in a cell: a text, or several."""

KEEP = 4096
"""How many different texts are kept once for all rows that hold them."""

_LONGEST_SHOWN = 60  # letters of a name that is none
_NAMED = ("env", "metadata")  # of these a cell has a name of its own, as in env.LOG_LEVEL
_ALIASES = {"regions": "region"}
_UNCLOSED = "a quote is opened and never closed"
_QUOTE_OPEN = "unexpected end of data"  # in the words of the csv module
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")


@frozen
class Row:
    """What a line of a file says of one app: cells under the names of columns, only those that are filled in."""

    line: int
    app: str
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]


@frozen
class Wrong:
    """A line that is no row, and why; what stands in it is not repeated where it may be a secret."""

    line: int
    why: str


class Unfit(Exception):
    """A row, or a header, that cannot be meant; its text says why."""


def read(file: BinaryIO, known: Sequence[str]) -> Iterator[Row | Wrong]:
    """Read the rows one by one, with columns of these `known` names; a line that is none does not end it.

    What begins with a brace is JSON lines, all else CSV. Empty lines and rows of empty cells are left out.
    """
    text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _rows(enumerate(text, start=1), _Cells(known))
    finally:
        text.detach()


def _rows(lines: Iterator[tuple[int, str]], cells: "_Cells") -> Iterator[Row | Wrong]:
    number, first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    if first.startswith(_UTF_16):
        yield Wrong(number, "it is UTF-16: save the file as UTF-8")
    elif first.startswith("["):
        yield Wrong(number, "it is a JSON array: write each of its objects on a line of its own")
    elif first.lstrip().startswith("{"):
        yield from _json_rows(chain([(number, first)], lines), cells)
    elif first:
        yield from _csv_rows(number, chain([first], (line for _, line in lines)), cells)


# JSON lines


def _json_rows(lines: Iterable[tuple[int, str]], cells: "_Cells") -> Iterator[Row | Wrong]:
    for number, line in lines:
        if line.strip():
            try:
                yield cells.row(number, (cell for said in _object(line).items() for cell in _flat(*said)))
            except Unfit as error:
                yield Wrong(number, str(error))


def _object(line: str) -> Mapping[str, Any]:
    _demand_text(line)
    text = line.rstrip()
    try:
        said = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise Unfit(f"it is not JSON: {_misread(error, len(text))}") from None
    except (RecursionError, ValueError):
        raise Unfit("it is not JSON that can be read: it is nested too deep, or a number is too long") from None
    if not isinstance(said, dict):
        raise Unfit("it holds no JSON object")
    return said


def _misread(error: json.JSONDecodeError, length: int) -> str:
    if error.msg.startswith("Unterminated string"):
        return f"{_UNCLOSED}, at column {error.colno}"
    return "it ends too soon" if error.pos >= length else f"{error.msg}, at column {error.colno}"


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) < len(pairs):
        _demand_once([name for name, _ in pairs])
    return said


def _flat(word: str, value: Any) -> Iterator[tuple[str, Cell]]:
    """Give a value of JSON as cells: an object of texts is a column each; what is null is not said."""
    kind = word.strip().lower()
    if isinstance(value, dict) and kind in _NAMED:
        for name, text in value.items():
            if not isinstance(text, str):
                raise Unfit(f"{word}: {name} has to be a text, in quotes")
            yield f"{word}.{name}", text
    elif isinstance(value, dict) and kind == "count":
        yield word, tuple(f"{region}={_scalar(word, count)}" for region, count in value.items())
    elif isinstance(value, list):
        yield word, tuple(_scalar(word, each) for each in value)
    elif value is not None:
        yield word, _scalar(word, value)


def _scalar(word: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise Unfit(f"{word}: it takes a text or a number, and neither is there")
    return str(value)


# CSV


def _csv_rows(first: int, lines: Iterable[str], cells: "_Cells") -> Iterator[Row | Wrong]:
    records = _records(first, lines)
    number, header = next(records)
    try:
        columns = _header(header, cells)
    except Unfit as error:
        yield Wrong(number, str(error))
        return
    for number, record in records:
        try:
            texts = _record(record, len(columns))
            if any(map(str.strip, texts)):
                yield cells.row(number, ((name, text) for name, text in zip(columns, texts, strict=True) if text))
        except Unfit as error:
            yield Wrong(number, str(error))


def _records(first: int, lines: Iterable[str]) -> Iterator[tuple[int, "list[str] | csv.Error"]]:
    """Give records with the line on which each begins: a cell in quotes may go on over several."""
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
        raise Unfit("the header has one column: separate the cells by commas")
    if not all(map(str.strip, words)):
        raise Unfit(f"column {[bool(word.strip()) for word in words].index(False) + 1} has no name")
    columns = [cells.column(word) for word in words]
    _demand_once(columns)
    if "app" not in columns:
        raise Unfit("the header has no column app: each row has to name one")
    return columns


def _record(record: "list[str] | csv.Error", width: int | None) -> list[str]:
    if isinstance(record, csv.Error):
        said = _UNCLOSED if str(record) == _QUOTE_OPEN else str(record)
        raise Unfit(f"it is not CSV: {said}")
    _demand_text("".join(record))
    if width is not None and len(record) != width:
        raise Unfit(f"it has {len(record)} cells, but the header has {width}; a cell with a comma needs quotes")
    return record


def _demand_text(text: str) -> None:
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Unfit("it is not UTF-8 text")


def _demand_once(names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise Unfit(f"{name} is given twice")


# Cells under names


class _Cells:
    """Makes rows, and keeps what many of them share only once."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = ("app", *known)
        self._columns: dict[str, str] = {}
        self._texts: dict[Any, Any] = {}

    def row(self, line: int, said: Iterable[tuple[str, Cell]]) -> Row:
        cells: dict[str, Cell] = {}
        for word, cell in said:
            name = self.column(word)
            if name in cells:
                raise Unfit(f"{name} is given twice")
            is_own = "." in name  # a variable may well be empty, or begin with a space
            told = cell if is_own or isinstance(cell, tuple) else cell.strip()
            if told or is_own:
                cells[name] = told
        app = cells.pop("app", None)
        if not isinstance(app, str):
            raise Unfit("it has no app: name one, in the column app")
        return Row(line, app, self._shared(tuple(cells)), tuple(map(self._shared, cells.values())))

    def column(self, word: str) -> str:
        """Give the name of a column that a file calls `word`; raises Unfit for one that there is not."""
        if word not in self._columns:
            self._columns[word] = _column(word, self._known)
        return self._columns[word]

    def _shared(self, told: Any) -> Any:
        if len(self._texts) < KEEP:
            return self._texts.setdefault(told, told)
        return self._texts.get(told, told)


def _column(word: str, known: Sequence[str]) -> str:
    kind, dot, name = word.strip().partition(".")
    if kind.lower() in _NAMED:
        if not (dot and name.strip()):
            raise Unfit(
                f"{kind}: each has a column of its own, named such as {kind.lower()}.LOG_LEVEL; in JSON it is an object"
            )
        return f"{kind.lower()}.{name.strip()}"
    plain = word.strip().lower().replace("-", "_")
    plain = _ALIASES.get(plain, plain)
    if plain in known:
        return plain
    close = get_close_matches(plain, [*known, *_ALIASES], n=1, cutoff=0.7)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}, env.NAME and metadata.NAME"
    raise Unfit(f"no column is called {word.strip()[:_LONGEST_SHOWN]!r}: {hint}")
