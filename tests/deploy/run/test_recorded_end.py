"""The end of a deploy in a recording: each cancellation when it arrives, and the error that is raised."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from flyasync import FlyClient, NotFound
from flyasync.deploy.run.recorded_end import noting_cancellation, noting_error


async def slowly() -> str:
    """Take ten seconds, and two more to end after a cancellation."""
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        await asyncio.sleep(2)
        raise
    return "done"


async def test_the_moment_is_noted_and_the_work_may_end_first(tmp_path: Path) -> None:
    async with FlyClient("a", base_url="http://127.0.0.1:1", record=tmp_path / "r") as fly:
        assert fly.recording
        fly.recording.note("deploy", {"app": "web"})
        task = asyncio.ensure_future(noting_cancellation(fly, "web", slowly()))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        loop.call_later(3, task.cancel)
        with suppress(asyncio.CancelledError):
            await task
        assert round(loop.time() - begun) == 5
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert [(line["what"], round(line["at"])) for line in lines[1:3]] == [("deploy", 0), ("cancelled", 3)]


async def test_without_a_recording_the_work_is_awaited_as_it_is() -> None:
    async with FlyClient("a", base_url="http://127.0.0.1:1") as fly:
        assert await noting_cancellation(fly, "web", slowly()) == "done"


async def test_a_second_cancellation_cuts_the_work_short_and_is_noted_too(tmp_path: Path) -> None:
    async with FlyClient("a", base_url="http://127.0.0.1:1", record=tmp_path / "r") as fly:
        assert fly.recording
        fly.recording.note("deploy", {"app": "web"})
        task = asyncio.ensure_future(noting_cancellation(fly, "web", slowly()))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        loop.call_later(3, task.cancel)
        loop.call_later(4, task.cancel)
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert round(loop.time() - begun) == 4
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert [(line["what"], round(line["at"])) for line in lines[2:4]] == [("cancelled", 3), ("cancelled", 4)]


async def test_an_error_is_noted_and_raised(tmp_path: Path) -> None:
    async with FlyClient("a", base_url="http://127.0.0.1:1", record=tmp_path / "r") as fly:
        with suppress(NotFound), noting_error(fly, "web"):
            raise NotFound("apps.get", "web", "no such app", status=404)
    line = json.loads((tmp_path / "r").read_text().splitlines()[1])
    assert (line["what"], line["app"], line["kind"]) == ("raised", "web", "NotFound")
    assert line["message"].startswith("apps.get web: no such app")
