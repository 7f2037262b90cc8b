import pytest

from benchmarks import growth
from benchmarks.growth import CPU_RATIO, MEMORY_RATIO, SLOPE, Subject, rows, slope
from benchmarks.parts.growth_sizes import SUBJECTS as WORKS, Cost, cost
from benchmarks.shared.table import Spread, number

SUBJECT = Subject(name="plan", title="plan", what="machines", sizes=(100, 1000, 10_000), many=1000)


def flat(machines: int) -> Cost:
    return Cost(machines, machines * 0.001, machines * 4096)


def test_it_runs_and_every_goal_has_its_column() -> None:
    (table,) = growth.measure(tiny=True)
    columns = set(table.columns)
    *those, during = table.rows
    assert [row.name.split(":")[0] for row in those[::2]] == [subject.title for subject in growth.TINY]
    assert [is_measured for _, is_measured in during.checked()]
    assert 0 < (number(during.figures[growth.KEPT]) or 0) < (number(during.figures[growth.HELD]) or 0)
    assert table.plot is not None
    for row in table.rows:
        assert row.figures.keys() == columns
        assert {goal.column for goal in row.goals} <= columns
        assert isinstance(table.plot.place(row), int)
        assert (row is during) != isinstance(row.figures[table.plot.column], Spread)


@pytest.mark.parametrize("subject", growth.SUBJECTS, ids=lambda subject: subject.name)
def test_a_subject_is_one_that_can_be_done_and_is_compared_with_one_of_its_sizes(subject: Subject) -> None:
    assert subject.name in WORKS
    assert subject.many in subject.sizes[:-1]


def test_where_each_machine_costs_the_same_the_slope_is_one_and_the_goals_are_met() -> None:
    few, many, most = rows(SUBJECT, {size: [flat(size)] * 3 for size in SUBJECT.sizes})
    assert few.figures[CPU_RATIO] is None
    assert many.figures[CPU_RATIO] == 1
    assert most.figures[SLOPE] == pytest.approx(1)
    assert [is_met for _, is_met in most.checked()] == [True, True]


def test_where_all_is_looked_at_for_each_machine_the_slope_is_two() -> None:
    assert slope([Cost(1000, 10.0, 0)], [Cost(100, 0.1, 0)]) == pytest.approx(2)


def test_memory_that_was_there_already_is_compared_with_nothing() -> None:
    *_, most = rows(SUBJECT, {size: [Cost(size, 1.0, 0)] for size in SUBJECT.sizes})
    assert most.figures[MEMORY_RATIO] is None


def test_a_plan_is_made_for_each_machine_and_costs_cpu() -> None:
    done = cost("plan", 12)
    assert done.machines == 12
    assert done.cpu > 0
