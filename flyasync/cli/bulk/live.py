"""The output of a run over many apps in a terminal: live counts and the newest failures, then the causes."""

from collections import deque
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.text import Text

from flyasync.cli.bulk.dry_run import BulkPlan, plan_as_text
from flyasync.cli.bulk.lines import RunClock
from flyasync.cli.bulk.results import AppResult, BulkProgress
from flyasync.cli.bulk.summary import (
    HEADS,
    BulkInvocation,
    BulkSummary,
    cause_rows,
    headline,
    progress_text,
    remarks,
)
from flyasync.cli.deploy.live import ASCII_MARKS, MARGIN, MARKS, LiveScreen, cut
from flyasync.cli.shared.tables import write_table

NEWEST = 5
"""How many of the last failures are shown."""


class BulkScreen(LiveScreen):
    """Draws the counts during the run, and replaces them with the causes of failures at its end."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._out = out
        self._newest: deque[AppResult] = deque(maxlen=NEWEST)

    def begin(self, called: BulkInvocation, progress: BulkProgress) -> None:
        """Draw the counts from now on."""
        self.draw(LiveCounts(called, progress, self._newest, RunClock()))

    def show(self, result: AppResult) -> None:
        """Keep a failure for the next refresh, which draws the newest ones."""
        if not result.ok:
            self._newest.append(result)

    def finish(self, summary: BulkSummary) -> None:
        """Remove the drawing, and print the headline, the causes of failures, and the next steps."""
        self.close()
        self.print(Text(headline(summary), style="bold green" if summary.ok else "bold red"))
        if causes := cause_rows(summary.progress.causes):
            write_table(self._out, HEADS, causes)
        for remark in remarks(summary):
            self.note(remark)

    def show_plan(self, called: BulkInvocation, plan: BulkPlan) -> None:
        """Print the plan of a dry run."""
        for line in plan_as_text(called, plan):
            self.print(Text(line))


class LiveCounts:
    """The current counts and the newest failures, fitted to the terminal."""

    def __init__(
        self, called: BulkInvocation, progress: BulkProgress, newest: Iterable[AppResult], clock: RunClock
    ) -> None:
        self._called = called
        self._progress = progress
        self._newest = newest
        self._clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the headline, the counts, a bar, and the newest failures."""
        marks = ASCII_MARKS if options.ascii_only else MARKS
        width = options.max_width - MARGIN
        progress, seconds = self._progress, self._clock.seconds()
        before = f"  done before: {progress.kept}" if progress.kept else ""
        launch = f"  launch {self._called.launch}"
        head = Text.assemble((self._called.source, "bold"), f"  {seconds:.1f} s", before, (launch, "dim"))
        counts = Text(progress_text(progress, seconds))
        if progress.failed:
            counts.highlight_words([f"{progress.failed} failed"], "red")
        yield cut(head, width, marks)
        yield cut(counts, width, marks)
        yield ProgressBar(total=progress.total, completed=progress.total - progress.left, width=max(width, 1))
        yield Segment.line()
        room = console.height - 4  # headline, counts, bar, and the line that stays empty
        # The newest failures come last, next to where the cursor is
        for result in list(self._newest)[-room:] if room > 0 else ():
            yield cut(Text.assemble((f"{marks.lost} {result.app}  ", "red"), result.why or ""), width, marks)
