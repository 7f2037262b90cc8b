"""That each way of waiting is measured, and what is made of the figures."""

from collections import Counter

import pytest

from benchmarks.shared.table import Figure, Spread, percentile
from benchmarks.waiting import CHOICE, LISTS, POLLS, Case, Moment, figures, measure, table


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


def reckoned(case: Case) -> dict[str, Figure]:
    moments = (Moment(0.0, 1.0, 0), Moment(5.0, 2.0, 2048 * case.waits), Moment(10.0, 3.0, 0))
    return figures(case, moments, [0.1, 0.2, 0.3, 0.9], Counter({"list": 5, "wait": 3}))


def test_figures_are_reckoned_by_wait_and_by_second() -> None:
    assert reckoned(Case(way=LISTS, apps=2, machines=1000)) == {
        "apps": 2,
        "machines": 2000,
        "KiB/wait": 2,
        "CPU ms/wait": 1,
        "CPUs busy": 0.2,
        "delay, s": Spread(0.1, 0.25, 0.9),
        "p99": 0.9,
        "requests": 8,
        "lists/s": 0.5,
    }


def test_the_memory_of_few_waits_is_lost_among_the_pages() -> None:
    assert reckoned(Case(way=LISTS, machines=10))["KiB/wait"] is None


@pytest.mark.parametrize(
    ("case", "goals"),
    [
        (Case(way=CHOICE, machines=10), ["delay, s <= 0.05"]),
        (Case(way=CHOICE, machines=32), ["delay, s <= 0.05"]),
        (Case(way=CHOICE, machines=33), ["delay, s <= 1", "lists/s <= 1.2"]),
        (Case(way=CHOICE, machines=1000), ["delay, s <= 1", "lists/s <= 1.2"]),
        (
            Case(way=CHOICE, machines=10_000),
            ["delay, s <= 1.5", "CPUs busy <= 0.5", "KiB/wait <= 10", "lists/s <= 1.2"],
        ),
        (
            Case(way=CHOICE, apps=100, machines=100),
            ["delay, s <= 1.5", "CPUs busy <= 0.5", "KiB/wait <= 10"],
        ),
        (Case(way=CHOICE, apps=1000, machines=100), ["delay, s <= 1.5", "KiB/wait <= 10"]),
        (Case(way=POLLS, machines=10), []),
        (Case(way=LISTS, apps=100, machines=100), []),
    ],
)
def test_goals_are_set_where_flyasync_chooses_and_nowhere_else(case: Case, goals: list[str]) -> None:
    (row,) = table({case: {}}).rows
    assert [goal.text for goal in row.goals] == goals


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
    shown = table({case: reckoned(case) for case in cases})
    assert shown.plot is not None
    assert [shown.plot.series(each) for each in shown.rows] == [
        LISTS,
        f"{LISTS}, 100 apps",
        f"{LISTS}, over TLS",
    ]
    assert [shown.plot.place(each) for each in shown.rows] == [10, 10_000, 10]
