import logging

import pytest

from flyasync.api.client import FlyClient
from flyasync.errors import BadRequest, FlyError
from flyasync.models.token import TokenAccess
from tests.api.client_on_emulator import asked, sent_by

TOKEN = "fm2_lJPECAAAAAAAAsecret"


async def test_a_client_learns_whose_token_it_has(fly: FlyClient, app: str) -> None:
    (info,) = await fly.tokens.current()
    assert info.org_slug == "personal"


async def test_tokens_are_looked_into_without_being_shown(fly: FlyClient) -> None:
    (found,) = await fly.tokens.authenticate(f"FlyV1 {TOKEN}")
    assert found.header == TOKEN
    assert TOKEN not in repr(found)
    with pytest.raises(BadRequest):
        await fly.tokens.authenticate("FlyV1 invalid")


async def test_access_is_asked_for_in_letters_and_granted_in_numbers(fly: FlyClient, app: str) -> None:
    granted = await fly.tokens.authorize(f"FlyV1 {TOKEN}", TokenAccess(action="rw", app_name=app))
    assert granted.access
    assert isinstance(granted.access.action, int)
    assert granted.access.appid


async def test_what_only_a_machine_gets_is_text(fly: FlyClient) -> None:
    jwt = await fly.tokens.oidc(aud="https://example.com")
    assert jwt.count(".") == 2
    assert (await fly.tokens.kms()).startswith("fm2_")


async def test_a_request_for_a_jwt_always_has_a_body() -> None:
    assert (await sent_by(lambda fly: fly.tokens.oidc(), "x")).body == {}


async def test_a_deploy_token_is_made_for_a_while(fly: FlyClient, app: str) -> None:
    assert (await fly.apps.create_deploy_token(app, expiry=86400)).startswith("FlyV1 fm2_")
    assert (await sent_by(lambda fly: fly.apps.create_deploy_token("web", expiry="90m"), {"token": "x"})).body == {
        "expiry": "90m"
    }
    assert (await sent_by(lambda fly: fly.apps.create_deploy_token("web"), {"token": "x"})).body == {}


@pytest.mark.parametrize("answer", [{"token": 5, "x": TOKEN}, {"token": [TOKEN]}, {"tokens": TOKEN}, TOKEN, [TOKEN]])
async def test_no_token_is_in_an_error_or_the_log(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "flyasync")
    async with asked(answer) as (_, fly):
        with pytest.raises(FlyError) as caught:
            await fly.apps.create_deploy_token("web")
        await fly.tokens.oidc(aud=TOKEN)
    assert TOKEN not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caplog.text}"
