"""Commands in real time: how they end, what is kept of their output, and that none of their processes is left."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flyasync.deploy.run.child_process import CommandEnd, run_command

T = TypeVar("T")


def in_real_time(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


async def ended(command: str, *, timeout: float = 30, grace: float = 5, **env: str) -> CommandEnd:
    return await run_command(command, env={**os.environ, **env}, timeout=timeout, grace=grace)


def is_left(group: int) -> bool:
    """Whether a process of a group still runs; one that only waits for its parent to take note has ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group, *_ = stat.read_text().rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def has_ended(group: int) -> bool:
    """Whether no process of a group runs; one that has been killed may need an instant to end."""
    return any(not is_left(group) for _ in range(1000))


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        ("true", 0, ""),
        ("echo up; echo $REGION >&2; exit 3", 3, "up\niad\n"),
        ("kill -9 $$", -9, ""),
        ("cat", 0, ""),  # there is no input
        ("test -n \"$REGION\" && echo '[x]' | tr x y", 0, "[y]\n"),
    ],
)
def test_a_command_line_runs_in_a_shell(command: str, status: int, output: str) -> None:
    end = in_real_time(ended(command, REGION="iad"))
    assert (end.status, end.output) == (status, output)


def test_only_the_end_of_a_long_output_is_kept() -> None:
    end = in_real_time(ended("i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done"))
    assert end.status == 0
    assert end.output.endswith("line-19998\nline-19999\n")
    assert end.output.startswith("line-")
    assert 60_000 < len(end.output) <= 65_536


def test_a_command_that_takes_too_long_is_terminated_with_its_children() -> None:
    end = in_real_time(ended("echo $$; sleep 1000 & sleep 1000", timeout=0.5))
    assert end.status is None
    assert has_ended(int(end.output))


def test_what_ignores_the_first_signal_is_killed() -> None:
    end = in_real_time(ended("trap '' TERM; echo $$; sleep 1000 & sleep 1000", timeout=0.5, grace=0.1))
    assert end.status is None
    assert has_ended(int(end.output))


def test_children_may_end_properly_after_the_first_signal() -> None:
    command = "(trap 'echo cleaned up; exit' TERM; echo ready; while :; do sleep 0.05; done) & exec sleep 1000"
    end = in_real_time(ended(command, timeout=0.5))
    assert end.output.endswith("cleaned up\n")


def test_a_process_in_the_background_does_not_outlive_its_command_nor_delay_its_end() -> None:
    end = in_real_time(ended("echo $$; sleep 1000 &"))
    assert end.status == 0
    assert has_ended(int(end.output))


def test_a_cancelled_command_is_terminated_with_its_children(tmp_path: Path) -> None:
    # The test waits until the command has written into this pipe: then its child exists.
    started = tmp_path / "started"
    os.mkfifo(started)

    async def main() -> int:
        task = asyncio.create_task(ended("sleep 1000 & echo $$ > $STARTED; sleep 1000", STARTED=str(started)))
        group = int(await asyncio.to_thread(started.read_text))
        assert is_left(group)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return group

    assert has_ended(in_real_time(main()))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_descriptor_is_left_open() -> None:
    async def main() -> tuple[int, int]:
        await ended("true")
        before = open_files()
        for _ in range(5):
            await ended("echo x; sleep 1000 &")
        return before, open_files()

    before, after = in_real_time(main())
    assert before == after
