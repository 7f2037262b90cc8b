"""What the shell offers for an argument: asked of the API, in short time, and without a word when that fails."""

from collections.abc import Callable
from contextlib import suppress

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(kind: str) -> Complete:
    """Make a completion; what asks the API for it is imported when somebody wants to know."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: list[tuple[str, str]] = []
        with suppress(Exception):  # somebody is typing: a traceback would be in the way
            from flyasync.cli.shared.completion_values import offers

            found = offers(kind, ctx)
        return [CompletionItem(word, help=remark) for word, remark in found if word.startswith(incomplete)]

    return complete


app_names, machine_ids, volume_ids, region_codes = map(
    _offering, ("app_names", "machine_ids", "volume_ids", "region_codes")
)
