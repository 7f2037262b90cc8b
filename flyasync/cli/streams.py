"""Where a command writes to: streams that a closed terminal or a full disk cannot break."""

import sys
from io import TextIOBase
from typing import TextIO, cast

from flyasync.cli.exits import lose_output


class _Sturdy(TextIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        try:
            self._stream.write(_within(self.encoding, text))
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)
        except ValueError:
            pass  # it is closed

    def _lose(self, error: OSError) -> None:
        if self._stream is sys.stdout:
            lose_output(error)


def _within(encoding: str | None, text: str) -> str:
    """Put a question mark for each letter that an encoding has not."""
    return text.encode(encoding, "replace").decode(encoding) if encoding else text


def sturdy(stream: TextIO) -> TextIO:
    """Make a stream drop what it cannot take: a closed terminal or pipe, or a full disk, must not break a deploy off.

    For what stdout loses to a full disk the command fails in the end.
    """
    return cast("TextIO", _Sturdy(stream))
