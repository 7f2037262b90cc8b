"""A run over many apps in a job of GitHub Actions: its outputs, and a summary that stays small."""

from io import StringIO
from pathlib import Path

import pytest

from flyasync.cli.bulk.github_display import GitHubBulkDisplay
from flyasync.cli.bulk.lines import BulkLines
from flyasync.cli.bulk.results import AppNames, BulkProgress
from flyasync.cli.bulk.summary import BulkInvocation, BulkSummary
from flyasync.cli.github.job import GitHubJob
from tests.cli.bulk.driver import street, table
from tests.cli.bulk.test_results import failed
from tests.cli.github.recorder import outputs


@pytest.fixture(autouse=True)
def in_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))


def test_a_run_that_is_ok_has_no_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 2) as here:
        result = here.bulk(table(2), "--launch", "v1")
    assert "::" not in result.stderr
    assert outputs(tmp_path / "output") == {"launch": "v1", "status": "ok"}
    assert (tmp_path / "summary.md").read_text().count("| shop-") == 2


def test_a_run_that_a_signal_ends_is_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 2, boot=(60.0, 60.0)) as here:
        result = here.bulk(table(2), "--launch", "v1", drive=here.interrupted(5.0))
    assert result.exit_code == 130
    assert outputs(tmp_path / "output")["status"] == "interrupted"
    assert "::error title=flyasync bulk::" in result.stderr


def test_a_plan_is_in_the_summary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1) as here:
        assert here.bulk(table(1), "--dry-run").exit_code == 0
    assert "shops.csv: plan\n\n<pre>\n" in (tmp_path / "summary.md").read_text()


def test_of_many_failures_the_first_are_shown(tmp_path: Path) -> None:
    stream = StringIO()
    display = GitHubBulkDisplay(BulkLines(StringIO(), StringIO()), GitHubJob(stream, tmp_path / "summary.md"))
    progress = BulkProgress(total=70, at_once=20)
    for number in range(60):
        progress.begin()
        result = failed(f"shop-{number}", "no")
        progress.record(result)
        display.show(result)
    called = BulkInvocation(source="shops.csv", launch="v1")
    display.finish(
        BulkSummary(
            called=called, progress=progress, seconds=1.0, is_cut=False, renamed=AppNames(), abandoned=AppNames()
        )
    )
    summary = (tmp_path / "summary.md").read_text()
    assert summary.count("<details><summary>shop-") == 50
    assert "The table has 50 of 60 apps." in summary
    assert stream.getvalue().count("::error ") == 10
    assert "::error title=42 more::" in stream.getvalue()
