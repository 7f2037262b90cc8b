"""What runs leave in a job of GitHub Actions, compared with recorded files; see `tests/cli/github/recorder.py`."""

from pathlib import Path

import pytest

from tests.cli.github.recorder import FOLDER, RUNS, record


@pytest.mark.parametrize("name", RUNS)
def test_a_run_leaves_what_was_recorded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file, text in record(name, tmp_path, monkeypatch).items():
        assert text == (FOLDER / name / file).read_text(), file


def test_the_guide_shows_a_recorded_summary() -> None:
    guide = Path(__file__).parents[3] / "docs/pages/guides/github-actions.md"
    summary = (FOLDER / "degraded/summary.md").read_text().partition("### Timeline")[0].rstrip("\n")
    assert f"~~~markdown\n{summary}\n~~~\n" in guide.read_text()


def test_every_recording_has_a_run() -> None:
    assert {each.name for each in FOLDER.iterdir()} == RUNS.keys()
