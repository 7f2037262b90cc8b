"""The journal of a run over many apps, to go on from: a JSON line for each app that is begun and that ends.

    {"bulk": 1, "launch": "v7", "api": "https://…", "key": "…"}
    {"what": "began", "app": "a", "launch": "v7", "row": "…", "config": "…", "adds": true}
    {"what": "ended", "app": "a", "ok": false, "seconds": 3.2, "why": "…"}

`row` and `config` are fingerprints, made with the journal's key: they tell whether a row or its config has changed, and
nothing else. A launch is one config, so a row with another config has a launch of its own.
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
"""Seconds that a written line may wait for the disk itself, so that many lines share one wait.

A process that is killed loses none of them. A power cut in that second loses some; the same launch then finds their
machines again.
"""

_OPENING = b'{"bulk": '
_LONGEST = 36  # letters of a launch that leave room for a number after it


@frozen
class AppHistory:
    """What a journal tells of one app: its configs that were begun, each with its launch, its last row, and its end.

    The launch that was begun last is the last one; `added` are those that only added machines, and changed no others.
    """

    row: str
    launches: tuple[tuple[str, str], ...]
    ok: bool = False
    added: frozenset[str] = frozenset()

    def begun(self, row: str, config: str, launch: str, *, adds: bool) -> "AppHistory":
        """Return what it tells once a launch has begun, perhaps not for the first time."""
        pair = (config, launch)
        # One that comes back moves to the end: the last launch is the one whose config the machines have.
        before = tuple(each for each in self.launches if each != pair)
        return AppHistory(row, (*before, pair), added=self.added | ({launch} if adds else frozenset()))


@frozen(kw_only=True)
class BulkHistory:
    """A run so far: its launch, the API that it asks, the key of its fingerprints, and the apps that were begun."""

    launch: str
    api: str = ""
    key: bytes = field(default=b"", repr=False)
    apps: Mapping[str, AppHistory] = field(factory=dict, repr=False)

    def is_done(self, app: str, row: str) -> bool:
        """Whether an app has come to what this row desires."""
        known = self.apps.get(app)
        return known is not None and known.ok and known.row == row

    def has_changed(self, app: str, row: str) -> bool:
        """Whether an app was begun with another row."""
        known = self.apps.get(app)
        return known is not None and known.row != row

    def last_launch(self, app: str) -> str | None:
        """Return the launch that an app was last begun under, if it was."""
        return self.apps[app].launches[-1][1] if app in self.apps else None

    def launches_left_by(self, app: str, launch: str, *, adds: bool) -> tuple[str, ...]:
        """Return the launches before this one whose machines it leaves as they are.

        A deploy that only `adds` leaves those of the launch before it; a strategy those that were added without one.
        """
        before = self.last_launch(app)
        if before in {None, launch}:
            return ()
        known = self.apps[app]
        left = {before} if adds else known.added
        return tuple(dict.fromkeys(each for _, each in known.launches if each in left and each != launch))

    def launch_for(self, app: str, config: str, *, adds: bool) -> str:
        """Return the launch to deploy a config under.

        1. The config is known: it has its old launch. If a deploy only `adds`, that is any launch before, since its
           machines are still there; with a strategy only the last one, since all others were changed since.
        2. It is another config: a launch of its own, numbered beyond all that were. The first one has no number.
        3. The app has not begun: the launch of the run.
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
    """A journal that is not kept: it knows the run only as long as it lasts."""

    def __init__(self, launch: str | None) -> None:
        self.history = BulkHistory(launch=launch or token_hex(5))

    def began(self, app: str, *, row: str, config: str, launch: str, adds: bool) -> None:
        """Record that an app begins, and whether its deploy only adds machines."""

    def ended(self, app: str, *, ok: bool, why: str | None, seconds: float) -> None:
        """Record what became of an app."""

    def close(self) -> None:
        """Record nothing more."""


class BulkJournalFile(BulkJournal):
    """A journal in a file that only its owner may read; what is in it stays, and is gone on from.

    Each line is with the operating system before what it tells of goes on, and on the disk a second later. Raises
    InvalidInput for a file that cannot be written, that others may read, that is not such a journal, that another run
    is writing, or that is of another launch or API. A disk that fails later ends the journal, not the run: `on_lost` is
    called with the reason.
    """

    def __init__(self, path: Path, launch: str | None, api: str, on_lost: Callable[[str], None]) -> None:
        self._path = path
        self._on_lost = on_lost
        self._sync_at: asyncio.TimerHandle | None = None
        # It is opened, and locked, before it is read: another run may be writing it.
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
        """Record that an app begins, and whether its deploy only adds machines."""
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
        """Record what became of an app."""
        reason = {"why": without_passwords(why)} if why else {}
        self._write({"what": "ended", "app": app, "ok": ok, "seconds": seconds, **reason})

    def close(self) -> None:
        """Record nothing more, once all is on the disk."""
        self._sync()  # the lines of the last second
        self._close_file()

    def _begin(self, launch: str | None, api: str) -> BulkHistory:
        """Write the first line, and have it on the disk: a run that lost its launch would create all machines twice."""
        history = BulkHistory(launch=launch or token_hex(5), api=api, key=token_hex(16).encode())
        self._write({"bulk": VERSION, "launch": history.launch, "api": api, "key": history.key.decode()})
        self._sync()
        # The name of a new file is on the disk once its directory is, where the system can do that.
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
            self._file.flush()  # into the system, where a crash of this process does not reach it
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
            self._on_lost(f"the journal {self._path} ends here, and knows nothing of what comes now: {error.strerror}")

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


def fingerprint(history: BulkHistory, config: str) -> str:
    """Return a text that is the same for the same config; it shows nothing without the journal's key."""
    return hmac.digest(history.key, config.encode(), "sha256").hex()[:16]


def read_history(path: Path, launch: str | None, api: str) -> BulkHistory | None:
    """Read what a journal tells, None for an empty one.

    Raises InvalidInput for what is not such a journal, and for one of another API or, if there is one, another launch.
    """
    lines = journal_lines(str(path))
    _, first = next(lines, (0, None))
    if first is None:
        return None
    apps: dict[str, AppHistory] = {}
    try:
        if first["bulk"] != VERSION:
            raise InvalidInput(f"the journal {path} is of another version of flyasync: name another file")
        history = BulkHistory(launch=first["launch"], api=first["api"], key=first["key"].encode(), apps=apps)
    except (KeyError, AttributeError) as error:
        raise InvalidInput(f"{path} is no journal of a run over many apps: name another file") from error
    if launch not in {None, history.launch}:
        raise InvalidInput(
            f"the journal {path} is of launch {history.launch!r}: leave out --launch to go on with it, or name "
            "another file"
        )
    # The apps of an emulator, say, are not those of Fly.io, though their names may be the same.
    if history.api != api:
        raise InvalidInput(
            f"the journal {path} tells of apps at {history.api}, but here it goes to {api}: name another file"
        )
    # A later version may write lines of other kinds, which tell nothing here.
    for number, line in lines:
        try:
            app = line["app"]
            if line["what"] == "began":
                before = apps.get(app, AppHistory("", ()))
                apps[app] = before.begun(line["row"], line["config"], line["launch"], adds=line.get("adds") is True)
            elif line["what"] == "ended":
                apps[app] = evolve(apps[app], ok=line["ok"] is True)
        except (KeyError, TypeError) as error:
            raise InvalidInput(f"{path}, line {number}: no line of such a journal: {error!r}") from error
    return history
