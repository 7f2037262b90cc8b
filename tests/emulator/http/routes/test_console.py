import asyncio

import pytest

from tests.emulator.driver import Api, at, serving

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_gets_a_page_that_may_load_only_its_own_files(api: Api) -> None:
    said = await api.get("/", headers=HTML)
    assert (said.status, said.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = said.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} < set(policy)
    assert "unsafe" not in said.headers["Content-Security-Policy"]
    for name, kind in (("console.js", "text/javascript"), ("console.css", "text/css")):
        assert f'"/_emulator/{name}"' in said.body
        file = await api.get(f"/_emulator/{name}")
        assert (file.status, file.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")


@pytest.mark.parametrize("accept", ["application/json", "*/*", ""])
async def test_other_clients_find_nothing(api: Api, accept: str) -> None:
    said = await api.get("/", headers={"Accept": accept})
    assert (said.status, said.body) == (404, {"error": "not found"})
    assert api.emulator.not_served() == {"GET /": 1}


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
@pytest.mark.parametrize("path", ["/", "/_emulator/console.js", "/_emulator/overview"])
async def test_other_sites_are_refused(api: Api, path: str, headers: dict[str, str]) -> None:
    assert (await api.get(path, headers=HTML | headers)).status == 403


async def test_the_overview_has_machines_with_checks_and_leases_and_volumes() -> None:
    async with serving(boot=(1, 1)) as api:
        await api.app()
        tcp = {"type": "tcp", "port": 80, "interval": "5s", "timeout": "1s"}
        machine = await api.running(region="iad", config={"checks": {"up": tcp}})
        await asyncio.sleep(10)  # virtual: the first attempt of the check
        lease = (await api.act(machine, "lease", {"ttl": 60})).body["data"]
        await api.post("/v1/apps/web/volumes", {"name": "data", "region": "iad", "size_gb": 1})
        await api.post("/_emulator/faults", {"does": "refuse", "action": "getApp"})
        said = (await api.get("/_emulator/overview")).body
    assert said["apps"] == [{"name": "web", "org": "personal"}]
    (shown,) = said["machines"]
    assert (shown["id"], shown["state"], shown["host"]) == (machine["id"], "started", "ok")
    assert [each["name"] for each in shown["checks"]] == ["up"]
    assert 59 <= shown["lease"]["seconds_left"] <= 60
    assert lease["nonce"] not in str(shown)
    assert [each["name"] for each in said["volumes"]] == ["data"]
    assert [fault["does"] for fault in said["faults"]] == ["refuse"]
    lease_bucket = next(each for each in said["buckets"] if "Lease" in each["action"])
    assert (lease_bucket["identifier"], lease_bucket["burst"]) == (machine["id"], 3)
    assert 0.9 <= lease_bucket["used"] <= 1


async def test_the_latest_requests_have_bodies_and_no_token(api: Api) -> None:
    await api.post(
        "/v1/apps", {"name": "x" * 10_000, "org_slug": "personal"}, headers={"Authorization": "Bearer s3cr3t"}
    )
    await api.get("/v1/apps/web")
    for _ in range(199):
        await api.get("/v1/apps/web/machines")
    found = (await api.get("/_emulator/overview")).body["requests"]
    assert len(found) == 200
    assert (found[0]["path"], found[0]["asked"], found[0]["answered"]) == ("/v1/apps/web/machines", "", "[]")
    assert '"name": "web"' in found[-1]["answered"]
    assert "s3cr3t" not in str(found)


async def test_a_console_that_has_seen_everything_gets_only_what_is_new(api: Api) -> None:
    first = await api.get("/_emulator/overview")
    await api.get("/v1/apps/web")
    path = f"/_emulator/overview?since={first.body['logged']}"
    second = await api.get(path)
    assert [each["path"] for each in second.body["requests"]] == ["/v1/apps/web"]
    await asyncio.sleep(30)  # virtual: the bucket is empty again, and only the clock moves on
    settled = f"/_emulator/overview?since={second.body['logged']}"
    third = await api.get(settled)
    assert third.body["requests"] == []
    await asyncio.sleep(1)
    assert (await api.get(settled, headers={"If-None-Match": third.headers["ETag"]})).status == 304
    await api.app("other")
    assert (await api.get(settled, headers={"If-None-Match": third.headers["ETag"]})).status == 200
    assert len((await api.get("/_emulator/overview?since=999")).body["requests"]) == 3  # of an earlier emulator
    assert (await api.get("/_emulator/overview?since=x")).status == 400


async def test_a_long_body_is_cut(api: Api) -> None:
    await api.post("/v1/apps", {"name": "x" * 10_000, "org_slug": "personal"})
    found = (await api.get("/_emulator/overview")).body["requests"][0]
    assert found["asked"] == '{"name": "' + "x" * (8192 - 10)


async def test_a_crash_ends_the_process_and_the_restart_policy_applies(api: Api) -> None:
    machine = await api.running(config={"restart": {"policy": "no"}})
    assert (await api.post("/_emulator/crash", {"machine_id": machine["id"], "exit_code": 137})).status == 204
    looked = await api.look(machine)
    assert looked["state"] == "stopped"
    assert looked["events"][0]["request"]["exit_event"]["exit_code"] == 137
    again = await api.post("/_emulator/crash", {"machine_id": machine["id"]})
    assert (again.status, again.error) == (
        400,
        f"machine_id: {machine['id']} is stopped; only a started machine can crash",
    )
    assert (await api.post("/_emulator/crash", {})).error == "machine_id: there is no machine ''"
    assert (await api.get(at(machine))).status == 200
