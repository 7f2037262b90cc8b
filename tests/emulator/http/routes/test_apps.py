import pytest

from flyasync.emulator.core.operations import companions, operations
from flyasync.emulator.core.regions import CODES
from flyasync.emulator.http.routes.router import HANDLERS, LONG_HANDLERS
from tests.emulator.driver import Api, serving


async def test_an_app_is_made_under_either_key_with_the_cookie_of_its_node(api: Api) -> None:
    for key in ("name", "app_name"):
        said = await api.post("/v1/apps?wait=true", {key: f"my-{key[:3]}", "org_slug": "my-org", "network": "blue"})
        assert said.status == 201
        assert (said.body["name"], said.body["network"], said.body["status"]) == (f"my-{key[:3]}", "blue", "pending")
        assert said.body["organization"]["slug"] == "my-org"
        assert said.body["created_at"] > 1_600_000_000_000
        assert said.headers["Set-Cookie"].startswith("fly_flaps_affinity=")
        assert said.headers["Set-Cookie"].endswith(f"; Path=/v1/apps/my-{key[:3]}")
    listed = await api.get("/v1/apps?org_slug=my-org")
    assert listed.body["total_apps"] == 2
    assert [app["name"] for app in listed.body["apps"]] == ["my-nam", "my-app"]
    assert (await api.get("/v1/apps?org_slug=nobody")).body == {"total_apps": 0, "apps": []}


@pytest.mark.parametrize("name", ["", "Web", "a_b", "-a", "a" * 63])
async def test_a_bad_name_is_not_valid(api: Api, name: str) -> None:
    said = await api.post("/v1/apps", {"name": name, "org_slug": "personal"})
    text = "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes"
    assert (said.status, said.body) == (422, {"error": text})


async def test_a_name_can_be_taken_once(api: Api) -> None:
    said = await api.post("/v1/apps", {"name": "web", "org_slug": "other"})
    text = "Validation failed: Name has already been taken"
    assert (said.status, said.body) == (422, {"error": text, "status": "name_taken"})


async def test_the_organization_must_be_named(api: Api) -> None:
    assert (await api.post("/v1/apps", {"name": "x"})).error == "org_slug is required"
    assert (await api.get("/v1/apps")).error == "org_slug is required"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b"nope", "invalid character 'n' looking for beginning of value"),
        (b"\xff", "invalid character in string literal"),
        (b"[]", "json: cannot unmarshal array into Go value of type main.createAppRequest"),
        (b"3", "json: cannot unmarshal number into Go value of type main.createAppRequest"),
        (b'{"name":1}', "json: cannot unmarshal number into Go struct field createAppRequest.name of type string"),
        (b"null", "org_slug is required"),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_bad_request(api: Api, raw: bytes, text: str) -> None:
    said = await api.post("/v1/apps", data=raw)
    assert (said.status, said.body) == (400, {"error": text})


async def test_an_app_is_deployed_once_it_has_had_a_machine(api: Api) -> None:
    await api.machine()
    await api.post("/v1/apps/web/volumes", {"name": "data", "region": "lhr"})
    app = (await api.get("/v1/apps/web")).body
    assert (app["status"], app["machine_count"], app["volume_count"]) == ("deployed", 1, 1)


async def test_a_deleted_app_takes_everything_with_it() -> None:
    async with serving(capacity={"iad": 1}, limits=False) as api:
        await api.app()
        machine = await api.machine(region="iad")
        await api.post("/v1/apps/web/volumes", {"name": "data", "region": "lhr"})
        said = await api.ask("DELETE", "/v1/apps/web?force=true")
        assert (said.status, said.body) == (202, "")
        for path in ("", "/machines", "/volumes", f"/machines/{machine['id']}"):
            gone = await api.get(f"/v1/apps/web{path}")
            assert (gone.status, gone.body) == (404, {"error": "app not found"})
        assert (await api.ask("DELETE", "/v1/apps/web")).status == 404
        await api.app()
        assert (await api.get("/v1/apps/web/machines")).body == []
        await api.machine(region="iad")


async def listed(api: Api, query: str = "") -> list[str]:
    said = await api.get(f"/v1/apps?org_slug=personal{query}")
    assert said.body["total_apps"] == len(said.body["apps"])
    return [app["name"] for app in said.body["apps"]]


async def test_apps_are_listed_by_role(api: Api) -> None:
    builder = {"app_name": "builder", "org_slug": "personal", "app_role_id": "remote-docker-builder"}
    assert await listed(api, "&app_role=remote-docker-builder") == []
    assert (await api.post("/v1/apps", builder)).body["app_role"] == "remote-docker-builder"
    assert await listed(api, "&app_role=remote-docker-builder") == ["builder"]
    assert await listed(api, "&app_role=postgres_cluster") == []
    assert await listed(api) == ["web", "builder"]
    query = '{ app(name: "builder") { role { id name } } web: app(name: "web") { role { name } } }'
    found = (await api.post("/graphql", {"query": query})).body["data"]
    assert found == {
        "app": {"role": {"id": "remote-docker-builder", "name": "remote-docker-builder"}},
        "web": {"role": None},
    }


async def test_a_repeat_with_the_same_key_returns_the_app(api: Api) -> None:
    body = {"app_name": "api", "org_slug": "personal", "idempotency_key": "k1"}
    first, second = await api.post("/v1/apps", body), await api.post("/v1/apps?wait=true", body)
    assert (first.status, second.status) == (201, 201)
    assert second.body == first.body
    assert await listed(api) == ["web", "api"]
    for other in ({"idempotency_key": "k2"}, {"idempotency_key": ""}, {"org_slug": "acme"}):
        taken = await api.post("/v1/apps", body | other)
        assert (taken.status, taken.body["status"]) == (422, "name_taken")
    wrong = await api.post("/v1/apps", body | {"app_name": "other"})
    assert (wrong.status, wrong.error) == (422, "idempotency_key was already used to create the app 'api'")
    assert "status" not in wrong.body
    nameless = await api.post("/v1/apps", {key: value for key, value in body.items() if key != "app_name"})
    assert nameless.body == first.body
    await api.ask("DELETE", "/v1/apps/api")
    assert (await api.post("/v1/apps", body)).body["id"] != first.body["id"]


async def test_every_region_is_shown_with_its_room() -> None:
    async with serving(capacity={"iad": 2, "lhr": 0}) as api:
        await api.app()
        await api.machine(region="iad")
        said = (await api.get("/v1/platform/regions")).body
        assert said["Nearest"] == "iad"
        room = {region["code"]: region["capacity"] for region in said["Regions"]}
        assert tuple(room) == CODES
        assert (room["iad"], room["lhr"], room["nrt"]) == (1, 0, 1000)
        assert {region["geo_region"] for region in said["Regions"]} == {
            "africa",
            "asia_pacific",
            "europe",
            "north_america",
            "south_america",
        }


@pytest.mark.parametrize(
    ("asked", "placed"),
    [
        ({"region": "iad,eu", "count": 3}, {"iad": 2, "arn": 1}),
        ({"region": "lhr,nrt", "count": 2}, {"nrt": 2}),
        ({"region": "cdg,nrt", "count": 4}, {"cdg": 1, "nrt": 3}),
        ({"region": "lhr", "count": 2}, {}),
        ({"region": "sa"}, {"gru": 1000}),
        ({"region": "lhr,cdg", "count": 0}, {"cdg": 1}),
        ({"count": 1}, {"iad": 1}),
    ],
)
async def test_placements_follow_the_room(asked: dict[str, object], placed: dict[str, int]) -> None:
    async with serving(capacity={"lhr": 0, "cdg": 1, "ams": 0}) as api:
        said = await api.post("/v1/platform/placements", {"org_slug": "personal", **asked})
        assert {row["Region"]: row["Count"] for row in said.body["Regions"]} == placed
        assert {row["Concurrency"] for row in said.body["Regions"]} <= {1}


async def test_an_unknown_region_is_refused(api: Api) -> None:
    said = await api.post("/v1/platform/placements", {"region": "atlantis"})
    assert (said.status, said.error) == (400, "unknown region 'atlantis'")


def test_the_table_holds_every_operation_once() -> None:
    found = list(operations())
    assert len(found) == 100
    assert len({(operation.method, operation.path) for operation in found}) == 100
    actions = {operation.action for operation in found}
    assert len(actions) == 100
    assert LONG_HANDLERS.keys() == {"createApp", "waitMachine"}
    everything = actions | {operation.action for operation in companions()}
    assert sorted([*HANDLERS, *LONG_HANDLERS]) == sorted(everything)
