"""Commands that only read, some of them until Ctrl-C."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient


def run_until_stopped(work: "Callable[[FlyClient], Awaitable[int]]") -> None:
    """Run a coroutine function with a client until it returns its exit code, or a signal ends it; then exit."""
    from flyasync.api.client import FlyClient
    from flyasync.cli.shared.signals import run, until_signalled

    async def main() -> int:
        async with FlyClient() as fly:
            return await work(fly)

    # It changes nothing, so a signal needs no explanation.
    raise click.exceptions.Exit(run(until_signalled(main(), lambda _: None)))
