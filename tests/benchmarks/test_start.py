from functools import cached_property

from benchmarks import start
from benchmarks.shared.table import Spread
from flyasync.api.client import FlyClient


def test_it_runs_and_every_goal_has_its_figure() -> None:
    (table,) = start.measure(tiny=True)
    assert [row.name for row in table.rows] == list(start.STARTS)
    columns = {column.name for column in table.columns}
    for row in table.rows:
        assert row.figures.keys() == columns
        assert {goal.column for goal in row.goals} <= columns
        assert all(isinstance(figure, Spread) and figure.low > 0 for figure in row.figures.values())


def test_a_row_is_compared_with_what_was_started_in_the_same_round() -> None:
    taken = {start.AIOHTTP: [0.2, 0.4], start.CLICK: [0.04, 0.05], "mine": [0.3, 0.6]}
    row = start.row("mine", start.Start(program="pass", of_aiohttp=1.4), taken)
    assert row.figures[start.OF_AIOHTTP.name] == Spread.of([0.3 / 0.2, 0.6 / 0.4])
    assert row.figures[start.OF_CLICK.name] == Spread.of([0.3 / 0.04, 0.6 / 0.05])
    assert [is_met for _, is_met in row.verdicts()] == [False]


def test_the_client_that_is_asked_for_everything_is_asked_for_each_resource() -> None:
    resources = {name for name, value in vars(FlyClient).items() if isinstance(value, cached_property)}
    assert set(start.ALL) == {name for name in resources if not name.startswith("_")}
