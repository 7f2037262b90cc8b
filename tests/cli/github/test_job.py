"""The files of a job: what is written to them, and what happens if that is not possible."""

from io import StringIO
from pathlib import Path

from flyasync.cli.github.job import GitHubJob
from flyasync.cli.github.markdown import Markdown
from tests.cli.github.recorder import outputs


def test_a_summary_is_appended_and_cut_where_github_would_show_none(tmp_path: Path) -> None:
    job = GitHubJob(StringIO(), tmp_path / "summary.md")
    job.summarize(Markdown("first"))
    job.summarize(Markdown("é" * 1024 * 1024))
    job.summarize(Markdown("third"))
    written = (tmp_path / "summary.md").read_bytes()
    assert written.startswith("first\néé".encode())
    assert written.decode().endswith("é\n\nThe summary is cut here, because GitHub shows none that is longer.\n")
    assert len(written) <= 1024 * 1024


def test_a_value_cannot_set_another_output(tmp_path: Path) -> None:
    job = GitHubJob(StringIO(), output=tmp_path / "output")
    job.set_outputs({"status": "a\nEOF\nlaunch<<EOF\nevil\nEOF", "launch": "v1"})
    job.set_outputs({"url": ""})
    assert outputs(tmp_path / "output") == {"status": "a\nEOF\nlaunch<<EOF\nevil\nEOF", "launch": "v1", "url": ""}


def test_files_that_cannot_be_written_are_warnings(tmp_path: Path) -> None:
    stream = StringIO()
    job = GitHubJob(stream, tmp_path, tmp_path / "missing" / "output")
    job.summarize(Markdown("x"))
    job.set_outputs({"status": "ok"})
    assert stream.getvalue().splitlines() == [
        f"::warning title=flyasync::{tmp_path} could not be written: Is a directory",
        f"::warning title=flyasync::{tmp_path}/missing/output could not be written: No such file or directory",
    ]


def test_without_files_nothing_is_written(tmp_path: Path) -> None:
    job = GitHubJob.of(StringIO(), {"GITHUB_STEP_SUMMARY": ""})
    job.failed("no token")
    assert list(tmp_path.iterdir()) == []
