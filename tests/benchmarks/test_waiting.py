"""That each way of waiting is measured, and what is made of the figures."""

import pytest

from benchmarks.parts.waiting_client import CHOICE, LISTS, POLLS, Case
from benchmarks.shared.table import Spread, percentile
from benchmarks.waiting import goals, measure, row, table

TOLD = {
    "delays": [0.1, 0.2, 0.3, 0.9],
    "bytes": 2048.0,
    "cpu": 2.0,
    "seconds": 10.0,
    "waiting_cpu": 1.0,
    "waiting_seconds": 5.0,
    "requests": {"list": 5, "wait": 3},
    "sockets": 7,
}


def test_each_way_of_waiting_has_its_figures() -> None:
    (shown,) = measure(tiny=True)
    assert [each.name for each in shown.rows] == [POLLS, LISTS, CHOICE]
    names = set(shown.columns)
    for each in shown.rows:
        assert each.figures.keys() == names
        assert names.issuperset(goal.column for goal in each.goals)
    polls, lists, _ = shown.rows
    assert polls.figures["lists/s"] == 0
    assert lists.figures["lists/s"] != 0


def test_what_a_client_tells_is_reckoned_by_wait_and_by_second() -> None:
    figures = row(Case(way=LISTS, apps=2, machines=1000), TOLD).figures
    assert figures["machines"] == 2000
    assert figures["KiB/wait"] == 2
    assert figures["CPU ms/wait"] == 1
    assert figures["CPUs busy"] == 0.2
    assert figures["delay, s"] == Spread(0.1, 0.25, 0.9)
    assert figures["requests"] == 8
    assert figures["lists/s"] == 0.5


def test_the_memory_of_few_waits_is_lost_among_the_pages() -> None:
    assert row(Case(way=LISTS, machines=10), TOLD).figures["KiB/wait"] is None


@pytest.mark.parametrize("case", [Case(way=CHOICE, machines=count) for count in (10, 32, 33, 1000, 10_000)])
def test_goals_are_set_where_flyasync_chooses_and_nowhere_else(case: Case) -> None:
    shown = table([(case, TOLD), (Case(way=POLLS, machines=case.machines), TOLD)])
    chosen, polled = shown.rows
    assert chosen.goals == goals(case)
    assert "delay, s" in {goal.column for goal in chosen.goals}
    assert polled.goals == ()


@pytest.mark.parametrize(("hundredth", "figure"), [(1, 1), (50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_not_exceeded_by_so_many(hundredth: int, figure: int) -> None:
    assert percentile(range(1, 101), hundredth) == figure
    assert percentile([7.0], hundredth) == 7


def test_the_picture_has_a_line_for_each_way() -> None:
    cases = [
        Case(way=LISTS, machines=10),
        Case(way=LISTS, apps=100, machines=100),
        Case(way=LISTS, machines=10, certificate="file"),
    ]
    shown = table([(case, TOLD) for case in cases])
    assert shown.plot is not None
    assert [shown.plot.series(each) for each in shown.rows] == [
        LISTS,
        f"{LISTS}, 100 apps",
        f"{LISTS}, over TLS",
    ]
    assert [shown.plot.place(each) for each in shown.rows] == [10, 10_000, 10]
