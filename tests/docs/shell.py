"""Runs the shell blocks of the documentation: in this process, in virtual time, against an emulator.

    python -m tests.docs.shell

writes what the commands print now into the pages, below each command of a `console` block.
"""

import os
import random
import re
import shlex
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import frozen

from flyasync.cli.main import command as root
from tests.cli.driver import flyasync, served
from tests.docs.pages import PAGES, Block, blocks_of, pages_with

Drive = Callable[[Coroutine[Any, Any, Any]], Any]

APPS = ("hello", "web", "shop", "jobs", "users", "shop-1", "shop-2", "shop-3")

# What other programs do is not ours to test; anything else in a shell block is a mistake in the page.
OTHERS = {"cd", "curl", "docker", "export", "fly", "git", "pip", "python", "python3"}
MOST = 240
"""How many characters of a line are shown; JSON has longer ones."""
# These run until they are stopped, or need a cluster: their command lines are read, and no more.
ONLY_READ = ("emulator", "--executor")
# What differs from run to run, or is too long to show.
_VARYING = (
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:cedf75…"),
    (re.compile(r"request 01[0-9A-Z]{24}-\w+"), "request 01KDVDNA1YZW8WMPGK273Q8R3Y-iad"),
    (re.compile(r"\b[0-9a-f]{14}\b"), "<id>"),
)


@frozen
class Call:
    """A command line of a console block, and what the page says that it prints."""

    line: str
    printed: tuple[str, ...]


def calls(text: str) -> Iterator[Call]:
    """Yield the commands of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, *printed = part.splitlines()
        yield Call(line, tuple(printed))


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block, with continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def read(words: list[str]) -> None:
    """Read a command line of ours without running it; one that is wrong raises click's error."""
    context = root.make_context("flyasync", words, resilient_parsing=False)
    _, command, rest = root.resolve_command(context, words)
    assert command
    with command.make_context(command.name, rest, parent=context):
        pass  # leaving it closes the files that it opened


def printed(monkeypatch: pytest.MonkeyPatch, blocks: list[Block], where: Path) -> list[list[str]]:
    """Run the console blocks of a page one after the other; return, for each block, the lines of all its commands."""
    monkeypatch.chdir(where)
    monkeypatch.setenv("COLUMNS", "120")
    random.seed(7)
    with served(monkeypatch, apps=APPS, seed=7, epoch=datetime(2026, 1, 5, 12, tzinfo=UTC)) as (emulator, drive):
        return [
            [line for call in calls(block.text) for line in (f"$ {call.line}", *_run(call, drive, emulator.url))]
            for block in blocks
        ]


def _run(call: Call, drive: Drive, url: str) -> list[str]:
    first, *words = shlex.split(call.line)
    if first == "cat":
        # What a page shows of a file is what the file is made of.
        Path(words[0]).write_text("\n".join(call.printed) + "\n", encoding="utf-8")
        return list(call.printed)
    assert first == "flyasync", call.line
    output = flyasync(*words, drive=drive).output
    lines = [line.rstrip() for line in output.splitlines() if url not in line]
    for pattern, shown in _VARYING[:1]:
        lines = [pattern.sub(shown, line) for line in lines]
    lines = [line if len(line) <= MOST else f"{line[:MOST]}…" for line in lines]
    # A page may leave out the middle of a long output.
    if "…" in call.printed:
        head = call.printed.index("…")
        tail = len(call.printed) - head - 1
        lines = [*lines[:head], "…", *lines[-tail:]]
    return lines


def masked(lines: list[str]) -> list[str]:
    """Return the lines without what differs from run to run."""
    for pattern, shown in _VARYING:
        lines = [pattern.sub(shown, line) for line in lines]
    return lines


def rewrite() -> None:
    """Write into each page what its commands print now."""
    for page in pages_with("console"):
        blocks = list(blocks_of(page, "console"))
        with pytest.MonkeyPatch.context() as monkeypatch, TemporaryDirectory() as where:
            for name in ("FLY_ACCESS_TOKEN", "FLY_API_HOSTNAME", "FLYASYNC_LIMITS"):
                monkeypatch.delenv(name, raising=False)
            found = printed(monkeypatch, blocks, Path(where))
        text = PAGES[page].read_text(encoding="utf-8")
        for block, lines in reversed(list(zip(blocks, found, strict=True))):
            if masked(lines) != masked(block.text.splitlines()):
                sys.stdout.write(f"{block}\n")
                text = text[: block.start] + "\n".join(lines) + "\n" + text[block.end :]
        PAGES[page].write_text(text, encoding="utf-8")


if __name__ == "__main__":
    os.environ["FLY_CONFIG_DIR"] = "/nonexistent"
    rewrite()
