from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.errors import Forbidden, InvalidInput, NameTaken, NotFound, ServerFault, Unauthorized, Unreadable
from tests.api.asking import NGINX, Ask, asked, client, count, sent_by

NAMED = {"name": "web"}

SENT: list[tuple[Ask, str, Any, Any]] = [
    (
        lambda fly: fly.apps.create("web", org_slug="personal"),
        "POST /v1/apps?wait=true",
        {"name": "web", "org_slug": "personal"},
        NAMED,
    ),
    (
        lambda fly: fly.apps.create("web", org_slug="o", network="n", enable_subdomains=False),
        "POST /v1/apps?wait=true",
        {"name": "web", "org_slug": "o", "network": "n", "enable_subdomains": False},
        NAMED,
    ),
    (lambda fly: fly.apps.list("my org"), "GET /v1/apps?org_slug=my+org", None, {"apps": []}),
    (
        lambda fly: fly.apps.list("o", app_role="postgres"),
        "GET /v1/apps?org_slug=o&app_role=postgres",
        None,
        {"apps": []},
    ),
    (lambda fly: fly.apps.get("web"), "GET /v1/apps/web", None, NAMED),
    (lambda fly: fly.apps.get("a/b?c"), "GET /v1/apps/a%2Fb%3Fc", None, NAMED),
    (lambda fly: fly.apps.delete("web"), "DELETE /v1/apps/web", None, None),
    (lambda fly: fly.apps.delete("web", force=True), "DELETE /v1/apps/web?force=true", None, None),
]


@pytest.mark.parametrize(("ask", "line", "body", "answer"), SENT, ids=[line for _, line, _, _ in SENT])
async def test_each_method_sends_what_the_api_documents(ask: Ask, line: str, body: Any, answer: Any) -> None:
    sent = await sent_by(ask, answer)
    assert (sent.line, sent.body) == (line, body)


async def test_an_app_is_created_found_listed_and_deleted(fly: FlyClient) -> None:
    made = await fly.apps.create("web", org_slug="personal", network="quiet")
    found = await fly.apps.get("web")
    assert (made.name, made.network, made.id) == (found.name, "quiet", found.id)
    assert found.organization is not None
    assert found.organization.slug == "personal"
    await fly.machines.create("web", NGINX)
    assert [(one.name, one.machine_count) for one in await fly.apps.list("personal")] == [("web", 1)]
    assert await fly.apps.list("somebody-else") == ()
    await fly.apps.delete("web", force=True)
    with pytest.raises(NotFound):
        await fly.apps.get("web")


@pytest.mark.parametrize("answer", [{"id": "z4k69dxd8r31p5mx", "created_at": 1708631799000}, None, {"name": "web"}])
async def test_a_create_may_be_answered_without_a_name(answer: Any) -> None:
    async with asked(answer, status=201) as (_, fly):
        app = await fly.apps.create("web", org_slug="personal")
    assert app.name == "web"
    assert app.id == (answer or {}).get("id")


async def test_an_organization_without_apps_may_be_a_null() -> None:
    async with asked({"apps": None, "total_apps": 0}) as (_, fly):
        assert await fly.apps.list("personal") == ()


async def test_a_taken_name_is_named_with_the_way_out(fly: FlyClient, app: str) -> None:
    with pytest.raises(NameTaken, match="another name than 'web'") as caught:
        await fly.apps.create(app, org_slug="personal")
    assert caught.value.status == 422


async def test_a_name_that_the_api_would_refuse_is_not_even_sent(fly: FlyClient, emulator: Emulator) -> None:
    with pytest.raises(InvalidInput, match="My App"):
        await fly.apps.create("My App", org_slug="personal")
    assert emulator.log == []


async def test_a_name_of_somebody_else_is_forbidden_and_a_free_one_not_found(
    fly: FlyClient, emulator: Emulator
) -> None:
    emulator.faults.add(Fault(does="refuse", app="theirs", status=403, body={"error": "unauthorized"}))
    with pytest.raises(Forbidden):
        await fly.apps.get("theirs")
    with pytest.raises(NotFound, match="app not found"):
        await fly.apps.get("free")


async def test_a_token_that_is_not_known_is_told_how_to_get_one(emulator: Emulator) -> None:
    async with FlyClient("invalid", base_url=emulator.url) as fly:
        with pytest.raises(Unauthorized, match="fly tokens create"):
            await fly.apps.get("web")


async def test_a_create_is_not_repeated_when_its_answer_is_an_error(fly: FlyClient, emulator: Emulator) -> None:
    emulator.faults.add(Fault(does="refuse", action="createApp", status=502, times=1))
    with pytest.raises(ServerFault) as caught:
        await fly.apps.create("web", org_slug="personal")
    assert caught.value.may_have_happened
    assert count(emulator, "createApp") == 1


async def test_a_delete_is_repeated_after_a_lost_answer(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="cut_after", action="deleteApp", times=1))
    with pytest.raises(NotFound):
        await fly.apps.delete(app)
    assert count(emulator, "deleteApp") == 2


async def test_an_app_name_that_leads_elsewhere_is_refused(fly: FlyClient) -> None:
    with pytest.raises(InvalidInput):
        await fly.apps.get("..")


@pytest.mark.parametrize("answer", [{}, [], {"apps": {}}, {"apps": [{"id": "no name"}]}, "apps"])
async def test_a_list_that_is_not_as_documented_is_unreadable(answer: Any) -> None:
    async with asked(answer) as (_, fly):
        with pytest.raises(Unreadable, match=r"\$"):
            await fly.apps.list("personal")


async def test_many_apps_at_once_keep_the_limit_of_the_organization(emulator: Emulator) -> None:
    async with client(emulator) as fly:
        names = [f"app-{number}" for number in range(12)]
        for name in names:
            await fly.apps.create(name, org_slug="personal")
        assert {one.name for one in await fly.apps.list("personal")} == set(names)
    assert emulator.refused_by_limit() == {}


async def test_an_error_names_what_it_was_about_and_not_only_what_its_limit_counts_by(fly: FlyClient, app: str) -> None:
    with pytest.raises(NameTaken, match=r"apps\.create web: "):
        await fly.apps.create(app, org_slug="personal")
    with pytest.raises(NotFound, match=r"secrets\.get web/NOPE: "):
        await fly.secrets.get(app, "NOPE")
