import json
from pathlib import Path
from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.drift import among
from flyasync.deploy.builder import DeployBuilder
from flyasync.models.machine import Machine
from flyasync.testing import mock_machine
from tests.cli.driver import Shop

FILE = """
app = "web"
primary_region = "iad"
[build]
image = "nginx:1"
[env]
MODE = "fast"
[processes]
web = "serve"
worker = "work"
[[vm]]
size = "shared-cpu-1x"
"""


def deploy(shop: Shop, *args: str, group: str = "app") -> None:
    options = ("--region", "iad,lhr,nrt", "--strategy", "rolling", "--group", group, "--env", "MODE=fast")
    shop.said("deploy", "web", "--image", "nginx:1", *options, *args)


def drift(shop: Shop, *args: str, exit_code: int = 10) -> Any:
    return shop.json("diff", "web", *args, exit_code=exit_code)


def test_machines_that_are_alike_do_not_differ(shop: Shop) -> None:
    deploy(shop)
    assert shop.said("diff", "web") == "web: no differences between 3 machines\n"
    assert drift(shop, exit_code=0)["differences"] == []


def test_the_machine_that_differs_from_the_others_is_shown_with_its_changes(shop: Shop) -> None:
    deploy(shop)
    shop.said("machines", "modify", "web", "app-lhr-1", "--memory", "512", "--image", "nginx:2")
    result = shop.ask("diff", "web")
    assert result.exit_code == 10
    first, who, *changes = result.stdout.splitlines()
    assert first == "web: 1 of 3 machines differ"
    assert who.startswith("  app-lhr-1 (")
    assert who.endswith(") in lhr, group app, differs from 2 of 3 machines, such as app-iad-1")
    assert changes[0] == "    ~ guest.memory_mb: 512 → 256"
    assert changes[1].startswith('    ~ image: "nginx:2@sha256:')
    (difference,) = drift(shop)["differences"]
    assert difference["changes"][0] == {"path": "guest.memory_mb", "old": 512, "new": 256}


def test_secrets_and_values_of_env_are_not_shown(shop: Shop) -> None:
    deploy(shop)
    shop.said("machines", "modify", "web", "app-lhr-1", "--env", "API_TOKEN=hunter2hunter2")
    result = shop.ask("diff", "web", "--json")
    assert result.exit_code == 10
    assert "API_TOKEN" in result.stdout
    assert "hunter2" not in result.output


def test_only_the_groups_that_are_named_are_compared(shop: Shop) -> None:
    deploy(shop, group="web")
    deploy(shop, group="worker")
    shop.said("machines", "modify", "web", "worker-lhr-1", "--memory", "512")
    assert shop.ask("diff", "web", "--group", "web").exit_code == 0
    assert shop.ask("diff", "web", "--group", "worker").exit_code == 10
    result = shop.ask("diff", "web", "--group", "workr")
    assert (result.exit_code, "did you mean 'worker'?" in result.stderr) == (1, True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fly.toml"
    path.write_text(FILE)
    return path


def deploy_file(shop: Shop, file: Path) -> None:
    async def deploy_all() -> None:
        async with FlyClient() as fly:
            (await DeployBuilder.from_fly_toml(file).to_regions("iad", "lhr", "nrt").execute(fly)).raise_for_failure()

    shop.drive(deploy_all())


def test_after_a_deploy_of_a_file_nothing_differs_from_it(shop: Shop, file: Path) -> None:
    deploy_file(shop, file)
    assert shop.said("diff", "web", "--config", str(file)).startswith("web: no differences between ")


def test_what_a_deploy_of_the_file_would_change_is_drift(shop: Shop, file: Path) -> None:
    deploy_file(shop, file)
    file.write_text(FILE.replace('"fast"', '"slow"').replace('"serve"', '"serve --port 80"'))
    found = drift(shop, "--config", str(file))["differences"]
    paths = {each["group"]: {change["path"] for change in each["changes"]} for each in found}
    assert paths == {"web": {"env.MODE", "init.cmd"}, "worker": {"env.MODE"}}
    assert found[0]["what"] == f"differs from {file}"
    assert all("fast" in str(machine.config) for machine in shop.emulator.world.machines.values())


def test_a_file_without_an_image_says_nothing_about_images(shop: Shop, file: Path) -> None:
    deploy_file(shop, file)
    file.write_text(FILE.replace('image = "nginx:1"', ""))
    assert shop.ask("diff", "web", "--config", str(file)).exit_code == 0
    shop.said("machines", "modify", "web", "web-lhr-1", "--image", "nginx:2")
    (difference,) = drift(shop, "--config", str(file), "--group", "web")["differences"]
    assert difference["what"].startswith("differs from ")
    assert str(file) not in difference["what"]
    found = drift(shop, "--config", str(file), "--image", "nginx:3", "--group", "worker")["differences"]
    assert {change["path"] for each in found for change in each["changes"]} == {"image"}


def test_groups_that_are_only_on_one_side_are_drift(shop: Shop, file: Path) -> None:
    deploy_file(shop, file)
    file.write_text(FILE.replace('worker = "work"', 'cron = "tick"'))
    found = drift(shop, "--config", str(file))
    assert found["not_in_file"] == ["worker"]
    missing = [each for each in found["differences"] if each["group"] == "cron"]
    assert missing
    assert all(each["what"].startswith("is missing: ") for each in missing)


def test_the_json_of_a_machine_is_compared_too(shop: Shop, tmp_path: Path) -> None:
    deploy(shop)
    path = tmp_path / "machine.json"
    path.write_text(json.dumps({"image": "nginx:1", "env": {"MODE": "slow"}}))
    found = drift(shop, "--config", str(path))["differences"]
    assert len(found) == 3
    assert {change["path"] for each in found for change in each["changes"]} == {"env.MODE"}


def test_an_app_without_machines_has_nothing_to_compare(shop: Shop) -> None:
    assert shop.said("diff", "web") == "web: no machines to compare\n"


def test_wrong_command_lines_are_refused(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "fly.toml"
    path.write_text("app = [")
    assert shop.ask("diff", "web", "--config", str(path)).exit_code == 2
    assert shop.ask("diff", "web", "--image", "nginx").exit_code == 2
    assert shop.ask("diff", "nosuch").exit_code == 1


def member(name: str, **config: Any) -> Machine:
    metadata = {"fly_process_group": "app", **config.pop("metadata", {})}
    return mock_machine(id=name, name=name, config={"image": "nginx", "metadata": metadata, **config})


def test_what_belongs_to_one_machine_or_deploy_is_no_difference() -> None:
    one = member("a", mounts=[{"volume": "vol_1", "path": "/data"}], metadata={"fly_release_version": "7"})
    two = member("b", mounts=[{"volume": "vol_2", "path": "/data"}], metadata={"flyasync_launch": "v2"})
    standby = member("c", standbys=["a"], env={"FLY_STANDBY_FOR": "a"})
    assert not among([one, two, standby]).is_any


def test_a_machine_that_has_started_with_other_secrets_differs() -> None:
    old = member("a", metadata={"flyasync_secrets": "1"})
    new = [member(name, metadata={"flyasync_secrets": "2"}) for name in "bc"]
    (difference,) = among([old, *new]).differences
    assert (difference.id, [change.path for change in difference.changes]) == ("a", ["secrets"])


def test_a_machine_whose_host_is_unreachable_is_not_compared() -> None:
    gone = mock_machine(id="b", host_status="unreachable", config=None, incomplete_config={"image": "nginx"})
    drift = among([member("a"), gone])
    assert ([machine.id for machine in drift.unknown], drift.is_any) == (["b"], False)
