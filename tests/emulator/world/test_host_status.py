"""A host that is lost and comes back."""

import asyncio
from typing import Any

import pytest

from flyasync.emulator import Fault
from tests.emulator.driver import Api, at

CHECKED = {"checks": {"alive": {"type": "tcp", "port": 80}}, "metadata": {"group": "app"}}
GONE = (408, "deadline_exceeded: host unreachable")


async def lost(api: Api, **more: Any) -> dict[str, Any]:
    machine = await api.running(**more)
    api.emulator.set_host_status(machine["id"], "unreachable")
    return machine


@pytest.mark.parametrize("status", ["unreachable", "unknown"])
async def test_what_is_known_of_it_is_not_to_be_relied_on(api: Api, status: str) -> None:
    machine = await api.running(config=CHECKED)
    await asyncio.sleep(5)
    before = await api.look(machine)
    api.emulator.set_host_status(machine["id"], status)
    after = await api.look(machine)
    assert (after["host_status"], after["config"], after["checks"]) == (status, None, [])
    assert after["incomplete_config"] == before["config"]
    assert (after["state"], after["events"]) == ("started", before["events"])
    assert (await api.get("/v1/apps/web/machines?metadata.group=app")).body == [after]
    (row,) = (await api.get("/v1/apps/web/machines?summary=true")).body
    assert row["host_status"] == status
    assert "incomplete_config" not in row


async def test_it_is_found_again(api: Api) -> None:
    machine = await api.running(config=CHECKED)
    await asyncio.sleep(5)
    before = await api.look(machine)
    for status in ("unreachable", "unknown", "ok"):
        api.emulator.set_host_status(machine["id"], status)
    assert await api.look(machine) == before
    assert (await api.act(machine, "stop")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"config": {"image": "nginx"}}),
        ("POST", "/start", None),
        ("POST", "/stop", None),
        ("POST", "/restart", None),
        ("POST", "/suspend", None),
        ("POST", "/signal", {"signal": "SIGUSR1"}),
        ("POST", "/cordon", None),
        ("POST", "/uncordon", None),
        ("POST", "/lease", {"ttl": 5}),
        ("DELETE", "/lease", None),
        ("POST", "/exec", {"cmd": "true"}),
        ("GET", "/ps", None),
        ("GET", "/memory", None),
        ("PUT", "/memory", {"limit_mb": 128}),
        ("POST", "/metadata/a", {"value": "b"}),
        ("DELETE", "", None),
    ],
)
async def test_what_needs_the_host_is_refused(api: Api, method: str, path: str, body: Any) -> None:
    machine = await lost(api)
    said = await api.ask(method, f"{at(machine)}{path}", **({} if body is None else {"json": body}))
    assert (said.status, said.error) == GONE
    api.emulator.set_host_status(machine["id"], "ok")
    again = await api.ask(method, f"{at(machine)}{path}", **({} if body is None else {"json": body}))
    assert again.status != 408


@pytest.mark.parametrize("path", ["", "/events", "/versions", "/metadata", "/wait?state=started"])
async def test_what_reads_it_is_answered(api: Api, path: str) -> None:
    assert (await api.get(f"{at(await lost(api))}{path}")).status == 200


async def test_it_is_unknown_to_other_apps_all_the_same(api: Api) -> None:
    machine = await lost(api)
    await api.app("api")
    said = await api.post(f"{at(machine, 'api')}/stop")
    assert (said.status, said.error) == (404, "machine not found")


@pytest.mark.parametrize("word", ["force", "kill"])
async def test_it_is_destroyed_by_force(api: Api, word: str) -> None:
    machine = await lost(api)
    assert (await api.ask("DELETE", f"{at(machine)}?{word}=true")).status == 200
    await api.reach(machine, "destroyed")
    assert [event["type"] for event in (await api.look(machine))["events"]] == ["destroy", "destroy", "start", "launch"]
    assert (await api.get("/v1/apps/web/machines")).body == []
    assert (await api.act(machine, "stop")).error == "machine not found"
    assert api.emulator.world.occupied["iad"] == 0


async def test_its_state_stands_still_until_it_is_found(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=10, exit_code=7))
    early, late = [await api.running(config={"restart": {"policy": "no"}}) for _ in range(2)]
    for machine in (early, late):
        api.emulator.set_host_status(machine["id"], "unreachable")
    api.emulator.set_host_status(early["id"], "ok")
    await asyncio.sleep(60)
    assert [(await api.look(machine))["state"] for machine in (early, late)] == ["stopped", "started"]
    api.emulator.set_host_status(late["id"], "ok")
    assert (await api.wait(late, "stopped", timeout=1)).status == 200


async def test_what_is_due_later_than_it_is_found_waits_for_its_time(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=30))
    machine = await api.running(config={"restart": {"policy": "no"}})
    for status in ("unreachable", "ok"):
        api.emulator.set_host_status(machine["id"], status)
        await asyncio.sleep(10)
    assert (await api.look(machine))["state"] == "started"
    await asyncio.sleep(11)
    assert (await api.look(machine))["state"] == "stopped"


async def test_a_machine_on_its_way_stays_there(api: Api) -> None:
    machine = await api.machine()
    api.emulator.set_host_status(machine["id"], "unreachable")
    assert (await api.wait(machine, "started", timeout=30)).status == 408
    assert (await api.look(machine))["state"] == "created"
    api.emulator.set_host_status(machine["id"], "ok")
    await api.reach(machine, "started")


async def test_its_volume_is_gone_with_it(api: Api) -> None:
    volume = (await api.post("/v1/apps/web/volumes", {"name": "data", "region": "lhr"})).body
    mounted = {"image": "nginx", "mounts": [{"volume": volume["id"], "path": "/data"}]}
    machine = await lost(api, config=mounted)
    path = f"/v1/apps/web/volumes/{volume['id']}"
    assert (await api.get(path)).body["host_status"] == "unreachable"
    await api.ask("DELETE", f"{at(machine)}?force=true")
    await api.reach(machine, "destroyed")
    assert (await api.get(path)).body["attached_machine_id"] is None
    said = await api.post("/v1/apps/web/machines", {"config": mounted})
    assert (said.status, said.body["status"]) == (412, "volume_placement_capacity")
    api.emulator.set_host_status(machine["id"], "ok")
    assert (await api.get(path)).body["host_status"] == "ok"
    await api.machine(config=mounted)


async def test_other_machines_go_on(api: Api) -> None:
    await lost(api)
    other = await api.running()
    assert (await api.act(other, "stop")).status == 200


async def test_the_machine_and_the_status_must_be_known(api: Api) -> None:
    machine = await api.running()
    with pytest.raises(ValueError, match="there is no machine 'none'"):
        api.emulator.set_host_status("none", "ok")
    with pytest.raises(ValueError, match="must be one of ok, unknown, unreachable, not 'gone'"):
        api.emulator.set_host_status(machine["id"], "gone")


async def test_it_can_be_lost_from_outside(api: Api) -> None:
    machine = await api.running()
    door = "/_emulator/host_status"
    lose = {"machine_id": machine["id"], "host_status": "unknown"}
    assert (await api.post(door, lose)).status == 204
    assert (await api.look(machine))["host_status"] == "unknown"
    for body in ({}, lose | {"host_status": "gone"}, lose | {"machine_id": "none"}, lose | {"machine_id": 7}):
        assert (await api.post(door, body)).status == 400
