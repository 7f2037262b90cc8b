from functools import cached_property

from benchmarks import start
from benchmarks.shared.table import Spread
from flyasync.api.client import FlyClient


def test_it_runs_and_every_goal_has_its_figure() -> None:
    (table,) = start.measure(tiny=True)
    assert [row.name for row in table.rows] == list(start.STARTS)
    columns = set(table.columns)
    for row in table.rows:
        assert row.figures.keys() == columns
        assert {goal.column for goal in row.goals} <= columns
        assert all(isinstance(figure, Spread) and figure.low > 0 for figure in row.figures.values())


def test_imports_are_compared_with_aiohttp_and_commands_with_click() -> None:
    goals = {name: [goal.text for goal in goals] for name, goals in start.GOALS.items()}
    assert goals.pop("import flyasync") == ["x import click <= 1"]
    assert goals.pop("from flyasync import FlyClient") == ["x import aiohttp <= 1.2"]
    assert goals.pop("… and its machines") == ["x import aiohttp <= 1.5"]
    assert len(goals) == 12
    assert all(name.endswith(" --help") and each == ["x import click <= 2"] for name, each in goals.items())


def test_the_client_that_is_asked_for_everything_is_asked_for_each_resource() -> None:
    resources = {name for name, value in vars(FlyClient).items() if isinstance(value, cached_property)}
    assert set(start.ALL) == {name for name in resources if not name.startswith("_")}
