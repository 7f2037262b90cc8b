"""What a benchmark shows: a table of figures beside the goals that they are to reach, for people and as JSON.

A column is a name and the format of its figures: `{"seconds": ".1f", "429s": ",d"}`. A goal is a text:
`Goal("429s <= 0", "why, if it is missed")`.
"""

import math
import operator
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from attrs import field, frozen, validators
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Drawn

WIDTH = 150
_COMPARED = {"<=": operator.le, ">=": operator.ge}


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
"""None where a row has no such figure."""


def number(figure: Figure) -> float | None:
    """Return a figure as a number, a spread by its median; None if there is none."""
    reached = figure.median if isinstance(figure, Spread) else figure
    return reached if isinstance(reached, int | float) else None


def percentile(figures: Sequence[float], hundredth: int) -> float:
    """Return what so many of a hundred figures, in order, do not exceed."""
    return figures[max(0, math.ceil(len(figures) * hundredth / 100) - 1)]


@frozen
class Goal:
    """What a figure is to be, such as `ratio <= 1.03`; `why` is printed if it is not."""

    text: str = field(validator=validators.matches_re(r".+ [<>]= [\d.]+"))
    why: str = ""

    @property
    def column(self) -> str:
        return self.text.rsplit(maxsplit=2)[0]

    def is_met(self, figure: Figure) -> bool:
        """Whether a figure reaches it, a spread by its median; what was not measured reaches none."""
        sign, bound = self.text.split()[-2:]
        return (reached := number(figure)) is not None and bool(_COMPARED[sign](reached, float(bound)))


@frozen
class Row:
    """What was measured of one subject, by column."""

    name: str
    figures: Mapping[str, Figure]
    goals: Sequence[Goal] = ()

    def checked(self) -> Iterator[tuple[Goal, bool]]:
        """Yield each goal, and whether it is met."""
        return ((goal, goal.is_met(self.figures.get(goal.column))) for goal in self.goals)


def rows(figures: Mapping[str, Mapping[str, Figure]], goals: Mapping[str, Sequence[Goal]] | None = None) -> list[Row]:
    """Return a row for each name, with the goals of that name."""
    return [Row(name, each, (goals or {}).get(name, ())) for name, each in figures.items()]


@frozen(kw_only=True)
class Plot:
    """A picture of a table over logarithmic axes: `column` goes up, and `along`, a column too, goes along.

    Rows of one name are a line, if `series` does not say otherwise; `place` says where along a row is.
    """

    title: str
    along: str
    up: str
    column: str
    series: Callable[[Row], str] = lambda row: row.name
    place: Callable[[Row], float | None] = field()

    @place.default
    def _along(self) -> Callable[[Row], float | None]:
        return lambda row: number(row.figures[self.along])


@frozen(kw_only=True)
class Table:
    """Rows under columns; `subject` is what the rows are, `notes` what has to be known to read them."""

    title: str
    subject: str
    columns: Mapping[str, str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    plot: Plot | None = None

    @property
    def missed(self) -> Iterator[tuple[Row, Goal]]:
        """The goals that are not reached."""
        return ((row, goal) for row in self.rows for goal, is_met in row.checked() if not is_met)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON: every figure under its column's name."""
        shown = [
            {
                self.subject: row.name,
                **{column: _plain(row.figures.get(column)) for column in self.columns},
                "goals": [_goal(goal, is_met=is_met) for goal, is_met in row.checked()],
            }
            for row in self.rows
        ]
        return {"title": self.title, "rows": shown, "notes": list(self.notes)}


def _plain(figure: Figure) -> Any:
    return {"min": figure.low, "median": figure.median, "max": figure.high} if isinstance(figure, Spread) else figure


def _goal(goal: Goal, *, is_met: bool) -> dict[str, Any]:
    why = {} if is_met or not goal.why else {"why": goal.why}
    return {"figure": goal.column, "goal": goal.text.removeprefix(goal.column).strip(), "met": is_met, **why}


def show(table: Table) -> None:
    """Print a table for people: goals beside the figures, and below it why any was missed, each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row, goal in table.missed:
        reasons.setdefault((goal.text, goal.why or "no reason is known"), []).append(row.name)
    console = Console(width=WIDTH, highlight=False, markup=False)
    console.print(_drawn(table))
    misses = (f"missed {bound} by {', '.join(names)}: {why}" for (bound, why), names in reasons.items())
    for line in (*table.notes, *misses):
        console.print(Padding(line, (0, 0, 0, 2)))
    sys.stdout.flush()


def _drawn(table: Table) -> Drawn:
    drawn = Drawn(title=table.title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    drawn.add_column(table.subject)
    for column in table.columns:
        is_spread = any(isinstance(row.figures.get(column), Spread) for row in table.rows)
        drawn.add_column(f"{column}\nmin median max" if is_spread else column, justify="right", no_wrap=True)
    if has_goals := any(row.goals for row in table.rows):
        drawn.add_column("goal")
    for row in table.rows:
        figures = [_written(row.figures.get(column), form) for column, form in table.columns.items()]
        marks = [f"{goal.text}: {'met' if is_met else 'MISSED'}" for goal, is_met in row.checked()]
        drawn.add_row(row.name, *figures, *(["\n".join(marks)] if has_goals else []))
    return drawn


def _written(figure: Figure, form: str) -> str:
    return "-" if figure is None else figure if isinstance(figure, str) else format(figure, form)
