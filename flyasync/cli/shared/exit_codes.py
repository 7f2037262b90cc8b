"""Exit codes, and the one place where an exception becomes a line of text and one of them."""

import errno
from contextlib import suppress
from typing import IO, Any, Final

import click

from flyasync.errors import FlyError, InvalidInput, MissingToken
from flyasync.text import readable

OK = 0
FAILED = 1
WRONG_COMMAND_LINE = 2
NOT_VERIFIED = 8
INTERRUPTED = 130

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a disk without room says; of a reader who is gone it is said otherwise, and no fault."""

_LOST: Final = "flyasync.lost"


class Failure(click.ClickException):
    """The end of a command that failed: one line on stderr."""

    exit_code = FAILED

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(readable(message).split()))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line to stderr, or to `file`."""
        with suppress(OSError):  # the exit code has to get through all the same
            click.echo(f"flyasync: {self.format_message()}", file=file, err=True)


class WrongInput(Failure):
    """The end of a command whose input can never work."""

    exit_code = WRONG_COMMAND_LINE


def lose_output(error: OSError) -> None:
    """Note that a part of what goes to stdout is lost, for which the command fails in the end."""
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


def failure(error: FlyError) -> Failure:
    """Say what `error` says; a token that is not there is no fault of the command line."""
    is_wrong = isinstance(error, InvalidInput) and not isinstance(error, MissingToken)
    return WrongInput(str(error)) if is_wrong else Failure(str(error))
