import asyncio
from typing import Any

import pytest

from tests.emulator.driver import Api, at

MACHINES = "/v1/orgs/personal/machines"
VOLUMES = "/v1/orgs/personal/volumes"


async def ids(api: Api, **query: Any) -> list[str]:
    return [machine["id"] for machine in (await api.get(MACHINES, params=query)).body["machines"]]


async def fleet(api: Api) -> list[dict[str, Any]]:
    await api.app("api")
    await api.post("/v1/apps", {"name": "foreign", "org_slug": "acme"})
    await api.machine("foreign")
    found = []
    for app, region in (("web", "lhr"), ("api", "nrt"), ("web", "nrt")):
        found.append(await api.machine(app, region=region))
        await asyncio.sleep(2)
    return found


async def test_the_machines_of_all_apps_are_listed_the_least_recently_changed_first(api: Api) -> None:
    first, second, third = await fleet(api)
    await api.act(first, "stop")
    await asyncio.sleep(1)
    said = (await api.get(MACHINES)).body
    assert [row["id"] for row in said["machines"]] == [second["id"], third["id"], first["id"]]
    assert [row["app_name"] for row in said["machines"]] == ["api", "web", "web"]
    assert (said["last_machine_id"], said["next_cursor"], said["error_regions"]) == (first["id"], "", [])
    assert said["last_updated_at"] == said["machines"][-1]["updated_at"]
    assert said["machines"][0]["config"]["image"] == "nginx"


async def test_the_list_is_filtered(api: Api) -> None:
    first, second, third = (machine["id"] for machine in await fleet(api))
    assert await ids(api, region="lhr") == [first]
    assert await ids(api, region="lhr,nrt", limit=2) == [first, second]
    assert await ids(api, state="stopped,failed") == []
    changed = (await api.get(MACHINES)).body["machines"][1]["updated_at"]
    assert await ids(api, updated_after=changed) in ([third], [second, third])
    await api.ask("DELETE", f"/v1/apps/web/machines/{first}?force=true")
    await asyncio.sleep(1)
    assert await ids(api) == [second, third]
    assert await ids(api, include_deleted="true") == [second, third, first]
    assert "config" not in (await api.get(f"{MACHINES}?summary=true")).body["machines"][0]


async def test_pages_follow_one_another(api: Api) -> None:
    wanted = [machine["id"] for machine in await fleet(api)]
    query: dict[str, Any] = {"limit": 1}
    found: list[str] = []
    while len(found) < len(wanted):
        said = (await api.get(MACHINES, params=query)).body
        found += [machine["id"] for machine in said["machines"]]
        query |= {"cursor": said["next_cursor"], "updated_after": "2999-01-01T00:00:00Z"}
    assert query["cursor"] == ""
    assert found == wanted


async def test_a_machine_that_changes_between_pages_comes_again(api: Api) -> None:
    first, second, third = await fleet(api)
    said = (await api.get(f"{MACHINES}?limit=1")).body
    await api.act(first, "stop")
    assert await ids(api, cursor=said["next_cursor"]) == [second["id"], third["id"], first["id"]]


async def test_regions_that_can_not_be_read_are_named(api: Api) -> None:
    first, *_ = await fleet(api)
    api.emulator.set_error_regions("nrt")
    said = (await api.get(MACHINES)).body
    assert ([row["id"] for row in said["machines"]], said["error_regions"]) == ([first["id"]], ["nrt"])
    api.emulator.set_error_regions()
    assert len(await ids(api)) == 3
    with pytest.raises(ValueError, match="there is no region 'moon'"):
        api.emulator.set_error_regions("moon")


async def test_the_volumes_of_all_apps_are_listed(api: Api) -> None:
    await api.app("api")
    found = [
        (await api.post(f"/v1/apps/{app}/volumes", {"name": "data", "region": "lhr"})).body for app in ("web", "api")
    ]
    await asyncio.sleep(1)
    await api.machine(config={"mounts": [{"volume": found[0]["id"], "path": "/data"}]})
    said = (await api.get(VOLUMES)).body
    assert [row["app_name"] for row in said["volumes"]] == ["api", "web"]
    assert said["last_volume_id"] == found[0]["id"]
    await asyncio.sleep(1)
    await api.ask("DELETE", f"/v1/apps/api/volumes/{found[1]['id']}")
    assert [row["id"] for row in (await api.get(VOLUMES)).body["volumes"]] == [found[0]["id"]]
    deleted = (await api.get(f"{VOLUMES}?include_deleted=true&state=pending_destroy")).body["volumes"]
    assert [row["id"] for row in deleted] == [found[1]["id"]]
    assert (await api.get("/v1/orgs/nobody/volumes")).body == {"volumes": [], "next_cursor": ""}


@pytest.mark.parametrize("query", ["updated_after=yesterday", "updated_after=2026-01-01", "cursor=x", "limit=-1"])
async def test_what_can_not_be_read_is_refused(api: Api, query: str) -> None:
    await api.machine()
    assert (await api.get(f"{MACHINES}?{query}")).status == 400


async def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    for name in ("a.example.com", "b.example.com"):
        await api.post("/v1/apps/web/certificates/acme", {"hostname": name})
    cursor = (await api.get("/v1/apps/web/certificates?limit=1")).body["next_cursor"]
    machine = await api.machine()
    assert (await api.get(MACHINES, params={"cursor": cursor})).error == "invalid cursor"
    assert (await api.get(at(machine))).status == 200
