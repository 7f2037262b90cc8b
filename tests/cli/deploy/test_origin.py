"""Which commit and which user a deploy of the command records."""

import subprocess
from pathlib import Path

import pytest

from flyasync.models.machine import GONE
from tests.cli.bulk.driver import street
from tests.cli.driver import Shop, flyasync

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DEPLOY = ("deploy", "web", "--image", "nginx", "--region", "iad", "--strategy", "rolling")


def recorded(shop: Shop) -> dict[str, str]:
    machine = next(each for each in shop.emulator.world.machines.values() if each.state not in GONE)
    metadata = machine.config["metadata"]
    return {
        name: metadata[f"flyasync_{name}"] for name in ("message", "commit", "by") if f"flyasync_{name}" in metadata
    }


@pytest.fixture(autouse=True)
def outside_of_a_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "alice")


def test_the_message_is_that_of_the_command_line_and_the_user_that_of_this_machine(shop: Shop) -> None:
    shop.said(*DEPLOY, "--message", "fix the login", "--commit", COMMIT.upper())
    assert recorded(shop) == {"message": "fix the login", "commit": COMMIT, "by": "alice"}


def test_without_a_repository_no_commit_is_recorded(shop: Shop) -> None:
    shop.said(*DEPLOY)
    assert recorded(shop) == {"by": "alice"}


def test_the_commit_is_that_of_the_current_folder(shop: Shop, tmp_path: Path) -> None:
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run((*git, "init", "-q"), check=True)
    shop.said(*DEPLOY)
    assert "commit" not in recorded(shop)  # the repository has none yet
    subprocess.run((*git, "commit", "-q", "--allow-empty", "-m", "x"), check=True)
    head = subprocess.run((*git, "rev-parse", "HEAD"), check=True, capture_output=True, text=True).stdout.strip()
    shop.said(*DEPLOY, "--env", "A=1")
    assert recorded(shop)["commit"] == head


@pytest.mark.parametrize(
    ("commit", "user"),
    [("GITHUB_SHA", "GITHUB_ACTOR"), ("CI_COMMIT_SHA", "GITLAB_USER_LOGIN"), ("CIRCLE_SHA1", "CIRCLE_USERNAME")],
)
def test_a_ci_job_names_both(monkeypatch: pytest.MonkeyPatch, shop: Shop, commit: str, user: str) -> None:
    monkeypatch.setenv(commit, COMMIT)
    monkeypatch.setenv(user, "octocat")
    shop.said(*DEPLOY)
    assert recorded(shop) == {"commit": COMMIT, "by": "octocat"}


def test_a_commit_that_is_none_is_refused(shop: Shop) -> None:
    result = shop.ask(*DEPLOY, "--commit", "main")
    assert result.exit_code == 2
    assert "'main' is not a commit: use 7 to 64 hexadecimal digits" in result.stderr


def test_an_undo_records_nothing_of_its_own(shop: Shop) -> None:
    result = shop.ask("deploy", "web", "--undo", "--message", "back")
    assert result.exit_code == 2
    assert "--message cannot be combined with --undo" in result.stderr


def test_a_resumed_deploy_keeps_the_origin_of_its_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 1, boot=(60.0, 60.0)) as here:
        line = ("deploy", "shop-0", "--image", "nginx", "--region", "iad,lhr", "--strategy", "rolling")
        begun = (*line, "--journal", str(here.journal), "--message", "why", "--commit", COMMIT)
        assert flyasync(*begun, drive=here.interrupted(0.3)).exit_code == 130
        monkeypatch.setenv("LOGNAME", "bob")
        assert flyasync("deploy", "--resume", str(here.journal), drive=here.drive).exit_code == 0
        found = [each.config["metadata"] for each in here.emulator.world.machines.values()]
    assert [(each["flyasync_message"], each["flyasync_by"]) for each in found] == [("why", "alice")] * 2


def test_each_app_of_a_bulk_run_records_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with street(monkeypatch, tmp_path, 2) as here:
        text = "app,image,region\nshop-0,nginx,iad\nshop-1,nginx,lhr\n"
        assert here.journaled(text, "--message", "one", "--commit", COMMIT).exit_code == 0
        found = [each.config["metadata"] for each in here.emulator.world.machines.values()]
        assert [(each["flyasync_message"], each["flyasync_commit"]) for each in found] == [("one", COMMIT)] * 2
        # Another message does not make a row another one.
        assert "already done: 2 of 2" in here.journaled(text, "--message", "two").stdout


def test_without_git_and_without_a_user_nothing_is_recorded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    def no_entry() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", no_entry)
    shop.said(*DEPLOY)
    assert recorded(shop) == {}


def test_git_that_does_not_end_is_not_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_ends(*args: object, **_: object) -> None:
        raise subprocess.TimeoutExpired(str(args), 5)

    monkeypatch.setattr("subprocess.run", never_ends)
    shop.said(*DEPLOY)
    assert "commit" not in recorded(shop)
