import asyncio
import json
import shlex
from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.orphan_list import AppHoldings, orphans
from flyasync.emulator import Fault
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.volume import Volume
from flyasync.testing import mock_machine
from tests.cli.driver import Shop, make
from tests.cli.oncall.driver import until_interrupted

RELEASE = {"fly_process_group": "fly_app_release_command", "flyasync_launch": "v1"}


def tagged(shop: Shop, name: str, **metadata: str) -> str:
    return shop.run("--name", name, *(word for each in metadata.items() for word in ("--metadata", "=".join(each))))


def found(shop: Shop, **fields: Any) -> Any:
    return shop.json("orphans", "personal", **fields)


def kinds(shop: Shop) -> dict[str, str]:
    return {each["kind"]: each["name"] for each in found(shop)["orphans"]}


def test_an_unattached_volume_is_an_orphan_and_an_attached_one_is_not(shop: Shop) -> None:
    shop.said("deploy", "web", "--image", "nginx", "--region", "iad", "--volume", "data:/data:1")
    free = shop.json("volumes", "create", "web", "spare", "--region", "iad", "--size", "3")["id"]
    (orphan,) = found(shop)["orphans"]
    assert orphan == {
        "kind": "volume",
        "app": "web",
        "id": free,
        "name": "spare",
        "region": "iad",
        "why": "3 GB, not attached to a machine",
        "command": f"flyasync volumes destroy web {free}",
    }


def test_the_addresses_of_an_app_without_machines_are_orphans(shop: Shop) -> None:
    shop.drive(make("empty"))
    shop.run()
    for app in ("web", "empty"):
        shop.said("ips", "allocate", app, "--type", "v6")
    (line,) = shop.said("orphans", "personal").splitlines()
    kind, app, ip, name, _, why, command = line.split("\t")
    assert (kind, app, name, why) == ("address", "empty", "v6", "the app has no machines")
    assert command == f"flyasync ips release empty {ip}"


def test_leftovers_of_our_launches_are_orphans_and_each_command_removes_one(shop: Shop) -> None:
    release_id = tagged(shop, "release-app", **RELEASE)
    shop.said("machines", "stop", "web", release_id)
    tagged(shop, "app-iad-1", flyasync_launch="v1", flyasync_retired="v2")
    tagged(shop, "app-iad-2", flyasync_launch="v2")
    shop.drive(asyncio.sleep(30))
    assert kinds(shop) == {"release command": "release-app", "retired machine": "app-iad-1"}
    for orphan in found(shop)["orphans"]:
        shop.said(*shlex.split(orphan["command"])[1:], "--yes")
    shop.drive(asyncio.sleep(30))
    assert found(shop)["orphans"] == []


def test_machines_of_other_tools_are_counted_and_never_listed(shop: Shop) -> None:
    theirs = [tagged(shop, "release", fly_process_group="fly_app_release_command"), tagged(shop, "plain")]
    for machine_id in theirs:
        shop.said("machines", "stop", "web", machine_id)
    shop.drive(asyncio.sleep(30))
    result = shop.ask("orphans", "personal")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "not managed by flyasync, so not listed: web 2" in result.stderr
    document = found(shop)
    assert sorted(each["id"] for each in document["not_managed"]) == sorted(theirs)
    assert document["orphans"] == []
    assert "destroy" not in result.output


def test_a_machine_with_a_lease_has_no_command(shop: Shop) -> None:
    machine_id = tagged(shop, "app-iad-1", flyasync_launch="v1", flyasync_retired="v2")

    async def lease() -> None:
        async with FlyClient() as fly:
            await fly.leases.acquire("web", machine_id, ttl=600)

    shop.drive(lease())
    document = found(shop)
    assert document["orphans"] == []
    (used,) = document["in_use"]
    assert (used["name"], used["command"]) == ("app-iad-1", None)
    assert used["why"].startswith("retired by launch v2, leased by ")
    assert shop.said("orphans", "personal").rstrip().endswith("in use: look again later")


def test_a_release_command_that_may_still_run_has_no_command() -> None:
    machine = mock_machine(state="started", config={"image": "nginx", "metadata": RELEASE})
    (orphan,) = orphans(AppHoldings(app="web", machines=[machine], volumes=(), addresses=()))
    assert (orphan.why, orphan.command) == ("of launch v1, started", None)


def test_a_volume_that_is_attached_between_the_two_observations_is_no_orphan(shop: Shop) -> None:
    shop.json("volumes", "create", "web", "data", "--region", "iad")

    async def attach(fly: FlyClient) -> None:
        (volume,) = await fly.volumes.list("web")
        mounts = (Mount(volume=volume.id, path="/data"),)
        await fly.machines.create("web", MachineConfig(image="nginx", mounts=mounts), region="iad")

    result = until_interrupted(shop, "orphans", "personal", "--json", seconds=60, meanwhile=attach, delay=6)
    assert '"orphans": []' in result.stdout


def test_a_volume_that_only_the_second_observation_shows_is_no_orphan(shop: Shop) -> None:
    old = shop.json("volumes", "create", "web", "old", "--region", "iad")["id"]

    async def create(fly: FlyClient) -> None:
        await fly.volumes.create("web", name="new", region="iad", size_gb=1)

    result = until_interrupted(shop, "orphans", "personal", "--json", seconds=60, meanwhile=create, delay=6)
    assert [each["id"] for each in json.loads(result.stdout)["orphans"]] == [old]


def test_a_volume_that_a_machine_mounts_is_no_orphan_though_the_volumes_do_not_show_it_yet() -> None:
    volume = Volume(id="vol_1", name="data", state="created", region="iad")
    mounting = mock_machine(config={"image": "nginx", "mounts": [{"volume": "vol_1", "path": "/data"}]})
    for machines, count in (((mounting,), 0), ((mock_machine(),), 1)):
        held = AppHoldings(app="web", machines=machines, volumes=[volume], addresses=())
        assert len(list(orphans(held))) == count


def test_an_app_that_cannot_be_read_is_named(shop: Shop) -> None:
    shop.drive(make("empty"))
    shop.json("volumes", "create", "web", "data", "--region", "iad")
    shop.emulator.faults.add(Fault(does="refuse", action="listMachines", app="empty", status=403, body={"error": "no"}))
    document = found(shop, exit_code=1)
    assert list(document["unread"]) == ["app empty"]
    assert [each["kind"] for each in document["orphans"]] == ["volume"]


def test_an_unknown_organization_is_an_error(shop: Shop) -> None:
    shop.emulator.faults.add(Fault(does="refuse", action="listApps", status=404, body={"error": "not found"}))
    assert shop.ask("orphans", "nosuch").exit_code == 1


@pytest.mark.parametrize(
    ("state", "metadata"),
    [
        ("destroyed", {"flyasync_launch": "v1", "flyasync_retired": "v2"}),
        ("stopped", {"fly_process_group": "fly_app_release_command"}),
        ("stopped", {"flyasync_launch": "v1"}),
    ],
)
def test_no_other_machine_is_an_orphan(state: str, metadata: dict[str, str]) -> None:
    machine = mock_machine(state=state, config={"image": "nginx", "metadata": metadata})
    assert list(orphans(AppHoldings(app="web", machines=[machine], volumes=(), addresses=()))) == []
