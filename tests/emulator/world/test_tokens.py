import base64
import json
from typing import Any

import pytest

from tests.emulator.driver import Api


def claims(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_token_knows_its_organizations_and_apps(api: Api) -> None:
    await api.post("/v1/apps", {"name": "big", "org_slug": "acme"})
    found = (await api.get("/v1/tokens/current")).body["tokens"]
    assert [(token["org_slug"], token["apps"]) for token in found] == [("personal", ["web"]), ("acme", ["big"])]


async def test_a_deploy_token_needs_a_body(api: Api) -> None:
    path = "/v1/apps/web/deploy_token"
    said = await api.post(path)
    assert (said.status, said.body) == (400, {"error": "EOF"})
    scheme, _, macaroons = (await api.post(path, {"expiry": "24h"})).body["token"].partition(" ")
    assert scheme == "FlyV1"
    assert [one[:4] for one in macaroons.split(",")] == ["fm2_", "fm2_"]
    assert (await api.post("/v1/apps/none/deploy_token", {})).error == "app not found"


async def test_an_oidc_token_is_plain_text(api: Api) -> None:
    said = await api.post("/v1/tokens/oidc", {"aud": "https://example.com"})
    assert said.headers["Content-Type"].startswith("text/plain")
    assert (claims(said.body)["aud"], claims(said.body)["exp"] - claims(said.body)["iat"]) == (
        "https://example.com",
        600,
    )
    assert claims((await api.post("/v1/tokens/oidc")).body)["aud"] == "https://fly.io/personal"
    assert (await api.post("/v1/tokens/kms")).body.startswith("fm2_")


async def test_each_token_of_a_header_is_inspected(api: Api) -> None:
    said = await api.post("/v1/tokens/authenticate", {"header": "FlyV1 fm2_a, fm2_b"})
    assert [token["header"] for token in said.body] == ["fm2_a", "fm2_b"]


@pytest.mark.parametrize("header", ["", "FlyV1 ", "Bearer invalid"])
async def test_a_token_that_is_none_is_refused(api: Api, header: str) -> None:
    for path in ("authenticate", "authorize"):
        said = await api.post(f"/v1/tokens/{path}", {"header": header})
        assert (said.status, said.error) == (400, "token validation error")


@pytest.mark.parametrize(("action", "mask"), [("rw", 3), ("rwcdC", 31), (5, 5), (None, 0)])
async def test_an_action_is_a_mask_in_the_end(api: Api, action: Any, mask: int) -> None:
    access = {"action": action, "app_name": "web", "machine_id": "m", "command": ["ls"]}
    said = (await api.post("/v1/tokens/authorize", {"header": "fo1_x", "access": access})).body
    assert (said["access"]["action"], said["access"]["machine"], said["access"]["command"]) == (mask, "m", ["ls"])
    assert said["verified_token"]["header"] == "fo1_x"


@pytest.mark.parametrize("access", [{"action": "x"}, {"app_name": "none"}])
async def test_what_can_not_be_allowed_is_refused(api: Api, access: Any) -> None:
    assert (await api.post("/v1/tokens/authorize", {"header": "fo1_x", "access": access})).status == 400
