"""`flyasync lint`: errors and risks in a machine config or a fly.toml, found without the API."""

from pathlib import Path

import click

from flyasync.cli.shared.client import in_json
from flyasync.cli.shared.output import show

EPILOG = """\b
Examples:
  flyasync lint fly.toml
  flyasync machines show web one --json | flyasync lint -

Exit status: 0 when the API would accept the config, even with warnings, 1 when it would refuse it, 2 when the file, or
a value in it, cannot be read.
"""


@click.command("lint", epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--process-group", metavar="NAME", help="Process group of a fly.toml to check; by default all.")
@click.option("--strict", is_flag=True, help="Refuse a fly.toml with keys that flyctl does not know.")
@in_json
def command(*, file: Path, process_group: str | None, strict: bool, as_json: bool) -> None:
    """Check FILE for errors and risks: a fly.toml, fly.json or machine config as JSON; - reads JSON from stdin."""
    from attrs import evolve

    from flyasync.cli.lint_file import lint_file

    found = lint_file(file, process_group, strict=strict)
    certain_first = sorted(found.found, key=lambda finding: not finding.certain)
    raise click.exceptions.Exit(show(evolve(found, found=certain_first), as_json=as_json))
