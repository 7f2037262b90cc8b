"""Commands that call the API: one client, cancellation by signals, `--json`, and confirmation questions."""

import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from flyasync.cli.shared.exit_codes import FAILED, INTERRUPTED
from flyasync.cli.shared.output import CommandOutput, note, show

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

PUBLIC_URL = "https://api.machines.dev"
"""The API of every command, unless the environment names another one, which is then shown."""

UNCHANGED = "nothing was changed"

in_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


def api_command(work: Callable[..., Awaitable[CommandOutput]]) -> Callable[..., None]:
    """Return a command that runs a coroutine function with a client and the parameters, and writes its output."""

    @in_json
    @wraps(work)
    def command(*, as_json: bool, **params: Any) -> None:
        # Imported here: the help of a command needs neither the client nor asyncio.
        from flyasync.api.client import FlyClient
        from flyasync.cli.shared.signals import run, until_signalled

        # A client belongs to its event loop, so it is created inside.
        async def main() -> int:
            async with FlyClient() as fly:
                show_api(fly)
                return show(await work(fly, **params), as_json=as_json)

        raise click.exceptions.Exit(run(until_signalled(main(), note_stopping)))

    return command


def show_api(fly: "FlyClient") -> None:
    """Write the URL of the API to stderr, unless it is the public API."""
    if fly.base_url != PUBLIC_URL:
        note(f"api: {fly.base_url}")


def note_stopping(_: int) -> None:
    """Write that a signal stops the command; a request that was sent cannot be cancelled."""
    note("stopping: requests that were sent may still take effect")


def confirmed(question: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Ask for confirmation before a command, unless `--yes` is given; `question` may name parameters in braces."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--yes", is_flag=True, help="Skip the confirmation; required without a terminal.")
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
    """Raise UsageError without a terminal to ask in."""
    # In a pipeline stdin is data, not an answer.
    if not sys.stdin.isatty():
        raise click.UsageError("the confirmation needs a terminal: use --yes to skip it")


def confirm(question: str, *, otherwise: str = UNCHANGED) -> None:
    """Return after a yes; after a no, write `otherwise` and exit with 1."""
    # The question goes to stderr, because stdout may be a pipe and holds only the result.
    if not answered(lambda: click.confirm(question, err=True), otherwise=otherwise):
        note(otherwise)
        raise click.exceptions.Exit(FAILED)


def answered(ask: Callable[[], Any], *, otherwise: str = UNCHANGED) -> Any:
    """Return the user's answer; Ctrl-C writes `otherwise` and exits with 130."""
    try:
        return ask()
    except click.Abort:
        note(otherwise)
        raise click.exceptions.Exit(INTERRUPTED) from None
