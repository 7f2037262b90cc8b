"""What a benchmark shows: tables of figures, each with the goal it was to reach, for people and for machines."""

import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from attrs import field, frozen
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Drawn

WIDTH = 150


@frozen
class Spread:
    """A figure that was taken several times; `median` stands for it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Self:
        """Sum up what was measured."""
        taken = sorted(figures)
        return cls(taken[0], statistics.median(taken), taken[-1])

    def __format__(self, form: str) -> str:
        return " ".join(format(figure, form) for figure in (self.low, self.median, self.high))


Figure = Spread | float | int | str | None
"""None where a row has nothing to say."""


def number(figure: Figure) -> float:
    """Give a figure as a number: a spread by its median."""
    reached = figure.median if isinstance(figure, Spread) else figure
    assert isinstance(reached, int | float)
    return reached


def percentile(figures: Sequence[float], hundredth: int) -> float:
    """Give what so many of a hundred figures, in order, do not exceed."""
    return figures[max(0, math.ceil(len(figures) * hundredth / 100) - 1)]


@frozen(kw_only=True)
class Column:
    """A column: its name, how its figures are written, and what they count.

    `form` is a format such as `.2f`. A column of spreads has three figures in each row: minimum, median, maximum.
    """

    name: str
    form: str = ""
    is_spread: bool = False

    @property
    def title(self) -> str:
        """What stands above it."""
        return f"{self.name}\nmin median max" if self.is_spread else self.name

    def write(self, figure: Figure) -> str:
        """Write a figure of this column."""
        return "-" if figure is None else figure if isinstance(figure, str) else format(figure, self.form)


@frozen(kw_only=True)
class Goal:
    """What a figure was to be: at most, or at least, so much.

    `why` says, should it be missed, why it is; it is printed only then.
    """

    column: str
    at_most: float | None = None
    at_least: float | None = None
    why: str = ""

    def __str__(self) -> str:
        bounds = (("<=", self.at_most), (">=", self.at_least))
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def is_met(self, figure: Figure) -> bool:
        """Judge a figure: a spread by its median."""
        reached = figure.median if isinstance(figure, Spread) else figure
        if not isinstance(reached, int | float):
            return False
        return (self.at_most is None or reached <= self.at_most) and (self.at_least is None or reached >= self.at_least)


@frozen(kw_only=True)
class Row:
    """What was measured of one subject, by column."""

    name: str
    figures: Mapping[str, Figure]
    goals: Sequence[Goal] = ()

    def verdicts(self) -> Iterator[tuple[Goal, bool]]:
        """Tell of each goal whether it is met."""
        for goal in self.goals:
            yield goal, goal.is_met(self.figures.get(goal.column))


@frozen(kw_only=True)
class Plot:
    """A picture of a table: what of it goes along, and what goes up, as one line for each name of rows.

    Both axes are logarithmic. `series` says to which line a row belongs, and `along` what its place on it is.
    """

    title: str
    along: str
    up: str
    column: str
    series: Callable[[Row], str]
    place: Callable[[Row], float]


@frozen(kw_only=True)
class Table:
    """Rows under columns; `subject` is what the rows are, `notes` what has to be known to read them."""

    title: str
    subject: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    plot: Plot | None = field(default=None)

    @property
    def missed(self) -> Iterator[tuple[Row, Goal]]:
        """The goals that are not reached."""
        return ((row, goal) for row in self.rows for goal, is_met in row.verdicts() if not is_met)

    def as_json(self) -> dict[str, Any]:
        """Give it as plain JSON: every figure under its column's name."""
        return {
            "title": self.title,
            "rows": [
                {
                    self.subject: row.name,
                    **{column.name: _plain(row.figures.get(column.name)) for column in self.columns},
                    "goals": [
                        {"figure": goal.column, "goal": str(goal), "met": is_met, **_why(goal, is_met=is_met)}
                        for goal, is_met in row.verdicts()
                    ],
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


def _plain(figure: Figure) -> Any:
    return {"min": figure.low, "median": figure.median, "max": figure.high} if isinstance(figure, Spread) else figure


def _why(goal: Goal, *, is_met: bool) -> dict[str, str]:
    return {} if is_met or not goal.why else {"why": goal.why}


def show(table: Table) -> None:
    """Print a table for people: goals beside the figures, and below it why any was missed."""
    console = Console(width=WIDTH, highlight=False, markup=False)
    console.print(_drawn(table))
    for line in (*table.notes, *_misses(table)):
        console.print(Padding(line, (0, 0, 0, 2)))
    sys.stdout.flush()


def _misses(table: Table) -> Iterator[str]:
    """Say why goals are missed, each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row, goal in table.missed:
        reasons.setdefault((f"{goal.column} {goal}", goal.why or "no reason is known"), []).append(row.name)
    for (bound, why), rows in reasons.items():
        yield f"missed {bound} by {', '.join(rows)}: {why}"


def _drawn(table: Table) -> Drawn:
    drawn = Drawn(title=table.title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    drawn.add_column(table.subject)
    for column in table.columns:
        drawn.add_column(column.title, justify="right", no_wrap=True)
    has_goals = any(row.goals for row in table.rows)
    if has_goals:
        drawn.add_column("goal")
    for row in table.rows:
        figures = [column.write(row.figures.get(column.name)) for column in table.columns]
        marks = [f"{goal.column} {goal}: {'met' if is_met else 'MISSED'}" for goal, is_met in row.verdicts()]
        drawn.add_row(row.name, *figures, *(["\n".join(marks)] if has_goals else []))
    return drawn
