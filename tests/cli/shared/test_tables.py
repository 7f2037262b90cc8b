import json

import pytest

from flyasync.cli.shared.output import Details, Message, Table, show
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.models.app import App
from tests.cli.driver import Terminal

COLUMNS: Columns = {"NAME": "name", "OWNER": "organization.slug", "MACHINES": "machine_count"}


def test_a_cell_is_one_line_of_printable_text() -> None:
    columns: Columns = {"A": lambda row: row}
    values = (None, True, False, 1, "a\tb\nc", "\x1b[31mred", ["a", 1], {"k": "v"})
    told = [cells(value, columns)[0] for value in values]
    assert told == ["", "yes", "no", "1", "a b c", "red", "a, 1", "k=v"]


def test_a_terminal_gets_headings_and_a_program_tabs() -> None:
    terminal = Terminal()
    write_table(terminal, ["NAME", "STATE"], [["one", "[red]started"]])
    assert "NAME" in terminal.getvalue()
    assert "[red]started" in terminal.getvalue()
    assert "\t" not in terminal.getvalue()


def test_an_empty_table_says_so_in_a_terminal() -> None:
    terminal = Terminal()
    Table((), COLUMNS).write(terminal)
    assert terminal.getvalue() == "none\n"


def test_details_leave_out_what_is_not_set() -> None:
    terminal = Terminal()
    Details(App(name="web", machine_count=0), COLUMNS).write(terminal)
    assert [line.split() for line in terminal.getvalue().splitlines()] == [["name", "web"], ["machines", "0"]]


def test_json_keeps_what_no_column_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(Table((App(name="web", extra={"novel": 1}),), COLUMNS), as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "web", "novel": 1}]


def test_a_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(Message("done", {}, code=1), as_json=False) == 1
    assert capsys.readouterr().out == "done\n"
