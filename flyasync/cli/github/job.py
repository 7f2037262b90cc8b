"""The job of GitHub Actions that runs the command: its annotations, its summary and the outputs of its step."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Self, TextIO

from attrs import frozen

from flyasync.cli.github.markdown import Markdown, heading, several_lines
from flyasync.cli.github.workflow_commands import Annotation, Level, shown
from flyasync.safe_text import readable

MOST_BYTES = 1024 * 1024
"""The size of a step's summary; GitHub shows none of a larger one."""

_CUT = "\n\nThe summary is cut here, because GitHub shows none that is longer.\n"


@frozen
class GitHubJob:
    """Where a job's step takes annotations, its summary and its outputs; a file that is None is not written."""

    stream: TextIO
    summary: Path | None = None
    output: Path | None = None

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the job that the environment describes; annotations go to `stream`, which is not stdout.

        The runner reads stderr for commands too, and stdout may be JSON for another program.
        """
        files = [environment.get(name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")]
        summary, output = (Path(file) if file else None for file in files)
        return cls(stream, summary, output)

    def annotate(self, annotations: Iterable[Annotation]) -> None:
        """Write annotations, as many as GitHub shows."""
        self.stream.writelines(f"{each}\n" for each in shown(annotations))
        self.stream.flush()

    def summarize(self, summary: Markdown) -> None:
        """Append to the summary of the step, which is cut where GitHub would show none of it."""
        if self.summary is None:
            return
        room = MOST_BYTES - (self.summary.stat().st_size if self.summary.exists() else 0)
        content = f"{summary}\n".encode()
        if len(content) > room:
            kept = content[: max(room - len(_CUT), 0)].decode(errors="ignore")
            content = f"{kept}{_CUT}".encode() if kept else b""
        self._append(self.summary, content)

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """Set outputs of the step; a value may contain anything."""
        if self.output is None:
            return
        lines = []
        for name, value in outputs.items():
            # A random delimiter, so that no value can end itself and set another output.
            end = f"flyasync_{token_hex(16)}"
            lines.append(f"{name}<<{end}\n{readable(value)}\n{end}\n")
        self._append(self.output, "".join(lines).encode())

    def failed(self, message: str) -> None:
        """Show that the command failed before there was a report."""
        self.annotate([Annotation(Level.ERROR, "flyasync", message)])
        self.summarize(Markdown(f"{heading(2, '✕ flyasync')}\n{several_lines(message)}\n"))
        self.set_outputs({"status": "error"})

    def _append(self, path: Path, content: bytes) -> None:
        # A file that cannot be written changes neither the result nor the exit code.
        try:
            with path.open("ab") as file:
                file.write(content)
        except OSError as error:
            self.annotate([Annotation(Level.WARNING, "flyasync", f"{path} could not be written: {error.strerror}")])
