"""Compare this tree with another commit, by instructions: `python -m benchmarks compare BASE`.

Calls, the reading and writing of models, the rate limits and starts are counted of both, in turns, by the programs of
this tree. BASE is checked out into a temporary directory. What takes more than 5 % more instructions than in BASE is
shown, and the exit code is 1. It is 2 when the comparison itself is not possible.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from benchmarks.parts.session_clients import answering
from benchmarks.shared import instructions
from benchmarks.shared.children import ROOT
from benchmarks.shared.instructions import NotCounted
from benchmarks.shared.table import Goal, Row, Table, show
from benchmarks.start import STARTS

SECTIONS = ("session", "decoding", "limiter")
"""The programs of `compare_programs`."""
COMMANDS = ("from flyasync import FlyClient", "import flyasync", "flyasync --help", "flyasync machines --help")
"""The programs of `start` that are counted."""
SLOWER = [Goal("x base <= 1.05", "it takes over 5 % more instructions than before")]


@frozen
class Tree:
    """A directory that has the package of a commit, and the benchmarks of this tree."""

    root: Path
    compiled: Path

    def count(self, program: str, url: str) -> dict[str, int]:
        """Count a program, by what it does; raise NotCounted when it fails."""
        settings = {"PYTHONPATH": str(self.root), "PYTHONPYCACHEPREFIX": str(self.compiled)}
        env = {**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": ""}
        if program in SECTIONS:
            words = ["-m", "benchmarks.parts.compare_programs", program, url]
            return instructions.sections(words, env, self.root)
        words = ["-c", STARTS[program]]
        # Its sources are compiled first, as an installed package's are.
        subprocess.run([sys.executable, *words], check=False, capture_output=True, env=env, cwd=self.root)  # noqa: S603
        return {program: instructions.whole(words, env, self.root)}


def main(words: Sequence[str]) -> int:
    """Compare; return 1 if something takes more than 5 % more, and exit with 2 if that cannot be found out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=__doc__.partition("\n")[0])
    parser.add_argument("base", metavar="BASE", help="a commit, such as origin/main or HEAD~3")
    options = parser.parse_args(words)
    if (commit := commit_of(options.base)) is None:
        parser.error(f"BASE is {options.base!r}, which is not a commit of {ROOT}; git log lists them")
    if not instructions.is_possible():
        parser.error(instructions.MISSING)
    try:
        result = compared(commit)
    except NotCounted as failure:
        parser.error(str(failure))
    show(result)
    return int(any(result.missed))


def commit_of(name: str) -> str | None:
    """Return the hash of a commit, or None if there is no such commit."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return found.stdout.strip() if found.returncode == 0 else None


def compared(commit: str) -> Table:
    """Count both in turns; raise NotCounted if a program fails in this tree, or BASE cannot be checked out."""
    base_counts, counts, notes = dict[str, int](), dict[str, int](), list[str]()
    with checked_out(commit) as base, TemporaryDirectory() as compiled, answering(100) as url:
        here = Tree(ROOT, Path(compiled))
        for program in (*SECTIONS, *COMMANDS):
            try:
                base_counts |= base.count(program, url)
            except NotCounted as failure:
                notes.append(f"{program}: not compared, since it fails in BASE: {failure}")
            try:
                counts |= here.count(program, url)
            except NotCounted as failure:
                raise NotCounted(f"{program} fails in this tree: {failure}") from failure
    return table(commit, base_counts, counts, notes)


def table(commit: str, base: Mapping[str, int], here: Mapping[str, int], notes: Sequence[str] = ()) -> Table:
    """Put the counts beside each other; what both have is compared."""
    return Table(
        title=f"instructions of this tree and of {commit[:10]}",
        subject="program",
        columns={"base": ",d", "this tree": ",d", "x base": ".3f"},
        rows=[
            Row(name, {"base": before, "this tree": count, "x base": count / before}, SLOWER)
            if (before := base.get(name))
            else Row(name, {"base": None, "this tree": count, "x base": None})
            for name, count in here.items()
        ],
        notes=notes,
    )


@contextmanager
def checked_out(commit: str) -> Iterator[Tree]:
    """Have a commit's package in a temporary directory until the block ends, with the benchmarks of this tree."""
    with TemporaryDirectory() as directory:
        whole, mixed, compiled = (Path(directory, name) for name in ("commit", "mixed", "compiled"))
        added = _git("worktree", "add", "--quiet", "--detach", str(whole), commit)
        if added.returncode:
            raise NotCounted(f"git worktree add fails for {commit[:10]}: {added.stderr.strip()}")
        try:
            mixed.mkdir()
            (mixed / "flyasync").symlink_to(whole / "flyasync")
            (mixed / "benchmarks").symlink_to(ROOT / "benchmarks")
            yield Tree(mixed, compiled)
        finally:
            _git("worktree", "remove", "--force", str(whole))


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603, S607
