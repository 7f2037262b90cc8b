"""Nodes with a replication lag, and stale lists."""

import asyncio
import itertools
from typing import Any

import pytest

from flyasync.emulator import Fault
from flyasync.emulator.core.errors import ApiError
from flyasync.emulator.http.replication import demand_reachable
from flyasync.emulator.http.request import ApiRequest
from flyasync.emulator.world import apps, machines
from flyasync.emulator.world.machines import NewMachine
from flyasync.emulator.world.transitions import advance
from flyasync.emulator.world.world import World
from tests.emulator.driver import Api, at, serving

MACHINES = "/v1/apps/web/machines"
LISTS = (MACHINES, "/v1/orgs/personal/machines")
LAG: dict[str, Any] = {"limits": False, "lag": (2.0, 2.0), "boot": (1, 1)}


async def near(api: Api) -> dict[str, str]:
    said = await api.post("/v1/apps", {"name": "web", "org_slug": "personal"})
    return {"Cookie": said.headers["Set-Cookie"].split(";")[0]}


async def test_a_new_app_is_not_seen_at_once() -> None:
    async with serving(**LAG) as api:
        await near(api)
        for said in (await api.get("/v1/apps/web"), await api.post(MACHINES, {"config": {"image": "nginx"}})):
            assert (said.status, said.error) == (404, "app not found")
        assert (await api.get("/v1/apps?org_slug=personal")).body["total_apps"] == 0
        taken = await api.post("/v1/apps", {"name": "web", "org_slug": "personal"})
        assert (taken.status, taken.body["status"]) == (422, "name_taken")
        await asyncio.sleep(2)
        assert (await api.get("/v1/apps/web")).status == 200
        assert (await api.get("/v1/apps?org_slug=personal")).body["total_apps"] == 1


async def test_a_create_may_wait_until_the_app_is_seen() -> None:
    async with serving(**LAG, speed=2) as api:
        before = asyncio.get_running_loop().time()
        assert (await api.post("/v1/apps?wait=true", {"name": "web", "org_slug": "personal"})).status == 201
        assert asyncio.get_running_loop().time() - before == pytest.approx(1, abs=0.01)
        assert (await api.get("/v1/apps/web")).status == 200


async def test_a_new_machine_is_not_read_at_once_but_can_be_changed() -> None:
    async with serving(**LAG) as api:
        await near(api)
        await asyncio.sleep(2)
        machine = await api.machine()
        for path in (at(machine), f"{at(machine)}/wait?state=started", f"{at(machine)}/events"):
            said = await api.get(path)
            assert (said.status, said.error) == (404, "machine not found")
        assert (await api.get(MACHINES)).body == []
        assert (await api.get("/v1/orgs/personal/machines")).body["machines"] == []
        assert (await api.act(machine, "cordon")).status == 200
        twin = await api.post(MACHINES, {"name": machine["name"], "config": {"image": "nginx"}})
        assert twin.status == 409
        await asyncio.sleep(2)
        assert [one["id"] for one in (await api.get(MACHINES)).body] == [machine["id"]]
        assert (await api.get(f"{at(machine)}/wait?state=started")).status == 200


def test_a_machine_is_seen_from_the_very_moment_on() -> None:
    world = World(lag=(2.0, 2.0))
    apps.create(world, "web", org_slug="personal", network="")
    advance(world, 5)
    machine = machines.create(world, "web", NewMachine(config={"image": "nginx"}))
    params = {"app_name": "web", "machine_id": machine.id}
    request = ApiRequest(action="getMachine", method="GET", params=params, query={})
    with pytest.raises(ApiError, match="machine not found"):
        demand_reachable(world, request)
    advance(world, machine.visible_at)
    demand_reachable(world, request)


async def test_who_sends_the_cookie_reads_what_was_written() -> None:
    async with serving(**LAG) as api:
        headers = await near(api)
        assert (await api.get("/v1/apps/web", headers=headers)).status == 200
        said = await api.post(MACHINES, {"config": {"image": "nginx"}}, headers=headers)
        assert said.status == 200
        assert (await api.get(at(said.body), headers=headers)).status == 200
        assert len((await api.get(MACHINES, headers=headers)).body) == 1
        assert (await api.get(MACHINES, headers={"Cookie": "fly_flaps_affinity=other"})).status == 404
        # The cookie belongs to one app: it does not affect other lists.
        await asyncio.sleep(2)
        assert (await api.post(MACHINES, {"config": {"image": "nginx"}}, headers=headers)).status == 200
        assert len((await api.get(MACHINES, headers=headers)).body) == 2
        found = (await api.get("/v1/orgs/personal/machines", headers=headers)).body["machines"]
        assert [row["id"] for row in found] == [said.body["id"]]


async def test_the_volumes_of_an_app_that_is_not_seen_are_not_listed() -> None:
    async with serving(**LAG) as api:
        headers = await near(api)
        assert (await api.post("/v1/apps/web/volumes", {"name": "data"}, headers=headers)).status == 200
        assert (await api.get("/v1/orgs/personal/volumes")).body["volumes"] == []
        await asyncio.sleep(2)
        assert len((await api.get("/v1/orgs/personal/volumes")).body["volumes"]) == 1


async def test_without_lag_nothing_is_hidden(api: Api) -> None:
    machine = await api.machine()
    assert (await api.get(at(machine))).status == 200


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


async def test_a_list_learns_of_metadata_alone(api: Api) -> None:
    machine = await api.running()
    await lag(api, 3)
    await asyncio.sleep(3)
    await api.post(f"{at(machine)}/metadata/team", {"value": "blue"})
    assert "metadata" not in (await rows(api))[machine["id"]]["config"]
    await asyncio.sleep(3.1)
    assert (await rows(api))[machine["id"]]["config"]["metadata"] == {"team": "blue"}


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


@pytest.mark.parametrize("path", LISTS)
async def test_lists_lag_as_the_nodes_do(path: str) -> None:
    async with serving(**LAG) as api:
        headers = await near(api)
        machine = (await api.post(MACHINES, {"config": {"image": "nginx"}}, headers=headers)).body
        await asyncio.sleep(4)
        await api.act(machine, "stop")
        await api.reach(machine, "stopped")
        assert (await rows(api, path))[machine["id"]]["state"] == "started"
        assert (await api.get(MACHINES, headers=headers)).body[0]["state"] == "stopped"
        assert [entry.faults for entry in api.emulator.log if entry.action == "listMachines"][-1:] == [()]
        await asyncio.sleep(2)
        assert (await rows(api, path))[machine["id"]]["state"] == "stopped"


async def test_a_later_list_can_be_older() -> None:
    async with serving(limits=False, boot=(1, 1), lag=(0, 4), seed=1) as api:
        await near(api)
        await asyncio.sleep(4)
        machine = await api.machine()
        seen = []
        for _ in range(40):
            await asyncio.sleep(0.1)
            seen.append(machine["id"] in await rows(api))
        assert any(before and not after for before, after in itertools.pairwise(seen))


@pytest.mark.parametrize("path", ["/v1/apps/web/volumes", "/v1/orgs/personal/volumes"])
async def test_a_list_of_volumes_shows_what_was(api: Api, path: str) -> None:
    async def volumes() -> dict[str, tuple[str, Any]]:
        body = (await api.get(path)).body
        listed = body["volumes"] if isinstance(body, dict) else body
        return {row["id"]: (row["state"], row["attached_machine_id"]) for row in listed}

    await lag(api, 3)
    used, gone = [
        (await api.post("/v1/apps/web/volumes", {"name": "data", "region": "iad"})).body["id"] for _ in range(2)
    ]
    await asyncio.sleep(3)
    machine = await api.machine(config={"mounts": [{"volume": used, "path": "/data"}]}, region="iad")
    await api.ask("DELETE", f"/v1/apps/web/volumes/{gone}")
    await asyncio.sleep(2.9)
    assert await volumes() == {used: ("created", None), gone: ("created", None)}
    await asyncio.sleep(0.2)
    assert await volumes() == {used: ("created", machine["id"])}
    await api.ask("DELETE", at(machine), params={"force": "true"})
    await api.reach(machine, "destroyed")
    assert await volumes() == {used: ("created", machine["id"])}
    await asyncio.sleep(3)
    assert await volumes() == {used: ("created", None)}


async def test_a_list_of_apps_lacks_what_is_new(api: Api) -> None:
    await lag(api, 3)
    await asyncio.sleep(3)
    await api.app("new")
    names = [[row["name"] for row in (await api.get("/v1/apps?org_slug=personal")).body["apps"]]]
    await asyncio.sleep(3)
    names.append([row["name"] for row in (await api.get("/v1/apps?org_slug=personal")).body["apps"]])
    assert names == [["web"], ["web", "new"]]


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
