"""`flyasync deploy --pause-after`: exit status 9, what to do next, and what is wrong with the options."""

from pathlib import Path

import pytest

from tests.cli.driver import Shop, events

WAVES = ("deploy", "web", "--image", "nginx:1", "--strategy", "rolling", "--waves", "iad/lhr,nrt", "--launch", "v1")


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "deploy.jsonl")


def machines(shop: Shop) -> list[str]:
    return sorted(each["name"] for each in shop.json("machines", "list", "web"))


def test_it_pauses_with_its_own_exit_status_and_resume_continues(shop: Shop, journal: str) -> None:
    result = shop.ask(*WAVES, "--pause-after", "1", "--journal", journal)
    assert result.exit_code == 9, result.output
    assert "web: paused: 1 of 3 machines up to date" in result.stdout
    assert "the deploy pauses after wave 1 of 2" in result.stdout
    assert f"to continue with the next wave: flyasync deploy --resume {journal}\n" in result.stdout
    assert f"to restore the previous release: flyasync deploy --resume {journal} --undo\n" in result.stdout
    assert machines(shop) == ["app-iad-1"]
    assert "web: ok: 3 of 3 machines up to date" in shop.said("deploy", "--resume", journal)
    assert machines(shop) == ["app-iad-1", "app-lhr-1", "app-nrt-1"]


def test_json_has_the_status_and_the_wave(shop: Shop, journal: str) -> None:
    result = shop.ask(*WAVES, "--pause-after", "1", "--journal", journal, "--json")
    assert result.exit_code == 9
    report = events(result.stdout)[-1]["report"]
    assert (report["ok"], report["status"], report["paused_after"]) == (False, "paused", 1)


def test_the_command_to_continue_names_what_the_journal_lacks_and_works(
    shop: Shop, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = shop.ask(*WAVES, "--env", "API_TOKEN=hunter2", "--pause-after", "1", "--journal", journal)
    (hint,) = (line for line in paused.stdout.splitlines() if line.startswith("to continue with the next wave: "))
    assert hint.endswith(f"flyasync deploy --resume {journal} --env API_TOKEN")
    assert "hunter2" not in paused.output
    words = hint.partition("flyasync ")[2].split()
    unset = shop.ask(*words)
    assert unset.exit_code == 2
    assert "expected NAME=VALUE, or the NAME of a variable that is set for this command" in unset.stderr
    monkeypatch.setenv("API_TOKEN", "hunter2")
    assert shop.ask(*words).exit_code == 0
    assert machines(shop) == ["app-iad-1", "app-lhr-1", "app-nrt-1"]


def test_a_changed_fleet_is_refused_with_advice(shop: Shop, journal: str) -> None:
    shop.ask(*WAVES, "--pause-after", "1", "--journal", journal)
    shop.said("machines", "metadata", "set", "web", "app-iad-1", "team=a")
    result = shop.ask("deploy", "--resume", journal)
    assert result.exit_code == 2
    assert "the fleet has changed since launch v1 paused: app-iad-1 (" in result.stderr
    assert '+ metadata.team: "a": run the deploy itself again, which plans anew' in result.stderr
    assert machines(shop) == ["app-iad-1"]


def test_a_pause_in_github_actions_is_no_failure(
    shop: Shop, journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    result = shop.ask(*WAVES, "--pause-after", "1", "--journal", journal, "--github")
    assert result.exit_code == 9
    assert "::error" not in result.output
    assert "::warning" not in result.output
    assert "Failures" not in summary.read_text()
    assert "to continue with the next wave" in summary.read_text()
    assert "paused" in output.read_text()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((*WAVES, "--pause-after", "1"), "--pause-after needs --journal, from which --resume continues the deploy"),
        ((*WAVES, "--pause-after", "0", "--journal", "d.jsonl"), "0 is not in the range x>=1"),
        ((*WAVES, "--pause-after", "2", "--journal", "d.jsonl"), "so this is a number from 1 to 1"),
        (
            (*WAVES[:6], "--region", "iad,lhr", "--pause-after", "1", "--journal", "d.jsonl"),
            "only if its regions are in several waves: add --waves, or --region-by-region with several regions",
        ),
        (
            ("deploy", "web", "--undo", "--pause-after", "1", "--journal", "d.jsonl"),
            "cannot be combined with --undo",
        ),
    ],
)
def test_wrong_options_are_refused(
    shop: Shop, args: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = shop.ask(*args)
    assert result.exit_code == 2
    assert says in result.stderr
