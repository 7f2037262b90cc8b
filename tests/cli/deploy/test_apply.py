"""`flyasync deploy --dry-run --out` and `flyasync apply`: exactly what was reviewed, or a refusal that says why."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.driver import Shop, events

DEPLOY = ("deploy", "web", "--image", "nginx:1", "--region", "iad,lhr", "--strategy", "rolling", "--launch", "v1")


@pytest.fixture
def plan(tmp_path: Path) -> str:
    return str(tmp_path / "plan.json")


def planned(shop: Shop, plan: str, *more: str, restated: str = "") -> None:
    result = shop.ask(*DEPLOY, *more, "--dry-run", "--out", plan)
    assert result.exit_code == 0, result.output
    assert f"flyasync: the plan is in {plan}; to apply it: flyasync apply {plan}{restated}\n" in result.stderr
    assert stat.S_IMODE(Path(plan).stat().st_mode) == 0o600


def machines(shop: Shop) -> list[str]:
    return sorted(each["name"] for each in shop.json("machines", "list", "web"))


def test_a_plan_is_shown_applied_and_applied_already(shop: Shop, plan: str, tmp_path: Path) -> None:
    planned(shop, plan)
    assert machines(shop) == []
    shown = shop.said("apply", plan, "--dry-run")
    assert "rolling to nginx:1@sha256:" in shown
    assert shown.endswith("dry run: nothing was changed\n")
    page, journal = tmp_path / "deploy.html", tmp_path / "deploy.jsonl"
    applied = shop.said("apply", plan, "--html", str(page), "--journal", str(journal))
    for step in ("stage 1 of 1: all machines", "app-iad-1  creating", "app-lhr-1  started", "app-lhr-1  watching"):
        assert step in applied
    assert "web: ok: 2 of 2 machines up to date" in applied
    assert "launch v1" in page.read_text()
    assert json.loads(journal.read_text().splitlines()[-1])["what"] == "finished"
    assert machines(shop) == ["app-iad-1", "app-lhr-1"]
    assert "nothing is left to do" in shop.said("apply", plan)


def test_a_stale_plan_exits_with_2_and_names_what_has_changed(shop: Shop, plan: str) -> None:
    shop.said(*DEPLOY)
    planned(shop, plan, "--count", "2", "--launch", "v2")
    shop.said("machines", "destroy", "web", "app-lhr-1", "--force", "--yes")
    result = shop.ask("apply", plan)
    assert result.exit_code == 2
    assert "the fleet has changed since the plan was made: app-lhr-1 (" in result.stderr
    assert "is gone: plan again with flyasync deploy … --dry-run --out" in result.stderr
    (error,) = events(shop.ask("apply", plan, "--json").stdout)
    assert (error["event"], error["kind"], error["exit"]) == ("error", "FleetChanged", 2)
    assert machines(shop) == ["app-iad-1"]


def test_values_that_the_file_lacks_are_stated_again(shop: Shop, plan: str) -> None:
    secret = "migrate --token abcdefgh"
    more = ("--env", "API_TOKEN=hunter2", "--metadata", "token=t0ken", "--release-command", secret)
    planned(shop, plan, *more, restated=" --env API_TOKEN --metadata token=VALUE --release-command CMD")
    assert not [value for value in ("hunter2", "t0ken", "abcdefgh") if value in Path(plan).read_text()]
    result = shop.ask("apply", plan)
    assert result.exit_code == 2
    assert "does not contain env.API_TOKEN, metadata.token because they may be secret" in result.stderr
    assert "with --env NAME=VALUE and --metadata NAME=VALUE" in result.stderr
    assert "state it again with --release-command" in shop.ask("apply", plan, *more[:4]).stderr
    other = shop.ask("apply", plan, *more, "--release-timeout", "600")
    assert other.exit_code == 2
    assert "at most 300 s" in other.stderr
    assert "at most 600 s" in other.stderr
    shop.said("apply", plan, *more)


def test_a_failed_apply_says_how_to_continue(shop: Shop, plan: str) -> None:
    planned(shop, plan)
    shop.emulator.set_capacity("lhr", 0)
    result = shop.ask("apply", plan)
    assert result.exit_code not in {0, 2}
    assert "for regions without room: the command that made the plan with --fallback nearest" in result.stdout
    assert "the same command" not in result.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((*DEPLOY, "--out", "plan.json"), "--out needs --dry-run"),
        ((*DEPLOY, "--dry-run", "--out", "plan.json", "--local"), "--out cannot be combined with --local"),
        (
            (*DEPLOY, "--dry-run", "--out", "plan.json", "--create-app", "personal"),
            "--out cannot be combined with --create-app: the app has to exist",
        ),
        (("deploy", "web", "--undo", "--dry-run", "--out", "plan.json"), "--out cannot be combined with --undo"),
        (("apply", "none.json"), "File 'none.json' does not exist"),
        (("apply", __file__), "is not a plan"),
        (("apply", __file__, "--release-timeout", "5"), "--release-timeout needs --release-command"),
    ],
)
def test_what_cannot_be_applied_is_refused(shop: Shop, args: tuple[str, ...], says: str) -> None:
    result = shop.ask(*args)
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_app_that_does_not_exist_is_not_created(shop: Shop, plan: str) -> None:
    planned(shop, plan)
    data = json.loads(Path(plan).read_text())
    data["deployment"]["app"] = "gone"
    Path(plan).write_text(json.dumps(data))
    result = shop.ask("apply", plan)
    assert result.exit_code == 1
    assert "Is the app's name right?" in result.stderr
    assert "--create-app" not in result.stderr


TOML = """app = "web"
primary_region = "iad"
[build]
image = "nginx:1"
[processes]
web = "serve"
worker = "work"
[env]
LOG = "info"
[http_service]
internal_port = 8080
processes = ["web"]
[deploy]
release_command = "migrate"
"""


def test_the_plan_of_a_fly_toml_is_applied_without_reading_one(
    shop: Shop, plan: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    toml = tmp_path / "fly.toml"
    toml.write_text(TOML)
    assert shop.ask("deploy", "--dry-run", "--out", plan).exit_code == 0
    # What is in the folder now is another app's.
    toml.write_text('app = "other"\n')
    stated = ("--env", "LOG=info")
    shop.said("apply", plan, *stated)
    names = machines(shop)
    assert {name.partition("-")[0] for name in names} == {"web", "worker"}
    assert "nothing is left to do" in shop.said("apply", plan, *stated)
    assert machines(shop) == names

    toml.write_text(TOML.replace("nginx:1", "nginx:2"))
    assert shop.ask("deploy", "--dry-run", "--out", plan).exit_code == 0
    toml.unlink()
    assert "web: ok" in shop.said("apply", plan, *stated)
    assert machines(shop) == names
