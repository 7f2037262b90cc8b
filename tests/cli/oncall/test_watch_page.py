"""`flyasync watch`: a page of an app until Ctrl-C, fed with what has changed."""

import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.oncall.app_status import AppStatus, MachineStatus, read_status
from flyasync.cli.oncall.watch import changes
from flyasync.cli.oncall.watched_page import WatchedPage
from flyasync.errors import NoReplyInTime
from flyasync.models.config import MachineConfig
from flyasync.models.machine import Machine
from flyasync.web.event_feed import EventFeed
from tests.cli.driver import Shop, account
from tests.cli.oncall.driver import until_interrupted
from tests.web.driver import everything


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
    events = await everything(feed)
    assert [event["machines"][0]["state"] for event in events] == ["started", "stopped"]
    assert [event["app"] for event in events] == ["web", "web"]
    # Nothing else of a machine, such as the output of its checks.
    assert events[0]["machines"][0].keys() == {"id", "name", "region", "state", "serves", "trouble", "image"}


def a_state(*machines: MachineStatus) -> AppStatus:
    return AppStatus(app="web", machines=machines, addresses=(), volumes=(), unread={}, observed=())


def a_machine(machine_id: str, state: str) -> MachineStatus:
    return MachineStatus.of(Machine(id=machine_id, name=machine_id, region="iad", state=state))


async def test_a_long_watch_keeps_the_first_state_and_the_last_change_of_each_machine() -> None:
    feed = EventFeed()
    page = WatchedPage(feed)
    steady = a_machine("steady", "started")
    state = a_state(steady, a_machine("flapping", "started"))
    page.begin(state)
    for number in range(100):
        later = a_state(steady, a_machine("flapping", "stopped" if number % 2 else "started"))
        page.trouble(0.0, NoReplyInTime("machines.list", "web", "no response in time"))
        page.show(0.0, tuple(changes(state, later)), later)
        state = later
    page.show(0.0, tuple(changes(state, a_state(steady))), a_state(steady))
    events = await everything(feed)
    assert [event["event"] for event in events] == ["status", "unread", "status"]
    assert (events[0]["gone"], events[1]["message"], events[2]["gone"]) == ([], "", ["flapping"])


async def test_the_page_shows_that_an_app_cannot_be_read_until_it_can() -> None:
    feed = EventFeed()
    page = WatchedPage(feed)
    page.begin(a_state())
    for _ in range(3):
        page.trouble(0.0, NoReplyInTime("machines.list", "web", "no response in time"))
    assert [event.get("message", "")[:30] for event in await everything(feed)] == ["", "the state could not be read: m"]
