"""That the sessions are compared, with the same answers for all, and that their server ends."""

import urllib.request

import pytest

from benchmarks.parts.session_clients import (
    BARE,
    FLOOR,
    FLOOR_OBJECTS,
    HTTPX,
    MODELS,
    RAW,
    RAW_JSON,
    UNDECODED,
    answering,
    one,
)
from benchmarks.session import TINY_SCENES, Scene, measure, table
from benchmarks.shared.table import Spread


def test_each_client_has_its_figures_and_each_goal_its_column() -> None:
    tables = list(measure(tiny=True))
    assert len(tables) == len(TINY_SCENES)
    for shown in tables:
        names = set(shown.columns)
        assert shown.rows[0].name == RAW
        assert len(shown.rows) == 9
        assert all(row.figures.keys() == names for row in shown.rows)
        goals = {row.name: [goal.column for goal in row.goals] for row in shown.rows if row.goals}
        assert goals.keys() == {UNDECODED, MODELS}
        assert names.issuperset(column for columns in goals.values() for column in columns)


def test_ratios_are_taken_within_a_round() -> None:
    taken = {RAW: [1.0, 2.0], BARE: [1.0, 1.0], RAW_JSON: [2.0, 4.0], MODELS: [3.0, 8.0], HTTPX: [10.0, 10.0]}
    shown = table(Scene("get", 256, 1, 1), taken, {})
    (models,) = (row for row in shown.rows if row.name == MODELS)
    assert models.figures["x aiohttp"] == Spread(3.0, 3.5, 4.0)
    assert models.figures["x httpx"] == Spread(0.3, 0.55, 0.8)
    assert models.figures["us of CPU"] == Spread(3e6, 5.5e6, 8e6)
    assert [goal.text for goal in models.goals] == ["x aiohttp <= 2", "x httpx <= 0.1"]


def test_what_is_counted_is_compared_with_aiohttp_and_with_the_floor() -> None:
    counts = {RAW: 100.0, FLOOR: 120.0, FLOOR_OBJECTS: 200.0, UNDECODED: 126.0, MODELS: 250.0}
    shown = table(
        Scene("get", 1, 1, 1),
        {name: [1.0] for name in (*counts, BARE, RAW_JSON, HTTPX)},
        counts,
    )
    rows = {row.name: row for row in shown.rows}
    assert rows[MODELS].figures["by count"] == 2.5
    assert rows[HTTPX].figures["by count"] is None
    assert [is_met for goal, is_met in rows[UNDECODED].checked() if goal.column == "by count"] == [False]
    assert [note.split(": ")[1].split(",")[:2] for note in shown.notes] == [
        ["6 instructions a call", " 5%"],
        ["50 instructions a call", " 25%"],
    ]


def test_the_server_answers_with_a_machine_of_three_kilobytes_and_ends_with_its_block() -> None:
    with answering(2) as url, urllib.request.urlopen(f"{url}/v1/apps/web/machines/m1") as reply:
        assert reply.read() == one()
    assert 2500 < len(one()) < 3500
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_the_server_is_gone_when_the_block_is_interrupted() -> None:
    server = answering(2)
    url = server.__enter__()
    assert server.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)
