from typing import Any

import pytest

from flyasync.emulator.http.graphql_parser import Complaint, Field, read
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
                 platform { requestRegion regions { code } } canPerformBluegreenDeployment(name: "web") }"""
    found = (await ask(api, query))["data"]
    assert found["viewer"]["organizations"]["nodes"] == [{"slug": "personal"}]
    assert found["organization"]["name"] == "personal"
    assert found["platform"]["requestRegion"] == "iad"
    assert len(found["platform"]["regions"]) == 18
    assert found["canPerformBluegreenDeployment"] is True


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{ found: app(name: "none") { id } }', "Could not find App"),
        ('{ organization(slug: "none") { id } }', "Could not find Organization"),
        ("{ viewer { shoeSize } }", "Field 'shoeSize' doesn't exist on type 'User'"),
        ("{ everything }", "Field 'everything' doesn't exist on type 'Query'"),
        ("mutation { deleteApp }", "Field 'deleteApp' doesn't exist on type 'Mutation'"),
        ("mutation { setSecrets }", "Field 'setSecrets' is missing required arguments: input"),
        ("{ setSecrets }", "Field 'setSecrets' doesn't exist on type 'Query'"),
        ("subscription { logs }", "subscription is not emulated"),
        ("{ viewer { ...Fields } }", 'Parse error on "..."'),
        ("{ viewer ", "Unexpected end of document"),
        ("", "Unexpected end of document"),
        ("{ app(name: [1]) { id } }", 'Parse error on "["'),
        ("{ app(name 1) { id } }", 'Parse error on "1"'),
        ("{ app; }", 'Parse error on ";"'),
    ],
)
async def test_what_is_not_known_is_an_error_with_status_200(api: Api, query: str, message: str) -> None:
    found = await ask(api, query)
    assert (found["data"], found["errors"][0]["message"]) == (None, message)


async def test_an_error_says_where_and_why(api: Api) -> None:
    (error,) = (await ask(api, '{ found: app(name: "none") { id } }'))["errors"]
    assert (error["path"], error["extensions"]) == (["found"], {"code": "NOT_FOUND"})


def test_arguments_take_every_simple_value() -> None:
    query = 'query Q($a: Int = 3) { x(a: $a, b: -1.5, c: "d\\n", e: true, f: null, g: PERSONAL, h: $none) }'
    wanted = {"a": 7, "b": -1.5, "c": "d\n", "e": True, "f": None, "g": "PERSONAL", "h": None}
    assert read(query, {"a": 7}) == (Field("x", "x", wanted),)


def test_a_complaint_without_a_place_is_short() -> None:
    assert Complaint("no").as_json() == {"message": "no"}


async def test_secrets_are_set_and_unset(api: Api) -> None:
    query = "mutation($input: SetSecretsInput!) { setSecrets(input: $input) { release { id version } app { name } } }"
    pairs = [{"key": "A", "value": "1"}, {"key": "B", "value": "2"}]
    found = await ask(api, query, input={"appId": "web", "secrets": pairs})
    assert found["data"]["setSecrets"] == {"release": None, "app": {"name": "web"}}
    await ask(api, query.replace("setSecrets", "unsetSecrets"), input={"appId": "web", "keys": ["A"]})
    left = (await api.get("/v1/apps/web/secrets")).body["secrets"]
    assert [secret["name"] for secret in left] == ["B"]
    lost = await ask(api, query, input={"appId": "nobody", "secrets": pairs})
    assert lost["errors"][0]["message"] == "Could not find App"
