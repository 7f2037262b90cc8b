"""All commands that `flyctl --help` lists, at every depth."""

import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

# A row of a list of commands: two spaces, the name, and its description.
_ROW = re.compile(r"^  ([a-z][a-z0-9-]*) +\S", re.MULTILINE)


def commands(flyctl: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the full names of all commands that do something by themselves, sorted."""
    found: list[str] = []
    level = [""]
    with ThreadPoolExecutor(8) as pool:
        while level:
            inner: list[str] = []
            for name, text in zip(level, pool.map(partial(_help, flyctl, environment), level), strict=True):
                # Below the usage of a group stands the list of its commands, and after that its flags.
                head, _, body = text.partition("[command]")
                below = _ROW.findall(body.split("\nFlags:")[0]) if name != "help" else []
                inner += [f"{name} {each}".strip() for each in below]
                if name and (not below or "[flags]" in head.rpartition("Usage:")[2]):
                    found.append(name)
            level = inner
    return sorted(found)


def _help(flyctl: Path, environment: Mapping[str, str], name: str) -> str:
    words = [str(flyctl), *name.split(), "--help"]
    done = subprocess.run(  # noqa: S603 - the binary that the user named
        words, env=dict(environment), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=True
    )
    return done.stdout
