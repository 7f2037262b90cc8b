"""A run over many apps in a terminal: how far it is, and the newest failures; then what failed and why."""

from collections import deque
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.text import Text

from flyasync.cli.bulk.lines import Clock
from flyasync.cli.bulk.summary import (
    HEADS,
    Outlook,
    Run,
    Summary,
    headline,
    outlined,
    progress,
    remarks,
    rows,
)
from flyasync.cli.bulk.tally import Ended, Tally
from flyasync.cli.deploy.live import ASCII_MARKS, MARGIN, MARKS, Canvas, cut
from flyasync.cli.shared.tables import write_table

NEWEST = 5
"""How many of the last failures are shown."""


class BulkScreen(Canvas):
    """While the run goes on its counts are drawn anew, and at its end the table of failures takes their place."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._out = out
        self._newest: deque[Ended] = deque(maxlen=NEWEST)

    def begin(self, run: Run, tally: Tally) -> None:
        """Draw the counts from now on."""
        self._begin(Picture(run, tally, self._newest, Clock()))

    def show(self, ended: Ended) -> None:
        """Note what became of an app; a failure is drawn among the newest."""
        if not ended.ok:
            self._newest.append(ended)

    def finish(self, summary: Summary) -> None:
        """End the drawing, and print the headline, what failed and why, and how to go on."""
        self.close()
        self._print(Text(headline(summary), style="bold green" if summary.ok else "bold red"))
        if causes := rows(summary.tally.causes):
            write_table(self._out, HEADS, causes)
        for remark in remarks(summary):
            self.note(remark)

    def outline(self, run: Run, outlook: Outlook, at_once: int) -> None:
        """Print what would be done."""
        for line in outlined(run, outlook, at_once):
            self._print(Text(line))


class Picture:
    """The counts and the newest failures as they are now, fitted to the terminal."""

    def __init__(self, run: Run, tally: Tally, newest: Iterable[Ended], clock: Clock) -> None:
        self._run = run
        self._tally = tally
        self._newest = newest
        self._clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the headline, a bar, and the newest failures."""
        marks = ASCII_MARKS if options.ascii_only else MARKS
        width = options.max_width - MARGIN
        tally, seconds = self._tally, self._clock.seconds()
        for line in self._head(seconds):
            yield cut(line, width, marks)
        yield ProgressBar(total=tally.total, completed=tally.total - tally.left, width=max(width, 1))
        yield Segment.line()
        room = console.height - 4
        for ended in list(self._newest)[-room:] if room > 0 else ():
            yield cut(Text.assemble((f"{marks.lost} {ended.app}  ", "red"), ended.why or ""), width, marks)

    def _head(self, seconds: float) -> Iterable[Text]:
        tally = self._tally
        before = f"  done before: {tally.kept}" if tally.kept else ""
        yield Text.assemble(
            (self._run.source, "bold"), f"  {seconds:.1f} s", before, (f"  launch {self._run.launch}", "dim")
        )
        counts = Text(progress(tally, seconds))
        if tally.failed:
            counts.highlight_words([f"{tally.failed} failed"], "red")
        yield counts
