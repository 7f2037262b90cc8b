"""Tables as pictures: lines over logarithmic axes, in SVG that asks no other place for anything."""

from pathlib import Path

import pygal
from pygal.style import CleanStyle

from benchmarks.table import Plot, Spread, Table


def draw(table: Table, path: Path) -> None:
    """Write the table's plot to `path`."""
    if table.plot is None:
        raise ValueError(f"{table.title} has no plot")
    plot = table.plot
    path.parent.mkdir(parents=True, exist_ok=True)
    chart = pygal.XY(
        pygal.Config(js=[], style=CleanStyle(font_family="sans-serif")),
        title=plot.title,
        x_title=plot.along,
        y_title=plot.up,
        logarithmic=True,
        xrange=None,
        show_legend=True,
        legend_at_bottom=True,
    )
    for name, points in _series(table, plot).items():
        chart.add(name, sorted(points))
    chart.render_to_file(str(path))


def _series(table: Table, plot: Plot) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in table.rows:
        figure = row.figures.get(plot.column)
        height = figure.median if isinstance(figure, Spread) else figure
        if isinstance(height, int | float):
            lines.setdefault(plot.series(row), []).append((plot.place(row), height))
    return lines
