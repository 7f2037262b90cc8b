"""The journal of a run over many apps: what was begun and what became of it, one JSON line each, to go on from."""

import asyncio
import hmac
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from attrs import evolve, field, frozen

from flyasync.deploy.journal import opened
from flyasync.deploy.story import numbered
from flyasync.errors import InvalidInput

VERSION = 1
SYNC = 1.0
"""Seconds that a written line may wait for the disk itself, so that many lines share one wait.

Who kills the process loses none of them; a power cut in that second forgets at most what the same launch finds anew.
"""

_OPENING = b'{"bulk": '
_LONGEST = 36  # letters of a launch that leave room for a number after it


@frozen
class Tries:
    """What a journal tells of one app: each config that was begun and the launch of it, the last row, and its end."""

    row: str
    launches: tuple[tuple[str, str], ...]
    ok: bool = False


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

    def launch_for(self, app: str, config: str, *, adds: bool) -> str:
        """Name the launch to deploy a config under: the one of that config, for a launch is one config.

        A new config has a launch of its own. One from before that comes back has its old launch where a deploy only
        `adds`, since its machines are still there; with a strategy it is a change like any other.
        """
        launches = self.apps[app].launches if app in self.apps else ()
        for known, launch in launches if adds else launches[-1:]:
            if known == config:
                return launch
        return f"{self.launch[:_LONGEST].rstrip('-')}-{len(launches) + 1}" if launches else self.launch


class Journal:
    """No journal: the run is known only as long as it lasts."""

    def __init__(self, launch: str | None) -> None:
        self.story = Story(launch=launch or token_hex(5))

    def began(self, app: str, *, row: str, config: str, launch: str) -> None:
        """Write down that an app begins."""

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
        self._file: TextIO | None = opened(str(path), _OPENING)
        try:
            self.story = read(path, launch, api) or self._begun(launch, api)
        except BaseException:
            self.close()
            raise

    def began(self, app: str, *, row: str, config: str, launch: str) -> None:
        """Write down that an app begins."""
        self._write(what="began", app=app, launch=launch, row=row, config=config)

    def ended(self, app: str, *, ok: bool, why: str | None, seconds: float) -> None:
        """Write down what became of an app."""
        self._write(what="ended", app=app, ok=ok, seconds=seconds, **({"why": why} if why else {}))

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
    lines = numbered(str(path))
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
        pair = (said["config"], said["launch"])
        before = apps[app].launches if app in apps else ()
        apps[app] = Tries(said["row"], before if pair in before else (*before, pair))
    elif said["what"] == "ended":
        apps[app] = evolve(apps[app], ok=said["ok"] is True)
