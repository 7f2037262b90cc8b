"""Shell completion of arguments with values from the API; no values if the API does not respond in time."""

from collections.abc import Callable
from contextlib import suppress

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(kind: str) -> Complete:
    """Return a completion; the client is imported only when the shell asks."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: list[tuple[str, str]] = []
        with suppress(Exception):  # a traceback would garble the command line
            from flyasync.cli.shared.completion_values import values_of

            found = values_of(kind, ctx)
        return [CompletionItem(word, help=remark) for word, remark in found if word.startswith(incomplete)]

    return complete


app_names = _completer("app_names")
org_slugs = _completer("org_slugs")
machines = _completer("machines")
groups = _completer("groups")
volume_ids = _completer("volume_ids")
region_codes = _completer("region_codes")
