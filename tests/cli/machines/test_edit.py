from typing import Any

import pytest
from attrs import evolve

from flyasync.cli.machines.edit import whole_config
from flyasync.errors import InvalidInput
from flyasync.models.config import MachineConfig
from flyasync.models.machine import Machine
from tests.cli.driver import Shop

MODIFY = ("machines", "modify", "web")


def config(shop: Shop, machine_id: str) -> dict[str, Any]:
    found: dict[str, Any] = shop.emulator.world.machines[machine_id].config
    return found


def test_a_dry_run_shows_the_diff_and_changes_nothing(shop: Shop) -> None:
    machine_id = shop.run("--env", "MODE=slow", "--env", "TOKEN=old")
    before = config(shop, machine_id)
    said = shop.said(*MODIFY, machine_id, "--image", "nginx:2", "--env", "TOKEN=hunter2", "--dry-run")
    assert said.splitlines() == [
        f"{machine_id}: would change",
        "  ~ env.TOKEN changed",
        '  ~ image: "nginx" → "nginx:2"',
        "dry run: nothing was changed",
    ]
    assert config(shop, machine_id) == before


def test_modify_changes_what_is_asked_for_and_no_more(shop: Shop) -> None:
    machine_id = shop.run("--env", "MODE=slow", "--env", "OLD=1", "--metadata", "role=web", "--port", "8080")
    told = shop.json(
        *(*MODIFY, machine_id, "--env", "MODE=fast", "--unset-env", "OLD", "--memory", "512", "--cpus", "2"),
        *("--metadata", "team=a"),
    )
    assert {change["path"] for change in told["changes"]} >= {"env.MODE", "env.OLD", "metadata.team"}
    assert "fast" not in str(told)
    after = config(shop, machine_id)
    assert after["env"] == {"MODE": "fast"}
    assert after["metadata"] == {"role": "web", "team": "a"}
    assert after["services"]
    assert shop.said(*MODIFY, machine_id, "--env", "MODE=fast") == f"{machine_id}: nothing to change\n"


def test_a_size_takes_the_place_of_the_guest(shop: Shop) -> None:
    machine_id = shop.run()
    assert shop.said(*MODIFY, machine_id, "--size", "performance-1x").startswith(f"{machine_id}: changed\n")
    assert "guest\tperformance 1 CPU, 2048 MB\n" in shop.said("machines", "show", "web", machine_id)


@pytest.mark.parametrize("wrong", [["--memory", "100"], ["--size", "huge"], ["--size", "shared-cpu-1x", "--cpus", "2"]])
def test_what_the_api_would_refuse_is_wrong_input(shop: Shop, wrong: list[str]) -> None:
    machine_id = shop.run()
    assert shop.ask(*MODIFY, machine_id, *wrong).exit_code == 2
    assert shop.ask(*MODIFY, machine_id, *wrong, "--dry-run").exit_code == 2


@pytest.mark.parametrize("known", [{"config": None}, {"host_status": "unreachable"}])
def test_a_config_that_is_not_known_whole_is_not_changed(known: dict[str, Any]) -> None:
    machine = Machine(id="1", name="one", state="started", region="iad", config=MachineConfig(image="nginx"))
    assert whole_config(machine).image == "nginx"
    with pytest.raises(InvalidInput, match="is unreachable, so its config is incomplete"):
        whole_config(evolve(machine, **known))


def test_a_clone_has_the_config_of_its_source(shop: Shop) -> None:
    machine_id = shop.run("--env", "MODE=slow")
    clone = shop.json("machines", "clone", "web", machine_id, "--region", "lhr", "--name", "two")
    assert (clone["region"], clone["name"], clone["config"]["env"]) == ("lhr", "two", {"MODE": "slow"})


def test_a_machine_is_adopted_and_released(shop: Shop) -> None:
    machine_id = shop.run()
    assert "process group app" in shop.said("machines", "adopt", "web", machine_id)
    assert shop.json("machines", "metadata", "list", "web", machine_id)["fly_process_group"] == "app"
    shop.said("machines", "release", "web", machine_id)
    assert "fly_process_group" not in shop.json("machines", "metadata", "list", "web", machine_id)


def test_metadata_is_listed_set_and_deleted(shop: Shop) -> None:
    metadata, machine_id = ("machines", "metadata"), shop.run()
    assert shop.said(*metadata, "set", "web", machine_id, "a=1", "b=2") == f"{machine_id}: set a, b\n"
    assert {"a\t1", "b\t2"} <= set(shop.said(*metadata, "list", "web", machine_id).splitlines())
    assert shop.json(*metadata, "delete", "web", machine_id, "a")["deleted"] == ["a"]
    assert "a" not in shop.json(*metadata, "list", "web", machine_id)
    assert shop.ask(*metadata, "set", "web", machine_id, "a").exit_code == 2
