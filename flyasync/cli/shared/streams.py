"""The streams that a command writes to: a closed terminal or a full disk cannot break them, and their text is safe."""

import os
import sys
from io import TextIOBase
from typing import TextIO, cast

from flyasync.cli.shared.exit_codes import record_lost_output
from flyasync.safe_text import readable

_DUMB = frozenset({"dumb", "unknown"})


class _Sturdy(TextIOBase):
    """A stream that drops what it cannot write; what drives a terminal it strips, unless `is_filtered` is False."""

    def __init__(self, stream: TextIO, *, is_filtered: bool = True) -> None:
        self.stream = stream
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
        if self.encoding:  # a question mark stands for each letter that the encoding lacks
            shown = shown.encode(self.encoding, "replace").decode(self.encoding)
        try:
            self.stream.write(shown)
        except OSError as error:
            self._record(error)
        return len(text)  # as if all of it was written, which is what the caller has to believe

    def pass_on(self, text: str) -> None:
        """Write the bytes of a text as they are, where the stream takes bytes."""
        # A stream of a test, such as StringIO, has no bytes below.
        if (binary := getattr(self.stream, "buffer", None)) is None:
            self.write(text)
            return
        self.flush()  # what was written as text before goes first
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
        # Only stdout holds the result. A remark on stderr that is lost does not make the result incomplete.
        if self.stream is sys.stdout:
            record_lost_output(error)


def sturdy(stream: TextIO) -> TextIO:
    """Return a stream that drops what it cannot write, so that no closed terminal, pipe or full disk ends a deploy.

    A command that loses a part of stdout to a full disk fails in the end. What drives a terminal is stripped, since the
    texts come from the API and from what apps print.
    """
    return cast("TextIO", _Sturdy(stream))


def can_draw(stream: TextIO) -> bool:
    """Whether a live display can be drawn on this stream: a terminal that can move its cursor, by `TERM`."""
    # A dumb terminal, such as a shell inside Emacs, cannot redraw a line: it gets the lines that a pipe gets.
    return stream.isatty() and os.environ.get("TERM", "").lower() not in _DUMB


def unfiltered(stream: TextIO) -> TextIO:
    """Return a stream as sturdy as this one that strips nothing."""
    return cast("TextIO", _Sturdy(stream.stream, is_filtered=False)) if isinstance(stream, _Sturdy) else stream


def pass_on(stream: TextIO, text: str) -> None:
    """Write what another program wrote: unchanged into a pipe or a file, readable to a terminal."""
    if stream.isatty():
        sturdy(stream).write(text)
    else:
        _Sturdy(stream, is_filtered=False).pass_on(text)
