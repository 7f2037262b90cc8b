"""Workflow commands: lines in the output of a step that the runner of GitHub Actions acts on; pure but for the stream.

The runner reads both stdout and stderr, so texts of others must not reach it unchanged on either.
docs: actions/reference/workflows-and-actions/workflow-commands
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from io import TextIOBase
from typing import TextIO, cast

from attrs import frozen

from flyasync.cli.shared.actions import inert
from flyasync.safe_text import readable

MOST = 10
"""How many annotations of a level the runner shows for one step; it drops the rest."""

_IN_DATA: Mapping[str, str] = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTY: Mapping[str, str] = {**_IN_DATA, ":": "%3A", ",": "%2C"}


class Level(StrEnum):
    """The level of an annotation."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@frozen
class Annotation:
    """A text that GitHub shows on the page of the run."""

    level: Level
    title: str
    message: str

    def __str__(self) -> str:
        title, message = _escaped(self.title, _IN_PROPERTY), _escaped(self.message, _IN_DATA)
        return f"::{self.level} title={title}::{message}"


def shown(annotations: Iterable[Annotation]) -> Iterator[Annotation]:
    """Yield the annotations that GitHub shows; the last one of a level that has more counts the others."""
    by_level: dict[Level, list[Annotation]] = {level: [] for level in Level}
    for each in annotations:
        by_level[each.level].append(each)
    for level, those in by_level.items():
        fitting = those if len(those) <= MOST else those[: MOST - 1]
        yield from fitting
        if rest := len(those) - len(fitting):
            yield Annotation(level, f"{rest} more", "The summary of the job has all of them.")


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    # Each character is replaced once, so that an escape is not escaped again.
    return "".join(escapes.get(each, each) for each in readable(text))


def inert_json(text: str) -> str:
    """Return a line of JSON in which the runner finds no command; it has the same meaning."""
    return text.replace("##[", "\\u0023#[")  # it can only be inside of a string


class _InertStream(TextIOBase):
    """A stream whose lines the runner takes for no commands."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._inert = inert_json if as_json else inert

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> int:
        self._stream.write(self._inert(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def without_commands(stream: TextIO, *, as_json: bool = False) -> TextIO:
    """Return a stream that takes whole lines, and makes those inert that the runner would take for commands."""
    return cast("TextIO", _InertStream(stream, as_json=as_json))
