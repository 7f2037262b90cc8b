"""That the limiters are compared, and how overtaking is counted."""

from benchmarks.limiter import arrivals, measure, most_lost, overtaken


def test_each_limiter_has_its_figures_and_each_goal_its_column() -> None:
    tables = list(measure(tiny=True))
    assert len(tables) == 4
    for table in tables:
        names = set(table.columns)
        assert {row.name.split(",")[0] for row in table.rows} == {"aiolimiter", "flyasync", "pyrate-limiter"}
        assert all(row.figures.keys() == names for row in table.rows)
        goals = [goal.column for row in table.rows for goal in row.goals]
        assert goals
        assert names.issuperset(goals)


def test_flyasync_lets_nobody_overtake_and_a_bare_limiter_does() -> None:
    counts = {row.name: row.figures["overtaken"] for row in arrivals(300).rows}
    assert counts["flyasync, a bucket"] == 0
    assert counts["aiolimiter"] != 0


def test_overtaken_is_who_comes_after_one_who_came_later() -> None:
    assert overtaken([0, 1, 2, 3]) == 0
    assert overtaken([1, 2, 3, 0]) == 1
    assert overtaken([3, 0, 1, 2]) == 3


def test_places_are_lost_by_those_who_come_later_than_by_number() -> None:
    assert most_lost([0, 1, 2]) == 0
    assert most_lost([1, 2, 3, 0]) == 3
    assert most_lost([3, 0, 1, 2]) == 1
