"""Tokens that are unknown, expired, or limited to an organization, an app, or reading."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flyasync.emulator import AcceptedToken, Emulator, Fault
from tests.emulator.driver import Api, at, serving

TOKENS = [
    AcceptedToken("fo1_all"),
    AcceptedToken("FlyV1 fm2_acme,fm2_discharge", org="acme"),
    AcceptedToken("fm2_web", app="web"),
    AcceptedToken("fm2_read", read_only=True),
    AcceptedToken("fm2_old", expires=0),
    AcceptedToken("fm2_soon", expires=60),
]
CONFIG = {"config": {"image": "nginx"}}


@pytest.fixture
async def guarded() -> AsyncIterator[Api]:
    async with serving(limits=False, boot=(1, 1), tokens=TOKENS, headers={"Authorization": "Bearer fo1_all"}) as api:
        for name, org in (("web", "personal"), ("shop", "personal"), ("big", "acme")):
            assert (await api.post("/v1/apps", {"name": name, "org_slug": org})).status == 201
        yield api


async def said(api: Api, token: str, method: str, path: str, json: Any = None) -> tuple[int, str]:
    headers = {"Authorization": token}
    body = {} if json is None else {"json": json}
    answer = await api.ask(method, path, headers=headers, **body)
    return answer.status, answer.error if answer.status >= 400 else ""


FORBIDDEN = (403, "unauthorized")
UNKNOWN = (401, "Authenticate: token validation error")


@pytest.mark.parametrize(
    "token", ["Bearer other", "FlyV1 fm2_discharge", "Bearer fm2_old", "Bearer invalid", "Bearer", ""]
)
async def test_an_unknown_or_expired_token_is_refused(guarded: Api, token: str) -> None:
    assert await said(guarded, token, "GET", "/v1/apps/web") == UNKNOWN
    assert await said(guarded, token, "POST", "/graphql", {"query": "{ viewer { ... on User { id } } }"}) == UNKNOWN


@pytest.mark.parametrize("token", ["FlyV1 fm2_acme,fm2_discharge", "Bearer FlyV1 fm2_acme", "Bearer fm2_acme,other"])
async def test_a_token_is_found_in_each_form_of_a_header(guarded: Api, token: str) -> None:
    assert (await said(guarded, token, "GET", "/v1/apps/big"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "json", "expected"),
    [
        ("GET", "/v1/apps/big", None, 200),
        ("GET", "/v1/apps?org_slug=acme", None, 200),
        ("GET", "/v1/orgs/acme/machines", None, 200),
        ("POST", "/v1/apps", {"name": "new", "org_slug": "acme"}, 201),
        ("GET", "/v1/platform/regions", None, 200),
        ("GET", "/v1/apps/free", None, 404),
        ("GET", "/v1/apps/web", None, 403),
        ("POST", "/v1/apps/web/machines", CONFIG, 403),
        ("GET", "/v1/apps?org_slug=personal", None, 403),
        ("GET", "/v1/orgs/personal/volumes", None, 403),
        ("POST", "/v1/apps", {"name": "new", "org_slug": "personal"}, 403),
    ],
)
async def test_a_token_of_an_organization(guarded: Api, method: str, path: str, json: Any, expected: int) -> None:
    status, error = await said(guarded, "FlyV1 fm2_acme", method, path, json)
    assert status == expected
    assert error in ({"unauthorized"} if expected == 403 else {"", "app not found"})


@pytest.mark.parametrize(
    ("method", "path", "json", "expected"),
    [
        ("GET", "/v1/apps/web", None, 200),
        ("POST", "/v1/apps/web/machines", CONFIG, 200),
        ("GET", "/v1/apps/web/machines", None, 200),
        ("POST", "/v1/platform/placements", {"org_slug": "personal"}, 200),
        ("GET", "/v1/apps/shop", None, 403),
        ("GET", "/v1/apps?org_slug=personal", None, 403),
        ("GET", "/v1/orgs/personal/machines", None, 403),
        ("POST", "/v1/apps", {"name": "new", "org_slug": "personal"}, 403),
    ],
)
async def test_a_token_of_an_app(guarded: Api, method: str, path: str, json: Any, expected: int) -> None:
    assert (await said(guarded, "FlyV1 fm2_web", method, path, json))[0] == expected


async def test_a_read_only_token(guarded: Api) -> None:
    machine = await guarded.machine()
    token = "FlyV1 fm2_read"
    for path in (at(machine), "/v1/apps?org_slug=acme", f"{at(machine)}/wait?state=started"):
        assert (await said(guarded, token, "GET", path))[0] == 200
    assert (await said(guarded, token, "POST", "/v1/tokens/authenticate", {"header": "fm2_a"}))[0] == 200
    assert (await said(guarded, token, "POST", "/graphql", {"query": "{ organizations { nodes { id } } }"}))[0] == 200
    assert await said(guarded, token, "POST", f"{at(machine)}/stop") == FORBIDDEN
    assert await said(guarded, token, "DELETE", "/v1/apps/web") == FORBIDDEN
    mutation = {"query": 'mutation { deleteApp(appId: "web") { organization { id } } }'}
    assert await said(guarded, token, "POST", "/graphql", mutation) == FORBIDDEN


async def test_a_token_expires_at_its_time(guarded: Api) -> None:
    token = "FlyV1 fm2_soon"
    assert (await said(guarded, token, "GET", "/v1/apps/web"))[0] == 200
    await asyncio.sleep(60)
    assert await said(guarded, token, "GET", "/v1/apps/web") == UNKNOWN


async def test_a_created_deploy_token_permits_its_app_until_it_expires(guarded: Api) -> None:
    token = (await guarded.post("/v1/apps/web/deploy_token", {"expiry": "1h"})).body["token"]
    assert (await said(guarded, token, "POST", "/v1/apps/web/machines", CONFIG))[0] == 200
    assert await said(guarded, token, "GET", "/v1/apps/shop") == FORBIDDEN
    await asyncio.sleep(3600)
    assert await said(guarded, token, "GET", "/v1/apps/web") == UNKNOWN


async def test_the_current_tokens_show_what_they_permit(guarded: Api) -> None:
    async def shown(token: str) -> list[tuple[str, list[str]]]:
        found = await guarded.get("/v1/tokens/current", headers={"Authorization": token})
        return [(row["org_slug"], row["apps"]) for row in found.body["tokens"]]

    assert await shown("fm2_web") == [("personal", ["web"])]
    assert await shown("fm2_acme") == [("acme", ["big"])]
    assert await shown("fo1_all") == [("personal", ["web", "shop"]), ("acme", ["big"])]


async def test_the_emulator_names_the_token_with_the_fewest_restrictions() -> None:
    assert Emulator(tokens=TOKENS).token == "fo1_all"
    assert Emulator(tokens=TOKENS[2:3]).token == "fm2_web"
    assert Emulator().token == "emulator-token"


@pytest.mark.parametrize(("does", "refusal"), [("token_expired", UNKNOWN), ("token_forbidden", FORBIDDEN)])
async def test_a_fault_refuses_as_for_a_bad_token(api: Api, does: str, refusal: tuple[int, str]) -> None:
    machine = await api.machine()
    api.emulator.faults.add(Fault(does=does, action="cordonMachine", after=1))
    assert (await said(api, "any", "POST", f"{at(machine)}/cordon"))[0] == 200
    for _ in range(2):
        assert await said(api, "any", "POST", f"{at(machine)}/cordon") == refusal
    assert (await said(api, "any", "GET", at(machine)))[0] == 200


@pytest.mark.parametrize("value", ["", "Bearer", "two words", "ümlaut", "FlyV1 "])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ValueError, match=r"value: a token needs printable ASCII without spaces$"):
        AcceptedToken(value)


def test_a_token_shows_no_value() -> None:
    assert "fm2_" not in f"{AcceptedToken('fm2_web', app='web')!r} {Emulator(tokens=TOKENS)!r}"
    with pytest.raises(ValueError, match="expires is -1"):
        AcceptedToken("fm2_web", expires=-1)
