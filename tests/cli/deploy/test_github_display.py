"""When a deploy writes to the job of GitHub Actions, and which URL it names."""

from html import escape
from io import StringIO
from pathlib import Path

import pytest

from flyasync import DeployBuilder
from flyasync.cli.deploy.github_display import GitHubDisplay
from flyasync.cli.deploy.lines import Lines
from flyasync.cli.deploy.next_steps import Invocation
from flyasync.cli.github.job import GitHubJob
from flyasync.deploy.reporting.events import Event
from flyasync.emulator import Fault
from tests.cli.driver import Shop, deploy, events
from tests.cli.github.recorder import outputs
from tests.deploy.conftest import world

WEB = DeployBuilder("web").to_regions("iad").with_image("nginx").with_launch("v1").rolling().smoke_check(0)
SERVING = WEB.with_service(internal_port=80)


async def url_of(path: Path, builder: DeployBuilder, *, has_address: bool = True, is_local: bool = False) -> str:
    job = GitHubJob(StringIO(), output=path / "output")
    display = GitHubDisplay(Lines(StringIO(), StringIO()), job, Invocation(is_local=is_local))
    seen: list[Event] = []
    async with world() as (_, fly):
        if has_address:
            await fly.ip_assignments.create("web", type="shared_v4")
        await builder.on_event(seen.append).execute(fly)
    for event in seen:
        display.show(event)
    return outputs(path / "output")["url"]


async def test_an_app_that_serves_has_a_url(tmp_path: Path) -> None:
    assert await url_of(tmp_path, SERVING) == "https://web.fly.dev"


async def test_an_app_that_cannot_be_reached_has_none(tmp_path: Path) -> None:
    assert await url_of(tmp_path, WEB) == ""
    assert await url_of(tmp_path, SERVING, has_address=False) == ""
    assert await url_of(tmp_path, SERVING, is_local=True) == ""


def test_outside_of_github_nothing_is_annotated() -> None:
    result = deploy("--region", "iad", "--local")
    assert "::" not in result.stderr + result.stdout


def test_the_option_decides_where_the_environment_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    assert deploy("--region", "iad", "--local", "--github").exit_code == 0
    assert outputs(tmp_path / "output")["status"] == "ok"
    (tmp_path / "output").unlink()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert deploy("--region", "iad", "--local", "--no-github").exit_code == 0
    assert deploy("--region", "nowhere", "--local", "--no-github").exit_code == 2
    assert not (tmp_path / "output").exists()


def test_a_plan_is_in_the_summary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    result = deploy("--region", "iad", "--local", "--github", "--dry-run")
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("## web: plan\n\n<pre>\nweb")
    assert escape(result.stdout) in summary


def test_json_stays_json_and_annotations_go_to_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    fault = '{"does": "refuse", "action": "createMachine", "status": 422, "body": {"error": "##[error]no"}}'
    result = deploy("--region", "iad", "--local", "--json", "--fault", fault)
    assert events(result.stdout)[-1]["report"]["regions"][0]["machines"][0]["failure"]["message"].count("##[error]no")
    assert "##[" not in result.stdout
    assert result.stderr.startswith("::error title=web%3A failed::")


def test_an_error_before_a_report_is_annotated_and_its_text_is_no_command(
    monkeypatch: pytest.MonkeyPatch, shop: Shop
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    shop.emulator.faults.add(Fault(does="refuse", status=400, body={"error": "##[error]no"}))
    result = shop.ask("machines", "list", "web")
    assert result.exit_code == 1
    note, plain = result.stderr.splitlines()[-2:]
    assert note.startswith("::error title=flyasync::")
    assert plain.startswith("flyasync: ")
    assert "##[" not in plain
