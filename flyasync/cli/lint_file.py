"""The work of `flyasync lint`: the findings in a file."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from attrs import asdict, frozen

from flyasync.api.fly_toml import load_fly_toml
from flyasync.cli.shared.exit_codes import FAILED, OK, WRONG_COMMAND_LINE
from flyasync.cli.shared.output import note
from flyasync.cli.shared.tables import Columns, cells, write_table
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.fly_toml.kinds import machine_config_in
from flyasync.models.json.codec import Mismatch, structure
from flyasync.models.lint.linter import Finding, lint

COLUMNS: Columns = {
    "KIND": lambda finding: "error" if finding.certain else "warning",
    "CODE": "code",
    "PATH": "path",
    "FOUND": "message",
    "ADVICE": "advice",
}


_OF_APPS = (".toml", ".yaml", ".yml")


@frozen
class LintOutput:
    """The findings, certain ones first; not `is_readable` if a part of the file could not be read."""

    found: Sequence[Finding]
    is_readable: bool = True

    @property
    def code(self) -> int:
        """The exit code: failed when a finding is certain."""
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
            note("no problems found")


def lint_file(file: Path, process_group: str | None, *, strict: bool) -> LintOutput:
    """Return the findings in a fly.toml, a fly.json or a machine config."""
    if file.suffix in _OF_APPS:
        return lint_fly_toml(file, process_group, strict=strict)
    # Any other file is JSON, as a pipe has no name.
    try:
        document = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
    except ValueError as error:
        raise InvalidInput(f"the input is neither JSON nor a file named .toml: {error}") from error
    except RecursionError:
        raise InvalidInput("the JSON is nested too deeply") from None
    config = machine_config_in(document, file.name) if isinstance(document, dict) else document
    if config is None:
        return lint_fly_toml(file, process_group, strict=strict)
    return LintOutput(tuple(lint_machine(config)))


def lint_machine(config: object) -> Iterator[Finding]:
    """Yield the findings in the config of a machine, as parsed JSON."""
    # A value of the wrong type ends the parsing, so it is the only finding.
    try:
        yield from lint(structure(config, MachineConfig))
    except Mismatch as mismatch:
        yield Finding("type", mismatch.path, mismatch.problem, "write it as the API documents it")


def lint_fly_toml(file: Path, process_group: str | None, *, strict: bool) -> LintOutput:
    """Return the findings in a fly.toml and in the configs that it describes, one for each of its process groups."""
    read = load_fly_toml(file)
    found = read.problems(*([process_group] if process_group else []), strict=strict)
    return LintOutput(found, is_readable=not any(each.certain for each in read.findings))
