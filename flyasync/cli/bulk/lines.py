"""The output of a run over many apps for a log or a program: plain lines, or JSON lines."""

import asyncio
from typing import Protocol

from attrs import Factory, define

from flyasync.cli.bulk.dry_run import BulkPlan, plan_as_json, plan_as_text
from flyasync.cli.bulk.results import AppResult, BulkProgress
from flyasync.cli.bulk.summary import (
    HEADS,
    BulkInvocation,
    BulkSummary,
    app_as_json,
    cause_rows,
    headline,
    opening,
    progress_text,
    remarks,
    summary_as_json,
)
from flyasync.cli.deploy.lines import JSONStreams, TextStreams, write_line
from flyasync.cli.shared.tables import write_rows

EVERY = 10.0
"""Seconds between two progress lines."""


class BulkDisplay(Protocol):
    """Shows a run over many apps."""

    def begin(self, called: BulkInvocation, progress: BulkProgress) -> None:
        """Show the start; `progress` is updated during the run."""

    def show(self, result: AppResult) -> None:
        """Show the result of one app."""

    def finish(self, summary: BulkSummary) -> None:
        """Show the summary."""

    def show_plan(self, called: BulkInvocation, plan: BulkPlan) -> None:
        """Show the plan of a dry run."""

    def show_api(self, url: str) -> None:
        """Show the URL of an API other than the public one."""

    def note(self, text: str) -> None:
        """Show a note."""

    def refresh(self) -> None:
        """Show the current progress."""

    def close(self) -> None:
        """Restore the terminal."""


@define
class RunClock:
    """The seconds since a run began, on the clock of the loop."""

    _start: float = Factory(lambda: asyncio.get_running_loop().time())

    def seconds(self) -> float:
        """Return the seconds."""
        return round(asyncio.get_running_loop().time() - self._start, 3)


@define
class BulkLines(TextStreams):
    """A line for each failed app, and a progress line every ten seconds; notes go to `err`."""

    _clock: RunClock | None = None
    _progress: BulkProgress | None = None
    _last: float = 0.0

    def begin(self, called: BulkInvocation, progress: BulkProgress) -> None:
        """Write the start of the run."""
        self._clock, self._progress = RunClock(), progress
        self._write_at(0.0, opening(called, progress))

    def show(self, result: AppResult) -> None:
        """Write why an app failed; the others are only counted in the progress."""
        if self._clock and not result.ok:
            self._write_at(self._clock.seconds(), f"{result.app}  failed: {result.why}")

    def refresh(self) -> None:
        """Write the progress, unless it was written less than ten seconds ago."""
        if self._clock and self._progress and self._clock.seconds() - self._last >= EVERY:
            self._last = self._clock.seconds()
            self._write_at(self._last, progress_text(self._progress, self._last))

    def finish(self, summary: BulkSummary) -> None:
        """Write the headline, the causes of failures, and the next steps."""
        write_line(self.out, headline(summary))
        # The headings are written as a row for the reader of a log.
        if causes := cause_rows(summary.progress.causes):
            write_rows(self.out, [HEADS, *causes])
        for remark in remarks(summary):
            write_line(self.out, remark)

    def show_plan(self, called: BulkInvocation, plan: BulkPlan) -> None:
        """Write the plan of a dry run."""
        write_line(self.out, "\n".join(plan_as_text(called, plan)))

    def close(self) -> None:
        """Do nothing: lines need no cleanup."""


@define
class BulkJSONLines(JSONStreams):
    """One JSON object for each app, and the summary last."""

    _clock: RunClock | None = None

    def begin(self, called: BulkInvocation, progress: BulkProgress) -> None:  # noqa: ARG002 - the summary has both
        """Start the clock."""
        self._clock = RunClock()

    def show(self, result: AppResult) -> None:
        """Write the result of an app, with its report."""
        self._write(app_as_json(self._clock.seconds() if self._clock else 0.0, result))

    def finish(self, summary: BulkSummary) -> None:
        """Write the summary."""
        self._write(summary_as_json(summary))

    def show_plan(self, called: BulkInvocation, plan: BulkPlan) -> None:
        """Write the plan of a dry run."""
        self._write(plan_as_json(called, plan))

    def refresh(self) -> None:
        """Do nothing: a program counts the apps itself."""

    def close(self) -> None:
        """Do nothing: lines need no cleanup."""
