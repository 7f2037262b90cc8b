"""Tables: aligned in a terminal, tab-separated lines elsewhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, TextIO

from flyasync.safe_text import readable

if TYPE_CHECKING:
    from rich.table import Table

Columns = Mapping[str, str | Callable[[Any], Any]]
"""The columns of a table by their headings: each a field, such as `config.image`, or a function of the row."""

_GAP = 2  # spaces between two columns


def cells(row: Any, columns: Columns) -> list[str]:
    """Return the cells of a row, as text."""
    found = []
    for column in columns.values():
        value = row if isinstance(column, str) else column(row)
        for name in column.split(".") if isinstance(column, str) else ():
            value = None if value is None else getattr(value, name)
        found.append(_text(value))
    return found


def write_table(out: TextIO, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table with headings to a terminal, and tab-separated rows without headings elsewhere."""
    if not out.isatty():
        write_rows(out, rows)
        return
    from flyasync.cli.shared.console import SafeConsole  # rich loads slowly, and only a terminal needs it

    SafeConsole(out).print(drawn_table(heads, rows))


def drawn_table(heads: Sequence[str], rows: Iterable[Sequence[str]], styles: Iterable[str] = ()) -> "Table":
    """Return a table for a terminal; `styles` are those of the first rows, such as `red`."""
    from rich.table import Table
    from rich.text import Text

    # Without a box, as in ps or kubectl, so that lines can be copied.
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=any(heads))
    for number, head in enumerate(heads):
        # Ids and names stay whole, so that they can be copied.
        table.add_column(Text(head, style="bold"), overflow="fold", no_wrap=number == 0 or head == "ID")
    for row, style in zip(rows, chain(styles, repeat("")), strict=False):
        table.add_row(*map(Text, row), style=style)
    return table


def write_rows(out: TextIO, rows: Iterable[Sequence[str]]) -> None:
    """Write tab-separated rows, without headings."""
    out.writelines("\t".join(row) + "\n" for row in rows)


def _text(value: Any) -> str:
    """Return a value as text on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _text([f"{name}={item}" for name, item in value.items()])
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return " ".join(readable(str(value)).split())
