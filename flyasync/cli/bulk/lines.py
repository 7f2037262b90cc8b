"""What a person, a log or a program is shown of a run over many apps: plain lines, or JSON lines."""

import asyncio
from typing import Protocol

from attrs import Factory, define

from flyasync.cli.bulk.summary import (
    HEADS,
    Outlook,
    Run,
    Summary,
    app_as_json,
    headline,
    opening,
    outlined,
    outlook_as_json,
    progress,
    remarks,
    rows,
    summary_as_json,
)
from flyasync.cli.bulk.tally import Ended, Tally
from flyasync.cli.deploy.lines import JSONStreams, TextStreams
from flyasync.cli.shared.tables import write_table

EVERY = 10.0
"""Seconds between two lines on the progress."""


class BulkDisplay(Protocol):
    """Somewhere to show a run over many apps."""

    def begin(self, run: Run, tally: Tally) -> None:
        """Show that it begins; the tally goes on counting."""

    def show(self, ended: Ended) -> None:
        """Show what became of one app."""

    def finish(self, summary: Summary) -> None:
        """Show how it ended."""

    def outline(self, run: Run, outlook: Outlook, at_once: int) -> None:
        """Show what would be done."""

    def goes_to(self, url: str) -> None:
        """Say that it goes to another API than the public one."""

    def note(self, text: str) -> None:
        """Say something else."""

    def refresh(self) -> None:
        """Show how far it is by now."""

    def close(self) -> None:
        """Leave the terminal as it was."""


@define
class Clock:
    """The seconds of the loop since a run began."""

    _start: float = Factory(lambda: asyncio.get_running_loop().time())

    def seconds(self) -> float:
        """Give the seconds."""
        return round(asyncio.get_running_loop().time() - self._start, 3)


@define
class BulkLines(TextStreams):
    """A line for each app that failed, and one on the progress now and then; remarks go to `err`."""

    _clock: Clock | None = None
    _tally: Tally | None = None
    _last: float = 0.0

    def begin(self, run: Run, tally: Tally) -> None:
        """Write what begins."""
        self._clock, self._tally = Clock(), tally
        self._at(0.0, opening(run, tally))

    def show(self, ended: Ended) -> None:
        """Write why an app failed; of those that are well the progress tells."""
        if self._clock and not ended.ok:
            self._at(self._clock.seconds(), f"{ended.app}  failed: {ended.why}")

    def refresh(self) -> None:
        """Write how far it is, unless that was written a moment ago."""
        if self._clock and self._tally and self._clock.seconds() - self._last >= EVERY:
            self._last = self._clock.seconds()
            self._at(self._last, progress(self._tally, self._last))

    def finish(self, summary: Summary) -> None:
        """Write the headline, what failed and why, and how to go on."""
        self._say(headline(summary))
        if causes := rows(summary.tally.causes):
            write_table(self.out, HEADS, [HEADS, *causes])
        for remark in remarks(summary):
            self._say(remark)

    def outline(self, run: Run, outlook: Outlook, at_once: int) -> None:
        """Write what would be done."""
        self._say("\n".join(outlined(run, outlook, at_once)))

    def close(self) -> None:
        """Have nothing to leave."""


@define
class BulkJSONLines(JSONStreams):
    """One JSON object for each app, and the summary last."""

    _clock: Clock | None = None

    def begin(self, run: Run, tally: Tally) -> None:  # noqa: ARG002 - the summary tells both
        """Begin to count the seconds."""
        self._clock = Clock()

    def show(self, ended: Ended) -> None:
        """Write what became of an app, with its report."""
        self._say(app_as_json(self._clock.seconds() if self._clock else 0.0, ended))

    def finish(self, summary: Summary) -> None:
        """Write the summary."""
        self._say(summary_as_json(summary))

    def outline(self, run: Run, outlook: Outlook, at_once: int) -> None:
        """Write what would be done."""
        self._say(outlook_as_json(run, outlook, at_once))

    def refresh(self) -> None:
        """Have nothing to add."""

    def close(self) -> None:
        """Have nothing to leave."""
