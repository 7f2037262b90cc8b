from tests.emulator.driver import Api, serving
from tests.emulator.http.routes.test_graphql import ask

RELEASES = """
query ($appName: String!, $limit: Int!) {
  app(name: $appName) {
    currentRelease: currentReleaseUnprocessed { id version status }
    releases: releasesUnprocessed(first: $limit) {
      nodes { id version description reason status imageRef stable user { id email name } createdAt }
    }
  }
}
"""


async def create(api: Api, image: str) -> str:
    body = {"app_name": "web", "build_id": 0, "definition": {"app": "web"}, "image": image, "strategy": "ROLLING"}
    said = await api.post("/api/v1/releases", body)
    assert said.status == 201
    release_id: str = said.body["release"]["id"]
    return release_id


async def test_a_release_is_created_set_and_listed_newest_first(api: Api) -> None:
    assert (await api.get("/api/v1/apps/web/releases/current")).status == 404
    first, second = await create(api, "web:1"), await create(api, "web:2")
    said = await api.ask("PATCH", f"/api/v1/releases/{first}", json={"status": "complete", "metadata": {}})
    assert (said.status, said.body["status"], said.body["version"]) == (200, "complete", 1)
    listed = (await api.get("/api/v1/apps/web/releases")).body["releases"]
    assert [(each["id"], each["version"], each["in_progress"]) for each in listed] == [
        (second, 2, True),
        (first, 1, False),
    ]
    assert len((await api.get("/api/v1/apps/web/releases?limit=1")).body["releases"]) == 1
    assert (await api.get("/api/v1/apps/web/releases/current")).body["image_ref"] == "web:2"


async def test_the_limits_of_the_machines_api_do_not_count_releases() -> None:
    async with serving() as api:
        await api.app()
        for status in ("running", "failed", "running", "failed", "interrupted"):
            release = await create(api, "web:1")
            assert (await api.ask("PATCH", f"/api/v1/releases/{release}", json={"status": status})).status == 200


async def test_graphql_shows_the_releases_as_flyctl_asks_for_them(api: Api) -> None:
    empty = await ask(api, RELEASES, appName="web", limit=25)
    assert empty["data"]["app"] == {"currentRelease": None, "releases": {"nodes": []}}
    await create(api, "web:1")
    await create(api, "web:2")
    app = (await ask(api, RELEASES, appName="web", limit=1))["data"]["app"]
    assert app["currentRelease"]["version"] == 2
    (node,) = app["releases"]["nodes"]
    assert (node["version"], node["imageRef"], node["status"], node["stable"]) == (2, "web:2", "pending", False)
    assert node["user"]["email"] == "emulator@example.com"


async def test_a_release_of_no_app_and_an_unknown_release_are_refused(api: Api) -> None:
    assert (await api.post("/api/v1/releases", {"app_name": "none"})).status == 404
    assert (await api.ask("PATCH", "/api/v1/releases/none", json={"status": "failed"})).status == 404


async def test_organizations_and_builds_are_answered(api: Api) -> None:
    listed = (await api.get("/api/v1/organizations?admin=false")).body["organizations"]
    assert [each["slug"] for each in listed] == ["personal"]
    one = (await api.get("/api/v1/organizations/personal")).body["organization"]
    assert (one["personal"], one["billing_status"]) == (True, "CURRENT")
    assert (await api.get("/api/v1/organizations/none")).status == 404
    assert (await api.post("/api/v1/builds", {})).body == {"id": 1, "status": "started"}
    assert (await api.post("/api/v1/builds/finish", {})).status == 200


async def test_egress_addresses_are_shown(api: Api) -> None:
    await api.post("/v1/apps/web/ip_assignments", {"type": "egress-pair", "region": "iad"})
    query = 'query { app(name: "web") { egressIpAddresses { nodes { id ip version region updatedAt } } } }'
    nodes = (await ask(api, query))["data"]["app"]["egressIpAddresses"]["nodes"]
    assert [node["version"] for node in nodes] == [4, 6]


async def test_the_current_releases_of_all_apps_are_listed(api: Api) -> None:
    assert (await api.get("/api/v1/releases/all_current")).body == {}
    await create(api, "web:1")
    found = (await api.get("/api/v1/releases/all_current")).body
    assert list(found) == ["web"]
    assert found["web"].endswith("Z")


async def test_an_egress_address_of_a_machine_becomes_one_of_its_region(api: Api) -> None:
    machine = (await api.running())["id"]
    query = f"""mutation {{ allocateEgressIpAddress(input: {{appId: "web", machineId: "{machine}"}}) {{ v4 v6 }} }}"""
    pair = (await ask(api, query))["data"]["allocateEgressIpAddress"]
    shown = '{ app(name: "web") { egressIpAddresses { nodes { ip } } } }'
    assert (await ask(api, shown))["data"]["app"]["egressIpAddresses"]["nodes"] == []
    assert (await api.post(f"/api/v1/apps/web/egress_ips/{pair['v4']}/promote")).status == 204
    nodes = (await ask(api, shown))["data"]["app"]["egressIpAddresses"]["nodes"]
    assert [each["ip"] for each in nodes] == [pair["v4"], pair["v6"]]
    assert (await api.post(f"/api/v1/apps/web/egress_ips/{pair['v4']}/promote")).status == 404
