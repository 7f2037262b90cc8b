from collections.abc import Mapping
from typing import Any

import pytest

from flyasync.api.resource import NONCE, QueryValue, given, request
from flyasync.errors import InvalidInput, NotFound, Unreadable
from flyasync.transport.request import Flight, Repeat
from tests.api.client_on_emulator import NGINX, Ask, asked, scripted

MACHINE = {"id": "m1", "name": "n", "state": "started", "region": "iad"}


def query_of(query: Mapping[str, QueryValue]) -> tuple[tuple[str, str], ...]:
    return request("apps.list", to="GET apps", repeat=Repeat.ANYTIME, query=query).query


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ({}, ()),
        ({"a": None}, ()),
        ({"a": ""}, (("a", ""),)),
        ({"a": 0}, (("a", "0"),)),
        ({"a": False, "b": True}, (("a", "false"), ("b", "true"))),
        ({"a": ["x", "y"], "b": "z"}, (("a", "x"), ("a", "y"), ("b", "z"))),
        ({"a": []}, ()),
    ],
)
def test_a_query_leaves_out_what_is_none_and_repeats_lists(
    query: Mapping[str, QueryValue], pairs: tuple[tuple[str, str], ...]
) -> None:
    assert query_of(query) == pairs


@pytest.mark.parametrize(
    ("of", "to", "path", "identifier"),
    [
        ((), "GET platform/regions", "/v1/platform/regions", "-"),
        (("web",), "GET apps/{}", "/v1/apps/web", "web"),
        (("web", "m1"), "GET apps/{}/machines/{}", "/v1/apps/web/machines/m1", "web/m1"),
        (("a b/c", "ü?#%"), "GET apps/{}/machines/{}", "/v1/apps/a%20b%2Fc/machines/%C3%BC%3F%23%25", "a b/c/ü?#%"),
        (("personal",), "POST platform/placements", "/v1/platform/placements", "personal"),
    ],
)
def test_names_fill_the_gaps_quoted_and_make_the_identifier(
    of: tuple[str, ...], to: str, path: str, identifier: str
) -> None:
    made = request("any.thing", *of, to=to, repeat=Repeat.ANYTIME)
    assert (made.path, made.identifier, made.method) == (path, identifier, to.split(maxsplit=1)[0])


def test_parts_fill_gaps_but_are_not_counted_by() -> None:
    made = request("x", "web", "m1", to="POST apps/{}/machines/{}/metadata/{}", repeat=Repeat.ANYTIME, parts=("a/b",))
    assert (made.path, made.identifier) == ("/v1/apps/web/machines/m1/metadata/a%2Fb", "web/m1")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        request("x", "web", name, to="GET apps/{}/machines/{}", repeat=Repeat.ANYTIME)
    with pytest.raises(InvalidInput):
        request("x", "web", to="GET apps/{}/machines/{}", repeat=Repeat.ANYTIME, parts=(name,))


def test_a_nonce_travels_in_its_header_and_stays_out_of_the_repr() -> None:
    made = request("x", to="POST a", repeat=Repeat.UNSENT, nonce="s3cret", body={"value": "s3cret"})
    assert made.headers == {NONCE: "s3cret"}
    assert "s3cret" not in repr(made)
    assert request("x", to="POST a", repeat=Repeat.UNSENT).headers == {}


def test_each_request_has_a_flight_of_its_own_unless_one_is_given() -> None:
    first, second = (request("x", to="POST a", repeat=Repeat.UNSENT) for _ in "12")
    assert first.flight is not second.flight
    flight = Flight()
    assert request("x", to="POST a", repeat=Repeat.UNSENT, flight=flight).flight is flight


def test_given_keeps_what_was_said_aloud() -> None:
    assert given(a=None, b=False, c=0, d="", e="x") == {"b": False, "c": 0, "d": "", "e": "x"}


WRONG: list[tuple[Ask, Any, str]] = [
    (lambda fly: fly.machines.get("web", "m1"), {**MACHINE, "state": 7}, "$.state"),
    (lambda fly: fly.machines.get("web", "m1"), {"id": "m1"}, "$.name"),
    (lambda fly: fly.machines.get("web", "m1"), [MACHINE], "$"),
    (lambda fly: fly.machines.get("web", "m1"), None, "$"),
    (lambda fly: fly.machines.list("web"), [MACHINE, {**MACHINE, "id": None}], "$[1].id"),
    (lambda fly: fly.machines.list("web"), {"machines": [MACHINE]}, "$"),
    (lambda fly: fly.machines.list("web"), "gone fishing", "$"),
    (lambda fly: fly.machines.create("web", NGINX), {**MACHINE, "config": {"guest": {"cpus": "x"}}}, "$.config.guest"),
    (lambda fly: fly.machines.metadata("web", "m1"), {"a": 1}, "$.a"),
    (lambda fly: fly.machines.events("web", "m1"), [{"timestamp": "late"}], "$[0].timestamp"),
    (lambda fly: fly.volumes.list("web"), [{"id": "vol_1"}], "$[0].name"),
    (lambda fly: fly.leases.get("web", "m1"), {"status": "success", "data": {"owner": "o"}}, "$.nonce"),
    (lambda fly: fly.leases.get("web", "m1"), [], "$"),
    (lambda fly: fly.leases.get("web", "m1"), None, "$"),
    (lambda fly: fly.platform.regions(), {"Regions": "all"}, "$.regions"),
]


@pytest.mark.parametrize(("ask", "answer", "where"), WRONG)
async def test_an_answer_that_is_not_as_documented_is_unreadable_and_says_where(
    ask: Ask, answer: Any, where: str
) -> None:
    async with asked(answer) as (recorder, fly):
        with pytest.raises(Unreadable) as caught:
            await ask(fly)
    assert where in caught.value.message
    is_read = recorder.heard[0].line.startswith("GET ")
    assert caught.value.may_have_happened is not is_read
    assert ("The request has most likely happened" in str(caught.value)) is not is_read
    assert len(recorder.heard) == 1


LISTS: list[Ask] = [
    lambda fly: fly.machines.list("web"),
    lambda fly: fly.machines.events("web", "m1"),
    lambda fly: fly.machines.versions("web", "m1"),
    lambda fly: fly.volumes.list("web"),
]


@pytest.mark.parametrize("ask", LISTS)
@pytest.mark.parametrize("answer", [[], None])
async def test_no_items_may_be_an_empty_list_or_nothing(ask: Ask, answer: Any) -> None:
    async with asked(answer) as (_, fly):
        assert await ask(fly) == ()


DELETES: dict[str, Ask] = {
    "machine": lambda fly: fly.machines.delete("web", "m1", force=True),
    "metadata": lambda fly: fly.machines.delete_metadata("web", "m1", "a"),
    "lease": lambda fly: fly.leases.release("web", "m1", "nonce"),
    "app": lambda fly: fly.apps.delete("web"),
    "secret": lambda fly: fly.secrets.delete("web", "A"),
    "secret key": lambda fly: fly.secret_keys.delete("web", "A"),
    "certificate": lambda fly: fly.certificates.delete("web", "example.com"),
    "address": lambda fly: fly.ip_assignments.delete("web", "1.2.3.4"),
    "volume": lambda fly: fly.volumes.delete("web", "vol_1"),
    "cluster": lambda fly: fly.postgres.delete("pg1"),
    "attachment": lambda fly: fly.postgres.detach("pg1", "web"),
    "database": lambda fly: fly.postgres.delete_database("pg1", "db"),
    "extension": lambda fly: fly.postgres.disable_extension("pg1", "db", "uuid-ossp"),
    "user": lambda fly: fly.postgres.delete_user("pg1", "ada"),
}


@pytest.mark.parametrize("lost", [408, 502, 503, 504])
@pytest.mark.parametrize("delete", DELETES.values(), ids=DELETES)
async def test_what_is_gone_after_a_lost_answer_was_deleted(delete: Ask, lost: int) -> None:
    async with scripted((lost, None), (404, {"error": "not found"})) as (server, fly):
        await delete(fly)
    assert len({sent.line for sent in server.heard if sent.line.startswith("DELETE")}) == 1
    assert len(server.heard) <= 3


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("delete", DELETES.values(), ids=DELETES)
async def test_what_was_not_there_before_is_not_found(delete: Ask, status: int) -> None:
    async with scripted((status, {"error": "not found"})) as (server, fly):
        with pytest.raises(NotFound):
            await delete(fly)
    assert len(server.heard) == 1


async def test_what_is_not_there_when_the_limit_is_over_was_not_deleted_by_us() -> None:
    async with scripted((429, None), (404, {"error": "not found"})) as (_, fly):
        with pytest.raises(NotFound):
            await fly.apps.delete("web")


@pytest.mark.parametrize("part", ["acme", "custom"])
async def test_after_a_lost_answer_the_certificates_that_are_left_are_read(part: str) -> None:
    left = {"hostname": "example.com", "configured": True}
    async with scripted((504, None), (404, {"error": "not found"}), (200, left)) as (server, fly):
        certificate = await getattr(fly.certificates, f"delete_{part}")("web", "example.com")
    assert certificate.hostname == "example.com"
    assert [sent.line.split()[0] for sent in server.heard] == ["DELETE", "DELETE", "GET"]


async def test_an_empty_answer_to_a_delete_is_its_success_and_what_is_left_is_read() -> None:
    left = {"id": "vol_1", "name": "data", "state": "pending_destroy", "region": "iad"}
    async with scripted((200, None), (200, left)) as (server, fly):
        volume = await fly.volumes.delete("web", "vol_1")
    assert volume.state == "pending_destroy"
    assert [sent.line.split()[0] for sent in server.heard] == ["DELETE", "GET"]
