from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from flyasync.errors import GraphQLFailed, InvalidInput, Unreadable
from tests.api.client_on_emulator import asked, sent_by

WEB = "registry.fly.io/web:v2"


async def test_a_tag_is_resolved_to_the_digest_that_it_is_at(emulator: Emulator, fly: FlyClient, app: str) -> None:
    before = await fly.images.resolve(app, WEB)
    moved = emulator.push(WEB)
    assert before.startswith(f"{WEB}@sha256:")
    assert await fly.images.resolve(app, WEB) == f"{WEB}@{moved}" != before


async def test_it_asks_for_the_image_as_the_app_would_get_it() -> None:
    sent = await sent_by(
        lambda fly: fly.images.resolve("web", WEB), {"data": {"app": {"image": {"digest": "sha256:ab"}}}}
    )
    assert sent.line == "POST /graphql"
    assert sent.body["variables"] == {"app": "web", "image": WEB}


async def test_a_digest_needs_no_request() -> None:
    async with asked({}) as (recorder, fly):
        assert await fly.images.resolve("web", f"{WEB}@sha256:ab") == f"{WEB}@sha256:ab"
    assert not recorder.heard


async def test_who_may_not_ask_is_told(fly: FlyClient) -> None:
    with pytest.raises(GraphQLFailed, match="Could not find App"):
        await fly.images.resolve("nothing", WEB)


async def test_a_reference_with_spaces_is_refused_before_any_request(fly: FlyClient) -> None:
    with pytest.raises(InvalidInput, match="spaces"):
        await fly.images.resolve("web", "web: v2")


@pytest.mark.parametrize("data", [{}, {"app": None}, {"app": {"image": None}}, {"app": {"image": {"digest": ""}}}])
async def test_an_answer_without_a_digest_is_unreadable(data: Any) -> None:
    async with asked({"data": data}) as (_, fly):
        with pytest.raises(Unreadable, match=f"no digest of {WEB}"):
            await fly.images.resolve("web", WEB)
