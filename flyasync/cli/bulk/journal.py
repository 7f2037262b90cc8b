"""The journal of a run over many apps, which can be resumed: a JSON line for each start and end of an app.

    {"bulk": 1, "launch": "v7", "api": "https://…", "key": "…"}
    {"what": "began", "app": "a", "launch": "v7", "row": "…", "config": "…", "adds": true}
    {"what": "ended", "app": "a", "ok": false, "seconds": 3.2, "why": "…"}

`row` and `config` are fingerprints with the key of the journal: they show whether a row or its config has changed, and
nothing else. A launch has one config, so a row with another config gets a launch of its own.
"""

import asyncio
import hmac
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from attrs import evolve, field, frozen

from flyasync.deploy.reporting.journal_file import journal_lines, open_journal
from flyasync.errors import InvalidInput
from flyasync.models.redaction import without_passwords

VERSION = 1
SYNC = 1.0
"""Seconds until written lines are synced to the disk, so that many lines share one sync.

A killed process loses no line. A power failure may lose the lines of that second; the same launch then finds their
machines again.
"""

_OPENING = b'{"bulk": '
_LONGEST = 36  # characters of a launch, with room for a number after it


@frozen
class AppHistory:
    """The record of one app: the configs that were started, each with its launch, its last row, and its result.

    The last launch is the latest one; `added` are the launches that only added machines.
    """

    row: str
    launches: tuple[tuple[str, str], ...]
    ok: bool = False
    added: frozenset[str] = frozenset()

    def begun(self, row: str, config: str, launch: str, *, adds: bool) -> "AppHistory":
        """Return the record after the start of a launch, which may be a repeated one."""
        pair = (config, launch)
        # A repeated launch moves to the end: the machines have the config of the last launch.
        before = tuple(each for each in self.launches if each != pair)
        return AppHistory(row, (*before, pair), added=self.added | ({launch} if adds else frozenset()))


@frozen(kw_only=True)
class BulkHistory:
    """A run so far: its launch, its API, the key of its fingerprints, and the apps that were started."""

    launch: str
    api: str = ""
    key: bytes = field(default=b"", repr=False)
    apps: Mapping[str, AppHistory] = field(factory=dict, repr=False)

    def is_done(self, app: str, row: str) -> bool:
        """Whether an app was deployed successfully with this row."""
        known = self.apps.get(app)
        return known is not None and known.ok and known.row == row

    def has_changed(self, app: str, row: str) -> bool:
        """Whether an app was started with another row."""
        known = self.apps.get(app)
        return known is not None and known.row != row

    def last_launch(self, app: str) -> str | None:
        """Return the last launch of an app, None if it was not started."""
        return self.apps[app].launches[-1][1] if app in self.apps else None

    def launches_left_by(self, app: str, launch: str, *, adds: bool) -> tuple[str, ...]:
        """Return the earlier launches whose machines this launch does not change.

        A deploy that only `adds` does not change those of the last launch; a strategy, those added without one.
        """
        before = self.last_launch(app)
        if before in {None, launch}:
            return ()
        known = self.apps[app]
        left = {before} if adds else known.added
        return tuple(dict.fromkeys(each for _, each in known.launches if each in left and each != launch))

    def launch_for(self, app: str, config: str, *, adds: bool) -> str:
        """Return the launch to deploy a config under.

        1. The config is known: its earlier launch. If the deploy only `adds`, that is any launch, as its machines still
           exist; with a strategy it is only the last one, as the machines of all others have been changed.
        2. The config is new: a new launch with the next number. The first launch has no number.
        3. The app has not started: the launch of the run.
        """
        launches = self.apps[app].launches if app in self.apps else ()
        for known, launch in launches if adds else launches[-1:]:
            if known == config:
                return launch
        if not launches:
            return self.launch
        name = self.launch[:_LONGEST].rstrip("-")
        found = [re.fullmatch(rf"{re.escape(name)}-(\d+)", launch) for _, launch in launches]
        return f"{name}-{max([1, *(int(each[1]) for each in found if each)]) + 1}"


class BulkJournal:
    """A journal without a file, for one run."""

    def __init__(self, launch: str | None) -> None:
        self.history = BulkHistory(launch=launch or token_hex(5))

    def began(self, app: str, *, row: str, config: str, launch: str, adds: bool) -> None:
        """Record that an app starts, and whether its deploy only adds machines."""

    def ended(self, app: str, *, ok: bool, why: str | None, seconds: float) -> None:
        """Record the result of an app."""

    def close(self) -> None:
        """Close the journal."""


class BulkJournalFile(BulkJournal):
    """A journal in a file that only its owner may read; an existing one is continued.

    Each line is written before the run continues, and synced to the disk a second later. Raises InvalidInput for a file
    that cannot be written, that others may read, that is not such a journal, that another run is writing, or that
    belongs to another launch or API. A later disk error ends the journal, not the run: `on_lost` is called with the
    reason.
    """

    def __init__(self, path: Path, launch: str | None, api: str, on_lost: Callable[[str], None]) -> None:
        self._path = path
        self._on_lost = on_lost
        self._sync_at: asyncio.TimerHandle | None = None
        # It is opened and locked before it is read, as another run may be writing it.
        self._file: TextIO | None = open_journal(str(path), _OPENING)
        try:
            self.history = read_history(path, launch, api) or self._begin(launch, api)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = "ended" if self._file is None else "not synced" if self._sync_at else "synced"
        return f"<BulkJournalFile {self._path}: launch {self.history.launch}, {state}>"

    def began(self, app: str, *, row: str, config: str, launch: str, adds: bool) -> None:
        """Record that an app starts, and whether its deploy only adds machines."""
        self._write(
            {
                "what": "began",
                "app": app,
                "launch": launch,
                "row": row,
                "config": config,
                **({"adds": True} if adds else {}),
            }
        )

    def ended(self, app: str, *, ok: bool, why: str | None, seconds: float) -> None:
        """Record the result of an app."""
        reason = {"why": without_passwords(why)} if why else {}
        self._write({"what": "ended", "app": app, "ok": ok, "seconds": seconds, **reason})

    def close(self) -> None:
        """Sync all lines to the disk, and close the journal."""
        self._sync()  # the lines of the last second
        self._close_file()

    def _begin(self, launch: str | None, api: str) -> BulkHistory:
        """Write and sync the first line: a run that lost its launch would create all machines twice."""
        history = BulkHistory(launch=launch or token_hex(5), api=api, key=token_hex(16).encode())
        self._write({"bulk": VERSION, "launch": history.launch, "api": api, "key": history.key.decode()})
        self._sync()
        # The name of a new file is on the disk once its directory is synced, if the system supports that.
        with suppress(OSError):
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        return history

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()  # to the operating system, so that a crash of this process does not lose it
        except OSError as error:
            self._lose(error)
        else:
            self._sync_at = self._sync_at or asyncio.get_running_loop().call_later(SYNC, self._sync)

    def _sync(self) -> None:
        if self._sync_at is not None:
            self._sync_at.cancel()
            self._sync_at = None
            try:
                os.fsync(self._file.fileno()) if self._file else None
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        """End the journal, and call `on_lost` once."""
        if self._file is not None:
            self._close_file()
            self._on_lost(f"the journal {self._path} ends here and does not contain later results: {error.strerror}")

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


def fingerprint(history: BulkHistory, config: str) -> str:
    """Return a text that is equal for equal configs; it reveals nothing without the key of the journal."""
    return hmac.digest(history.key, config.encode(), "sha256").hex()[:16]


def read_history(path: Path, launch: str | None, api: str) -> BulkHistory | None:
    """Read the history in a journal, None for an empty one.

    Raises InvalidInput for a file that is not such a journal, and for another API or, if given, another launch.
    """
    lines = journal_lines(str(path))
    _, first = next(lines, (0, None))
    if first is None:
        return None
    apps: dict[str, AppHistory] = {}
    try:
        if first["bulk"] != VERSION:
            raise InvalidInput(f"the journal {path} was written by another version of flyasync: use another file")
        history = BulkHistory(launch=first["launch"], api=first["api"], key=first["key"].encode(), apps=apps)
    except (KeyError, AttributeError) as error:
        raise InvalidInput(f"{path} is not a journal of flyasync bulk: use another file") from error
    if launch not in {None, history.launch}:
        raise InvalidInput(
            f"the journal {path} is of launch {history.launch!r}: leave out --launch to continue it, or use another "
            "file"
        )
    # Apps of an emulator, for example, may have the same names as apps of Fly.io.
    if history.api != api:
        raise InvalidInput(f"the journal {path} is of the API at {history.api}, not {api}: use another file")
    # A later version may write other kinds of lines, which are ignored.
    for number, line in lines:
        try:
            app = line["app"]
            if line["what"] == "began":
                before = apps.get(app, AppHistory("", ()))
                apps[app] = before.begun(line["row"], line["config"], line["launch"], adds=line.get("adds") is True)
            elif line["what"] == "ended":
                apps[app] = evolve(apps[app], ok=line["ok"] is True)
        except (KeyError, TypeError) as error:
            raise InvalidInput(f"{path}, line {number}: not a line of such a journal: {error!r}") from error
    return history
