"""The output of a command: lines or a table for a person, one JSON document for a program."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

import click

from flyasync.cli.shared.exit_codes import OK
from flyasync.cli.shared.streams import sturdy
from flyasync.cli.shared.tables import Columns, cells, write_table


class CommandOutput(Protocol):
    """The result of a successful command."""

    @property
    def code(self) -> int:
        """The exit code."""

    @property
    def data(self) -> Any:
        """The result as models or JSON."""

    def write(self, out: TextIO) -> None:
        """Write the result as text."""


@dataclass(frozen=True)
class Table:
    """One row for each of `data`."""

    data: Sequence[Any]
    columns: Columns
    code: int = OK

    def write(self, out: TextIO) -> None:
        """Write the rows, or `none` to a terminal if there are none."""
        # A program counts lines, so a pipe gets no line.
        if not self.data and out.isatty():
            out.write("none\n")
        else:
            write_table(out, list(self.columns), [cells(row, self.columns) for row in self.data])


@dataclass(frozen=True)
class Details:
    """One object, with a line for each field that is set."""

    data: Any
    columns: Columns
    code: int = OK

    def write(self, out: TextIO) -> None:
        """Write each field after its name."""
        named = zip(self.columns, cells(self.data, self.columns), strict=True)
        write_table(out, ("", ""), [(head.lower(), text) for head, text in named if text])


@dataclass(frozen=True)
class Message:
    """Lines of text, and the same result as data."""

    text: str
    data: Any
    code: int = OK

    def write(self, out: TextIO) -> None:
        """Write the text."""
        out.write(f"{self.text}\n")


def show(output: CommandOutput, *, as_json: bool) -> int:
    """Write the output to stdout and return the exit code."""
    out = sturdy(sys.stdout)
    # The document has all fields, also those that no column shows.
    if as_json:
        import json

        from flyasync.models.json.codec import unstructure

        out.write(json.dumps(unstructure(output.data), indent=2) + "\n")
    else:
        output.write(out)
    out.flush()
    return output.code


def note(text: str) -> None:
    """Write a remark to stderr."""
    click.echo(f"flyasync: {text}", file=sturdy(sys.stderr))
