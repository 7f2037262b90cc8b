"""Tables as pictures: lines over logarithmic axes, in SVG that asks no other place for anything."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import pygal
from pygal.style import CleanStyle

from benchmarks.shared.table import Table, number

# It leaves a finder for plugins of its own that Python no longer understands, and warns of at each later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]


def draw(table: Table, path: Path) -> None:
    """Write the table's plot to `path`."""
    if table.plot is None:
        raise ValueError(f"{table.title} has no plot")
    plot = table.plot
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in table.rows:
        along, up = plot.place(row), number(row.figures.get(plot.column))
        if along is not None and up is not None:
            lines.setdefault(plot.series(row), []).append((along, up))
    points = [point for line in lines.values() for point in line]
    path.parent.mkdir(parents=True, exist_ok=True)
    chart = pygal.XY(
        pygal.Config(js=[], style=CleanStyle(font_family="sans-serif")),
        title=plot.title,
        x_title=plot.along,
        y_title=plot.up,
        logarithmic=True,
        legend_at_bottom=True,
        truncate_legend=-1,
        truncate_label=-1,
        x_labels=_steps([along for along, _ in points], (1,)),
        y_labels=_steps([up for _, up in points], (1, 2, 5)),
        value_formatter="{:,.6g}".format,
        x_value_formatter="{:,.6g}".format,
    )
    chart.add_xml_filter(_without_scripts)
    for name, line in lines.items():
        chart.add(name, sorted(line))
    chart.render_to_file(str(path))


def _steps(figures: Sequence[float], within: Sequence[int]) -> list[float]:
    """Return the labels of a logarithmic axis: these steps of each power of ten, around the figures."""
    if not figures:
        return []
    powers = range(math.floor(math.log10(min(figures))), math.ceil(math.log10(max(figures))) + 1)
    steps = [step * 10.0**power for power in powers for step in within]
    lowest = max((step for step in steps if step <= min(figures)), default=steps[0])
    return [step for step in steps if lowest <= step <= max(figures)]


def _without_scripts(root: Element) -> Element:
    """Leave a picture, not a program: pages that show a README run none."""
    for parent in root.iter():
        for script in [child for child in parent if str(child.tag).rpartition("}")[2] == "script"]:
            parent.remove(script)
    return root
