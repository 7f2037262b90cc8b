"""What `python -m benchmarks compare` refuses, and what is too slow; the programs themselves run for minutes."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.__main__ import main
from benchmarks.parts import compare_programs
from benchmarks.parts.session_clients import answering
from benchmarks.shared import instructions
from benchmarks.shared.children import ROOT
from benchmarks.shared.instructions import NotCounted
from benchmarks.start import STARTS
from flyasync.testing import run_virtual

in_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository's commits")
counts = pytest.mark.skipif(not instructions.is_possible(), reason="needs valgrind")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *words])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_it_needs_a_base(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the following arguments are required: BASE" in refused(capsys)


@in_git
@pytest.mark.parametrize("base", ["no-such-branch", "HEAD:README.md", "", "deadbeef"])
def test_the_base_is_a_commit(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"BASE is {base!r}, which is not a commit of {ROOT}" in refused(capsys, base)


@in_git
def test_without_valgrind_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git = shutil.which("git")
    assert git
    (tmp_path / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valgrind, which is not installed: apt-get install valgrind" in refused(capsys, "HEAD")
    with pytest.raises(NotCounted, match="apt-get install valgrind"):
        instructions.whole(["-c", "pass"], {})


def test_more_than_five_percent_is_missed() -> None:
    base = {"same": 1000, "faster": 1000, "a little slower": 1000, "slower": 1000, "gone": 1}
    table = compare.table("", base, {"same": 1000, "faster": 700, "a little slower": 1050, "slower": 1051, "new": 5})
    assert [row.name for row, _ in table.missed] == ["slower"]
    assert [row.figures["x base"] for row in table.rows] == [1, 0.7, 1.05, 1.051, None]


@in_git
def test_a_commit_that_cannot_be_checked_out_is_named() -> None:
    with (
        pytest.raises(NotCounted, match="git worktree add fails for 0000000000: fatal: "),
        compare.checked_out("0" * 40),
    ):
        pass


@in_git
def test_the_base_is_checked_out_beside_the_benchmarks_of_this_tree_until_the_end() -> None:
    commit = compare.commit_of("HEAD")
    assert commit
    with compare.checked_out(commit) as tree:
        assert (tree.root / "flyasync" / "py.typed").is_file()
        assert (tree.root / "flyasync").resolve() != ROOT / "flyasync"
        assert (tree.root / "benchmarks").samefile(ROOT / "benchmarks")
    assert not os.path.lexists(tree.root)


@counts
def test_sections_are_counted_on_their_own() -> None:
    source = (
        "import os\nfor count in (1_000, 10_000):\n"
        " print(count)\n os.getppid()\n for _ in range(count): pass\n os.getppid()"
    )
    counted = instructions.sections(["-S", "-E", "-c", source], {})
    assert list(counted) == ["1000", "10000"]
    assert 5 < counted["10000"] / counted["1000"] < 15


@counts
def test_a_program_that_fails_is_not_counted() -> None:
    with pytest.raises(NotCounted, match="ZeroDivisionError: division by zero"):
        instructions.whole(["-S", "-E", "-c", "1 / 0"], {})


def test_the_programs_that_are_counted_run() -> None:
    assert set(compare.COMMANDS) <= set(STARTS)
    with answering(2) as url:
        asyncio.run(compare_programs.session(url))
    asyncio.run(compare_programs.decoding())
    run_virtual(compare_programs.limiter())
