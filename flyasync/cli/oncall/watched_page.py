"""A live page as the display of a watch."""

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define

from flyasync.cli.oncall.app_status import AppStatus, MachineStatus
from flyasync.cli.oncall.watch import RowChange
from flyasync.cli.shared.output import note
from flyasync.errors import FlyError
from flyasync.web.event_feed import EventFeed

_SHOWN = ("id", "name", "region", "state", "serves", "trouble", "image")
"""What the page gets of a machine: the output of its checks, for example, may be anything."""


@define
class WatchedPage:
    """A live page as the display of a watch: it shows the first state, and then each machine that changes.

    A page that is opened later gets the first state and the last change of each machine, so a watch that lasts for days
    needs no more memory for it.
    """

    feed: EventFeed
    _unread: str = ""

    @property
    def is_over(self) -> bool:
        """False: a page may be opened later."""
        return False

    def begin(self, status: AppStatus) -> None:
        """Show the first state."""
        self.feed.add(_status_event(status.app, status.machines))

    def show(self, _: float, changes: Sequence[RowChange], status: AppStatus) -> None:
        """Show the machines that have changed."""
        self._note_unread("")
        machines = {each.id: each for each in status.machines}
        for machine_id in (change.id for change in changes if change.kind == "machine"):
            found = [machines[machine_id]] if machine_id in machines else []
            gone = [] if found else [machine_id]
            self.feed.replace(machine_id, _status_event(status.app, found, gone))

    def trouble(self, _: float, error: FlyError) -> None:
        """Show the error, and write it to stderr."""
        message = " ".join(error.for_command.split())
        note(f"the state could not be read: {message}")
        self._note_unread(f"the state could not be read: {message}")

    def _note_unread(self, message: str) -> None:
        if message != self._unread:
            self._unread = message
            self.feed.replace("unread", {"event": "unread", "message": message})

    def close(self) -> None:
        """Do nothing: the page ends with the command."""


def _status_event(app: str, machines: Iterable[MachineStatus], gone: Sequence[str] = ()) -> dict[str, Any]:
    rows = [{name: getattr(each, name) for name in _SHOWN} for each in machines]
    return {"event": "status", "app": app, "machines": rows, "gone": gone}
