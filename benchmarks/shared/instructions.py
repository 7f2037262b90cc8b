"""Instructions that a program takes, counted by valgrind: unlike its time, they hardly differ from run to run.

A program can mark the sections that are to be counted. It does so with a call that nothing else makes, and at which
callgrind writes down what it has counted so far. The kernel's work is not counted, other than in CPU time.
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


async def section(work: Callable[[], Awaitable[object]]) -> None:
    """Have the second of two rounds of work counted, once all is imported, connected and specialized."""
    await work()
    gc.collect()
    os.getppid()
    await work()
    os.getppid()


def sections(words: Sequence[str], env: Mapping[str, str] | None = None, directory: Path | None = None) -> list[int]:
    """Run this Python with `words` in a directory, and count its sections; raise NotCounted when it fails."""
    return _parts(words, env, directory)[1::2]


def whole(words: Sequence[str], env: Mapping[str, str] | None = None, directory: Path | None = None) -> int:
    """Count a whole program, from its first instruction to its last; raise NotCounted when it fails."""
    return sum(_parts(words, env, directory))


def _parts(words: Sequence[str], env: Mapping[str, str] | None, directory: Path | None) -> list[int]:
    if not is_possible():
        raise NotCounted(MISSING)
    # Without a seed of their own, the hashes of texts differ from run to run, and with them the work of each dict.
    environment = {**os.environ, "PYTHONHASHSEED": "0", **(env or {})}
    with TemporaryDirectory() as counted:
        file = Path(counted, "counted")
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", "--dump-before=getppid"]
        done = subprocess.run(  # noqa: S603 - our own programs
            [*valgrind, sys.executable, *words],
            capture_output=True,
            check=False,
            text=True,
            env=environment,
            cwd=directory,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("==")]
            raise NotCounted(lines[-1] if lines else f"it ended with {done.returncode}")
        parts = sorted(file.parent.glob("counted.*"), key=lambda part: int(part.suffix[1:]))
        found = [_COUNTED.search(part.read_text()) for part in parts or [file]]
        return [int(each[1]) for each in found if each]
