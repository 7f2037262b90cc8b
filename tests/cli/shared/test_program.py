"""Programs that a command runs: real processes, a shell each."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from flyasync.cli.shared.program import NotFound, NotStarted, run_program


def shell(script: str, *, shares_terminal: bool = False) -> Coroutine[Any, Any, int]:
    return run_program(("sh", "-c", script), {"GREETING": "a\nb"}, shares_terminal=shares_terminal)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@asynccontextmanager
async def running(
    fifo: Path, script: str, *, shares_terminal: bool = False
) -> AsyncIterator[tuple[asyncio.Task[int], TextIO]]:
    """Run a script that holds the pipe open, as every process does that it starts; yield once it has printed a line."""
    program = asyncio.ensure_future(shell(f"exec >{fifo}; {script}", shares_terminal=shares_terminal))
    with await asyncio.to_thread(fifo.open) as pipe:
        assert await asyncio.to_thread(pipe.readline) == "up\n"
        try:
            yield program, pipe
        finally:
            program.cancel()


async def test_its_streams_variables_and_exit_code_are_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert await shell('printf "%s|" "$GREETING"; echo problem >&2; exit 3') == 3
    assert capfd.readouterr() == ("a\nb|", "problem\n")


async def test_a_program_that_a_signal_ends_has_the_exit_code_of_a_shell() -> None:
    assert await shell("kill -KILL $$") == 137


async def test_a_program_that_cannot_start_has_the_exit_code_of_a_shell(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("")
    with pytest.raises(NotFound, match="cannot run 'no-such-program': No such file or directory") as missing:
        await run_program(("no-such-program",), {}, shares_terminal=False)
    with pytest.raises(NotStarted, match="Permission denied") as refused:
        await run_program((str(file),), {}, shares_terminal=False)
    assert (missing.value.exit_code, refused.value.exit_code) == (127, 126)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_reach_the_program_which_decides_how_to_end(fifo: Path, number: signal.Signals) -> None:
    # It has started a process that ignores the signals, and that is not left behind.
    script = f"trap '' INT TERM HUP; sleep 60 & trap 'exit 7' {number.name[3:]}; echo up; wait"
    async with running(fifo, script) as (program, pipe):
        signal.raise_signal(number)
        assert await program == 7
        assert await asyncio.to_thread(pipe.read) == ""  # the end of the file: no process has it open
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_ctrl_c_is_left_to_the_terminal_that_they_share(fifo: Path) -> None:
    # A terminal would send SIGINT to the program too; here only this process gets it.
    script = "trap 'exit 2' INT; trap 'exit 15' TERM; echo up; while :; do :; done"
    async with running(fifo, script, shares_terminal=True) as (program, _):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert await program == 15


@pytest.mark.parametrize("shares_terminal", [False, True])
async def test_cancellation_kills_the_program(fifo: Path, shares_terminal: bool) -> None:  # noqa: FBT001 - a parameter
    async with running(fifo, "trap '' INT TERM; echo up; while :; do :; done", shares_terminal=shares_terminal) as (
        program,
        pipe,
    ):
        program.cancel()
        with pytest.raises(asyncio.CancelledError):
            await program
        assert await asyncio.to_thread(pipe.read) == ""
