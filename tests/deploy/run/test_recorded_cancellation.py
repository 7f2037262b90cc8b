"""The moment of a cancellation in a recording: when it arrives, not when the deploy has handled it."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from flyasync import FlyClient
from flyasync.deploy.run.recorded_cancellation import noting_cancellation


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
