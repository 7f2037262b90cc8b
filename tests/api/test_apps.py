import asyncio
from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.errors import (
    FlyError,
    Forbidden,
    InvalidInput,
    NameTaken,
    NotFound,
    ServerFault,
    Unauthorized,
    Unreadable,
)
from tests.api.client_on_emulator import NGINX, Ask, Reply, asked, client, count, now, scripted, sent_by

NAMED = {"name": "web"}

LOST = (503, {"error": "boom"})
CREATED = (201, {"id": "z4k69dxd8r31p5mx"})
TAKEN = (422, {"error": "Validation failed: Name has already been taken", "status": "name_taken"})
OURS = (200, {"name": "web", "organization": {"slug": "personal"}})
THEIRS = (200, {"name": "web", "organization": {"slug": "acme"}})
NOWHERE = (200, {"name": "web"})
FORBIDDEN = (403, {"error": "unauthorized"})
UNKNOWN = (404, {"error": "app not found"})
REFUSED = (401, {"error": "Authenticate: token validation error"})

SENT: list[tuple[Ask, str, Any, Any]] = [
    (
        lambda fly: fly.apps.create("web", org_slug="personal"),
        "POST /v1/apps?wait=true",
        {"name": "web", "app_name": "web", "org_slug": "personal"},
        NAMED,
    ),
    (
        lambda fly: fly.apps.create("web", org_slug="o", network="n", enable_subdomains=False),
        "POST /v1/apps?wait=true",
        {"name": "web", "app_name": "web", "org_slug": "o", "network": "n", "enable_subdomains": False},
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
    # The key is another one each time.
    told = {key: value for key, value in sent.body.items() if key != "idempotency_key"} if body else sent.body
    assert (sent.line, told) == (line, body)


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
    with pytest.raises(Forbidden, match=r"The name 'theirs' is taken: .* choose another name; if it is, this token"):
        await fly.apps.get("theirs")
    with pytest.raises(NotFound, match="app not found"):
        await fly.apps.get("free")


async def test_a_token_that_is_not_known_is_told_how_to_get_one(emulator: Emulator) -> None:
    async with FlyClient("invalid", base_url=emulator.url) as fly:
        with pytest.raises(Unauthorized, match="fly tokens create"):
            await fly.apps.get("web")


@pytest.mark.parametrize("does", ["cut_after", "cut", "lose_answer"])
async def test_a_create_is_repeated_after_a_lost_answer_and_gives_the_same_app(
    fly: FlyClient, emulator: Emulator, does: str
) -> None:
    emulator.faults.add(Fault(does=does, action="createApp", times=2))
    made = await fly.apps.create("web", org_slug="personal")
    assert made == await fly.apps.get("web")
    assert count(emulator, "createApp") == 3


async def test_each_create_has_a_key_of_its_own_and_its_repeats_have_the_same() -> None:
    async with scripted(LOST, CREATED, CREATED) as (server, fly):
        await fly.apps.create("web", org_slug="personal")
        await fly.apps.create("web", org_slug="personal")
    first, again, other = (sent.body["idempotency_key"] for sent in server.heard)
    assert first == again != other
    assert len(first) == 32


async def test_a_name_that_is_taken_by_the_first_attempt_is_a_success() -> None:
    async with scripted(LOST, TAKEN, UNKNOWN, REFUSED, OURS) as (server, fly):
        made = await fly.apps.create("web", org_slug="personal")
    assert made.organization is not None
    assert made.organization.slug == "personal"
    assert [sent.line.partition(" ")[0] for sent in server.heard] == ["POST", "POST", "GET", "GET", "GET"]


@pytest.mark.parametrize("shown", [THEIRS, NOWHERE, FORBIDDEN])
async def test_a_name_that_is_not_seen_to_be_ours_stays_taken(shown: Reply) -> None:
    async with scripted(LOST, TAKEN, shown) as (server, fly):
        with pytest.raises(NameTaken, match="another name than 'web'") as caught:
            await fly.apps.create("web", org_slug="personal")
    assert caught.value.may_have_happened == (shown is NOWHERE)
    assert len(server.heard) == 3


async def test_a_name_whose_app_cannot_be_seen_stays_in_doubt() -> None:
    async with scripted(LOST, TAKEN, (400, {"error": "no"})) as (_, fly):
        with pytest.raises(NameTaken) as caught:
            await fly.apps.create("web", org_slug="personal")
    assert caught.value.may_have_happened


async def test_an_app_whose_creation_is_never_answered_is_looked_for() -> None:
    async with scripted(*[LOST] * 5, UNKNOWN, OURS) as (server, fly):
        made = await fly.apps.create("web", org_slug="personal")
    assert made.organization is not None
    assert [sent.line.split()[0] for sent in server.heard] == [*["POST"] * 5, "GET", "GET"]


@pytest.mark.parametrize("shown", [THEIRS, NOWHERE, FORBIDDEN, (400, {"error": "no"})])
async def test_an_app_that_is_not_seen_to_be_ours_was_not_created(shown: Reply) -> None:
    async with scripted(*[LOST] * 5, shown) as (server, fly):
        with pytest.raises(ServerFault) as caught:
            await fly.apps.create("web", org_slug="personal")
    assert caught.value.may_have_happened == (shown is NOWHERE or shown[0] == 400)
    assert len(server.heard) == 6


async def test_a_name_that_was_taken_before_the_first_attempt_is_not_asked_after() -> None:
    async with scripted(TAKEN, OURS) as (server, fly):
        with pytest.raises(NameTaken) as caught:
            await fly.apps.create("web", org_slug="personal")
    assert not caught.value.may_have_happened
    assert len(server.heard) == 1


@pytest.mark.parametrize("refusal", [REFUSED, UNKNOWN])
async def test_an_app_that_was_just_created_is_asked_after_until_it_is_known(refusal: Reply) -> None:
    async with scripted(CREATED, *[refusal] * 3, OURS) as (server, fly):
        await fly.apps.create("web", org_slug="personal")
        await fly.apps.get("web")
    assert len(server.heard) == 5
    assert 3 < now() < 15


@pytest.mark.parametrize(("refusal", "kind"), [(REFUSED, Unauthorized), (UNKNOWN, NotFound)])
async def test_after_a_minute_an_app_is_as_old_as_any_other(refusal: Reply, kind: type[FlyError]) -> None:
    async with scripted(CREATED, refusal) as (server, fly):
        await fly.apps.create("web", org_slug="personal")
        with pytest.raises(kind):
            await fly.apps.get("web")
        assert 50 < now() <= 61
        await asyncio.sleep(60)
        asked = len(server.heard)
        with pytest.raises(kind):
            await fly.apps.get("web")
        assert len(server.heard) == asked + 1


async def test_what_a_new_app_lacks_is_not_found_at_once() -> None:
    async with scripted(CREATED, (404, {"error": "secret not found"})) as (server, fly):
        await fly.apps.create("web", org_slug="personal")
        with pytest.raises(NotFound, match="secret not found"):
            await fly.secrets.get("web", "NOPE")
    assert len(server.heard) == 2


async def test_an_app_that_was_just_created_and_deleted_is_not_found_at_once(fly: FlyClient, app: str) -> None:
    await fly.machines.list(app)
    await fly.apps.delete(app)
    before = now()
    with pytest.raises(NotFound):
        await fly.apps.get(app)
    assert now() - before < 1


async def test_an_app_of_another_client_is_refused_at_once() -> None:
    async with scripted(REFUSED) as (server, fly):
        with pytest.raises(Unauthorized):
            await fly.apps.get("web")
    assert len(server.heard) == 1


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
