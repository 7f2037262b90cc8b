import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import pytest
from aiohttp import web

from flyasync.api.client import FlyClient
from flyasync.api.logs import LONGEST, Logs, LogStream
from flyasync.api.resource import Caller
from flyasync.emulator import Emulator
from flyasync.errors import ClientClosed, ConnectFailed, Forbidden, Unreadable
from flyasync.models.log_line import LogLine
from flyasync.transport.request import Request
from flyasync.transport.sender import Sender
from tests.api.client_on_emulator import asked, now, running


async def take(stream: LogStream, number: int) -> list[LogLine]:
    async with asyncio.timeout(60):
        return [await anext(stream) for _ in range(number)]


@asynccontextmanager
async def serving(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[FlyClient]:
    async def serve(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with FlyClient("token", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}") as fly:
            yield fly
    finally:
        await runner.cleanup()


def line(message: str) -> dict[str, Any]:
    return {"id": message, "attributes": {"message": message, "level": "info", "instance": "m1", "meta": {"a": 1}}}


async def test_lines_come_as_they_are_written(fly: FlyClient, app: str, emulator: Emulator) -> None:
    emulator.write_log(app, "first")
    stream = fly.logs.stream(app)
    (first,) = await take(stream, 1)
    assert (first.message, first.level) == ("first", "info")
    waiting = asyncio.create_task(take(stream, 1))
    await asyncio.sleep(10)
    emulator.write_log(app, "second", level="error")
    (second,) = await waiting
    assert (second.message, second.level) == ("second", "error")


async def test_a_stream_keeps_to_one_machine(fly: FlyClient, app: str, emulator: Emulator) -> None:
    machine, other = await running(fly), await running(fly)
    emulator.write_log(app, "not me", machine_id=other.id)
    emulator.write_log(app, "me", machine_id=machine.id)
    stream = fly.logs.stream(app, machine=machine.id, region=machine.region)
    async with asyncio.timeout(60):
        async for found in stream:
            assert found.instance == machine.id
            if found.message == "me":
                break


async def test_a_stream_goes_on_where_another_ended(fly: FlyClient, app: str, emulator: Emulator) -> None:
    emulator.write_log(app, "first")
    before = fly.logs.stream(app)
    await take(before, 1)
    emulator.write_log(app, "second")
    (second,) = await take(fly.logs.stream(app, next_token=before.next_token), 1)
    assert second.message == "second"


async def test_it_looks_less_and_less_often_until_something_comes() -> None:
    looks: list[float] = []

    def answer(request: web.Request) -> web.Response:
        assert request.raw_path.startswith("/api/v1/apps/web/logs?next_token=")
        looks.append(now())
        rows = [line("at last")] if len(looks) == 12 else []
        return web.json_response({"data": rows, "meta": {"next_token": str(len(looks))}})

    async with serving(answer) as fly:
        (found,) = await take(fly.logs.stream("web"), 1)
    assert (found.message, found.meta) == ("at last", {"a": 1})
    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert pauses[0] == pytest.approx(0.064, abs=0.05)
    assert pauses[3] == pytest.approx(0.512, abs=0.05)
    assert pauses[-1] == pytest.approx(LONGEST, abs=0.05)


async def test_trouble_passes_and_no_line_is_lost() -> None:
    looks: list[str] = []

    def answer(request: web.Request) -> web.Response:
        looks.append(request.query["next_token"])
        if len(looks) < 20:
            return web.json_response({"error": "no"}, status=503)
        return web.json_response({"data": [line("after")], "meta": {"next_token": "t1"}})

    async with serving(answer) as fly:
        stream = fly.logs.stream("web", next_token="t0")
        (found,) = await take_long(stream)
    assert found.message == "after"
    assert set(looks) == {"t0"}
    assert stream.next_token == "t1"


async def take_long(stream: LogStream) -> list[LogLine]:
    async with asyncio.timeout(3600):
        return [await anext(stream)]


async def test_a_token_that_may_not_read_it_ends_it() -> None:
    async with asked({"error": "no"}, status=403) as (_, fly):
        with pytest.raises(Forbidden):
            await anext(fly.logs.stream("web"))


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"data": [{}]}, {"data": [1]}, {"data": [{"attributes": {"message": 1}}]}]
)
async def test_what_is_no_page_of_a_log_is_unreadable(answer: Any) -> None:
    async with asked(answer) as (_, fly):
        with pytest.raises(Unreadable, match="page of a log"):
            await anext(fly.logs.stream("web"))


async def test_closing_the_client_ends_a_stream() -> None:
    async with asked({"data": [], "meta": {}}) as (_, fly):
        stream = fly.logs.stream("web")
        waiting = asyncio.create_task(take(stream, 1))
        await asyncio.sleep(5)
        await fly.aclose()
        with pytest.raises(ClientClosed):
            await waiting


async def test_lines_that_the_filter_of_the_api_lets_through_are_left_out() -> None:
    rows = [{"attributes": {"message": name, "instance": name, "region": "iad"}} for name in ("m2", "m1")]
    async with asked({"data": rows, "meta": {"next_token": "1"}}) as (_, fly):
        (found,) = await take(fly.logs.stream("web", machine="m1"), 1)
    assert found.message == "m1"


async def test_a_connection_that_can_never_be_made_ends_it() -> None:
    class Unreachable:
        async def send(self, request: Request) -> Any:
            error = ConnectFailed(request.operation, request.identifier, "its certificate is not trusted")
            error.is_temporary = False
            raise error

    with pytest.raises(ConnectFailed, match="not trusted"):
        await anext(Logs(Caller(cast("Sender", Unreachable()))).stream("web"))


async def test_pages_of_lines_that_nobody_asked_for_are_no_reason_to_look_less_often() -> None:
    looks: list[float] = []

    def answer(request: web.Request) -> web.Response:
        looks.append(now())
        row = {"attributes": {"message": "one", "instance": "m1" if len(looks) == 12 else "m2"}}
        return web.json_response({"data": [row], "meta": {"next_token": str(len(looks))}})

    async with serving(answer) as fly:
        await take(fly.logs.stream("web", machine="m1"), 1)
    assert max(later - earlier for earlier, later in pairwise(looks)) < 0.2


async def test_an_unreadable_line_is_told_once_in_its_place_and_stops_nothing() -> None:
    pages = {"": [line("a"), {"attributes": {"message": 1}}, line("b")], "1": [line("c")]}

    def answer(request: web.Request) -> web.Response:
        token = request.query["next_token"]
        return web.json_response({"data": pages[token], "meta": {"next_token": "1"}})

    async with serving(answer) as fly:
        stream = fly.logs.stream("web")
        assert (await anext(stream)).message == "a"
        with pytest.raises(Unreadable, match="next line follows") as caught:
            await anext(stream)
        assert not caught.value.may_have_happened
        assert [found.message for found in await take(stream, 2)] == ["b", "c"]


async def test_a_page_without_lines_to_read_is_not_read_again() -> None:
    def answer(request: web.Request) -> web.Response:
        first = request.query["next_token"] == ""
        return web.json_response({"data": 1 if first else [line("a")], "meta": {"next_token": "1"}})

    async with serving(answer) as fly:
        stream = fly.logs.stream("web")
        with pytest.raises(Unreadable):
            await anext(stream)
        assert (await anext(stream)).message == "a"


async def test_the_clients_own_token_is_redacted_in_lines() -> None:
    token = "fo1_own_token"
    async with (
        asked({"data": [line(f"uses {token} to deploy")], "meta": {}}) as (recorder, _),
        FlyClient(token, base_url=recorder.url, api_url=recorder.url) as fly,
    ):
        (told,) = await fly.logs.recent("web")
    assert told.message == "uses [redacted] to deploy"
