"""Rows of text: a table in a terminal, tab-separated lines elsewhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from flyasync.text import readable

Columns = Mapping[str, str | Callable[[Any], Any]]
"""What a table shows: under each heading a field, such as `config.image`, or a function of the row."""

_SPACE = "  "


def cells(row: Any, columns: Columns) -> list[str]:
    """Give what stands in a row, as text."""
    return [_text(_value(row, column)) for column in columns.values()]


def write_table(out: TextIO, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows under their headings where somebody looks; for a program, only the rows, with tabs in between."""
    if out.isatty():
        _draw(out, heads, rows)
    else:
        out.writelines("\t".join(row) + "\n" for row in rows)


def _draw(out: TextIO, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table  # loaded only where a table is drawn
    from rich.text import Text

    from flyasync.cli.shared.console import Paint

    table = Table(box=None, pad_edge=False, padding=(0, len(_SPACE), 0, 0), show_header=any(heads))
    for number, head in enumerate(heads):
        table.add_column(Text(head, style="bold"), overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    Paint(out).print(table)


def _value(row: Any, column: str | Callable[[Any], Any]) -> Any:
    if not isinstance(column, str):
        return column(row)
    for name in column.split("."):
        row = None if row is None else getattr(row, name)
    return row


def _text(value: Any) -> str:
    """Write a value on one line, however many the API says it on."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _text([f"{name}={item}" for name, item in value.items()])
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return " ".join(readable(str(value)).split())
