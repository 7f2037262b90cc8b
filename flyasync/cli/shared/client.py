"""A command that asks the API: one client, signals as cancellation, `--json`, and a question before a loss."""

import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import click

from flyasync.api.client import FlyClient
from flyasync.cli.shared.exit_codes import FAILED, INTERRUPTED
from flyasync.cli.shared.output import CommandOutput, note, show
from flyasync.cli.shared.signals import run, until_signalled

PUBLIC_URL = "https://api.machines.dev"
"""Where a command goes unless the environment names another API, which is then shown."""

UNCHANGED = "nothing was changed"

in_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


def asks(work: Callable[..., Awaitable[CommandOutput]]) -> Callable[..., None]:
    """Make a command of a coroutine function that takes a client and the parameters, and returns the output."""

    @in_json
    @wraps(work)
    def command(*, as_json: bool, **params: Any) -> None:
        # The client belongs to the loop that runs it, so it is made inside.
        async def main() -> int:
            async with FlyClient() as fly:
                show_api(fly)
                return show(await work(fly, **params), as_json=as_json)

        raise click.exceptions.Exit(run(until_signalled(main(), note_stopping)))

    return command


def show_api(fly: FlyClient) -> None:
    """Write which API it is, unless it is the public one."""
    if fly.base_url != PUBLIC_URL:
        note(f"api: {fly.base_url}")


def note_stopping(_: int) -> None:
    """Write that a signal stops the command; what the API has accepted cannot be recalled."""
    note("stopping: what was asked may go on")


def confirmed(question: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command ask first, unless `--yes` is given; `question` may name parameters in braces."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
        @wraps(command)
        def ask_first(*, yes: bool, **params: Any) -> None:
            if not yes:
                require_terminal()
                words = {name: ", ".join(one) if isinstance(one, tuple) else one for name, one in params.items()}
                confirm(question.format(**words))
            command(**params)

        return ask_first

    return decorate


def require_terminal() -> None:
    """Refuse to go on without a terminal to ask in; raises UsageError."""
    # In a pipeline stdin is data, and no answer.
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask in, so --yes is needed")


def confirm(question: str, *, otherwise: str = UNCHANGED) -> None:
    """Go on only after a yes; else write `otherwise` and end the command."""
    # On stderr: stdout may go into a pipe, and holds the result alone.
    if not answered(lambda: click.confirm(question, err=True), otherwise=otherwise):
        note(otherwise)
        raise click.exceptions.Exit(FAILED)


def answered(ask: Callable[[], Any], *, otherwise: str = UNCHANGED) -> Any:
    """Return what the user answers; Ctrl-C at the question writes `otherwise` and ends the command."""
    try:
        return ask()
    except click.Abort:
        note(otherwise)
        raise click.exceptions.Exit(INTERRUPTED) from None
