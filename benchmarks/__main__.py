"""Print what flyasync costs, and against whom: `python -m benchmarks [NAME ...] [--json] [--svg DIRECTORY] [--tiny]`.

Without a name all eight are measured, one after the other and each in a process of its own. `emulator` takes about
three minutes, the others under ten together. Every figure that depends on the machine is a ratio of something that was
measured beside it in the same run.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Drawn

from benchmarks.table import Table

NAMES = {
    "launch": "time until N machines run, against what one would write without flyasync",
    "session": "CPU of a call, against bare aiohttp and a generated httpx client",
    "decoding": "lists of machines into models, against json, orjson, pydantic and msgspec",
    "waiting": "10,000 waits at once: long polls against lists",
    "limiter": "turns of the rate limits, against aiolimiter and another library",
    "start": "imports and --help, against a bare interpreter, click and aiohttp",
    "emulator": "CPU of a request to the emulator, against a bare handler, json.dumps and mudflaps",
    "growth": "CPU and memory for each machine, from ten to 100,000 and from one app to 10,000",
}
WIDTH = 150
INTERRUPTED = 130

Measure = Callable[..., Iterable[Table]]


def main(words: list[str]) -> int:
    """Measure what is asked for; not 0 only where a benchmark itself fails, for a missed goal is a result."""
    options = _options(words)
    try:
        if len(options.names) == 1:
            return _measure(options.names[0], options)
        return max(_alone(name, words, options) for name in options.names)
    except KeyboardInterrupt:
        return INTERRUPTED


def _options(words: list[str]) -> argparse.Namespace:
    told = "\n".join(f"  {name:10} {what}" for name, what in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", epilog=told, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", default=[], help="what to measure; all of it without one")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line for each benchmark")
    parser.add_argument("--svg", type=Path, metavar="DIRECTORY", help="draw pictures there")
    parser.add_argument("--tiny", action="store_true", help="at the smallest size: that it runs, not what it measures")
    parser.add_argument(
        "--mudflaps", type=Path, metavar="PATH", help="another emulator, for `emulator` to compare with"
    )
    parser.add_argument("--flyctl", type=Path, metavar="PATH", help="the official command, for `launch`")
    options = parser.parse_args(words)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}")
    options.names = options.names or list(NAMES)
    return options


def _alone(name: str, words: list[str], options: argparse.Namespace) -> int:
    """Measure it in a process of its own, whose memory nobody else has used."""
    flags = [word for word in words if word not in options.names]
    python = [sys.executable, *(f"-W{option}" for option in sys.warnoptions)]
    return subprocess.run([*python, "-m", "benchmarks", name, *flags], check=False).returncode  # noqa: S603


def _measure(name: str, options: argparse.Namespace) -> int:
    try:
        measure: Measure = import_module(f"benchmarks.{name}").measure
    except ModuleNotFoundError as missing:
        print(f"{name} needs {missing.name}: pip install -e '.[bench]'", file=sys.stderr)
        return 1
    began = time.monotonic()
    tables, pictures = [], count(1)
    theirs = {"emulator": "mudflaps", "launch": "flyctl"}
    others = {theirs[name]: getattr(options, theirs[name])} if name in theirs else {}
    for table in measure(tiny=options.tiny, **others):
        tables.append(table)
        if not options.json:
            show(table)
        if options.svg and table.plot:
            import_module("benchmarks.picture").draw(table, options.svg / f"{name}-{next(pictures)}.svg")
    seconds = time.monotonic() - began
    if options.json:
        print(json.dumps(_as_json(name, tables, seconds)))
    else:
        print(f"{name}: {seconds:.0f} s\n", flush=True)
    return 0


def _as_json(name: str, tables: Iterable[Table], seconds: float) -> dict[str, Any]:
    return {
        "benchmark": name,
        "python": platform.python_version(),
        "seconds": round(seconds, 1),
        "tables": [table.as_json() for table in tables],
    }


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
