"""Exit codes, and the one place where an exception is converted to a line of text and an exit code.

CommandFailed (1)
  WrongInput (2)
  Locked (6)

The exit codes of a deploy are those of its `Status`; the others are here.
"""

import errno
from contextlib import suppress
from typing import IO, Any, Final

import click

from flyasync.cli.shared.actions import inert, is_in_actions
from flyasync.deploy.reporting.status import Status
from flyasync.errors import FlyError, InvalidInput, LeaseHeld, MissingToken
from flyasync.safe_text import readable

OK = Status.OK.exit_code
FAILED = Status.FAILED.exit_code
NOT_VERIFIED = Status.NOT_VERIFIED.exit_code
WRONG_COMMAND_LINE = 2
CHANGES = 10  # of a dry run with --detailed-exitcode
INTERRUPTED = 130

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errors of a disk without room. Other errors of a stream mean that its reader is gone, which is not a failure."""

_LOST: Final = "flyasync.lost"


class CommandFailed(click.ClickException):
    """The end of a command that failed: one line on stderr. `kind` is its name in the JSON form."""

    kind = "Failure"
    exit_code = FAILED

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(readable(message).split()))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line to stderr, or to `file`."""
        with suppress(OSError):  # a stream that is closed or full must not change the exit code
            text = self.format_message()
            click.echo(f"flyasync: {inert(text) if is_in_actions() else text}", file=file, err=True)


class WrongInput(CommandFailed):
    """The end of a command whose input can never work."""

    kind = "WrongInput"
    exit_code = WRONG_COMMAND_LINE


class Locked(CommandFailed):
    """The end of a command that changed nothing, because another client holds a lease."""

    exit_code = Status.LOCKED.exit_code


def failure(error: FlyError) -> CommandFailed:
    """Return the end of a command that raised `error`; wrong input and a lock have exit codes of their own."""
    if isinstance(error, LeaseHeld):
        return Locked(error.for_command)
    # A missing token is an InvalidInput to the SDK, but the command line is right: the environment lacks it.
    is_wrong = isinstance(error, InvalidInput) and not isinstance(error, MissingToken)
    return WrongInput(error.for_command) if is_wrong else CommandFailed(error.for_command)


def record_lost_output(error: OSError) -> None:
    """Record that output was lost because the disk is full, so that the command fails at its end.

    1. The disk is full: the file is incomplete, and its readers cannot see that.
    2. The reader of a pipe or terminal has closed it: this is not a failure, and is not recorded.
    """
    context = click.get_current_context(silent=True)
    if context is not None and error.errno in FULL:
        context.meta.setdefault(_LOST, error)


def code_after_losses(context: click.Context, code: int) -> int:
    """Return the exit code of a command that ends with `code`: it failed if a part of its output was lost."""
    error = context.meta.get(_LOST)
    if error is None:
        return code
    with suppress(OSError):
        click.echo(f"flyasync: the output is not complete: {error.strerror}", err=True)
    return code or FAILED
