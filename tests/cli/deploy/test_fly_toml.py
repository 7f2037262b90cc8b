"""`flyasync deploy` with a fly.toml: which file it finds, and what options change."""

import json
from pathlib import Path

import pytest

from tests.cli.driver import Shop

FILE = """
app = "web"
primary_region = "iad"
[build]
image = "shop:1"
[processes]
web = "serve"
worker = "work"
[http_service]
internal_port = 80
processes = ["web"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fly.toml").write_text(FILE)
    return tmp_path


def there(shop: Shop) -> list[str]:
    return sorted(each.name for each in shop.emulator.world.machines.values() if each.state != "destroyed")


def test_in_its_folder_the_file_states_all_and_the_same_command_changes_nothing(shop: Shop, folder: Path) -> None:
    plan = shop.said("deploy", "--dry-run").splitlines()
    assert plan[0].startswith("web converges to fly.toml, rolling to shop:1@")
    report = shop.said("deploy").splitlines()[-1]
    assert report.startswith("  allocated ")
    assert report.endswith(", for https://web.fly.dev")
    assert there(shop) == ["web-iad-1", "web-iad-2", "worker-iad-1", "worker-iad-standby"]
    again = shop.said("deploy", "--dry-run")
    assert "converges to fly.toml" in again
    assert "nothing to do, all 4 up to date" in again
    shop.said("deploy", "--image", "shop:2")
    assert {each.config["image"].partition("@")[0] for each in shop.emulator.world.machines.values()} == {"shop:2"}


def test_a_dry_run_for_an_app_that_would_be_created_shows_its_addresses(shop: Shop, folder: Path) -> None:
    (folder / "fly.toml").write_text(FILE.replace('"web"\nprimary', '"new"\nprimary'))
    plan = shop.said("deploy", "--create-app=personal", "--dry-run")
    assert "  allocate a shared IPv4 and an IPv6\n" in plan
    assert "has no IP address" not in plan
    assert "new has no IP address" in shop.said("deploy", "--create-app=personal", "--dry-run", "--no-public-ips")


def test_options_are_applied_on_top(shop: Shop, folder: Path) -> None:
    shop.said("deploy", "--region", "iad,lhr", "--count", "worker=2@lhr", "--env", "A=1", "--smoke-check", "0")
    names = ["web-iad-1", "web-lhr-1", "worker-iad-1", "worker-lhr-1", "worker-lhr-2"]
    assert there(shop) == names
    plan = shop.said("deploy", "--group", "worker", "--count", "worker=3", "--dry-run")
    assert "create 3" in plan
    assert "- env.A removed: not in fly.toml" in plan
    assert "4 of the group web left unchanged" not in plan
    assert "2 machines of the group web left unchanged" in plan


def test_an_app_of_another_name_needs_the_file_to_be_named(shop: Shop, folder: Path) -> None:
    result = shop.ask("deploy", "other", "--dry-run")
    assert result.exit_code == 2
    assert "the app to deploy is other, but fly.toml is that of web: add --config fly.toml" in result.stderr
    shop.said("apps", "create", "other", "--org", "personal")
    assert shop.said("deploy", "other", "--config", "fly.toml", "--dry-run").startswith("other converges to fly.toml")
    plan = shop.said("deploy", "other", "--no-config", "--image", "nginx", "--region", "iad", "--dry-run")
    assert plan.startswith("other converges, rolling to nginx")


@pytest.mark.parametrize("strategy", ["rolling", "bluegreen"])
def test_a_section_whose_name_has_a_typing_error_is_not_removed_from_machines(
    shop: Shop, folder: Path, strategy: str
) -> None:
    line = ("deploy", "--strategy", strategy, "--wait", "started", "--image", "shop:2")
    shop.said("deploy")
    before = {each.id: each.config for each in shop.emulator.world.machines.values()}
    (folder / "fly.toml").write_text(FILE.replace("http_service", "http_servce"))
    for more in ((), ("--dry-run",)):
        refused = shop.ask(*line, *more)
        assert refused.exit_code == 2, refused.output
        assert "fly.toml has an unknown key 'http_servce', and as it does not state services" in refused.stderr
        assert "would remove that from web-iad-1 (" in refused.stderr
    assert {each.id: each.config for each in shop.emulator.world.machines.values()} == before
    # A new app has nothing to lose, so the key is a warning, as with flyctl. Without the key, the removal is meant.
    assert (
        "fly.toml: http_servce: unknown key: did you mean 'http_service'?"
        in shop.ask("deploy", "--group", "worker").stderr
    )
    (folder / "fly.toml").write_text(FILE.partition("[http_service]")[0])
    assert "- services" in shop.said("deploy", "--dry-run")


def test_what_is_advised_for_an_app_of_another_name_works(shop: Shop, folder: Path) -> None:
    # With --add no file can be named, so --no-config is the only way.
    added = ("deploy", "other", "--image", "nginx", "--region", "iad", "--add", "--create-app=personal", "--dry-run")
    refused = shop.ask(*added)
    assert refused.exit_code == 2
    assert "--add needs options instead of the fly.toml that was found: add --no-config" in refused.stderr
    assert "--config fly.toml" not in refused.stderr
    assert shop.ask(*added, "--no-config").exit_code == 0
    # A word after --create-app may have been meant for it.
    taken = shop.ask("deploy", "--create-app", "personal", "--dry-run")
    assert taken.exit_code == 2
    assert "for the organization personal, write --create-app=personal" in taken.stderr
    for create in ("--create-app=personal", "--create-app"):
        assert shop.said("deploy", create, "--dry-run").startswith("web converges to fly.toml")


def test_without_a_file_the_app_and_the_image_have_to_be_given(shop: Shop, folder: Path) -> None:
    for args, missing in ((("--no-config",), "Missing argument 'APP'"), (("web", "--no-config"), "option '--image'")):
        result = shop.ask("deploy", *args)
        assert result.exit_code == 2
        assert missing in result.stderr


def test_a_file_without_an_image_needs_one(shop: Shop, folder: Path) -> None:
    (folder / "fly.toml").write_text(FILE.replace('image = "shop:1"', 'dockerfile = "Dockerfile"'))
    result = shop.ask("deploy")
    assert result.exit_code == 2
    assert "fly.toml names no image, and flyasync does not build one: build and push it, then pass --image" in (
        " ".join(result.stderr.split())
    )
    shop.said("deploy", "--image", "shop:1")


def test_all_unknown_keys_are_warnings_and_refused_if_strict(shop: Shop, folder: Path) -> None:
    (folder / "fly.toml").write_text(f"primary_regio = 'iad'\n{FILE}auto_stop_machine = true\n")
    result = shop.ask("deploy", "--dry-run")
    assert result.exit_code == 0, result.output
    for key, meant in (("primary_regio", "primary_region"), ("auto_stop_machine", "auto_stop_machines")):
        assert key in result.stderr
        assert f"did you mean '{meant}'" in result.stderr
    result = shop.ask("deploy", "--dry-run", "--strict")
    assert result.exit_code == 2
    assert "primary_regio" in result.stderr
    assert "auto_stop_machine" in result.stderr


def test_a_fly_json_and_the_config_of_a_machine_are_read_too(shop: Shop, folder: Path) -> None:
    (folder / "fly.toml").unlink()
    (folder / "fly.json").write_text(json.dumps({"app": "web", "primary_region": "iad", "build": {"image": "shop:1"}}))
    assert shop.said("deploy", "--dry-run").startswith("web converges to fly.json")
    (folder / "machine.json").write_text(json.dumps({"image": "shop:1", "guest": {"cpus": 2, "memory_mb": 512}}))
    plan = shop.said("deploy", "web", "--config", "machine.json", "--region", "iad", "--dry-run")
    assert plan.startswith("web converges, rolling to shop:1")
    assert "cpus=2" in plan


def test_add_needs_options_instead_of_the_file(shop: Shop, folder: Path) -> None:
    args = ("--add", "--image", "nginx", "--region", "iad", "--launch", "v1")
    result = shop.ask("deploy", "web", *args)
    assert result.exit_code == 2
    assert "--add needs options instead of the fly.toml that was found: add --no-config" in result.stderr
    shop.said("deploy", "web", *args, "--no-config")
    assert there(shop) == ["v1-iad-1"]


def test_undo_resume_and_bulk_look_for_no_file(shop: Shop, folder: Path) -> None:
    shop.said("deploy")
    shop.said("deploy", "--image", "shop:2", "--group", "web", "--journal", "web.jsonl")
    (folder / "fly.toml").write_text("not toml")
    assert "undo of launch" in shop.said("deploy", "web", "--undo", "--group", "web", "--dry-run")
    result = shop.ask("deploy", "--resume", "web.jsonl", "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("web converges to fly.toml, rolling to shop:2")  # as the journal says


def test_one_group_is_created_with_one_machine_without_ha(shop: Shop, folder: Path) -> None:
    shop.said("deploy", "--ha=false")
    assert there(shop) == ["web-iad-1", "worker-iad-1"]


def test_an_unknown_region_is_refused_before_anything_is_created(shop: Shop, folder: Path) -> None:
    result = shop.ask("deploy", "--region", "iad,xyz")
    assert result.exit_code == 2
    assert "'xyz' is not a region of Fly.io" in result.stderr
    (folder / "fly.toml").write_text(FILE.replace('"iad"', '"xyz"'))
    assert shop.ask("deploy").exit_code == 2
    assert there(shop) == []
