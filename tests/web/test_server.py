"""The server of the page: for this machine alone, at a path that must be known, and with nothing to change."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from flyasync.deploy.reporting.phase import Phase
from flyasync.errors import InvalidInput
from flyasync.web.event_feed import EventFeed
from flyasync.web.server import PageServer, serving
from tests.web.driver import planned, progress


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    async with serving(EventFeed()) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_the_page_and_its_files_are_served_under_a_strict_policy(server: PageServer, http: ClientSession) -> None:
    for name, kind in (("", "text/html"), ("main.js", "text/javascript"), ("live.css", "text/css")):
        async with http.get(server.url + name) as response:
            assert (response.status, response.content_type) == (200, kind)
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "require-trusted-types-for 'script'" in policy
            assert "unsafe" not in policy
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cache-Control"] == "no-store"


async def test_a_notice_is_shown_first_and_as_text(server: PageServer, http: ClientSession) -> None:
    async with serving(EventFeed(), notice="<b>only</b> a rehearsal") as noted:
        async with http.get(noted.url) as response:
            assert '</h1><p>&lt;b&gt;only&lt;/b&gt; a rehearsal</p><div id="live"' in await response.text()
        async with http.get(server.url) as response:
            assert '</h1><div id="live"' in await response.text()


async def test_the_path_cannot_be_guessed_and_differs_each_time(server: PageServer, http: ClientSession) -> None:
    async with serving(EventFeed()) as other:
        assert other.path != server.path
        assert len(other.path) > 30
    for path in ("/", "/events", "/main.js", other.path, f"{server.path}../main.js", f"{server.path}server.py"):
        async with http.get(f"http://127.0.0.1:{server.port}{path}") as response:
            assert response.status == 404
            assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_is_refused(server: PageServer, http: ClientSession, headers: dict[str, str]) -> None:
    for name in ("", "events", "main.js"):
        async with http.get(server.url + name, headers=headers) as response:
            assert response.status == 403


async def test_its_own_origin_is_allowed(server: PageServer, http: ClientSession) -> None:
    headers = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    async with http.get(server.url, headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_changed(server: PageServer, http: ClientSession, method: str) -> None:
    for name in ("", "events"):
        async with http.request(method, server.url + name) as response:
            assert response.status == 405


async def test_the_events_have_no_head_which_would_not_end(server: PageServer, http: ClientSession) -> None:
    async with http.head(f"{server.url}events") as response:
        assert response.status != 200


async def test_it_listens_on_this_machine_alone(server: PageServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")


async def test_a_port_in_use_is_refused_with_the_way_out(server: PageServer) -> None:
    with pytest.raises(InvalidInput, match=f"port {server.port}.*another port, or 0"):
        async with serving(EventFeed(), server.port):
            pytest.fail("it is served twice")


async def test_the_events_arrive_as_they_happen_and_end_with_the_block(http: ClientSession) -> None:
    feed = EventFeed()
    feed.show(planned("iad"))
    names = []
    async with serving(feed) as server:
        response = await http.get(f"{server.url}events")
        assert response.content_type == "text/event-stream"
        await response.content.readuntil(b"\n\n")
        feed.show(progress("iad", Phase.CREATING))
    async for line in response.content:
        names += [line] if line.startswith(b"event:") else []
    assert names == [b"event: batch\n", b"event: end\n"]


async def test_a_closed_page_does_not_hold_up_the_end(http: ClientSession) -> None:
    feed, loop = EventFeed(), asyncio.get_running_loop()
    async with serving(feed) as server:
        async with http.get(f"{server.url}events") as response:
            await response.content.readuntil(b"\n\n")
        await asyncio.sleep(5)
        begun = loop.time()
    assert loop.time() - begun < 1.0
