"""The file of a journal: JSON lines that only their owner can read, written by one process at a time."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from flyasync.errors import InvalidInput

if sys.platform != "win32":
    import fcntl

_ROOM = 4096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_journal(path: str, opening: bytes) -> TextIO:
    """Open a journal for appending, and create it if it does not exist. A journal of this kind begins with `opening`.

    No other user can read it, and it is locked against other processes until it is closed. Raises InvalidInput if the
    file cannot be written, if other users can read it, if it is not such a journal, or if another process writes it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path, error) from error
    file = os.fdopen(descriptor, "r+", encoding="utf-8")
    with ExitStack() as on_failure:
        on_failure.callback(file.close)
        # 1. It must be a regular file that only its owner can read.
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise InvalidInput(f"{path} is not a regular file, so it cannot hold a journal")
        if mode & _OTHERS:
            raise InvalidInput(
                f"the journal {path} can be read by other users ({stat.filemode(mode)}), and shows what runs where: "
                f"chmod 600 {path}"
            )
        # 2. No other process may write it. The lock comes before the file is read: only the writer may truncate it.
        if sys.platform != "win32":
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InvalidInput(
                    f"the journal {path} is being written by another deploy: use another file, or wait until that "
                    "deploy has ended"
                ) from None
            except OSError:
                pass  # some network file systems do not support locks
        # 3. It must be a journal. An incomplete last line is removed: its writer was killed.
        content = Path(path).read_bytes()
        if content and not (content.startswith(opening) or opening.startswith(content)):
            raise InvalidInput(f"{path} is not a journal, so nothing is written to it: use another file")
        os.ftruncate(descriptor, content.rfind(b"\n") + 1)
        # 4. The disk must have room for the first lines. What this test writes is removed again.
        end = os.fstat(descriptor).st_size
        try:
            os.write(descriptor, opening + b" " * _ROOM)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            os.ftruncate(descriptor, end)
        on_failure.pop_all()
    return file


def unwritable(path: str, error: OSError) -> InvalidInput:
    """Return the error for a journal that cannot be written."""
    return InvalidInput(f"the journal {path} cannot be written: {error.strerror}")


def journal_lines(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines of a journal with their numbers, except an incomplete last line."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidInput(f"the journal {path} cannot be read: {error.strerror}") from error
    *whole, _ = text.split("\n")
    for number, line in enumerate(whole, start=1):
        try:
            facts = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{path}, line {number}: not a line of a journal: {error}") from error
        if not isinstance(facts, dict):
            raise InvalidInput(f"{path}, line {number}: not a line of a journal: it is not a JSON object")
        yield number, facts
