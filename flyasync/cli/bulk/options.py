"""The options of `flyasync bulk`: those of `flyasync deploy` that suit many apps, and those of the run."""

import re

import click

from flyasync.cli.deploy.options import SECTIONS as DEPLOY
from flyasync.cli.shared.option_sections import Sections, option
from flyasync.cli.shared.option_types import writable

AT_ONCE = 20
"""How many apps are under way at once unless it is said."""

_FOR_EACH_APP = ("What to run", "Where", "How to change what runs", "When it counts as done")

COLUMNS = {
    each.name: each
    for title in _FOR_EACH_APP
    for each in DEPLOY[title]
    if each.name and each.name != "create_app"  # one organization owns the run
}
"""What a row may say besides its app, by the names of the options that say it for all rows."""


def executor(_ctx: click.Context, _param: click.Parameter, text: str) -> str | None:
    """Read `local` as None, and `dask://HOST:PORT` as the address that a dask client takes."""
    if text == "local":
        return None
    found = re.fullmatch(r"dask(\+tls)?://([^\s/]+:\d+)/?", text)
    if found is None:
        raise click.BadParameter(
            f"{text!r} is neither local nor dask://HOST:PORT, such as dask://10.0.0.5:8786; dask+tls:// for a "
            "scheduler that speaks TLS"
        )
    return f"{'tls' if found[1] else 'tcp'}://{found[2]}"


_THE_RUN = (
    option(
        "--apps-in-flight",
        type=click.IntRange(min=1),
        default=AT_ONCE,
        metavar="N",
        help=f"How many apps are under way at once.  [default: {AT_ONCE}]",
    ),
    option(
        "--executor",
        default="local",
        callback=executor,
        metavar="local|dask://HOST:PORT",
        help="Who deploys: this process, or the workers of a dask cluster, each with the token of its own environment; "
        "each also needs FLYASYNC_LIMITS=redis://HOST:PORT/DB there, so that all count the rate limits together. "
        "Needs the extra dask.  [default: local]",
    ),
    option(
        "--journal",
        callback=writable,
        metavar="FILE",
        help="Write down in FILE what became of each app, without secrets. The same command again goes on from there.",
    ),
    option(
        "--max-failures",
        type=click.IntRange(min=1),
        metavar="N",
        help="Begin no further app once N have failed.  [default: none stops the others]",
    ),
    option(
        "--launch",
        metavar="ID",
        help="Name of the launch, the same for each app.  [default: the journal's; else random]",
    ),
)
_TOLD = (
    option(
        "--dry-run",
        is_flag=True,
        help="Read the whole file, and say what would be done and how long it takes; ask the API nothing.",
    ),
    option(
        "--json",
        "as_json",
        is_flag=True,
        help="Write JSON lines to stdout, one for each app with its report; the summary is last.",
    ),
)
SECTIONS: Sections = {
    "The run": _THE_RUN,
    **{title: DEPLOY[title] for title in _FOR_EACH_APP},
    "What it tells": _TOLD,
    "Rehearsing": DEPLOY["Rehearsing"],
}
