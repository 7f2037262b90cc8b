import asyncio
import json

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Fault
from flyasync.models.config import MachineConfig
from tests.cli.driver import Shop
from tests.cli.oncall.driver import until_interrupted


def grouped(shop: Shop, group: str, name: str) -> str:
    return shop.run("--name", name, "--metadata", f"fly_process_group={group}")


def messages(text: str) -> list[str]:
    return [line.rpartition("] ")[2] for line in text.splitlines() if "hello" in line]


def test_the_newest_lines_are_written_with_time_region_machine_and_level(shop: Shop) -> None:
    machine_id = shop.run("--name", "one")
    shop.emulator.write_log("web", "hello\x1b[31m", machine_id=machine_id, level="error")
    line = shop.said("logs", "web").splitlines()[-1]
    moment, *rest = line.split(" ")
    assert moment.endswith("Z")
    assert rest == ["iad", machine_id, "[error]", "hello"]


def test_json_has_one_object_per_line(shop: Shop) -> None:
    machine_id = shop.run("--name", "one")
    shop.emulator.write_log("web", "hello", machine_id=machine_id)
    last = json.loads(shop.said("logs", "web", "--json").splitlines()[-1])
    assert (last["message"], last["instance"], last["region"]) == ("hello", machine_id, "iad")


def test_lines_of_one_machine_region_or_group(shop: Shop) -> None:
    web, worker = grouped(shop, "web", "web-1"), grouped(shop, "worker", "worker-1")
    shop.emulator.write_log("web", "hello web", machine_id=web)
    shop.emulator.write_log("web", "hello worker", machine_id=worker)
    assert messages(shop.said("logs", "web", "--machine", "web-1")) == ["hello web"]
    assert messages(shop.said("logs", "web", "--machine", worker)) == ["hello worker"]
    assert messages(shop.said("logs", "web", "--group", "worker")) == ["hello worker"]
    assert messages(shop.said("logs", "web", "--region", "iad")) == ["hello web", "hello worker"]
    assert messages(shop.said("logs", "web", "--region", "lhr")) == []


def test_the_lines_of_a_destroyed_machine_belong_to_its_group(shop: Shop) -> None:
    machine_id = grouped(shop, "worker", "worker-1")
    shop.emulator.write_log("web", "hello", machine_id=machine_id)
    shop.said("machines", "destroy", "web", machine_id, "--force", "--yes")
    assert messages(shop.said("logs", "web", "--group", "worker")) == ["hello"]


def test_follow_outlasts_trouble_without_loss_or_repetition(shop: Shop) -> None:
    machine_id = shop.run("--name", "one")

    async def write(_: FlyClient) -> None:
        for number in range(20):
            shop.emulator.write_log("web", f"hello {number}", machine_id=machine_id)
            if number in {3, 9}:
                shop.emulator.faults.add(Fault(does="refuse", action="listLogs", status=503, times=12))
                shop.emulator.faults.add(Fault(does="lose_answer", action="listLogs", times=2))
            await asyncio.sleep(4)

    result = until_interrupted(shop, "logs", "web", "-f", seconds=600, meanwhile=write)
    assert result.exit_code == 130
    assert messages(result.stdout) == [f"hello {number}" for number in range(20)]


def test_follow_finds_the_group_of_machines_that_are_created_meanwhile(shop: Shop) -> None:
    grouped(shop, "web", "web-1")

    async def create(fly: FlyClient) -> None:
        for group in ("worker", "web"):
            config = MachineConfig(image="nginx", metadata={"fly_process_group": group})
            machine = await fly.machines.create("web", config, region="iad")
            shop.emulator.write_log("web", f"hello {group}", machine_id=machine.id)
            shop.emulator.faults.add(Fault(does="refuse", action="getMachine", status=503, times=30))
            await asyncio.sleep(10)

    result = until_interrupted(shop, "logs", "web", "-f", "--group", "worker", seconds=300, meanwhile=create)
    assert messages(result.stdout) == ["hello worker"]
    assert "has no machine in the group 'worker'; it has web; waiting for one" in result.stderr


def test_a_group_that_the_app_does_not_have_is_an_error(shop: Shop) -> None:
    grouped(shop, "worker", "worker-1")
    result = shop.ask("logs", "web", "--group", "workr")
    assert result.exit_code == 1
    assert "did you mean 'worker'?" in result.stderr


@pytest.mark.parametrize(
    ("args", "exit_code"), [(("--region", "iad1"), 2), (("--machine", "nosuch"), 1), (("--region", "eu"), 2)]
)
def test_values_that_cannot_be_are_refused(shop: Shop, args: tuple[str, ...], exit_code: int) -> None:
    assert shop.ask("logs", "web", *args).exit_code == exit_code


def test_a_token_that_may_not_read_logs_is_an_error(shop: Shop) -> None:
    shop.emulator.faults.add(Fault(does="refuse", action="listLogs", status=403, body={"error": "no"}))
    for follow in ((), ("-f",)):
        assert shop.ask("logs", "web", *follow).exit_code == 1
