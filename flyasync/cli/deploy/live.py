"""A deploy in a terminal: a live line for each machine, then the report."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import TextIO

from attrs import frozen
from rich.console import Console, ConsoleOptions, ConsoleRenderable, OverflowMethod, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flyasync.cli.deploy.dry_run import outlined
from flyasync.cli.deploy.machine_rows import Row, Rows, summary
from flyasync.cli.deploy.wording import Setting, intent, left, remarks
from flyasync.cli.shared.console import Paint
from flyasync.cli.shared.ticker import REFRESH, watching
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.events import Event, Finished, Planned

__all__ = ["ASCII_MARKS", "MARGIN", "MARKS", "Canvas", "Marks", "Picture", "Screen", "cut", "watching"]

MARGIN = 3  # where the terminal echoes ^C: in a full line it would break it, and the drawing with it

_WIDE = 72  # from here on there is room for ids and reasons beside the rest


@frozen(kw_only=True)
class Marks:
    """The signs of a picture; `overflow` is how rich cuts a text that is too long."""

    ready: str
    lost: str
    waiting: str
    arrow: str
    spin: str
    more: str
    overflow: OverflowMethod


MARKS = Marks(ready="✓", lost="✗", waiting="·", arrow=" → ", spin="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", more="…", overflow="ellipsis")
ASCII_MARKS = Marks(ready="+", lost="x", waiting=".", arrow=" > ", spin="|/-\\", more="...", overflow="crop")

_WORDS = {
    "running in": "green",
    "resting in": "green",
    "outside routing in": "yellow",
    "retired": "green",
    "skipped": "yellow",
    "failed": "red",
    "unknown": "red",
    "not begun": "yellow",
    "destroyed": "yellow",
    "left behind": "yellow",
    "too many": "red",
    "rolled back, and all is as it was": "green",
    "rolled back, but not all of it": "red",
}

_SIGNS = {"+ ": "green", "- ": "red", "~ ": "yellow"}


class Canvas:
    """The terminal: a picture that is drawn anew while something runs, and lines above it."""

    def __init__(self, out: TextIO) -> None:
        self.console = Paint(out)
        self._live: Live | None = None

    def goes_to(self, url: str) -> None:
        """Print the URL."""
        self.note(f"api: {url}")

    def note(self, text: str) -> None:
        """Print a remark; above the picture while that is drawn."""
        self._print(Text(text, style="yellow"))

    def refresh(self) -> None:
        """Draw the picture anew, with the time that has passed."""
        if self._live:
            self._live.refresh()

    def close(self) -> None:
        """End the drawing, and take the picture away."""
        live, self._live = self._live, None
        if live:
            live.stop()

    def _begin(self, picture: ConsoleRenderable) -> None:
        self._live = Live(
            console=self.console,
            auto_refresh=False,  # a thread of rich's own would draw by another clock than the loop's
            transient=True,  # what is said at the end is true, which is more than the answers on the way
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=lambda: picture,
        )
        self._live.start(refresh=True)

    def _print(self, text: Text) -> None:
        self.console.print(text, soft_wrap=True)


class Screen(Canvas):
    """While the deploy runs its rows are drawn anew, and at its end the report takes their place."""

    def __init__(self, out: TextIO, *, setting: Setting | None = None) -> None:
        super().__init__(out)
        self._setting = setting or Setting()
        self._rows: Rows | None = None

    def show(self, event: Event) -> None:
        """Draw the event into its row; with `Finished` end the drawing and print the report.

        A second plan is the way back: its rows take the place of those before.
        """
        if isinstance(event, Planned):
            self.close()
            if self._rows:
                self.note(f"rolling back: {intent(event.plan)}")
            for remark in event.plan.remarks:
                self.note(remark)
            self._rows = Rows.of(event)
            self._begin(Picture(self._rows, event.at))
        elif isinstance(event, Finished):
            self.close()
            self._report(event)
        elif self._rows:
            self._rows.take(event)
            self.refresh()

    def outline(self, plan: Plan, wanted: DeploySpec | None) -> None:
        """Print the plan and the config as they read."""
        for line in outlined(plan, wanted).splitlines():
            self._print(_signed(line))

    def _report(self, event: Finished) -> None:
        head, *rest = str(event.report).splitlines()
        self._print(Text(head, style="bold green" if event.report.ok else "bold red"))
        for line in rest:
            self._print(_coloured(line))
        for remark in remarks(event.report, self._setting):
            self.note(remark)


class Picture:
    """The rows as they look now, fitted to the terminal."""

    def __init__(self, rows: Rows, at: float) -> None:
        self.rows = rows
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time() - at

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the headline, the rows that fit, and what the others came to."""
        marks = ASCII_MARKS if options.ascii_only else MARKS
        width = options.max_width - MARGIN
        now = self._loop.time() - self._start
        head = list(self._head(now))
        shown, hidden = self.rows.fit(console.height - 1 - len(head), now)
        for line in head:
            yield cut(line, width, marks)
        yield _table(shown, now, marks, width)
        if hidden:
            yield cut(Text(f"  {marks.more} {summary(hidden, now)}", style="dim"), width, marks)

    def _head(self, now: float) -> Iterator[Text]:
        """Say how far it is and how long it takes, and where there are stages which one is under way."""
        plan, rows = self.rows.plan, self.rows
        done = "ready" if plan.strategy is None else "done"
        counted = f"{rows.ready(now)} of {len(rows.by_name)} {done}"
        kept = f", {rows.kept} kept" if rows.kept else ""
        remaining = left(rows.remaining(now))
        yield Text.assemble(
            (plan.app, "bold"),
            f"  {counted}{kept}  {now:.1f} s",
            (f"  {remaining}" if remaining else "", "bold"),
            (f"  {_occasion(plan)}", "dim"),
        )
        if heading := rows.stages.heading:
            yield Text(f"stage {heading}", style="cyan")


def _occasion(plan: Plan) -> str:
    if plan.strategy == "undo":
        return f"undo launch {plan.launch}"
    how = f"{plan.strategy}, " if plan.strategy else ""
    return f"{how}launch {plan.launch} of {plan.image}"


def cut(text: Text, width: int, marks: Marks) -> Text:
    """Cut a line to a width."""
    text.truncate(max(width, 0), overflow=marks.overflow)
    return text


def _table(rows: Iterable[Row], now: float, marks: Marks, width: int) -> Table:
    is_wide = width >= _WIDE
    table = Table.grid(padding=(0, 2, 0, 0))
    table.width = max(width, 0)
    table.add_column(width=3, justify="right")
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    if is_wide:
        table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, ratio=1, overflow=marks.overflow)
    for row in rows:
        table.add_row(*_cells(row, now, marks, is_wide=is_wide))
    return table


def _cells(row: Row, now: float, marks: Marks, *, is_wide: bool) -> Iterator[Text]:
    mark, style = _mark(row, now, marks)
    moved = f"{marks.arrow}{row.region}" if row.region != row.asked else ""
    yield Text(mark, style)
    yield Text.assemble((row.label, "bold"), (moved, "yellow"))
    yield Text(row.word(now), style)
    yield Text(f"{row.seconds(now):.1f} s")
    if is_wide:
        yield Text(row.machine_id or "")
    yield Text(row.why, style if row.is_lost else "yellow")


def _mark(row: Row, now: float, marks: Marks) -> tuple[str, str]:
    if row.is_ready(now):
        return marks.ready, "green"
    if row.is_lost:
        return marks.lost, "red"
    if row.phase is None:
        return marks.waiting, "dim"
    return marks.spin[int(now / REFRESH) % len(marks.spin)], "cyan"


def _signed(line: str) -> Text:
    """Colour a line of a plan that tells of a change, by its sign."""
    return Text(line, _SIGNS.get(line.lstrip()[:2], ""))


def _coloured(line: str) -> Text:
    text = Text(line)
    for words, style in _WORDS.items():
        text.highlight_words([f"  {words}"], style)
    return text
