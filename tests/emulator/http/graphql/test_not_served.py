"""What the emulator does not have is answered as the live API answers it, and counted by name."""

from typing import Any

import pytest

from tests.emulator.driver import Api
from tests.emulator.http.routes.test_graphql import ask


@pytest.mark.parametrize(
    ("query", "message", "code", "name"),
    [
        ("{ addOn { id } }", "Field 'addOn' doesn't exist on type 'Query'", "undefinedField", "Query.addOn"),
        (
            '{ app(name: "web") { shoeSize } }',
            "Field 'shoeSize' doesn't exist on type 'App'",
            "undefinedField",
            "App.shoeSize",
        ),
        (
            '{ app(name: "web", colour: 1) { id } }',
            "Field 'app' doesn't accept argument 'colour'",
            "argumentNotAccepted",
            "app(colour:)",
        ),
        ("query ($i: AddPeer!) { viewer { id } }", "AddPeer isn't a defined type", "undefinedType", "AddPeer"),
    ],
)
async def test_what_is_not_in_the_schema_is_named(api: Api, query: str, message: str, code: str, name: str) -> None:
    found = await ask(api, query)
    (error,) = [each for each in found["errors"] if each["message"] == message]
    assert (found["data"], error["extensions"]["code"]) == (None, code)
    assert api.emulator.not_served() == {name: 1}
    log: Any = (await api.get("/_emulator/log")).body
    assert log["not_served"] == {name: 1}
    assert log["log"][-1]["not_served"] == [name]


async def test_an_unknown_part_of_an_input_is_named(api: Api) -> None:
    query = "mutation ($input: CreateAppInput!) { createApp(input: $input) { app { id } } }"
    await ask(api, query, input={"organizationId": "personal", "colour": "red"})
    assert api.emulator.not_served() == {"CreateAppInput.colour": 1}


async def test_unknown_paths_and_methods_are_named(api: Api) -> None:
    assert (await api.get("/api/v1/unknown")).status == 404
    assert (await api.ask("PUT", "/v1/apps")).status == 405
    assert (await api.get("/v1/apps/none")).status == 404
    assert (await api.get("/v1/apps", headers={"Origin": "http://elsewhere.test"})).status == 403
    assert api.emulator.not_served() == {"GET /api/v1/unknown": 1, "PUT /v1/apps": 1}


async def test_mistakes_of_the_client_are_not_counted(api: Api) -> None:
    await ask(api, '{ app(name: "none") { id } }')
    await ask(api, "{ app(name: ")
    await ask(api, "query ($slug: Int) { organization(slug: $slug) { id } }")
    assert not api.emulator.not_served()


async def test_a_reset_forgets_the_counts(api: Api) -> None:
    await ask(api, "{ addOn { id } }")
    await api.post("/_emulator/reset")
    assert not api.emulator.not_served()
