"""`flyasync lint`: what is invalid or unwise in a machine config or a fly.toml, without asking the API."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import click
from attrs import asdict, evolve, frozen

from flyasync.api.fly_toml import load_fly_toml
from flyasync.cli.shared.client import in_json
from flyasync.cli.shared.exit_codes import FAILED, OK, WRONG_COMMAND_LINE
from flyasync.cli.shared.output import note, show
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import Mismatch, structure
from flyasync.models.lint.linter import Finding, check_app_name, lint

EPILOG = """\b
Examples:
  flyasync lint fly.toml
  flyasync machines show web 61c5e333ac21e4 --json | flyasync lint -

Exit status: 1 when the API would refuse it, 0 otherwise, warnings or not, 2 when it, or a value in it, cannot be read.
"""

COLUMNS: Columns = {
    "KIND": lambda finding: "error" if finding.certain else "warning",
    "CODE": "code",
    "PATH": "path",
    "FOUND": "message",
    "ADVICE": "advice",
}
IMAGE = "registry.fly.io/to-be-built"
"""Stands for the image that is yet to be built from a fly.toml."""


@frozen
class Findings:
    """What was found, the certain first; `is_readable` unless a part of the file could not be read."""

    found: Sequence[Finding]
    is_readable: bool = True

    @property
    def code(self) -> int:
        """The exit status: failed when something certain is among them."""
        if not self.is_readable:
            return WRONG_COMMAND_LINE
        return FAILED if any(finding.certain for finding in self.found) else OK

    @property
    def data(self) -> list[dict[str, Any]]:
        """The findings as JSON."""
        return [asdict(finding) for finding in self.found]

    def write(self, out: TextIO) -> None:
        """Write a line for each finding."""
        write_table(out, list(COLUMNS), [cells(finding, COLUMNS) for finding in self.found])
        if not self.found:
            note("nothing found")


@click.command("lint", epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--process-group", metavar="NAME", help="Of a fly.toml, only this group; by default all.")
@in_json
def command(*, file: Path, process_group: str | None, as_json: bool) -> None:
    """Say what is invalid or unwise in FILE: a fly.toml, or the config of a machine as JSON; - reads JSON."""
    findings = _of_toml(file, process_group) if file.suffix == ".toml" else Findings(tuple(_of_json(_text(file))))
    certain_first = sorted(findings.found, key=lambda finding: not finding.certain)
    raise click.exceptions.Exit(show(evolve(findings, found=certain_first), as_json=as_json))


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error


def _of_json(text: str) -> Iterator[Finding]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"it is neither JSON nor a file named .toml: {error}") from error
    except RecursionError:
        raise InvalidInput("it is not JSON that can be read: it is nested too deep") from None
    try:
        yield from lint(structure(_config(document), MachineConfig))
    except Mismatch as mismatch:
        yield Finding("type", mismatch.path, mismatch.problem, "write it as the API documents it")


def _config(document: Any) -> Any:
    """Take the config out of a whole machine, or out of what is sent to create one."""
    return document["config"] if isinstance(document, dict) and "config" in document else document


def _of_toml(file: Path, process_group: str | None) -> Findings:
    read = load_fly_toml(file)
    groups = [process_group] if process_group else read.groups
    found = list(read.findings)
    if read.app is not None:
        found += (evolve(each, path="app") for each in check_app_name(read.app))
    for group in groups:
        prefix = f"{group}: " if len(groups) > 1 else ""
        config = read.config(group, image=read.image or IMAGE)
        found += (evolve(each, path=prefix + each.path) for each in lint(config, volumes_by_name=True))
    return Findings(found, is_readable=not any(each.certain for each in read.findings))
