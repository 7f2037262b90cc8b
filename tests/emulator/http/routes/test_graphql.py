import json
import subprocess
import sys
from typing import Any

import pytest

from tests.emulator.driver import Api

COMPACT = """
query ($appName: String!) {
  appcompact: app(name: $appName) {
    id, internalNumericId name hostname cnameTarget deployed network status appUrl platformVersion # as flyctl asks
    organization { id internalNumericId slug paidPlan }
    postgresAppRole: role { name }
  }
}
"""


async def ask(api: Api, query: str, **variables: Any) -> Any:
    said = await api.post("/graphql", {"query": query, "variables": variables})
    assert said.status == 200
    return said.body


async def test_organizations_are_listed(api: Api) -> None:
    await api.post("/v1/apps", {"name": "big", "org_slug": "acme"})
    found = await ask(api, "query { organizations { nodes { id slug name type } } }")
    assert [node["slug"] for node in found["data"]["organizations"]["nodes"]] == ["personal", "acme"]
    assert found["data"]["organizations"]["nodes"][1]["type"] == "SHARED"


async def test_an_app_is_shown_as_flyctl_asks_for_it(api: Api) -> None:
    found = (await ask(api, COMPACT, appName="web"))["data"]["appcompact"]
    assert (found["name"], found["status"], found["platformVersion"]) == ("web", "pending", "machines")
    assert (found["organization"]["slug"], found["postgresAppRole"]) == ("personal", None)


async def test_the_small_questions_are_answered(api: Api) -> None:
    query = """{ viewer { email organizations { nodes { slug } } } organization(slug: "personal") { id name }
                 platform { requestRegion regions { code gatewayAvailable } }
                 canPerformBluegreenDeployment(name: "web") }"""
    found = (await ask(api, query))["data"]
    assert found["viewer"]["organizations"]["nodes"] == [{"slug": "personal"}]
    assert found["organization"]["name"] == "personal"
    assert found["platform"]["requestRegion"] == "iad"
    assert len(found["platform"]["regions"]) == 18
    assert {"code": "gru", "gatewayAvailable": False} in found["platform"]["regions"]
    assert found["canPerformBluegreenDeployment"] is True


async def test_an_image_is_resolved(api: Api) -> None:
    query = '{ app(name: "web") { image(ref: "nginx") { id digest ref compressedSize: compressedSizeFull manifest } } }'
    image = (await ask(api, query))["data"]["app"]["image"]
    assert image["digest"] == api.emulator.world.images.digest("nginx")
    assert image["ref"] == "docker.io/library/nginx:latest"
    assert image["compressedSize"].isdecimal()
    assert image["manifest"]["schemaVersion"] == 2


@pytest.mark.parametrize(
    ("query", "data"),
    [
        (
            "{ viewer { ... on User { email } ... on Macaroon { name } } }",
            {"viewer": {"email": "emulator@example.com"}},
        ),
        (
            "query Get($slug: String!) { organization(slug: $slug) { ...O } } fragment O on Organization { slug name }",
            {"organization": {"slug": "personal", "name": "personal"}},
        ),
        ("{ mine: viewer { __typename who: email } }", {"mine": {"__typename": "User", "who": "emulator@example.com"}}),
        (
            'mutation { setSecrets(input: {appId: "web", secrets: [{key: "A", value: "1"}]}) { app { name } } }',
            {"setSecrets": {"app": {"name": "web"}}},
        ),
        (
            'query ($no: Boolean = false) { app(name: "web") { name status @include(if: $no) } }',
            {"app": {"name": "web"}},
        ),
    ],
    ids=["inline-fragments", "named-fragment", "aliases", "object-literals", "directives"],
)
async def test_the_language_is_understood(api: Api, query: str, data: Any) -> None:
    assert await ask(api, query, slug="personal") == {"data": data}


async def test_a_document_of_several_operations_names_the_one_to_run(api: Api) -> None:
    query = 'query A { app(name: "web") { name } } query B { viewer { email } }'
    said = await api.post("/graphql", {"query": query, "operationName": "B"})
    assert said.body == {"data": {"viewer": {"email": "emulator@example.com"}}}
    assert "operation" in (await api.post("/graphql", {"query": query})).body["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{ found: app(name: "none") { id } }', "Could not find App"),
        ("{ app { id } }", "Could not find App"),
        ('{ organization(slug: "none") { id } }', "Could not find Organization"),
        ("{ viewer { shoeSize } }", "Field 'shoeSize' doesn't exist on type 'Principal'"),
        ("{ viewer { ... on User { shoeSize } } }", "Field 'shoeSize' doesn't exist on type 'User'"),
        ("{ everything }", "Field 'everything' doesn't exist on type 'Query'"),
        ("mutation { deleteUser }", "Field 'deleteUser' doesn't exist on type 'Mutation'"),
        ("{ setSecrets }", "Field 'setSecrets' doesn't exist on type 'Query'"),
    ],
)
async def test_what_is_not_known_is_an_error_in_the_words_of_the_live_api(api: Api, query: str, message: str) -> None:
    found = await ask(api, query)
    assert (found["data"], found["errors"][0]["message"]) == (None, message)


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("mutation { setSecrets { app { id } } }", "'SetSecretsInput!' is required"),
        ("subscription { logs }", "subscription"),
        ("{ viewer { ...Fields } }", "Unknown fragment 'Fields'"),
        ("{ viewer ", "Syntax Error"),
        ("", "Syntax Error"),
        ("{ app(name: [1]) { id } }", "String cannot represent"),
        ("{ app(name 1) { id } }", "Syntax Error"),
        ("{ app; }", "Syntax Error"),
        ("query ($slug: Int) { organization(slug: $slug) { id } }", "'Int'"),
        ("{ ...A } fragment A on Query { ...A }", "within itself"),
    ],
)
async def test_what_makes_no_sense_is_an_error_with_status_200(api: Api, query: str, part: str) -> None:
    found = await ask(api, query)
    assert found["data"] is None
    assert part in found["errors"][0]["message"]


async def test_a_document_too_deep_for_a_parser_is_refused(api: Api) -> None:
    fine = await ask(api, "{ viewer " * 99 + "{ id }" + "}" * 99)
    assert fine["errors"][0]["extensions"]["code"] == "undefinedField"
    deep = await api.post("/graphql", {"query": "{ viewer " * 101 + "}" * 101})
    assert (deep.status, deep.error) == (400, "query has a depth of more than 100")


async def test_an_error_has_its_location_and_reason(api: Api) -> None:
    (error,) = (await ask(api, '{ found: app(name: "none") { id } }'))["errors"]
    assert (error["path"], error["extensions"]) == (["found"], {"code": "NOT_FOUND"})
    assert error["locations"] == [{"line": 1, "column": 3}]


async def test_secrets_are_set_and_unset(api: Api) -> None:
    query = "mutation($input: SetSecretsInput!) { setSecrets(input: $input) { release { id version } app { name } } }"
    pairs = [{"key": "A", "value": "1"}, {"key": "B", "value": "2"}]
    found = await ask(api, query, input={"appId": "web", "secrets": pairs})
    assert found["data"]["setSecrets"] == {"release": None, "app": {"name": "web"}}
    unset = query.replace("setSecrets", "unsetSecrets").replace("SetSecretsInput", "UnsetSecretsInput")
    await ask(api, unset, input={"appId": "web", "keys": ["A"]})
    left = (await api.get("/v1/apps/web/secrets")).body["secrets"]
    assert [secret["name"] for secret in left] == ["B"]
    lost = await ask(api, query, input={"appId": "nobody", "secrets": pairs})
    assert lost["errors"][0]["message"] == "Could not find App"


WITHOUT = """
import asyncio, json, sys
sys.modules["graphql"] = None  # as if graphql-core were not installed
import aiohttp
from flyasync import DeployBuilder, FlyClient
from flyasync.emulator import Emulator

async def main():
    async with Emulator(limits=False, speed=50) as emulator, FlyClient(token="x", base_url=emulator.url) as fly:
        async with aiohttp.ClientSession(headers={"Authorization": "x"}) as session:
            async with session.post(emulator.url + "/graphql", json={"query": "{ viewer { id } }"}) as reply:
                said = [reply.status, await reply.json()]
        await fly.apps.create("web", org_slug="personal")
        report = await DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx").execute(fly)
        asked = emulator.counts()["graphql", "-"]
        running = [machine.config["image"] for machine in emulator.world.machines.values()]
    print(json.dumps([said, report.ok, asked, running]))

asyncio.run(main())
"""


def test_without_graphql_core_a_deploy_works_and_graphql_names_the_extra() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    said, is_ok, asked, running = json.loads(ran.stdout)
    assert said == [501, {"error": "GraphQL needs graphql-core: pip install 'flyasync[emulator]'"}]
    assert (is_ok, asked, len(running)) == (True, 2, 2)


async def test_machines_are_listed_by_app_and_state(api: Api) -> None:
    await api.app("shop")
    started, stopped = await api.running(), await api.stopped()
    await api.machine("shop")
    query = "query ($app: String, $state: String) { machines(appId: $app, state: $state) { totalCount nodes { id } } }"
    assert (await ask(api, query))["data"]["machines"]["totalCount"] == 3
    of_web = (await ask(api, query, app="web"))["data"]["machines"]["nodes"]
    assert [each["id"] for each in of_web] == [started["id"], stopped["id"]]
    found = (await ask(api, query, app="web", state="started"))["data"]["machines"]
    assert found == {"totalCount": 1, "nodes": [{"id": started["id"]}]}
    unknown = await ask(api, query, app="none")
    assert unknown["errors"][0]["extensions"]["code"] == "NOT_FOUND"
