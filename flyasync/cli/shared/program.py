"""Run another program inside a command: it gets the command's signals, and nothing of it is left behind."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

from flyasync.cli.shared.exit_codes import CommandFailed
from flyasync.cli.shared.signals import handling_signals

# Windows has only the one that ends a process at once.
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


class NotStarted(CommandFailed):
    """The end of a command whose program cannot be started; the exit code is that of a shell."""

    kind = "NotStarted"
    exit_code = 126


class NotFound(NotStarted):
    """The end of a command whose program does not exist."""

    kind = "NotFound"
    exit_code = 127


def has_terminal() -> bool:
    """Whether a terminal sends Ctrl-C to this process: it is in the foreground of its terminal, or on Windows."""
    if not hasattr(os, "tcgetpgrp"):
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


async def run_program(words: Sequence[str], variables: Mapping[str, str], *, shares_terminal: bool) -> int:
    """Run a program with these variables added to the environment, and return its exit code as a shell computes it.

    Its stdin, stdout and stderr are those of this process. Raises NotStarted. Cancellation kills the program.

    1. The program shares the terminal: it stays in the process group of this process, because a terminal lets only its
       foreground group read. Ctrl-C reaches it from the terminal, so SIGINT is not passed on; SIGTERM and SIGHUP are.
    2. Otherwise it has a process group of its own. SIGINT, SIGTERM and SIGHUP are passed on to the group. What is left
       of the group once the program has ended is killed.
    """
    started: list[Process] = []
    early: list[int] = []

    def pass_on(number: int) -> None:
        if not started:
            early.append(number)
        elif not (shares_terminal and number == signal.SIGINT):
            send(number)

    def send(number: int) -> None:
        (program,) = started
        with suppress(ProcessLookupError, PermissionError):  # it has ended; macOS says the second of a group
            if shares_terminal:
                program.send_signal(number)
            else:
                os.killpg(program.pid, number)  # the id of the group is that of its first process

    with handling_signals(pass_on):
        try:
            program = await asyncio.create_subprocess_exec(
                *words, env={**os.environ, **variables}, process_group=-1 if shares_terminal else 0
            )
        except OSError as error:
            kind = NotFound if isinstance(error, FileNotFoundError) else NotStarted
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise kind(f"cannot run {words[0]!r}: {reason}") from error
        started.append(program)
        for number in early:
            pass_on(number)
        try:
            code = await program.wait()
        finally:
            if program.returncode is None or not shares_terminal:
                send(_KILL)
            await program.wait()
    return code if code >= 0 else 128 - code
