"""`flyasync diff`: how the machines of an app differ from one another, and from a fly.toml."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.client import api_command
from flyasync.cli.shared.completion import groups as group_names
from flyasync.cli.shared.output import CommandOutput
from flyasync.cli.shared.parameters import app_argument

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

EPILOG = """\b
Examples:
  flyasync diff web
  flyasync diff web --json
\b
  # what a deploy of this file would change in the machines that there are
  flyasync diff web --config fly.toml

The machines of a process group should be alike. Those that differ from most of them are listed, each with the changes
that would make it like them: image, guest, env, services and so on, and the secrets that it has started with. Their
volumes and the releases that deployed them may differ.

With --config, each machine is also compared with what a deploy of FILE would make of it. A file without an image says
nothing about images; --image compares with another one. Groups of APP that FILE does not contain are listed too.
Values that may be secret are not shown.

Exit status: 10 if there is any difference, 0 if there is none, 1 if APP or the config of a machine could not be read,
2 for a wrong command line or file.
"""


@click.command("diff", epilog=EPILOG)
@app_argument
@click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="fly.toml, fly.json or machine config (JSON) to compare with, too.",
)
@click.option("--image", metavar="REF", help="Image to compare with, instead of that of FILE.")
@click.option(
    "--group",
    "groups",
    metavar="NAME",
    multiple=True,
    shell_complete=group_names,
    help="Process group to compare; may be repeated.  [default: all]",
)
@api_command
async def command(
    fly: "FlyClient", *, app: str, file: Path | None, image: str | None, groups: tuple[str, ...]
) -> CommandOutput:
    """Show how the machines of APP differ from one another, and from a file."""
    from flyasync.cli.oncall.comparison import compared
    from flyasync.models.lint.linter import check_app_name, refuse

    refuse(check_app_name(app))
    if image is not None and file is None:
        raise click.UsageError("--image is compared as a part of a file: it needs --config")
    return await compared(fly, app, file=file, image=image, groups=groups)
