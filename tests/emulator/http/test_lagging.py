"""Lists that lag behind, and requests that are delivered twice."""

import asyncio
from typing import Any

import pytest

from flyasync.emulator import Fault
from tests.emulator.driver import Api, at, serving

MACHINES = "/v1/apps/web/machines"
LISTS = (MACHINES, "/v1/orgs/personal/machines")


async def rows(api: Api, path: str = MACHINES) -> dict[str, dict[str, Any]]:
    body = (await api.get(path)).body
    return {row["id"]: row for row in (body["machines"] if isinstance(body, dict) else body)}


def image(row: dict[str, Any]) -> str:
    return str(row["config"]["image"])


async def lag(api: Api, seconds: float, **fault: Any) -> None:
    api.emulator.faults.add(Fault(does="stale", seconds=seconds, **fault))
    await rows(api)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("seconds", [3, 8])
async def test_a_list_shows_what_was(api: Api, path: str, seconds: float) -> None:
    machine = await api.running(config={"image": "nginx:1"})
    await asyncio.sleep(seconds)
    await lag(api, seconds)
    await api.post(at(machine), {"config": {"image": "nginx:2"}})
    await asyncio.sleep(seconds - 0.1)
    fresh, row = await api.look(machine), (await rows(api, path))[machine["id"]]
    assert (image(fresh), fresh["state"]) == ("nginx:2", "started")
    assert (image(row), row["state"], row["version"]) == ("nginx:1", "started", machine["instance_id"])
    assert row["updated_at"] < fresh["updated_at"]
    await asyncio.sleep(0.2)
    row = (await rows(api, path))[machine["id"]]
    assert (image(row), row["state"], row["version"]) == ("nginx:2", "replacing", fresh["instance_id"])


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_lacks_what_is_new_and_keeps_what_is_gone(api: Api, path: str) -> None:
    old = await api.running()
    await lag(api, 3)
    await asyncio.sleep(3)
    new = await api.machine()
    await api.ask("DELETE", at(old), params={"force": "true"})
    await asyncio.sleep(2.9)
    assert (await api.look(old))["state"] == "destroyed"
    assert (await api.look(new))["state"] == "started"
    assert {id_: row["state"] for id_, row in (await rows(api, path)).items()} == {old["id"]: "started"}
    await asyncio.sleep(3)
    assert (await rows(api, path)).keys() == {new["id"]}


async def test_a_list_lags_in_metadata_cordons_and_checks_too(api: Api) -> None:
    machine = await api.running(config={"checks": {"up": {"type": "tcp", "port": 80, "interval": "2s"}}})
    await lag(api, 3)
    await asyncio.sleep(3)
    await api.post(f"{at(machine)}/metadata/team", {"value": "blue"})
    await api.act(machine, "cordon")
    fresh, row = await api.look(machine), (await rows(api))[machine["id"]]
    assert (fresh["config"].get("metadata"), fresh["cordoned"]) == ({"team": "blue"}, True)
    assert (row["config"].get("metadata"), row["cordoned"]) == (None, False)
    assert fresh["checks"][0]["status"] == "passing"
    assert [check["status"] for check in row["checks"]] != ["passing"]
    await asyncio.sleep(3)
    assert (await rows(api))[machine["id"]] == await api.look(machine)


async def test_a_list_is_filtered_by_what_it_shows(api: Api) -> None:
    machine = await api.running()
    await lag(api, 5)
    await asyncio.sleep(5)
    await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    assert (await rows(api, f"{MACHINES}?state=started")).keys() == {machine["id"]}
    assert (await rows(api, f"{MACHINES}?state=stopped")) == {}


async def test_a_list_of_volumes_lacks_what_is_new(api: Api) -> None:
    await lag(api, 3)
    made = (await api.post("/v1/apps/web/volumes", {"name": "data", "region": "iad"})).body
    assert (await api.get("/v1/apps/web/volumes")).body == []
    assert (await api.get(f"/v1/apps/web/volumes/{made['id']}")).status == 200
    await asyncio.sleep(3)
    assert len((await api.get("/v1/apps/web/volumes")).body) == 1


async def test_some_lists_may_lag_and_others_not(api: Api) -> None:
    await lag(api, 3, after=1, times=1, action="listMachines")
    await api.machine()
    assert [len(await rows(api)) for _ in range(3)] == [0, 1, 1]
    assert [entry.faults for entry in api.emulator.log if entry.action == "listMachines"] == [(), ("stale",), (), ()]


async def test_without_the_fault_lists_are_up_to_date_again(api: Api) -> None:
    await lag(api, 60)
    await api.machine()
    api.emulator.faults.clear()
    assert len(await rows(api)) == 1


async def test_a_request_that_is_delivered_twice_is_done_twice(api: Api) -> None:
    api.emulator.faults.add(Fault(does="repeat", action="createMachine", times=1))
    machine = await api.machine()
    found = await rows(api)
    assert len(found) == 2
    assert list(found)[1] == machine["id"]


async def test_the_second_delivery_may_be_refused_for_the_first(api: Api) -> None:
    machine = await api.running()
    api.emulator.faults.add(Fault(does="repeat", action="createMachineLease", times=1))
    assert (await api.act(machine, "lease")).status == 409
    assert (await api.get(f"{at(machine)}/lease")).status == 200


async def test_a_request_may_be_delivered_again_later(api: Api) -> None:
    machine = await api.running()
    api.emulator.faults.add(Fault(does="repeat_after", action="updateMachine", times=1, seconds=10))
    for version in ("nginx:1", "nginx:2"):
        await api.post(at(machine), {"config": {"image": version}})
        await api.reach(machine, "started")
    assert image(await api.look(machine)) == "nginx:2"
    await asyncio.sleep(10)
    assert image(await api.look(machine)) == "nginx:1"


async def test_a_second_delivery_counts_for_the_limits() -> None:
    async with serving(faults=[Fault(does="repeat", action="getApp")]) as api:
        await api.app()
        assert [(await api.get("/v1/apps/web")).status for _ in range(3)] == [200, 429, 429]


async def test_what_was_to_be_delivered_later_goes_with_a_reset(api: Api) -> None:
    await api.machine()
    api.emulator.faults.add(Fault(does="repeat_after", action="createMachine", seconds=5))
    await api.machine()
    api.emulator.reset()
    await api.app()
    await asyncio.sleep(10)
    assert await rows(api) == {}


async def test_what_was_to_be_delivered_later_goes_with_the_end() -> None:
    async with serving(faults=[Fault(does="repeat_after", action="createApp", seconds=500)]) as api:
        await api.app()
