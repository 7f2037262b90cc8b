import asyncio
from typing import Any

import pytest

from tests.emulator.driver import Api, at, serving

LAG: dict[str, Any] = {"limits": False, "lag": (2.0, 2.0), "boot": (1, 1)}
MACHINES = "/v1/apps/web/machines"


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


async def test_who_sends_the_cookie_reads_what_was_written() -> None:
    async with serving(**LAG) as api:
        headers = await near(api)
        assert (await api.get("/v1/apps/web", headers=headers)).status == 200
        said = await api.post(MACHINES, {"config": {"image": "nginx"}}, headers=headers)
        assert said.status == 200
        assert (await api.get(at(said.body), headers=headers)).status == 200
        assert len((await api.get(MACHINES, headers=headers)).body) == 1
        assert (await api.get(MACHINES, headers={"Cookie": "fly_flaps_affinity=other"})).status == 404


async def test_without_lag_nothing_is_hidden(api: Api) -> None:
    machine = await api.machine()
    assert (await api.get(at(machine))).status == 200
