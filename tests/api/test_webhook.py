"""What a webhook receives, how often it is tried, and what is shown when it fails."""

import asyncio
import json
import traceback
from typing import Any

import pytest

from flyasync.api.webhook import Webhook
from flyasync.errors import CallFailed, ConnectFailed, InvalidInput
from tests.api.receiver import receiver

KEY = "0123456789abcdef-key"


async def test_a_document_arrives_signed_with_an_id_and_the_time() -> None:
    async with receiver() as there:
        await Webhook(f"{there.url}/a%20b?to=ops&x=1", KEY).deliver({"event": "finished", "é": 1})
    (got,) = there.received
    assert got.path == "/hooks/a%20b?to=ops&x=1"
    assert json.loads(got.body) == {"event": "finished", "é": 1}
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"].startswith("flyasync/")
    assert len(got.headers["X-Flyasync-Delivery"]) == 32
    assert int(got.headers["X-Flyasync-Timestamp"]) > 1_700_000_000
    assert got.is_signed_by(KEY)
    assert not got.is_signed_by("another key")
    assert "Authorization" not in got.headers


async def test_without_a_key_nothing_is_signed() -> None:
    async with receiver() as there:
        await Webhook(there.url).deliver({})
    assert "X-Flyasync-Signature-256" not in there.received[0].headers


async def test_a_login_in_the_url_is_sent_as_a_header() -> None:
    async with receiver() as there:
        await Webhook(there.url.replace("://", "://us%40er:hunter2@")).deliver({})
    assert there.received[0].headers["Authorization"] == "Basic dXNAZXI6aHVudGVyMg=="
    assert there.received[0].path == "/hooks"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_a_temporary_failure_is_retried_with_the_same_id_and_signature(status: int) -> None:
    start = asyncio.get_running_loop().time()
    async with receiver([status, status, 200]) as there:
        await Webhook(there.url, KEY).deliver({"a": 1})
    assert 3 <= asyncio.get_running_loop().time() - start < 5
    assert len({(got.body, got.headers["X-Flyasync-Delivery"]) for got in there.received}) == 1
    assert [got.is_signed_by(KEY) for got in there.received] == [True] * 3


async def test_it_is_given_up_after_three_retries() -> None:
    async with receiver([503]) as there:
        with pytest.raises(CallFailed, match="it returned HTTP 503"):
            await Webhook(there.url).deliver({})
    assert len(there.received) == 4


@pytest.mark.parametrize(("status", "shown"), [(404, "HTTP 404"), (302, "HTTP 302, a redirect, which is not followed")])
async def test_a_refusal_is_not_retried_and_a_redirect_not_followed(status: int, shown: str) -> None:
    async with receiver([status]) as there:
        with pytest.raises(CallFailed, match=shown):
            await Webhook(there.url).deliver({})
    assert len(there.received) == 1


async def test_no_server_is_retried_too() -> None:
    start = asyncio.get_running_loop().time()
    with pytest.raises(ConnectFailed):
        await Webhook("http://127.0.0.1:1/").deliver({})
    assert 7 <= asyncio.get_running_loop().time() - start < 12


async def test_a_server_that_never_answers_is_given_up_within_the_time_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    start = asyncio.get_running_loop().time()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CallFailed, match="not accepted within 30 s"):
            await Webhook(f"http://127.0.0.1:{port}/").deliver({})
    assert asyncio.get_running_loop().time() - start < 32


async def test_nothing_that_is_shown_contains_a_secret() -> None:
    async with receiver([403]) as there:
        webhook = Webhook(there.url.replace("://", "://user:hunter22@") + "/T0KEN-in-path?key=QUERY", KEY)
        with pytest.raises(CallFailed) as failed:
            await webhook.deliver({})
    trace = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    ours = [str(frame.locals) for frame in trace.stack if "/flyasync/api/" in frame.filename]
    assert ours
    for shown in (repr(webhook), str(failed.value), *ours):
        assert not any(secret in shown for secret in ("hunter22", "T0KEN", "QUERY", KEY, "no secret"))
    assert str(failed.value) == f"webhook.post {there.url.removesuffix('/hooks')}: it returned HTTP 403"


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com", "file:///etc/passwd", "https://", "https:///path", "http://[::1", "http://a:x/",
     "http://a b/", "https://exämple.com/", "http://a/\r\nX: y"],
)  # fmt: skip
def test_anything_but_an_http_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="a notification goes to an http or https URL with a host"):
        Webhook(url)


def test_a_refused_url_is_not_shown() -> None:
    with pytest.raises(InvalidInput) as refused:
        Webhook("ftp://user:hunter22@example.com")
    assert "hunter22" not in str(refused.value)


def test_a_key_that_signs_nothing_is_refused() -> None:
    number: Any = 1
    with pytest.raises(InvalidInput, match="the key of a webhook is empty"):
        Webhook("https://example.com", "")
    with pytest.raises(InvalidInput, match="texts, not int"):
        Webhook("https://example.com", number)
