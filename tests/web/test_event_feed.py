"""The feed: a page that is opened late misses nothing, and a page that is not there costs nothing."""

import asyncio
import json

import pytest

from flyasync.deploy.reporting.phase import Phase
from flyasync.models.region import Region
from flyasync.web.event_feed import EventFeed
from tests.web.driver import Message, attempt, dequeued, planned, progress, queued, reading


async def rest(feed: EventFeed) -> list[Message]:
    feed_is_closed = asyncio.ensure_future(feed.close(10.0))
    messages = [message async for message in feed.read()]
    await feed_is_closed
    return messages


async def test_a_late_page_begins_with_everything() -> None:
    feed = EventFeed()
    feed.show(planned("iad", "lhr"))
    feed.show(progress("iad", Phase.CREATING))
    (name, snapshot), *_, end = await rest(feed)
    assert name == "snapshot"
    assert [event["event"] for event in snapshot["events"]] == ["planned", "progress"]
    assert snapshot["events"][0]["last"] == {"v1-iad-1": "started", "v1-lhr-1": "started"}
    assert snapshot["words"]["looks"]["failed"] == "bad"
    assert end == ("end", {})


async def test_what_happens_later_is_sent_once_and_together() -> None:
    feed = EventFeed()
    async with reading(feed) as messages:
        assert (await anext(messages))[0] == "snapshot"
        for phase in (Phase.CREATING, Phase.CREATED, Phase.STARTING):
            feed.show(progress("iad", phase))
        name, batch = await anext(messages)
        assert name == "batch"
        assert [event["phase"] for event in batch["events"]] == ["creating", "created", "starting"]
        feed.show(progress("iad", Phase.STARTED))
        assert [event["phase"] for event in (await anext(messages))[1]["events"]] == ["started"]


async def test_a_page_that_is_opened_after_many_events_gets_them_in_parts_and_in_order() -> None:
    feed, loop = EventFeed(), asyncio.get_running_loop()
    for number in range(1201):
        feed.add({"event": "progress", "number": number})
    async with reading(feed) as messages:
        begun = loop.time()
        parts = [(await anext(messages))[1]["events"] for _ in range(3)]
        assert [len(part) for part in parts] == [500, 500, 201]
        assert [event["number"] for part in parts for event in part] == [*range(1201)]
        assert loop.time() == pytest.approx(begun, abs=0.001)
    (_, first), *parts_later, end = await rest(feed)
    assert [len(part["events"]) for _, part in parts_later] == [500, 201]
    assert (len(first["events"]), end) == (500, ("end", {}))


async def test_two_pages_read_the_same_at_their_own_speed() -> None:
    feed = EventFeed()
    async with reading(feed) as one, reading(feed) as other:
        await anext(one)
        feed.show(progress("iad", Phase.CREATING))
        assert len((await anext(one))[1]["events"]) == 1
        feed.show(progress("iad", Phase.CREATED))
        assert len((await anext(one))[1]["events"]) == 1
        assert len((await anext(other))[1]["events"]) == 2


async def test_an_event_becomes_json_only_for_a_page() -> None:
    feed = EventFeed()
    feed.show(planned("iad"))
    assert callable(feed._events[0])
    await rest(feed)
    assert not callable(feed._events[0])


async def test_who_waits_for_which_limit_and_how_long() -> None:
    feed = EventFeed()
    waits = [queued("v1-iad-1"), queued("v1-lhr-1"), queued(None, "other")]
    for wait in waits:
        feed.observe(wait)
        await asyncio.sleep(1)
    async with reading(feed) as messages:
        _, snapshot = await anext(messages)
        first, second = snapshot["limits"]["queues"]
        assert first == {
            "operation": "machines.create", "identifier": "web", "waiting": 2, "oldest": 0.0,
            "who": ["v1-iad-1", "v1-lhr-1"],
        }  # fmt: skip
        assert (second["identifier"], second["oldest"], second["who"]) == ("other", 2.0, [])
        assert snapshot["limits"]["at"] == 3.0
        for wait in waits:
            feed.observe(dequeued(wait))
        _, batch = await anext(messages)
        assert batch["limits"]["queues"] == []


async def test_a_failed_request_is_an_event_with_its_id() -> None:
    feed = EventFeed()
    feed.observe(attempt())
    feed.observe(attempt(status=422, error="NoCapacity"))
    feed.observe(attempt(error="TimedOut", status=None, poll=60.0))  # a long poll that means "not yet"
    (_, snapshot), *_ = await rest(feed)
    (event,) = snapshot["events"]
    assert (event["event"], event["error"], event["request_id"]) == ("request", "NoCapacity", "01ABC")


async def test_the_map_has_the_regions_of_the_platform() -> None:
    feed = EventFeed()
    feed.locate([Region(code="iad", latitude=1.0, longitude=2.0), Region(code="xyz", latitude=3.0, longitude=4.0)])
    (_, snapshot), *_ = await rest(feed)
    assert (snapshot["positions"]["iad"], snapshot["positions"]["xyz"]) == ((1.0, 2.0), (3.0, 4.0))
    assert "lhr" in snapshot["positions"]


async def test_no_config_is_sent() -> None:
    feed = EventFeed()
    feed.show(planned("iad"))
    assert "hunter2" not in json.dumps(await rest(feed))


@pytest.mark.parametrize("is_read", [True, False])
async def test_the_end_waits_only_for_pages_that_are_open(is_read: bool) -> None:  # noqa: FBT001 - a row of the table
    feed, loop = EventFeed(), asyncio.get_running_loop()
    async with reading(feed) as messages:
        if is_read:
            await anext(messages)
        begun = loop.time()
        await feed.close(2.0)
        assert loop.time() - begun == pytest.approx(2.0 if is_read else 0.0, abs=0.01)


async def test_a_text_of_the_api_cannot_reorder_what_is_shown() -> None:
    feed = EventFeed()
    feed.show(progress("iad", Phase.FAILED, detail="left \u202eto right\x1b[31m"))
    feed.add({"event": "request", "error": "a\x00b"})
    (_, snapshot), *_ = await rest(feed)
    first, second = snapshot["events"]
    assert (first["detail"], second["error"]) == ("left \ufffdto right", "a\ufffdb")
