"""What is asked, and where no identifier may lead."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from flyasync.errors import InvalidInput
from flyasync.transport.request import path
from tests.transport.scripted import SECRET, a_request, a_response


@pytest.mark.parametrize(
    ("segment", "encoded"),
    [
        ("web", "web"),
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("%2e", "%252e"),
        ("%2e%2e", "%252e%252e"),
        ("a?b#c", "a%3Fb%23c"),
        ("a b;c", "a%20b%3Bc"),
        ("é", "%C3%A9"),
        ("...", "..."),
    ],
)
def test_a_segment_stays_one_segment(segment: str, encoded: str) -> None:
    assert path("apps", segment, "machines") == f"/v1/apps/{encoded}/machines"


@pytest.mark.parametrize("segment", ["", ".", "..", None, 7, [], "\ud800", "a\r\nb", "a\0b", "a\x85b"])
def test_what_cannot_name_anything_is_refused(segment: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be part of a URL"):
        path("apps", segment)


def test_a_request_shows_neither_body_nor_headers() -> None:
    shown = repr(a_request(body={"secret": SECRET}, headers={"fly-machine-lease-nonce": SECRET}))
    assert SECRET not in shown
    assert "machines.start" in shown


def test_a_reply_shows_only_its_status_and_knows_its_request_id() -> None:
    response = a_response(500, {"secret": SECRET}, fly_request_id="01K4-yyz")
    assert repr(response) == "Response(status=500)"
    assert response.request_id == "01K4-yyz"
    assert a_response().request_id is None


CONTROL = ["a\rb", "a\nb", "a\0b", "a\x1bb", "\ud800"]


@pytest.mark.parametrize("text", CONTROL)
@pytest.mark.parametrize(
    "place",
    [
        lambda text: {"query": (("state", text),)},
        lambda text: {"query": ((text, "x"),)},
        lambda text: {"headers": {"fly-machine-lease-nonce": text}},
        lambda text: {"body": {"name": text}},
        lambda text: {"body": {"region": text}},
        lambda text: {"body": {"values": {text: "x"}}},
        lambda text: {"body": {"config": {"metadata": {text: "x"}}}},
        lambda text: {"body": {"config": {"containers": [{"env": {text: "x"}}]}}},
    ],
)
def test_what_no_name_header_or_query_can_hold_is_refused(place: Callable[[str], dict[str, Any]], text: str) -> None:
    with pytest.raises(InvalidInput):
        a_request(**place(text))


@pytest.mark.parametrize("key", ["value", "cmd", "stdin", "fullchain", "private_key", "query"])
def test_a_text_may_have_lines(key: str) -> None:
    assert a_request(body={key: "a\r\nb"}).content == f'{{"{key}":"a\\r\\nb"}}'.encode()


def test_lines_inside_a_config_stay() -> None:
    assert a_request(body={"config": {"env": {"A": "b\nc"}}}).content == b'{"config":{"env":{"A":"b\\nc"}}}'


def test_where_a_page_ends_is_said_in_the_words_of_the_api() -> None:
    assert a_request(query=(("cursor", "a\nb"),)).query == (("cursor", "a\nb"),)


def nested(depth: int) -> Any:
    made: Any = "deep"
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"v": nested(100_000)}, "it is nested too deeply"),
        ({"v": "half \udc00"}, "it contains a lone surrogate"),
        ({"v": float("nan")}, "Out of range float"),
        ({"v": object()}, "not JSON serializable"),
        ({(1, 2): "v"}, "keys must be"),
    ],
)
def test_what_json_cannot_say_is_refused_and_leads_nowhere(body: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        a_request(body=body)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", ["é", "日本", "\U0001f600", "\u2028"])
def test_a_body_is_json_in_utf_8(text: str) -> None:
    content = a_request(body={"v": text}).content
    assert content is not None
    assert json.loads(content.decode("utf-8")) == {"v": text}


@pytest.mark.parametrize(("method", "changes"), [("GET", False), ("POST", True), ("PUT", True), ("DELETE", True)])
def test_what_is_no_get_changes_something_unless_it_says_otherwise(method: str, *, changes: bool) -> None:
    assert a_request(method=method).changes is changes
    assert not a_request(method=method, changes=False).changes
