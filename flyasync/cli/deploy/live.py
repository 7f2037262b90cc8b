"""The output of a deploy in a terminal: a live line for each machine, then the report."""

import asyncio
from collections.abc import Iterator
from typing import TextIO

from attrs import frozen
from rich.console import Console, ConsoleOptions, ConsoleRenderable, OverflowMethod, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flyasync.cli.deploy.dry_run import plan_as_text
from flyasync.cli.deploy.event_text import plan_headline, time_left
from flyasync.cli.deploy.machine_rows import MachineRow, MachineRows, phase_counts
from flyasync.cli.deploy.next_steps import Invocation, next_steps
from flyasync.cli.shared.console import SafeConsole
from flyasync.cli.shared.ticker import REFRESH
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Event, Finished, Planned
from flyasync.deploy.reporting.report import DeployReport
from flyasync.deploy.reporting.styles import Tone

MARGIN = 3  # room for the ^C that a terminal echoes, which would wrap a full line

_WIDE = 72  # the width from which ids are shown too


@frozen(kw_only=True)
class Marks:
    """The symbols of the live table; `overflow` is how rich cuts a long text."""

    ready: str
    lost: str
    waiting: str
    arrow: str
    spin: str
    more: str
    overflow: OverflowMethod


MARKS = Marks(ready="✓", lost="✗", waiting="·", arrow=" → ", spin="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", more="…", overflow="ellipsis")
ASCII_MARKS = Marks(ready="+", lost="x", waiting=".", arrow=" > ", spin="|/-\\", more="...", overflow="crop")

_COLOURS = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.CAUTION: "yellow", Tone.BAD: "red"}

# The signs of a diff, at the start of a plan line.
_SIGNS = {"+ ": "green", "- ": "red", "~ ": "yellow"}


class LiveScreen:
    """A terminal with a live drawing, and lines printed above it."""

    def __init__(self, out: TextIO) -> None:
        self.console = SafeConsole(out)
        self._live: Live | None = None

    def show_api(self, url: str) -> None:
        """Print the URL."""
        self.note(f"api: {url}")

    def note(self, text: str) -> None:
        """Print a note, above the drawing if there is one."""
        self.print(Text(text, style="yellow"))

    def print(self, text: Text) -> None:
        """Print a line, which the terminal may wrap."""
        self.console.print(text, soft_wrap=True)

    def draw(self, drawing: ConsoleRenderable) -> None:
        """Draw this from now on, until `close`."""
        self._live = Live(
            console=self.console,
            auto_refresh=False,  # rich would refresh from a thread, by another clock than that of the loop
            transient=True,  # the report replaces the drawing
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=lambda: drawing,
        )
        self._live.start(refresh=True)

    def refresh(self) -> None:
        """Draw again, with the time that has passed."""
        if self._live:
            self._live.refresh()

    def close(self) -> None:
        """Stop drawing, and remove the drawing."""
        live, self._live = self._live, None  # so that it is stopped only once, even if that fails
        if live:
            live.stop()


class Screen(LiveScreen):
    """Draws a row for each machine while the deploy runs, and replaces the rows with the report at its end."""

    def __init__(self, out: TextIO, *, called: Invocation | None = None) -> None:
        super().__init__(out)
        self._called = called or Invocation()
        self._rows: MachineRows | None = None

    def show(self, event: Event) -> None:
        """Update the row of the event; for `Finished`, remove the drawing and print the report."""
        if isinstance(event, Planned):
            self.close()
            if self._rows:  # a second plan is the rollback: its rows replace those of the first
                self.note(f"rolling back: {plan_headline(event.plan)}")
            for line in (*event.plan.sizes, *event.plan.remarks):
                self.note(line)
            for line in event.plan.resource_lines():
                self.print(Text(line))
            self._rows = MachineRows.of(event)
            self.draw(LiveRows(self._rows, event.at))
        elif isinstance(event, Finished):
            self.close()
            self._print_report(event.report)
        elif self._rows:
            self._rows.record(event)
            self.refresh()

    def show_plan(self, plan: Plan, spec: DeploySpec | None) -> None:
        """Print the plan and the config; the colour of a changed line depends on its sign."""
        for line in plan_as_text(plan, spec).splitlines():
            self.print(Text(line, _SIGNS.get(line.lstrip()[:2], "")))

    def _print_report(self, report: DeployReport) -> None:
        head, *rest = report.lines()
        self.print(Text.assemble(*((text, f"bold {_COLOURS[tone]}") for text, tone in head)))
        for line in rest:
            self.print(Text.assemble(*((text, _COLOURS[tone]) for text, tone in line)))
        for step in next_steps(report, self._called):
            self.note(step)


class LiveRows:
    """The current rows, fitted to the terminal."""

    def __init__(self, rows: MachineRows, at: float) -> None:
        self.rows = rows
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time() - at

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the headline, the stage, the rows that fit, and a count by phase of the others."""
        marks = ASCII_MARKS if options.ascii_only else MARKS
        width = options.max_width - MARGIN
        now = self._loop.time() - self._start
        heading = self.rows.progress.heading
        head = [self._headline(now), *([Text(f"stage {heading}", style="cyan")] if heading else [])]
        for line in head:
            yield cut(line, width, marks)
        # The last line stays empty: a drawing as high as the terminal would scroll with each refresh.
        shown, hidden = self.rows.fit(console.height - 1 - len(head), now)
        is_wide = width >= _WIDE
        # Mark, machine, phase, seconds, id if there is room, and the reason in the rest of the line.
        table = Table.grid(padding=(0, 2, 0, 0))
        table.width = max(width, 0)
        table.add_column(width=3, justify="right")
        for _ in range(2):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        if is_wide:
            table.add_column(no_wrap=True, style="dim")
        table.add_column(no_wrap=True, ratio=1, overflow=marks.overflow)
        for row in shown:
            table.add_row(*_cells(row, now, marks, is_wide=is_wide))
        yield table
        if hidden:
            yield cut(Text(f"  {marks.more} {phase_counts(hidden, now)}", style="dim"), width, marks)

    def _headline(self, now: float) -> Text:
        """Return the progress, the time left, and the launch."""
        plan, rows = self.rows.plan, self.rows
        done = "ready" if plan.strategy is None else "done"
        kept = f", {rows.kept} kept" if rows.kept else ""
        remaining = time_left(rows.remaining(now))
        by = f"{plan.strategy}, " if plan.strategy else ""
        about = f"undo launch {plan.launch}" if plan.strategy == "undo" else f"{by}launch {plan.launch} of {plan.image}"
        return Text.assemble(
            (plan.app, "bold"),
            f"  {rows.ready(now)} of {len(rows.by_name)} {done}{kept}  {now:.1f} s",
            (f"  {remaining}" if remaining else "", "bold"),
            (f"  {about}", "dim"),
        )


def cut(text: Text, width: int, marks: Marks) -> Text:
    """Cut a line to a width."""
    text.truncate(max(width, 0), overflow=marks.overflow)
    return text


def _cells(row: MachineRow, now: float, marks: Marks, *, is_wide: bool) -> Iterator[Text]:
    """Yield the cells of a row: mark, machine and region, phase, seconds, id if there is room, and the reason."""
    # The mark has the same meaning as the colour, for terminals and people without colours.
    if row.is_ready(now):
        mark, style = marks.ready, "green"
    elif row.is_lost:
        mark, style = marks.lost, "red"
    elif row.phase is None:
        mark, style = marks.waiting, "dim"
    else:
        mark, style = marks.spin[int(now / REFRESH) % len(marks.spin)], "cyan"
    moved = f"{marks.arrow}{row.region}" if row.region != row.asked else ""
    yield Text(mark, style)
    yield Text.assemble((row.label, "bold"), (moved, "yellow"))
    yield Text(row.text(now), style)
    yield Text(f"{row.seconds(now):.1f} s")
    if is_wide:
        yield Text(row.machine_id or "")
    yield Text(row.why, style if row.is_lost else "yellow")
