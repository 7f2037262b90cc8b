import asyncio
from typing import Any

import pytest

from tests.emulator.driver import Api, Said

CLUSTERS = "/v1/postgres"
WISH = {"org_slug": "personal", "name": "db", "region": "iad", "plan": "basic"}


async def cluster(api: Api, **wish: Any) -> str:
    said = await api.post(CLUSTERS, {**WISH, **wish})
    assert said.status == 201, said
    return f"{CLUSTERS}/{said.body['data']['id']}"


async def data(api: Api, path: str) -> Any:
    said = await api.get(path)
    assert said.status == 200, said
    return said.body["data"]


async def delete(api: Api, path: str) -> Said:
    return await api.ask("DELETE", path)


async def test_a_cluster_is_ready_after_a_while(api: Api) -> None:
    path = await cluster(api, disk_size_gb=20, postgis_enabled=True)
    found = await data(api, path)
    assert (found["status"], found["cpus"], found["disk_size_gb"], found["postgis_enabled"]) == (
        "creating",
        2,
        20,
        True,
    )
    await asyncio.sleep(15)
    assert (await data(api, path))["status"] == "initializing"
    await asyncio.sleep(45)
    found = await data(api, path)
    assert (found["status"], found["storage_used_bytes"], found["storage_provisioned_bytes"]) == ("ready", None, None)
    await asyncio.sleep(3600)
    found = await data(api, path)
    assert 0 < found["storage_used_bytes"] < found["storage_provisioned_bytes"] == 20 * 1024**3


async def test_a_deleted_cluster_is_gone(api: Api) -> None:
    path = await cluster(api)
    assert (await delete(api, path)).status == 202
    for said in (await api.get(path), await delete(api, path), await api.get(f"{path}/users")):
        assert (said.status, said.error) == (410, "This cluster is being deleted")
    assert await data(api, f"{CLUSTERS}?org_slug=personal") == []
    (row,) = await data(api, f"{CLUSTERS}?org_slug=personal&include_deleted=true")
    assert row["status"] == "deleting"
    await asyncio.sleep(15)
    gone = await api.get(path)
    assert (gone.status, gone.error) == (410, "This cluster has been deleted")
    (row,) = await data(api, f"{CLUSTERS}?org_slug=personal&include_deleted=true")
    assert (row["status"], row["deleted_at"] is not None) == ("deleted", True)
    assert (await api.get(f"{CLUSTERS}/none")).error == "Cluster not found"
    assert (await api.get(CLUSTERS)).error == "org_slug is required and must be a string"


@pytest.mark.parametrize(
    ("wish", "status"),
    [({"org_slug": ""}, 400), ({"plan": "free"}, 422), ({"region": "moon"}, 422), ({"disk_size_gb": 0}, 422)],
)
async def test_a_wish_must_make_sense(api: Api, wish: Any, status: int) -> None:
    assert (await api.post(CLUSTERS, {**WISH, **wish})).status == status


async def test_users_come_and_go(api: Api) -> None:
    path = f"{await cluster(api)}/users"
    said = await api.post(path, {"username": "bob", "role": "reader"})
    assert (said.status, said.body) == (201, {"data": {"username": "bob", "role": "reader"}})
    again = await api.post(path, {"username": "bob", "role": "reader"})
    assert (again.status, again.error) == (409, "User already exists")
    assert (await api.post(path, {"username": "eve", "role": "king"})).error == "invalid role: 'king'"
    assert (await api.post(path, {"role": "reader"})).status == 422
    assert (await api.ask("PATCH", f"{path}/bob", json={"role": "writer"})).status == 204
    assert (await data(api, path))[1]["role"] == "writer"
    assert (await api.ask("PATCH", f"{path}/bob", json={"role": "king"})).status == 422
    assert [user["username"] for user in await data(api, path)] == ["fly-user", "bob"]
    assert (await delete(api, f"{path}/bob")).status == 204
    assert (await delete(api, f"{path}/bob")).error == "User not found"


async def test_a_password_is_shown_and_changed_but_never_repeated(api: Api) -> None:
    path = f"{await cluster(api)}/users/fly-user"
    first = (await data(api, f"{path}/credentials"))["password"]
    second = (await api.post(f"{path}/rotate_password", {"kill_sessions": True})).body["data"]["password"]
    assert second == (await data(api, f"{path}/credentials"))["password"] != first
    assert second not in repr(api.emulator.world)


async def test_databases_come_and_go(api: Api) -> None:
    path = f"{await cluster(api)}/databases"
    said = await api.post(path, {"name": "more"})
    assert (said.status, said.body) == (201, {"data": {"name": "more"}})
    assert (await api.post(path, {"name": "more"})).error == "Database more already exists"
    nameless = await api.post(path, {})
    assert (nameless.status, nameless.error) == (422, "name is required")
    assert await data(api, path) == [{"name": "fly-db"}, {"name": "more"}]
    assert (await delete(api, f"{path}/more")).body == {"data": {"name": "more"}}
    assert (await delete(api, f"{path}/more")).error == "Database not found"


async def test_extensions_are_enabled_and_disabled(api: Api) -> None:
    path = f"{await cluster(api)}/databases/fly-db/extensions"
    assert (await api.post(path, {"name": "vector", "schema": "ai"})).status == 204
    again = await api.post(path, {"name": "vector"})
    assert (again.status, again.error) == (409, "Extension vector is already installed in schema ai")
    without = await api.post(path, {"name": "postgis"})
    assert (without.status, without.error) == (409, "PostGIS is not enabled on this cluster")
    with_it = await cluster(api, name="maps", postgis_enabled=True)
    assert (await api.post(f"{with_it}/databases/fly-db/extensions", {"name": "postgis"})).status == 204
    assert (await api.post(path, {"name": "magic"})).status == 422
    installed = {row["name"]: row["installed"] for row in await data(api, path)}
    assert (installed["vector"], installed["postgis"]) == ({"schema": "ai", "version": "0.8.0"}, None)
    assert (await delete(api, f"{path}/vector?force=true")).status == 204
    assert (await delete(api, f"{path}/vector")).error == "Extension not found"
    system = await delete(api, f"{path}/plpgsql")
    assert (system.status, system.error) == (400, "System extensions cannot be disabled")


async def test_a_cluster_is_attached_to_an_app(api: Api) -> None:
    path = await cluster(api)
    said = [await api.post(f"{path}/attachments", {"app_name": "web"}) for _ in range(2)]
    assert [each.status for each in said] == [201, 200]
    assert said[0].body == said[1].body
    assert (await data(api, path))["attached_apps"] == [{"name": "web"}]
    assert (await api.post(f"{path}/attachments", {"app_name": "none"})).error == "App not found"
    assert (await delete(api, f"{path}/attachments/web")).status == 204
    assert (await delete(api, f"{path}/attachments/web")).error == "Attachment not found"


async def test_backups_are_made_one_at_a_time(api: Api) -> None:
    path = f"{await cluster(api)}/backups"
    started = await api.post(path, {"type": "full"})
    assert (started.status, started.body) == (202, "")
    (backup,) = await data(api, path)
    assert (backup["status"], backup["finished_at"]) == ("in_progress", None)
    assert (await api.post(path, {"type": "incr"})).error == "A backup is currently running"
    assert (await api.post(path, {"type": "half"})).error == "invalid type: 'half'"
    await asyncio.sleep(10)
    assert (await data(api, path))[0]["status"] == "completed"
    assert (await api.post(path, {"type": "diff"})).status == 202


async def test_a_cluster_is_copied_with_what_it_holds(api: Api) -> None:
    path = await cluster(api)
    await api.post(f"{path}/databases", {"name": "more"})
    await api.post(f"{path}/users", {"username": "bob", "role": "reader"})
    early = await api.post(f"{path}/fork", {"name": "copy"})
    assert (early.status, early.error) == (409, "The source cluster is not ready to be forked yet")
    await asyncio.sleep(60)
    said = await api.post(f"{path}/fork", {"name": "copy"})
    assert said.status == 201
    copy = f"{CLUSTERS}/{said.body['data']['id']}"
    assert said.body["data"]["name"] == "copy"
    for inside in ("databases", "users"):
        assert await data(api, f"{copy}/{inside}") == await data(api, f"{path}/{inside}")
    assert (await api.post(f"{path}/fork")).body["data"]["name"] == "db-fork"


async def test_a_cluster_is_restored_from_its_past(api: Api) -> None:
    path = await cluster(api)
    await api.post(f"{path}/backups", {"type": "full"})
    backup = (await data(api, f"{path}/backups"))[0]["id"]
    assert (await api.post(f"{path}/restore", {"backup_id": backup})).error == "the backup is not finished"
    await asyncio.sleep(10)
    for body in ({"backup_id": backup, "name": "again"}, {"pitr_time": "2026-01-01T00:00:00Z"}):
        assert (await api.post(f"{path}/restore", body)).body["data"]["status"] == "creating"
    unknown = await api.post(f"{path}/restore", {"backup_id": "none"})
    assert (unknown.status, unknown.error) == (404, f"Backup none not found for cluster {path.rpartition('/')[2]}")
    assert (await api.post(f"{path}/restore", {})).status == 422


async def test_the_queries_of_a_cluster_are_none(api: Api) -> None:
    path = await cluster(api)
    for query in ("active?database=fly-db", "slow", "slow?range=1", "slow?range=604800"):
        assert await data(api, f"{path}/queries/{query}") == []


@pytest.mark.parametrize("query", ["active", "active?database=", "active?database=%20"])
async def test_active_queries_are_those_of_a_database(api: Api, query: str) -> None:
    said = await api.get(f"{await cluster(api)}/queries/{query}")
    assert (said.status, said.body) == (422, {"error": "database must be a non-empty string"})


@pytest.mark.parametrize("text", ["0", "604801", "-1", "1.5", "a", "", "9" * 5000])
async def test_slow_queries_are_those_of_a_week_at_most(api: Api, text: str) -> None:
    said = await api.get(f"{await cluster(api)}/queries/slow?range={text}")
    assert (said.status, said.body) == (422, {"error": "range must be an integer between 1 and 604800 seconds"})


@pytest.mark.parametrize("query", ["active?database=fly-db", "slow"])
async def test_the_queries_of_an_unknown_cluster_are_not_found(api: Api, query: str) -> None:
    said = await api.get(f"{CLUSTERS}/none/queries/{query}")
    assert (said.status, said.body) == (404, {"error": "Cluster not found"})
