"""Where a command writes to: streams that a closed terminal or a full disk cannot break, with readable text in them."""

import sys
from io import TextIOBase
from typing import TextIO, cast

from flyasync.cli.shared.exit_codes import lose_output
from flyasync.text import readable


class _Sturdy(TextIOBase):
    """A stream that drops what it cannot take, and unless `is_filtered` is False what drives a terminal."""

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
        try:
            self.stream.write(_within(self.encoding, readable(text) if self._is_filtered else text))
        except OSError as error:
            self._lose(error)
        return len(text)

    def pass_on(self, text: str) -> None:
        """Write the bytes of a text as they are, where the stream takes bytes."""
        if (binary := getattr(self.stream, "buffer", None)) is None:
            self.write(text)
            return
        self.flush()  # what was written as text before goes first
        try:
            binary.write(text.encode("utf-8", "surrogatepass"))
        except OSError as error:
            self._lose(error)
        self.flush()

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._lose(error)
        except ValueError:
            pass  # it is closed

    def _lose(self, error: OSError) -> None:
        if self.stream is sys.stdout:
            lose_output(error)


def _within(encoding: str | None, text: str) -> str:
    """Put a question mark for each letter that an encoding has not."""
    return text.encode(encoding, "replace").decode(encoding) if encoding else text


def sturdy(stream: TextIO) -> TextIO:
    """Make a stream drop what it cannot take: a closed terminal or pipe, or a full disk, must not break a deploy off.

    For what stdout loses to a full disk the command fails in the end. What drives a terminal is stripped, for the texts
    come from the API and from what apps print.
    """
    return cast("TextIO", _Sturdy(stream))


def unfiltered(stream: TextIO) -> TextIO:
    """Return a stream as sturdy as this one that strips nothing."""
    return cast("TextIO", _Sturdy(stream.stream, is_filtered=False)) if isinstance(stream, _Sturdy) else stream


def pass_on(stream: TextIO, text: str) -> None:
    """Write what another program wrote: unchanged into a pipe or a file, readable to a terminal."""
    if stream.isatty():
        sturdy(stream).write(text)
    else:
        _Sturdy(stream, is_filtered=False).pass_on(text)
