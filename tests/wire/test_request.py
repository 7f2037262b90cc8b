"""What is asked, and where no identifier may lead."""

import pytest

from flyasync.errors import InvalidInput
from flyasync.wire.request import path
from tests.wire.scripted import SECRET, a_reply, a_request


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


@pytest.mark.parametrize("segment", ["", ".", "..", None, 7, [], "\ud800"])
def test_what_cannot_name_anything_is_refused(segment: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name anything in a URL"):
        path("apps", segment)


def test_a_request_shows_neither_body_nor_headers() -> None:
    shown = repr(a_request(body={"secret": SECRET}, headers={"fly-machine-lease-nonce": SECRET}))
    assert SECRET not in shown
    assert "machines.start" in shown


def test_a_reply_shows_only_its_status_and_knows_its_request_id() -> None:
    reply = a_reply(500, {"secret": SECRET}, fly_request_id="01K4-yyz")
    assert repr(reply) == "Reply(status=500)"
    assert reply.request_id == "01K4-yyz"
    assert a_reply().request_id is None
