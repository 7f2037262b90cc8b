"""How a command asks the API: one client, signals as cancellation, `--json`, and a question before what is lost."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any

import click

from flyasync.api.client import FlyClient
from flyasync.cli.shared.exit_codes import FAILED, INTERRUPTED
from flyasync.cli.shared.output import Answer, note, show
from flyasync.cli.shared.signals import until_signalled

PUBLIC_URL = "https://api.machines.dev"
"""Where a command goes unless the environment says otherwise, which is then told."""

UNCHANGED = "nothing was changed"

in_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


def asks(work: Callable[..., Awaitable[Answer]]) -> Callable[..., None]:
    """Make a command of a coroutine function that takes a client and the parameters, and gives an answer."""

    @in_json
    @wraps(work)
    def command(*, as_json: bool, **given: Any) -> None:
        drive = click.get_current_context().obj or asyncio.run
        raise click.exceptions.Exit(drive(until_signalled(_asked(partial(work, **given), as_json), _stopping)))

    return command


async def _asked(work: Callable[[FlyClient], Awaitable[Answer]], as_json: bool) -> int:  # noqa: FBT001 - its own
    async with FlyClient() as fly:
        tell_where(fly)
        return show(await work(fly), as_json=as_json)


def tell_where(fly: FlyClient) -> None:
    """Say which API it is, unless it is the public one."""
    if fly.base_url != PUBLIC_URL:
        note(f"api: {fly.base_url}")


def _stopping(_: int) -> None:
    note("stopping: what was asked may go on")


def confirmed(question: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command ask first, unless `--yes` says it already; `question` may name parameters in braces."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
        @wraps(command)
        def asking(*, yes: bool, **given: Any) -> None:
            if not yes:
                demand_somebody()
                confirm(question.format(**{name: _listed(value) for name, value in given.items()}))
            command(**given)

        return asking

    return decorate


def _listed(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def demand_somebody() -> None:
    """Refuse to go on where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask in, so --yes is needed")


def confirm(question: str, *, otherwise: str = UNCHANGED) -> None:
    """Go on only after a yes; without one, say what that means and end the command."""
    if not answered(lambda: click.confirm(question, err=True), otherwise=otherwise):
        note(otherwise)
        raise click.exceptions.Exit(FAILED)


def answered(ask: Callable[[], Any], *, otherwise: str = UNCHANGED) -> Any:
    """Give what a person answers; Ctrl-C at the question ends the command."""
    try:
        return ask()
    except click.Abort:
        note(otherwise)
        raise click.exceptions.Exit(INTERRUPTED) from None
