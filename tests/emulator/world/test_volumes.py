from typing import Any

import pytest

from tests.emulator.driver import Api, at, serving

VOLUMES = "/v1/apps/web/volumes"


async def volume(api: Api, **wish: Any) -> dict[str, Any]:
    said = await api.post(VOLUMES, {"name": "data", "region": "lhr", **wish})
    assert said.status == 200, said
    assert isinstance(said.body, dict)
    return said.body


def mounting(found: dict[str, Any], path: str = "/data") -> dict[str, Any]:
    return {"mounts": [{"volume": found["id"], "path": path}]}


async def test_a_volume_has_what_other_clients_need(api: Api) -> None:
    found = await volume(api, encrypted=None, snapshot_id=None, source_volume_id=None, compute={"cpus": 1})
    assert found["id"].startswith("vol_")
    assert (found["name"], found["region"], found["state"], found["size_gb"]) == ("data", "lhr", "created", 3)
    assert (found["host_status"], found["attached_machine_id"], found["attached_alloc_id"]) == ("ok", None, None)
    assert (found["encrypted"], found["snapshot_retention"], found["auto_backup_enabled"]) == (True, 5, True)
    assert (await api.get(f"{VOLUMES}/{found['id']}")).body == found
    assert (await api.get(VOLUMES)).body == [found]


async def test_hosts_have_what_machines_and_volumes_require(api: Api) -> None:
    plain = await volume(api)
    assert (plain["type"], plain["host_features"], plain["required_host_features"]) == ("local", [], [])
    features = {"required_host_features": ["nvme"]}
    found = await volume(api, compute={"cpus": 1, **features})
    assert (found["host_features"], found["required_host_features"]) == (["nvme"], ["nvme"])
    machine = await api.machine(config={"guest": features, **mounting(found)})
    assert machine["config"]["guest"]["required_host_features"] == machine["host_features"] == ["nvme"]
    for body in ({"compute": {"required_host_features": "nvme"}}, {"compute": {"required_host_features": [1]}}):
        wrong = await api.post(VOLUMES, {"name": "data", **body})
        assert wrong.status == 400
        assert "MachineGuest.compute.required_host_features of type" in wrong.error


async def test_a_volume_grows_by_gigabytes_or_by_percent(api: Api) -> None:
    found = await volume(api)
    mount = {"volume": found["id"], "path": "/data", "extend_threshold_percent": 80, "add_size_percent": 20}
    both = {"image": "nginx", "mounts": [{**mount, "add_size_gb": 1}]}
    said = await api.post("/v1/apps/web/machines", {"config": both})
    text = "config.mounts: add_size_gb and add_size_percent are mutually exclusive"
    assert (said.status, said.error) == (400, text)
    by_percent = {**mount, "min_add_size_gb": 2, "add_size_gb": 0}
    machine = await api.machine(config={"mounts": [by_percent]})
    assert machine["config"]["mounts"] == [by_percent]


async def test_a_machine_goes_where_its_volume_is_and_claims_it(api: Api) -> None:
    found = await volume(api)
    machine = await api.machine(config=mounting(found))
    assert machine["region"] == "lhr"
    assert (await api.get(f"{VOLUMES}/{found['id']}")).body["attached_machine_id"] == machine["id"]
    again = await api.post("/v1/apps/web/machines", {"config": {"image": "nginx", **mounting(found)}})
    text = f"failed_precondition: volume already claimed by machine {machine['id']}"
    assert (again.status, again.error) == (412, text)
    bound = await api.ask("DELETE", f"{VOLUMES}/{found['id']}")
    text = f"failed_precondition: volume is currently bound to machine: {machine['id']}"
    assert (bound.status, bound.error) == (412, text)
    await api.ask("DELETE", f"{at(machine)}?force=true")
    await api.reach(machine, "destroyed")
    await api.machine(config=mounting(found), region="lhr")


async def test_a_machine_is_not_made_away_from_its_volume(api: Api) -> None:
    found = await volume(api)
    said = await api.post("/v1/apps/web/machines", {"region": "nrt", "config": {"image": "nginx", **mounting(found)}})
    assert (said.status, said.error) == (400, f"volume {found['id']} is in region lhr, not in nrt")


async def test_a_volume_may_sit_on_a_full_host(api: Api) -> None:
    found = await volume(api)
    api.emulator.set_capacity("lhr", 0)
    said = await api.post("/v1/apps/web/machines", {"config": {"image": "nginx", **mounting(found)}})
    text = f"insufficient resources to create new machine with existing volume id '{found['id']}'"
    assert (said.status, said.body) == (412, {"error": text, "status": "volume_placement_capacity"})
    full = await api.post(VOLUMES, {"name": "data", "region": "lhr"})
    assert (full.status, full.body) == (409, {"error": "aborted: no capacity"})
    assert (await volume(api, region="lhr,cdg"))["region"] == "cdg"


async def test_a_deleted_volume_is_readable_but_of_no_use(api: Api) -> None:
    found = await volume(api)
    said = await api.ask("DELETE", f"{VOLUMES}/{found['id']}")
    assert (said.status, said.body["state"]) == (200, "pending_destroy")
    assert (await api.get(f"{VOLUMES}/{found['id']}")).body["state"] == "pending_destroy"
    assert (await api.get(VOLUMES)).body == []
    refused = await api.post("/v1/apps/web/machines", {"config": {"image": "nginx", **mounting(found)}})
    assert (refused.status, refused.error) == (400, "volume not found")


async def test_update_may_move_the_mount_but_not_change_the_volume(api: Api) -> None:
    found, other = await volume(api), await volume(api)
    machine = await api.machine(config=mounting(found))
    moved = await api.post(at(machine), {"config": {"image": "nginx", **mounting(found, "/new")}})
    assert moved.status == 200
    await api.reach(machine, "started")
    for config in (mounting(other), {}):
        said = await api.post(at(machine), {"config": {"image": "nginx", **config}})
        assert said.status == 400
        assert "the volume of a machine can not be changed" in said.error


async def test_backups_are_changed(api: Api) -> None:
    path = f"{VOLUMES}/{(await volume(api))['id']}"
    said = await api.ask("PUT", path, json={"snapshot_retention": 10, "auto_backup_enabled": False})
    assert (said.body["snapshot_retention"], said.body["auto_backup_enabled"]) == (10, False)
    assert (await api.ask("PUT", path, json={})).body == said.body
    assert (await api.ask("PUT", path, json={"snapshot_retention": 61})).status == 422


async def test_a_volume_only_grows(api: Api) -> None:
    found = await volume(api)
    path = f"{VOLUMES}/{found['id']}/extend"
    said = await api.ask("PUT", path, json={"size_gb": 10})
    assert (said.body["volume"]["size_gb"], said.body["needs_restart"]) == (10, False)
    assert (await api.ask("PUT", path, json={"size_gb": 5})).status == 400
    assert (await api.ask("PUT", path, json={})).error == "size_gb is required"
    assert (await api.ask("PUT", path, json={"size_gb": 501})).status == 422
    await api.running(config=mounting(found))
    assert (await api.ask("PUT", path, json={"size_gb": 11})).body["needs_restart"] is True


async def test_a_fork_is_like_its_source(api: Api) -> None:
    found = await volume(api, size_gb=7)
    said = await api.post(VOLUMES, {"name": "copy", "source_volume_id": found["id"]})
    assert (said.body["size_gb"], said.body["region"]) == (7, "lhr")
    assert (await api.post(VOLUMES, {"name": "copy", "source_volume_id": "vol_x"})).error == "volume not found"


@pytest.mark.parametrize(
    ("wish", "status"),
    [({"name": ""}, 400), ({"size_gb": 501}, 422), ({"snapshot_retention": 0}, 422), ({"size_gb": "3"}, 400)],
)
async def test_a_wish_must_make_sense(api: Api, wish: dict[str, Any], status: int) -> None:
    assert (await api.post(VOLUMES, {"name": "data", "region": "lhr", **wish})).status == status


async def test_volumes_belong_to_their_app() -> None:
    async with serving() as api:
        await api.app()
        await api.app("other")
        found = await volume(api)
        said = await api.get(f"/v1/apps/other/volumes/{found['id']}")
        assert (said.status, said.body) == (404, {"error": "volume not found"})
        assert (await api.get("/v1/apps/none/volumes")).error == "app not found"
