"""Instructions that a program takes, counted by valgrind: unlike its time, they hardly differ from run to run.

A program can name the sections that are to be counted. It prints their names, and marks their ends by a call that
nothing else makes, at which callgrind writes down what it has counted so far. The kernel's work is not counted, other
than in CPU time.
"""

import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

MISSING = "instructions are counted by valgrind, which is not installed: apt-get install valgrind"
_COUNTED = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


class NotCounted(Exception):
    """The program failed, or valgrind is missing."""


def is_possible() -> bool:
    """Whether valgrind is installed."""
    return shutil.which("valgrind") is not None


async def section(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Have the second of two rounds of work counted, once all is imported, connected and specialized."""
    print(name)
    await work()
    gc.collect()
    os.getppid()
    await work()
    os.getppid()


def sections(words: Sequence[str], env: Mapping[str, str], directory: Path | None = None) -> dict[str, int]:
    """Run this Python with `words` in a directory, and count its sections, by name; raise NotCounted when it fails."""
    names, parts = _counted(words, env, directory)
    return dict(zip(names, parts[1::2], strict=True))


def whole(words: Sequence[str], env: Mapping[str, str], directory: Path | None = None) -> int:
    """Count a whole program, from its first instruction to its last; raise NotCounted when it fails."""
    return sum(_counted(words, env, directory)[1])


def _counted(words: Sequence[str], env: Mapping[str, str], directory: Path | None) -> tuple[list[str], list[int]]:
    """Return the lines that it prints, and the instructions of its parts."""
    if not is_possible():
        raise NotCounted(MISSING)
    # Without a seed of their own, the hashes of texts differ from run to run, and with them the work of each dict.
    env = {**os.environ, "PYTHONHASHSEED": "0", **env}
    with TemporaryDirectory() as counted:
        file = Path(counted, "counted")
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", "--dump-before=getppid"]
        command = [*valgrind, sys.executable, *words]
        done = subprocess.run(command, capture_output=True, check=False, text=True, env=env, cwd=directory)  # noqa: S603
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("==")]
            raise NotCounted(lines[-1] if lines else f"it ended with {done.returncode}")
        parts = sorted(file.parent.glob("counted.*"), key=lambda part: int(part.suffix[1:]))
        found = [_COUNTED.search(part.read_text()) for part in parts or [file]]
        return done.stdout.splitlines(), [int(each[1]) for each in found if each]
