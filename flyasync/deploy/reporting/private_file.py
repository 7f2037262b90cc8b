"""A file that only its owner may read."""

import os
import stat
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a text to a file that only its owner may read, even if others could read it before; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # the mode of a device or a pipe stays as it is
            path.chmod(0o600)
        file.write(text)
