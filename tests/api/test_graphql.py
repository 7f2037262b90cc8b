from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.errors import GraphQLFailed, ServerFault, Unauthorized, Unreadable
from tests.api.client_on_emulator import asked, sent_by

NOT_FOUND = {"message": "Could not find App", "path": ["app"], "extensions": {"code": "NOT_FOUND"}}
QUERY = "query GetApp($name: String!) { app(name: $name) { id name network } }"


async def test_a_query_gives_its_data(fly: FlyClient, app: str) -> None:
    found = await fly.graphql(QUERY, {"name": app})
    assert found["app"]["name"] == app


async def test_errors_come_with_status_200_and_are_raised(fly: FlyClient) -> None:
    with pytest.raises(GraphQLFailed, match="Could not find App") as caught:
        await fly.graphql(QUERY, {"name": "nothing"})
    assert caught.value.codes == ("NOT_FOUND",)
    assert caught.value.paths == (("app",),)
    assert not caught.value.may_have_happened


async def test_what_was_done_beside_an_error_is_not_lost() -> None:
    async with asked({"data": {"one": 1}, "errors": [NOT_FOUND, {"message": "and this"}, "odd"]}) as (_, fly):
        with pytest.raises(GraphQLFailed) as caught:
            await fly.graphql("mutation { one two }")
    assert caught.value.data == {"one": 1}
    assert caught.value.may_have_happened
    assert caught.value.messages == ("Could not find App", "and this", "odd")
    assert caught.value.paths == (("app",), (), ())


async def test_an_error_that_is_a_detail_alone_is_reported() -> None:
    async with asked({"errors": {"detail": "Not Found"}}) as (_, fly):
        with pytest.raises(GraphQLFailed, match="graphql -: Not Found"):
            await fly.graphql("{ app { id } }")


async def test_it_asks_at_its_own_url_under_the_name_of_the_query() -> None:
    sent = await sent_by(lambda fly: fly.graphql(QUERY, {"name": "web"}), {"data": {}})
    assert (sent.line, sent.body) == ("POST /graphql", {"query": QUERY, "variables": {"name": "web"}})


@pytest.mark.parametrize(("query", "times"), [("{ viewer { id } }", 2), ("mutation M { x }", 1)])
async def test_a_query_is_repeated_and_a_mutation_is_not(query: str, times: int) -> None:
    async with asked({"error": "no"}, status=502) as (recorder, fly):
        with pytest.raises(ServerFault):
            await fly.graphql(query)
    assert len(recorder.heard) >= times if times > 1 else len(recorder.heard) == 1


@pytest.mark.parametrize("answer", [None, [], {}, {"data": None}, {"data": [1]}])
async def test_an_answer_that_is_not_graphql_is_unreadable(answer: Any) -> None:
    async with asked(answer) as (_, fly):
        with pytest.raises(Unreadable):
            await fly.graphql("{ viewer { id } }")


async def test_the_organizations_are_those_of_the_token(fly: FlyClient) -> None:
    (personal,) = await fly.orgs.list()
    assert (personal.slug, personal.raw_slug, personal.type, personal.paid_plan) == ("personal",) * 2 + (
        "PERSONAL",
        True,
    )


@pytest.mark.parametrize("data", [{}, {"organizations": None}, {"organizations": {"nodes": [{"slug": 1}]}}])
async def test_organizations_that_are_none_are_unreadable(data: Any) -> None:
    async with asked({"data": data}) as (_, fly):
        with pytest.raises(Unreadable, match="organizations"):
            await fly.orgs.list()


async def test_a_token_that_is_refused_is_unauthorized() -> None:
    async with asked({"error": "no"}, status=401) as (_, fly):
        with pytest.raises(Unauthorized):
            await fly.graphql("{ viewer { id } }")
