"""The status of an app in a terminal, once, or drawn again at each poll of `flyasync status --watch`."""

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.text import Text

from flyasync.cli.deploy.live import LiveScreen
from flyasync.cli.oncall.app_status import AppStatus
from flyasync.cli.oncall.status_text import headline, sections, unread_lines
from flyasync.cli.oncall.watch import RowChange
from flyasync.cli.shared.tables import drawn_table
from flyasync.errors import FlyError


class WatchScreen(LiveScreen):
    """Draws the state of an app, and leaves the last one on the terminal.

    What does not fit into the terminal is cut at the bottom: groups and machines in trouble are at the top.
    """

    is_over = False

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._current = Group()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the current state."""
        yield self._current

    def begin(self, status: AppStatus) -> None:
        """Draw the first state."""
        self._current = drawn(status, 0.0)
        self.draw(self)

    def show(self, at: float, _: Sequence[RowChange], status: AppStatus) -> None:
        """Draw a later state."""
        self._current = drawn(status, at)
        self.refresh()

    def trouble(self, at: float, error: FlyError) -> None:
        """Print the error above the drawing."""
        self.note(f"{at:.0f} s: the state could not be read: {' '.join(error.for_command.split())}")

    def close(self) -> None:
        """Replace the drawing by the whole last state."""
        super().close()
        self.console.print(self._current)


def drawn(status: AppStatus, at: float | None = None) -> Group:
    """Return the state of an app for a terminal, with the seconds since the first one."""
    style = "bold red" if status.in_trouble else "bold"
    age = "" if at is None else f"  {at:.0f} s"
    tables = (
        part
        for each in sections(status, in_a_terminal=True)
        for part in (Text(""), drawn_table(each.heads, each.rows, each.styles))
    )
    # Without a time, the command itself has written what could not be read.
    lacks = (Text(lack, style="yellow") for lack in (() if at is None else unread_lines(status)))
    return Group(Text.assemble((headline(status), style), (age, "dim")), *lacks, *tables)
