"""`flyasync watch`: a page of an app until Ctrl-C, fed with what has changed."""

from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.app_status import read_status
from flyasync.cli.oncall.watch import changes
from flyasync.cli.oncall.watch_page import WatchedPage
from flyasync.models.config import MachineConfig
from flyasync.web.event_feed import EventFeed
from tests.cli.driver import Shop, account
from tests.cli.oncall.driver import until_interrupted


def test_it_serves_a_page_until_it_is_stopped(shop: Shop) -> None:
    run = until_interrupted(shop, "watch", "web", seconds=10)
    assert run.exit_code == 130
    assert "flyasync: live page: http://127.0.0.1:" in run.stderr
    assert run.stdout == ""


def test_an_app_that_is_not_there_ends_it(shop: Shop) -> None:
    run = until_interrupted(shop, "watch", "missing", seconds=10)
    assert run.exit_code == 1
    assert "missing" in run.stderr


async def test_the_page_gets_each_state_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with account(monkeypatch), FlyClient() as fly:
        machine = await fly.machines.create("web", MachineConfig(image="nginx"), region="iad")
        await fly.machines.wait("web", machine.id, state="started")
        feed = EventFeed()
        page = WatchedPage(feed)
        first = await read_status(fly, "web")
        page.begin(first)
        page.show(2.0, tuple(changes(first, first)), first)
        await fly.machines.stop("web", machine.id)
        await fly.machines.wait("web", machine.id, state="stopped")
        later = await read_status(fly, "web", first)
        page.show(4.0, tuple(changes(first, later)), later)
    await feed.close(0.0)
    (_, snapshot), *_ = [message async for message in feed.read()]
    events: list[dict[str, Any]] = snapshot["events"]
    assert [event["machines"][0]["state"] for event in events] == ["started", "stopped"]
    assert [event["app"] for event in events] == ["web", "web"]
