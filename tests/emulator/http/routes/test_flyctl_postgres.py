"""What `flyctl mpg` asks api.fly.io for is what the Machines API shows of the same clusters."""

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from tests.emulator.driver import Api

OF_ORG = "/api/v1/organizations/personal"


@pytest_asyncio.fixture
async def at(api: Api) -> str:
    """Return the path of a cluster that is ready."""
    given = {"name": "db", "region": "iad", "plan": "basic", "storage_in_gb": 20}
    said = await api.post(f"{OF_ORG}/postgresv2", given)
    assert (said.status, said.body["ok"]) == (201, True)
    path = f"/api/v1/postgres/{said.body['data']['id']}"
    await asyncio.sleep(60)
    assert (await api.get(path)).body["data"]["status"] == "ready"
    return path


async def data(api: Api, path: str) -> Any:
    return (await api.get(path)).body["data"]


async def test_a_cluster_is_created_shown_and_deleted(api: Api, at: str) -> None:
    cluster_id = at.rpartition("/")[2]
    shown = (await api.get(at)).body
    assert (shown["data"]["disk"], shown["data"]["version"], shown["data"]["organization"]["slug"]) == (
        20,
        1,
        "personal",
    )
    assert shown["credentials"]["pgbouncer_uri"].startswith("postgresql://fly-user:")
    same = [f"/api/v1/postgresv2/{cluster_id}", f"{OF_ORG}/postgres/{cluster_id}"]
    assert [(await api.get(path)).body for path in same] == [shown, shown]
    assert [each["id"] for each in await data(api, f"{OF_ORG}/postgres")] == [cluster_id]
    assert (await api.ask("DELETE", f"{OF_ORG}/postgres/{cluster_id}")).status == 204
    assert await data(api, f"{OF_ORG}/postgres") == []
    assert [each["id"] for each in await data(api, f"{OF_ORG}/postgres/deleted")] == [cluster_id]
    assert (await api.get("/api/v1/organizations/none/postgres")).status == 404


async def test_users_have_roles_and_credentials(api: Api, at: str) -> None:
    made = await api.post(f"{at}/users", {"user_name": "bob", "role": "reader"})
    assert (made.status, made.body["data"]) == (201, {"name": "bob", "role": "reader"})
    assert (await api.ask("PATCH", f"{at}/users/bob", json={"role": "writer"})).body["data"]["role"] == "writer"
    assert await data(api, f"{at}/users") == [
        {"name": "fly-user", "role": "schema_admin"},
        {"name": "bob", "role": "writer"},
    ]
    shown = await data(api, f"{at}/users/bob/credentials")
    assert (shown["user"], bool(shown["password"])) == ("bob", True)
    assert (await api.ask("DELETE", f"{at}/users/bob")).status == 204
    assert (await api.get(f"{at}/users/bob/credentials")).status == 404


async def test_a_backup_is_restored_into_a_new_cluster(api: Api, at: str) -> None:
    started = (await api.post(f"{at}/backups", {"type": "full"})).body["data"]
    await asyncio.sleep(60)
    (found,) = await data(api, f"{at}/backups")
    assert (found["id"], found["type"], bool(found["stop"])) == (started["id"], "full", True)
    made = (await api.post(f"{at}/restore", {"backup_id": started["id"], "name": "again"})).body["data"]
    assert made["name"] == "again"
    assert len(await data(api, f"{OF_ORG}/postgres")) == 2


async def test_an_app_is_attached_and_detached(api: Api, at: str) -> None:
    await api.post(f"{at}/attachments", {"app_name": "web"})
    assert [each["name"] for each in (await data(api, at))["attached_apps"]] == ["web"]
    assert "web" in (await api.ask("DELETE", f"{at}/attachments/web")).body["data"]["message"]
    assert (await data(api, at))["attached_apps"] == []


async def test_databases_and_extensions_are_those_of_the_machines_api(api: Api, at: str) -> None:
    await api.post(f"{at}/databases", {"name": "more"})
    assert [each["name"] for each in await data(api, f"{at}/databases")] == ["fly-db", "more"]
    await api.post(f"{at}/databases/more/extensions", {"name": "vector", "create_schema_if_needed": True})
    found = {each["name"]: each["installed"] for each in await data(api, f"{at}/databases/more/extensions")}
    assert found["vector"]["version"] == "0.8.0"
    assert (await api.ask("DELETE", f"{at}/databases/more/extensions/vector")).status == 204


@pytest.mark.parametrize(("region", "available"), [("iad", True), ("jnb", False)])
async def test_regions_tell_where_clusters_can_be(api: Api, region: str, available: bool) -> None:  # noqa: FBT001
    found = {each["code"]: each["available"] for each in await data(api, f"{OF_ORG}/postgresv2/regions")}
    assert found[region] is available
