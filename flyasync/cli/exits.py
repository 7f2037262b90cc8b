"""Exit codes, and the one place where an exception becomes a line of text and one of them."""

from typing import IO, Any

import click

from flyasync.errors import FlyError, InvalidInput, MissingToken

OK = 0
FAILED = 1
WRONG_COMMAND_LINE = 2
INTERRUPTED = 130


class Failure(click.ClickException):
    """The end of a command that failed: one line on stderr."""

    exit_code = FAILED

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line to stderr, or to `file`."""
        click.echo(f"flyasync: {self.format_message()}", file=file, err=True)


class WrongInput(Failure):
    """The end of a command whose input can never work."""

    exit_code = WRONG_COMMAND_LINE


def failure(error: FlyError) -> Failure:
    """Say what `error` says; a token that is not there is no fault of the command line."""
    is_wrong = isinstance(error, InvalidInput) and not isinstance(error, MissingToken)
    return WrongInput(str(error)) if is_wrong else Failure(str(error))
