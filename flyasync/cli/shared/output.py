"""What a command has to say: to a person as lines or a table, to a program as one JSON document."""

import json
import sys
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

import click
from attrs import frozen

from flyasync.cli.shared.exit_codes import OK
from flyasync.cli.shared.streams import sturdy
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.models.json.codec import unstructure


class Answer(Protocol):
    """The end of a command that worked; `code` is its exit status."""

    @property
    def code(self) -> int:
        """The exit status."""

    @property
    def data(self) -> Any:
        """What there is to say, as models or JSON."""

    def write(self, out: TextIO) -> None:
        """Write it for a person."""


@frozen
class Table:
    """One row for each of `data`."""

    data: Sequence[Any]
    columns: Columns
    code: int = OK

    def write(self, out: TextIO) -> None:
        """Write the rows; a terminal is told when there are none."""
        if not self.data and out.isatty():
            out.write("none\n")
        else:
            write_table(out, list(self.columns), [cells(row, self.columns) for row in self.data])


@frozen
class Details:
    """One thing, a line for each of its fields that is set."""

    data: Any
    columns: Columns
    code: int = OK

    def write(self, out: TextIO) -> None:
        """Write the fields with their names before them."""
        told = zip(self.columns, cells(self.data, self.columns), strict=True)
        write_table(out, ("", ""), [(head.lower(), text) for head, text in told if text])


@frozen
class Said:
    """A line or two."""

    text: str
    data: Any
    code: int = OK

    def write(self, out: TextIO) -> None:
        """Write the text."""
        out.write(f"{self.text}\n")


def show(answer: Answer, *, as_json: bool) -> int:
    """Write an answer to stdout and give the exit status."""
    out = sturdy(sys.stdout)
    if as_json:
        out.write(json.dumps(unstructure(answer.data), indent=2) + "\n")
    else:
        answer.write(out)
    out.flush()
    return answer.code


def note(text: str) -> None:
    """Write a remark to stderr."""
    click.echo(f"flyasync: {text}", file=sturdy(sys.stderr))
