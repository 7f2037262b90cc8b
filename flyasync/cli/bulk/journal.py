"""The journal of a run over many apps: what was begun and what became of it, one JSON line each, to go on from."""

import asyncio
import hmac
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from attrs import evolve, field, frozen

from flyasync.deploy.reporting.journal import open_journal
from flyasync.deploy.reporting.resume import journal_lines
from flyasync.errors import InvalidInput
from flyasync.models.redaction import without_passwords

VERSION = 1
SYNC = 1.0
"""Seconds that a written line may wait for the disk itself, so that many lines share one wait.

Who kills the process loses none of them; a power cut in that second forgets at most what the same launch finds anew.
"""

_OPENING = b'{"bulk": '
_LONGEST = 36  # letters of a launch that leave room for a number after it


@frozen
class Tries:
    """What a journal tells of one app: each config that was begun and the launch of it, the last row, and its end.

    The launch that was begun last stands last; `added` are those that only added machines, and so touched no others.
    """

    row: str
    launches: tuple[tuple[str, str], ...]
    ok: bool = False
    added: frozenset[str] = frozenset()

    def again(self, row: str, config: str, launch: str, *, adds: bool) -> "Tries":
        """Say what it tells once a launch has begun, perhaps not for the first time."""
        pair = (config, launch)
        before = tuple(each for each in self.launches if each != pair)
        return Tries(row, (*before, pair), added=self.added | ({launch} if adds else frozenset()))


@frozen(kw_only=True)
class Story:
    """A run so far: its launch, the API that it asks, the key of its fingerprints, and the apps that were begun."""

    launch: str
    api: str = ""
    key: bytes = b""
    apps: Mapping[str, Tries] = field(factory=dict, repr=False)

    def is_done(self, app: str, row: str) -> bool:
        """Tell whether an app has come to what this row says."""
        tries = self.apps.get(app)
        return tries is not None and tries.ok and tries.row == row

    def has_changed(self, app: str, row: str) -> bool:
        """Tell whether an app was begun with another row."""
        tries = self.apps.get(app)
        return tries is not None and tries.row != row

    def last_launch(self, app: str) -> str | None:
        """Name the launch that an app was last begun under, if it was."""
        return self.apps[app].launches[-1][1] if app in self.apps else None

    def left_by(self, app: str, launch: str, *, adds: bool) -> tuple[str, ...]:
        """Name the launches before this one whose machines it leaves as they are.

        A deploy that only `adds` leaves those of the launch before it; a strategy those that were made without one.
        """
        before = self.last_launch(app)
        if before in {None, launch}:
            return ()
        tries = self.apps[app]
        left = {before} if adds else tries.added
        return tuple(dict.fromkeys(known for _, known in tries.launches if known in left and known != launch))

    def launch_for(self, app: str, config: str, *, adds: bool) -> str:
        """Name the launch to deploy a config under: the one of that config, for a launch is one config.

        A new config has a launch of its own. One from before that comes back has its old launch where a deploy only
        `adds`, since its machines are still there; with a strategy it is a change like any other.
        """
        launches = self.apps[app].launches if app in self.apps else ()
        for known, launch in launches if adds else launches[-1:]:
            if known == config:
                return launch
        return self._next([launch for _, launch in launches]) if launches else self.launch

    def _next(self, launches: Sequence[str]) -> str:
        """Number a new launch beyond all of these; the first one has no number."""
        name = self.launch[:_LONGEST].rstrip("-")
        found = [re.fullmatch(rf"{re.escape(name)}-(\d+)", launch) for launch in launches]
        return f"{name}-{max([1, *(int(each[1]) for each in found if each)]) + 1}"


class Journal:
    """No journal: the run is known only as long as it lasts."""

    def __init__(self, launch: str | None) -> None:
        self.story = Story(launch=launch or token_hex(5))

    def began(self, app: str, *, row: str, config: str, launch: str, adds: bool) -> None:
        """Write down that an app begins, and whether its deploy only adds machines."""

    def ended(self, app: str, *, ok: bool, why: str | None, seconds: float) -> None:
        """Write down what became of an app."""

    def close(self) -> None:
        """Write no more."""


class JournalFile(Journal):
    """A journal in a file that its owner alone may read; what is there already stays, and is gone on from.

    Each line is with the operating system before what it tells of goes on, and on the disk a second later. Raises
    InvalidInput for a file that cannot be written, that others may read, that is no such journal, that another run is
    writing, or that is of another launch or API. A disk that fails later ends the journal, not the run: `lost` is told
    why.
    """

    def __init__(self, path: Path, launch: str | None, api: str, lost: Callable[[str], None]) -> None:
        self._path = path
        self._lost = lost
        self._sync_at: asyncio.TimerHandle | None = None
        self._file: TextIO | None = open_journal(str(path), _OPENING)
        try:
            self.story = read(path, launch, api) or self._begun(launch, api)
        except BaseException:
            self.close()
            raise

    def began(self, app: str, *, row: str, config: str, launch: str, adds: bool) -> None:
        """Write down that an app begins, and whether its deploy only adds machines."""
        self._write(what="began", app=app, launch=launch, row=row, config=config, **({"adds": True} if adds else {}))

    def ended(self, app: str, *, ok: bool, why: str | None, seconds: float) -> None:
        """Write down what became of an app."""
        self._write(what="ended", app=app, ok=ok, seconds=seconds, **({"why": without_passwords(why)} if why else {}))

    def close(self) -> None:
        """Write no more, once all is on the disk."""
        self._sync()
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _begun(self, launch: str | None, api: str) -> Story:
        story = Story(launch=launch or token_hex(5), api=api, key=token_hex(16).encode())
        self._write(bulk=VERSION, launch=story.launch, api=api, key=story.key.decode())
        self._sync()
        _settle(self._path.parent)  # whoever lost the launch would make all of it a second time
        return story

    def _write(self, **said: Any) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(said) + "\n")
            self._file.flush()
        except OSError as error:
            self._end(error)
        else:
            self._sync_at = self._sync_at or asyncio.get_running_loop().call_later(SYNC, self._sync)

    def _sync(self) -> None:
        if self._sync_at is not None:
            self._sync_at.cancel()
            self._sync_at = None
            try:
                os.fsync(self._file.fileno()) if self._file else None
            except OSError as error:
                self._end(error)

    def _end(self, error: OSError) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
            self._lost(f"the journal {self._path} ends here, and knows nothing of what comes now: {error.strerror}")


def _settle(directory: Path) -> None:
    """Have the names in a directory on the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fingerprint(story: Story, config: str) -> str:
    """Give a text that tells a config from others; without the journal's key it tells nothing."""
    return hmac.digest(story.key, config.encode(), "sha256").hex()[:16]


# Reading it


def read(path: Path, launch: str | None, api: str) -> Story | None:
    """Read the story that a journal tells, None for an empty one.

    Raises InvalidInput for what is no such journal, and for one of another API or, if there is one, another launch.
    """
    lines = journal_lines(str(path))
    _, first = next(lines, (0, None))
    if first is None:
        return None
    apps: dict[str, Tries] = {}
    story = _begun(path, first, apps)
    if launch not in {None, story.launch}:
        raise InvalidInput(
            f"the journal {path} is of launch {story.launch!r}: leave out --launch to go on with it, or name "
            "another file"
        )
    if story.api != api:
        raise InvalidInput(
            f"the journal {path} tells of apps at {story.api}, but here it goes to {api}: name another file"
        )
    for number, said in lines:
        try:
            _take(apps, said)
        except (KeyError, TypeError) as error:
            raise InvalidInput(f"{path}, line {number}: no line of such a journal: {error!r}") from error
    return story


def _begun(path: Path, said: Mapping[str, Any], apps: Mapping[str, Tries]) -> Story:
    try:
        if said["bulk"] != VERSION:
            raise InvalidInput(f"the journal {path} is of another version of flyasync: name another file")
        return Story(launch=said["launch"], api=said["api"], key=said["key"].encode(), apps=apps)
    except (KeyError, AttributeError) as error:
        raise InvalidInput(f"{path} is no journal of a run over many apps: name another file") from error


def _take(apps: dict[str, Tries], said: Mapping[str, Any]) -> None:
    """Go on with the story by one line; words that it does not know are left out."""
    app = said["app"]
    if said["what"] == "began":
        before = apps.get(app, Tries("", ()))
        apps[app] = before.again(said["row"], said["config"], said["launch"], adds=said.get("adds") is True)
    elif said["what"] == "ended":
        apps[app] = evolve(apps[app], ok=said["ok"] is True)
