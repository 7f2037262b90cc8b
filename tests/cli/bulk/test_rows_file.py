"""Rows as they are read: each by its line, and what is no row by its line too."""

import json
from io import BytesIO
from typing import Any

import pytest

from flyasync.cli.bulk.options import COLUMNS
from flyasync.cli.bulk.rows_file import AppRow, InvalidLine, read_rows

HEADER = "app,image,region,env.PLAN\n"


def rows(text: str | bytes) -> list[AppRow | InvalidLine]:
    return list(read_rows(BytesIO(text.encode() if isinstance(text, str) else text), tuple(COLUMNS)))


def told(text: str | bytes) -> list[dict[str, Any]]:
    found = rows(text)
    assert all(isinstance(each, AppRow) for each in found), found
    return [
        {"line": each.line, "app": each.app, **dict(zip(each.columns, each.cells, strict=True))}
        for each in found
        if isinstance(each, AppRow)
    ]


def wrong(text: str | bytes) -> dict[int, str]:
    return {each.line: each.why for each in rows(text) if isinstance(each, InvalidLine)}


def test_csv_gives_a_row_for_each_line_with_what_is_filled_in() -> None:
    assert told(HEADER + 'a,nginx,"iad,lhr",free\nb,,nrt,\n') == [
        {"line": 2, "app": "a", "image": "nginx", "region": "iad,lhr", "env.PLAN": "free"},
        {"line": 3, "app": "b", "region": "nrt"},
    ]


def test_json_lines_give_the_same_rows() -> None:
    lines = [
        {"app": "a", "image": "nginx", "regions": ["iad", "lhr"], "env": {"PLAN": "free", "EMPTY": ""}, "size": None},
        {"app": "b", "count": {"iad": 2, "lhr": 0}, "cpus": 2, "roll_back": True, "metadata": {"team": "blue"}},
    ]
    assert told("\n".join(map(json.dumps, lines))) == [
        {"line": 1, "app": "a", "image": "nginx", "region": ("iad", "lhr"), "env.PLAN": "free", "env.EMPTY": ""},
        {
            "line": 2,
            "app": "b",
            "count": ("iad=2", "lhr=0"),
            "cpus": "2",
            "roll_back": "true",
            "metadata.team": "blue",
        },
    ]


def test_a_byte_order_mark_windows_line_ends_and_empty_lines_change_nothing() -> None:
    plain = told(HEADER + "a,nginx,iad,free\nb,nginx,iad,gold\n")
    marked = told(b"\xef\xbb\xbf" + (HEADER + "a,nginx,iad,free\nb,nginx,iad,gold").replace("\n", "\r\n").encode())
    assert marked == plain
    spread = told("\n  \n" + HEADER + "\na,nginx,iad,free\n\n,, ,\nb,nginx,iad,gold\n\n")
    assert [(row["line"], row["app"]) for row in spread] == [(5, "a"), (8, "b")]


def test_a_cell_in_quotes_may_go_on_over_lines_and_the_next_row_keeps_its_line() -> None:
    found = told(HEADER + 'a,nginx,iad,"one\ntwo, ""three"""\nb,nginx,iad,x\n')
    assert found[0]["env.PLAN"] == 'one\ntwo, "three"'
    assert [row["line"] for row in found] == [2, 4]


def test_columns_are_called_as_options_are_in_any_case_with_dashes_or_underscores() -> None:
    (row,) = told("App, Regions ,max-unavailable,SMOKE_CHECK,Env.Plan\na, iad ,2,0, x\n")
    assert row == {"line": 2, "app": "a", "region": "iad", "max_unavailable": "2", "smoke_check": "0", "env.Plan": "x"}


def test_a_value_in_quotes_keeps_its_spaces() -> None:
    (row,) = told(HEADER + 'a, nginx ,iad, " x "\n')
    assert (row["image"], row["env.PLAN"]) == ("nginx", " x ")


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_a_file_with_nothing_in_it_has_no_rows(text: str) -> None:
    assert rows(text) == []


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("app,imgae", "unknown column 'imgae': did you mean image?"),
        ("app,region_s", "did you mean regions?"),
        ("app,colour", "the columns are app, image, size"),
        ("app,env", "env: use one column for each variable, such as env.LOG_LEVEL"),
        ("app,env.", "env: use one column for each variable"),
        ("app,create_app", "unknown column 'create_app'"),
        ("app,,image", "column 2 has no name"),
        ("app,region,regions", "region is given twice"),
        ("image,region", "the header has no column app"),
        ("app;image;region", "separate columns by commas"),
        ('app,"image', "a quote is not closed"),
    ],
)
def test_a_wrong_header_is_told_once_however_many_rows_follow(header: str, says: str) -> None:
    (line,) = wrong(f"\n{header}\na,b\nc,d\n").items()
    assert line[0] == 2
    assert says in line[1]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a,nginx", "it has 2 cells, but the header has 4; a cell with a comma needs quotes"),
        ("a,nginx,iad,lhr,free", "it has 5 cells, but the header has 4"),
        (",nginx,iad,free", "the row has no app: set the column app"),
        ('a,"ng"inx,iad,free', "it is not CSV"),
    ],
)
def test_a_row_that_is_none_is_told_by_its_line_and_the_others_are_read(row: str, says: str) -> None:
    found = rows(f"{HEADER}a,nginx,iad,x\n{row}\nb,nginx,iad,x\n")
    assert [type(each) for each in found] == [AppRow, InvalidLine, AppRow]
    assert isinstance(found[1], InvalidLine)
    assert found[1].line == 3
    assert says in found[1].why


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"app": "a", "image": }', "it is not JSON: Expecting value, at column 23"),
        ('{"app": "a"', "it is not JSON: it ends too early"),
        ('{"app": "a",', "it is not JSON: it ends too early"),
        ('{"app":  ', "it is not JSON: it ends too early"),
        ('{"app": "a}', "it is not JSON: a quote is not closed, at column 9"),
        ('["a"]', "it is not a JSON object"),
        ('{"app": "a", "app": "b"}', "app is given twice"),
        ('{"app": "a", "env": {"A": "hunter2", "A": "hunter3"}}', "A is given twice"),
        ('{"app": "a", "env": {"A": "hunter2"}, "env.A": "hunter3"}', "env.A is given twice"),
        ('{"app": "a", "env": {"A": 7}}', "env: A must be a string, in quotes"),
        ('{"app": "a", "env": "A=hunter2"}', "env: use one column for each variable"),
        ('{"app": "a", "size": {"cpus": 2}}', "size: expected a text or a number"),
        ('{"app": "a", "region": ["iad", ["lhr"]]}', "region: expected a text or a number"),
        ('{"app": ["a"]}', "the row has no app: set the column app"),
        ("{}", "the row has no app: set the column app"),
        ('{"app": "a", "immage": "x"}', "did you mean image?"),
        (
            '{"app": "a", "cpus": ' + "9" * 5000 + "}",
            "the JSON is nested too deeply, or contains a number that is too long",
        ),
        ('{"app": ' + "[" * 200_000, "the JSON is nested too deeply, or contains a number that is too long"),
    ],
)
def test_a_line_of_json_that_is_no_row_is_told_by_its_line(line: str, says: str) -> None:
    found = wrong('{"app": "z"}\n\n' + line + '\n{"app": "y"}\n')
    assert list(found) == [3]
    assert says in found[3]
    assert "hunter" not in found[3]


@pytest.mark.parametrize(
    ("last", "says"),
    [("env.C0", "env.C0 is given twice"), ("x" * 100_000, f"unknown column {'x' * 60!r}: the columns")],
)
def test_a_header_of_100_000_columns_is_refused_in_a_line(last: str, says: str) -> None:
    columns = ",".join(["app", *(f"env.C{number}" for number in range(100_000)), last])
    found = wrong(columns + "\na\n")
    assert list(found) == [1]
    assert found[1].startswith(says)
    assert len(found[1]) < 500


def test_what_is_no_utf_8_is_told_by_its_line() -> None:
    assert wrong(HEADER.encode() + b"a,nginx,iad,caf\xe9\nb,nginx,iad,x\n") == {2: "it is not UTF-8 text"}
    assert wrong(b'{"app": "a"}\n{"app": "b", "env": {"A": "\xff"}}\n') == {2: "it is not UTF-8 text"}
    assert wrong("app,image\na,b\n".encode("utf-16")) == {1: "the file is UTF-16: save it as UTF-8"}


def test_a_json_array_is_told_how_to_be_written() -> None:
    assert "on a separate line" in wrong('[{"app": "a"}]')[1]


def test_an_unclosed_quote_is_told_by_the_line_that_opens_it() -> None:
    assert wrong(HEADER + 'a,nginx,iad,x\nb,nginx,iad,"x\nc,nginx,iad,x\n') == {
        3: "it is not CSV: a quote is not closed"
    }


def test_the_file_is_left_open_for_whoever_opened_it() -> None:
    file = BytesIO(HEADER.encode() + b"a,nginx,iad,x\n")
    assert len(list(read_rows(file, tuple(COLUMNS)))) == 1
    assert not file.closed
