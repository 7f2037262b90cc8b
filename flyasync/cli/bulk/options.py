"""The options of `flyasync bulk`, as one value: those of `flyasync deploy` for each app, and those of the run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import click

from flyasync.cli.deploy.app_options import APP_GROUPS
from flyasync.cli.deploy.options import RehearsalOptions
from flyasync.cli.shared.option_groups import OptionGroup, option, titled
from flyasync.cli.shared.option_types import writable

AT_ONCE = 20
"""How many apps are under way at once by default."""

COLUMNS = {
    each.name: each
    for group in APP_GROUPS
    for each in group.options()
    if each.name and each.name != "create_app"  # one organization owns the run
}
"""What a row may state besides its app, by the names of the options that state it for all rows."""


def executor(_ctx: click.Context, _param: click.Parameter, text: str) -> str | None:
    """Read `local` as None, and `dask://HOST:PORT` as the address that a dask client takes."""
    if text == "local":
        return None
    # A dask client takes tcp:// or tls://. The command says dask://, which tells what is at the other end.
    found = re.fullmatch(r"dask(\+tls)?://([^\s/]+:\d+)/?", text)
    if found is None:
        raise click.BadParameter(
            f"{text!r} is neither local nor dask://HOST:PORT, such as dask://10.0.0.5:8786; dask+tls:// for a "
            "scheduler that speaks TLS"
        )
    return f"{'tls' if found[1] else 'tcp'}://{found[2]}"


class RunOptions(OptionGroup):
    """How the apps are deployed to, and what is kept of it."""

    title = "The run"

    apps_in_flight: int = option(
        "--apps-in-flight",
        type=click.IntRange(min=1),
        default=AT_ONCE,
        metavar="N",
        help=f"How many apps are under way at once.  [default: {AT_ONCE}]",
    )
    executor: str | None = option(
        "--executor",
        default="local",
        callback=executor,
        metavar="local|dask://HOST:PORT",
        help="Who deploys: this process, or the workers of a dask cluster, each with the token of its own environment; "
        "each also needs FLYASYNC_LIMITS=redis://HOST:PORT/DB there, so that all count the rate limits together. "
        "Needs the extra dask.  [default: local]",
    )
    journal: Path | None = option(
        "--journal",
        callback=writable,
        metavar="FILE",
        help="Write down in FILE what became of each app, without secrets. The same command again goes on from there.",
    )
    max_failures: int | None = option(
        "--max-failures",
        type=click.IntRange(min=1),
        metavar="N",
        help="Begin no further app once N have failed.  [default: none stops the others]",
    )
    launch: str | None = option(
        "--launch",
        metavar="ID",
        help="Name of the launch, the same for each app.  [default: the journal's; else random]",
    )


class BulkOutputOptions(OptionGroup):
    """What is shown."""

    title = "What it tells"

    dry_run: bool = option(
        "--dry-run",
        is_flag=True,
        help="Read the whole file, and say what would be done and how long it takes; ask the API nothing.",
    )
    as_json: bool = option(
        "--json",
        "as_json",
        is_flag=True,
        help="Write JSON lines to stdout, one for each app with its report; the summary is last.",
    )


@dataclass(frozen=True, repr=False)
class BulkOptions:
    """A command line of `flyasync bulk`; `defaults` are the values of columns for rows that do not state them."""

    file: BinaryIO
    run: RunOptions
    create_app: str | None
    defaults: Mapping[str, Any]  # not AppOptions: each row replaces some of them before they are one value
    output: BulkOutputOptions
    rehearsal: RehearsalOptions

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has read."""
        return cls(
            file=params["file"],
            run=RunOptions.of(params),
            create_app=params["create_app"],
            defaults={name: params[name] for name in COLUMNS},
            output=BulkOutputOptions.of(params),
            rehearsal=RehearsalOptions.of(params),
        )


GROUPS = titled(RunOptions, *APP_GROUPS, BulkOutputOptions, RehearsalOptions)
