"""The options of `flyasync bulk`, as one value: those of `flyasync deploy` for each app, and those of the run."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import click

from flyasync.cli.deploy.app_options import APP_GROUPS
from flyasync.cli.deploy.options import (
    RehearsalOptions,
    github_option,
    no_open_option,
    notify_option,
    record_option,
    web_option,
)
from flyasync.cli.deploy.origin import OriginOptions
from flyasync.cli.shared.option_groups import OptionGroup, Options, option, titled
from flyasync.cli.shared.option_types import writable

AT_ONCE = 20
"""How many apps are deployed at once by default."""

COLUMNS = {
    each.name: each
    for group in APP_GROUPS
    for each in group.options()
    if each.name and each.name != "create_app"  # the organization is the same for all rows
}
"""The columns of a row besides app: the options for all rows, by name."""


def executor(_ctx: click.Context, _param: click.Parameter, text: str) -> str | None:
    """Read `local` as None, and `dask://HOST:PORT` as the address that a dask client takes."""
    if text == "local":
        return None
    # A dask client takes tcp:// or tls://; dask:// names the kind of server instead.
    found = re.fullmatch(r"dask(\+tls)?://([^\s/]+:\d+)/?", text)
    if found is None:
        raise click.BadParameter(
            f"{text!r} is neither local nor dask://HOST:PORT, such as dask://10.0.0.5:8786; for TLS use dask+tls://"
        )
    return f"{'tls' if found[1] else 'tcp'}://{found[2]}"


class RunOptions(OptionGroup):
    """How the apps are deployed, and what is recorded."""

    title = "Run"

    apps_in_flight: int = option(
        "--apps-in-flight",
        type=click.IntRange(min=1),
        default=AT_ONCE,
        metavar="N",
        help=f"Number of apps that are deployed at once.  [default: {AT_ONCE}]",
    )
    executor: str | None = option(
        "--executor",
        default="local",
        callback=executor,
        metavar="local|dask://HOST:PORT",
        help="Where deploys run: in this process, or on the workers of a dask cluster. Each worker needs a token and "
        "FLYASYNC_LIMITS=redis://HOST:PORT/DB in its environment, so that all workers share the rate limits. "
        "Needs the extra dask.  [default: local]",
    )
    journal: Path | None = option(
        "--journal",
        callback=writable,
        metavar="FILE",
        help="Record the result of each app in FILE, without secrets. The same command continues from there.",
    )
    max_failures: int | None = option(
        "--max-failures",
        type=click.IntRange(min=1),
        metavar="N",
        help="Start no further app after N failures.  [default: no limit]",
    )
    launch: str | None = option(
        "--launch",
        metavar="ID",
        help="Name of the launch, the same for each app.  [default: that of the journal, else random]",
    )


class BulkOutputOptions(OptionGroup):
    """What is written."""

    title = "Output"

    dry_run: bool = option(
        "--dry-run",
        is_flag=True,
        help="Check the whole file, and print the plan and its minimum duration; send no request.",
    )
    as_json: bool = option(
        "--json",
        "as_json",
        is_flag=True,
        help="Write JSON lines to stdout, one for each app with its report; the summary is last.",
    )
    github: bool | None = github_option()
    record: Path | None = record_option()
    web: int | None = web_option()
    no_open: bool = no_open_option()
    notify: str | None = notify_option()


class BulkOptions(Options):
    """A command line of `flyasync bulk`; `defaults` are the values of columns for rows that do not state them."""

    file: BinaryIO
    run: RunOptions
    origin: OriginOptions
    create_app: str | None
    defaults: Mapping[str, Any]  # not AppOptions yet, as each row overrides some of them
    output: BulkOutputOptions
    rehearsal: RehearsalOptions

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the values that click has parsed."""
        return cls(
            file=params["file"],
            run=RunOptions.of(params),
            origin=OriginOptions.of(params),
            create_app=params["create_app"],
            defaults={name: params[name] for name in COLUMNS},
            output=BulkOutputOptions.of(params),
            rehearsal=RehearsalOptions.of(params),
        )


GROUPS = titled(RunOptions, *APP_GROUPS, OriginOptions, BulkOutputOptions, RehearsalOptions)
