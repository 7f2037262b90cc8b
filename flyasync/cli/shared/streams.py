"""Output streams that survive a closed terminal or a full disk, and remove control sequences."""

import os
import sys
from io import TextIOBase
from typing import TextIO, cast

from flyasync.cli.shared.exit_codes import record_lost_output
from flyasync.safe_text import readable

_DUMB = frozenset({"dumb", "unknown"})


class _Sturdy(TextIOBase):
    """A stream that drops what it cannot write, and removes control sequences unless `is_filtered` is False."""

    def __init__(self, stream: TextIO, *, is_filtered: bool = True) -> None:
        self.stream = stream
        self.is_lost = False
        self._is_filtered = is_filtered

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def write(self, text: str) -> int:
        shown = readable(text) if self._is_filtered else text
        if self.encoding:  # characters that the encoding lacks become question marks
            shown = shown.encode(self.encoding, "replace").decode(self.encoding)
        try:
            self.stream.write(shown)
        except OSError as error:
            self._record(error)
        return len(text)  # the caller never sees that text was dropped

    def pass_on(self, text: str) -> None:
        """Write the bytes of a text as they are, where the stream takes bytes."""
        # A StringIO, as in tests, has no binary buffer.
        if (binary := getattr(self.stream, "buffer", None)) is None:
            self.write(text)
            return
        self.flush()  # text that was written before goes first
        try:
            binary.write(text.encode("utf-8", "surrogatepass"))
        except OSError as error:
            self._record(error)
        self.flush()

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._record(error)
        except ValueError:
            pass  # it is closed

    def _record(self, error: OSError) -> None:
        self.is_lost = True
        # Only stdout holds the result. A lost note on stderr does not make the result incomplete.
        if self.stream is sys.stdout:
            record_lost_output(error)


def sturdy(stream: TextIO) -> TextIO:
    """Return a stream that drops what it cannot write, so that a closed terminal or a full disk does not end a deploy.

    A command that lost a part of stdout to a full disk fails at its end. Control sequences are removed, because the
    texts come from the API and from apps.
    """
    return cast("TextIO", _Sturdy(stream))


def is_lost(stream: TextIO) -> bool:
    """Whether a part of what was written to a `sturdy` stream was dropped, such as because its reader is gone."""
    return isinstance(stream, _Sturdy) and stream.is_lost


def can_draw(stream: TextIO) -> bool:
    """Whether a live display can be drawn on this stream: a terminal that can move its cursor, by `TERM`."""
    # A dumb terminal, such as a shell inside Emacs, cannot redraw a line: it gets the lines that a pipe gets.
    return stream.isatty() and os.environ.get("TERM", "").lower() not in _DUMB


def unfiltered(stream: TextIO) -> TextIO:
    """Return the same stream, but without the removal of control sequences."""
    return cast("TextIO", _Sturdy(stream.stream, is_filtered=False)) if isinstance(stream, _Sturdy) else stream


def pass_on(stream: TextIO, text: str) -> None:
    """Write the output of another program: unchanged to a pipe or a file, without control sequences to a terminal."""
    if stream.isatty():
        sturdy(stream).write(text)
    else:
        _Sturdy(stream, is_filtered=False).pass_on(text)
