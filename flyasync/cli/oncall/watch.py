"""`flyasync status --watch`: reads an app repeatedly, and shows what changes."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TextIO

from attrs import asdict, field, frozen

from flyasync.api.client import FlyClient
from flyasync.api.resource import TROUBLE
from flyasync.cli.oncall.app_status import AppStatus, read_status
from flyasync.cli.oncall.status_text import StatusOutput, short_image, unread_lines
from flyasync.cli.shared.exit_codes import OK
from flyasync.cli.shared.output import note
from flyasync.cli.shared.streams import can_draw, is_lost
from flyasync.errors import FlyError

EVERY = 2.0
"""Seconds between two polls: half the limit of a list, so that a deploy beside it has the other half."""

Row = Mapping[str, Any]


@frozen(kw_only=True)
class RowChange:
    """A machine, address or volume that is new, is gone, or has changed.

    `before` and `after` are the fields that differ; one of them is empty if the row is new or gone. `name`
    and `region` are those of a machine or volume.
    """

    event: str
    kind: str
    id: str
    name: str | None = None
    region: str | None = None
    before: Row = field(factory=dict)
    after: Row = field(factory=dict)

    def __str__(self) -> str:
        label = f"{self.kind} {self.name} ({self.id})" if self.name else f"{self.kind} {self.id}"
        where = f" in {self.region}" if self.region else ""
        if self.event == "added":
            what = f"new, {self.after['state']}" if "state" in self.after else "new"
        elif self.event == "removed":
            what = "gone"
        else:
            pairs = ((key, self.before[key], value) for key, value in self.after.items())
            what = ", ".join(f"{key} {_text(key, old)} → {_text(key, new)}" for key, old, new in pairs)
        return f"{label}{where}: {what}"


def changes(old: AppStatus, new: AppStatus) -> Iterator[RowChange]:
    """Yield the differences between two states of an app, machines in trouble first.

    A part that could not be read has no differences.
    """
    before, after = old.rows(), new.rows()
    unread = {"addresses": "address", "volumes": "volume"}
    skipped = {unread[part] for part in (*old.unread, *new.unread)}
    for kind, row_id in (*after, *(key for key in before if key not in after)):
        was, row = before.get((kind, row_id), {}), after.get((kind, row_id), {})
        if kind in skipped or was == row:
            continue
        row_change = partial(
            RowChange, kind=kind, id=row_id, name=(row or was).get("name"), region=(row or was).get("region")
        )
        if not (was and row):
            yield row_change(event="added" if row else "removed", before=was, after=row)
            continue
        differing = [key for key, value in row.items() if value != was.get(key) and key not in _IMPLIED]
        if differing:
            one, other = ({key: each.get(key) for key in differing} for each in (was, row))
            yield row_change(event="changed", before=one, after=other)


_IMPLIED = frozenset({"checks"})
"""Fields whose changes other fields show: the output of a check may differ each time."""


def _text(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short_image(value) if key == "image" else str(value)


class WatchDisplay(Protocol):
    """Shows the state of an app, and its changes."""

    @property
    def is_over(self) -> bool:
        """Whether no one reads it any more."""

    def begin(self, status: AppStatus) -> None:
        """Show the first state."""

    def show(self, at: float, changes: Sequence[RowChange], status: AppStatus) -> None:
        """Show the changes that led to a later state, `at` seconds after the first."""

    def trouble(self, at: float, error: FlyError) -> None:
        """Show that the app could not be read."""

    def close(self) -> None:
        """End the display."""


def watch_display(out: TextIO, *, as_json: bool) -> WatchDisplay:
    """Return the display for a stream: a drawing for a terminal, otherwise lines."""
    if as_json:
        return WatchJSON(out)
    if can_draw(out):
        from flyasync.cli.oncall.status_screen import WatchScreen  # rich loads slowly

        return WatchScreen(out)
    return WatchLines(out)


@frozen
class WatchLines:
    """One line for each row at first, then one for each change."""

    out: TextIO

    @property
    def is_over(self) -> bool:
        """Whether the reader of the pipe is gone."""
        return is_lost(self.out)

    def begin(self, status: AppStatus) -> None:
        """Write the rows, and what could not be read."""
        for lack in unread_lines(status):
            note(lack)
        StatusOutput(status).write(self.out)
        self.out.flush()

    def show(self, at: float, changes: Sequence[RowChange], _: AppStatus) -> None:
        """Write the changes."""
        self.out.writelines(f"{at:7.1f} s  {change}\n" for change in changes)
        self.out.flush()

    def trouble(self, _: float, error: FlyError) -> None:
        """Write the error to stderr."""
        note(f"the state could not be read: {' '.join(error.for_command.split())}")

    def close(self) -> None:
        """Do nothing."""


@frozen
class WatchJSON:
    """One JSON object per line: `status` first, then `added`, `changed` and `removed`, and `unread`."""

    out: TextIO

    @property
    def is_over(self) -> bool:
        """Whether the reader of the pipe is gone."""
        return is_lost(self.out)

    def begin(self, status: AppStatus) -> None:
        """Write the whole state."""
        self._write({"event": "status", "at": 0.0, **status.data})

    def show(self, at: float, changes: Sequence[RowChange], _: AppStatus) -> None:
        """Write the changes."""
        for change in changes:
            self._write({"at": round(at, 3), **asdict(change)})

    def trouble(self, at: float, error: FlyError) -> None:
        """Write the error."""
        self._write({"event": "unread", "at": round(at, 3), "message": " ".join(error.for_command.split())})

    def close(self) -> None:
        """Do nothing."""

    def _write(self, event: Row) -> None:
        self.out.write(f"{json.dumps(event)}\n")
        self.out.flush()


async def watched(fly: FlyClient, app: str, display: WatchDisplay) -> int:
    """Show the state of an app until no one reads the display; outlasts temporary errors of the API.

    Raises the error of the first read, and later ones that are not temporary, such as NotFound for a deleted app.
    """
    loop = asyncio.get_running_loop()
    status = await read_status(fly, app)
    begun = loop.time()
    try:
        display.begin(status)
        while not display.is_over:
            await asyncio.sleep(EVERY)
            try:
                later = await read_status(fly, app, status)
            except TROUBLE as error:
                display.trouble(loop.time() - begun, error)
            else:
                display.show(loop.time() - begun, tuple(changes(status, later)), later)
                status = later
    finally:
        display.close()
    return OK
