import asyncio
from typing import Any

import pytest

from flyasync.emulator import Fault
from tests.emulator.driver import Api, Said, at, serving

VOLUMES = "/v1/apps/web/volumes"


async def volume(api: Api, **wish: Any) -> dict[str, Any]:
    said = await api.post(VOLUMES, {"name": "data", "region": "lhr", **wish})
    assert said.status == 200, said
    assert isinstance(said.body, dict)
    return said.body


async def taken(api: Api, found: dict[str, Any]) -> dict[str, Any]:
    path = f"{VOLUMES}/{found['id']}/snapshots"
    assert (await api.post(path)).status == 200
    await asyncio.sleep(10)
    snapshot = (await api.get(path)).body[0]
    assert isinstance(snapshot, dict)
    return snapshot


async def states(api: Api, found: dict[str, Any]) -> list[str]:
    seen: list[str] = []
    while not seen or seen[-1] != "created":
        state = (await api.get(f"{VOLUMES}/{found['id']}")).body["state"]
        seen += [] if seen[-1:] == [state] else [state]
        await asyncio.sleep(0.1)
    return seen


async def mounted(api: Api, found: dict[str, Any]) -> Said:
    config = {"image": "nginx", "mounts": [{"volume": found["id"], "path": "/data"}]}
    return await api.post("/v1/apps/web/machines", {"config": config})


async def test_snapshots_are_taken_one_at_a_time(api: Api) -> None:
    found = await volume(api)
    path = f"{VOLUMES}/{found['id']}/snapshots"
    assert (await api.get(path)).body == []
    assert (await api.post(path)).body["Msg"]["backup"]["state"] == "prepare"
    (pending,) = (await api.get(path)).body
    assert (pending["status"], pending["size"], pending["retention_days"]) == ("pending", 0, 5)
    again = await api.post(path)
    text = f"failed_precondition: snapshot is already scheduled at {pending['created_at']}"
    assert (again.status, again.error) == (412, text)
    await asyncio.sleep(10)
    assert (await api.post(path)).status == 200
    newer, older = (await api.get(path)).body
    assert (newer["status"], older["status"], older["id"]) == ("pending", "created", pending["id"])
    assert older["size"] > 0


async def test_a_snapshot_outlives_its_volume_for_some_days() -> None:
    async with serving(limits=False, speed=1000) as api:
        await api.app()
        found = await volume(api, snapshot_retention=2)
        snapshot = await taken(api, found)
        await api.ask("DELETE", f"{VOLUMES}/{found['id']}")
        assert (await volume(api, snapshot_id=snapshot["id"]))["state"] == "creating"
        await asyncio.sleep(90)
        assert (await api.get(f"{VOLUMES}/{found['id']}")).body["state"] == "destroyed"
        await asyncio.sleep(90)
        assert (await api.get(f"{VOLUMES}/{found['id']}/snapshots")).body == []
        gone = await api.post(VOLUMES, {"name": "data", "snapshot_id": snapshot["id"]})
        assert (gone.status, gone.error) == (404, "snapshot not found")


async def test_a_restored_volume_takes_its_time(api: Api) -> None:
    snapshot = await taken(api, await volume(api, size_gb=7))
    restored = await volume(api, snapshot_id=snapshot["id"], region="nrt")
    assert (restored["size_gb"], restored["region"]) == (7, "nrt")
    early = await mounted(api, restored)
    assert early.error == f"failed_precondition: volume {restored['id']} can not be mounted in state: 'creating'"
    assert await states(api, restored) == ["creating", "restoring", "created"]
    assert (await mounted(api, restored)).status == 200


async def test_a_pending_snapshot_can_not_be_restored(api: Api) -> None:
    path = f"{VOLUMES}/{(await volume(api))['id']}/snapshots"
    await api.post(path)
    (pending,) = (await api.get(path)).body
    said = await api.post(VOLUMES, {"name": "data", "snapshot_id": pending["id"]})
    assert (said.status, said.error) == (412, f"failed_precondition: snapshot {pending['id']} is not finished")


async def test_a_fork_can_be_mounted_while_it_hydrates(api: Api) -> None:
    fork = await volume(api, source_volume_id=(await volume(api))["id"], region="")
    assert fork["region"] == "lhr"
    assert await states(api, fork) == ["creating", "enabling_remote_export", "hydrating", "created"]
    second = await volume(api, source_volume_id=fork["id"], region="")
    await asyncio.sleep(5)
    assert (await api.get(f"{VOLUMES}/{second['id']}")).body["state"] == "hydrating"
    assert (await mounted(api, second)).status == 200


async def test_a_fault_makes_the_claim_of_one_machine_linger(api: Api) -> None:
    api.emulator.faults.add(Fault(does="volume_lingers", name="db-1", seconds=40))
    for name, status in (("db-1", 412), ("db-2", 200)):
        volume = (await api.post("/v1/apps/web/volumes", {"name": "data", "region": "lhr"})).body
        config = {"image": "nginx", "mounts": [{"volume": volume["id"], "path": "/data"}]}
        machine = await api.running(name=name, config=config)
        await api.ask("DELETE", at(machine), params={"force": "true"})
        await api.reach(machine, "destroyed")
        said = await api.post("/v1/apps/web/machines", {"config": config})
        assert said.status == status
        await asyncio.sleep(40)
        if status == 412:
            assert said.error == "failed_precondition: volume already claimed by machine " + "\0" * 14
            assert (await api.post("/v1/apps/web/machines", {"config": config})).status == 200


@pytest.mark.parametrize("linger", [(0.0, 0.0), (3.0, 3.0)])
async def test_a_claim_may_linger_when_its_machine_is_gone(linger: tuple[float, float]) -> None:
    async with serving(limits=False, linger=linger) as api:
        await api.app()
        found = await volume(api)
        machine = (await mounted(api, found)).body
        await api.ask("DELETE", f"/v1/apps/web/machines/{machine['id']}?force=true")
        await api.reach(machine, "destroyed")
        assert (await api.get(f"{VOLUMES}/{found['id']}")).body["attached_machine_id"] is None
        if linger[1]:
            said = await mounted(api, found)
            text = "failed_precondition: volume already claimed by machine " + "\0" * 14
            assert (said.status, said.error) == (412, text)
            await asyncio.sleep(3)
        assert (await mounted(api, found)).status == 200
