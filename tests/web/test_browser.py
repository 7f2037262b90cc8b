"""The page in Chromium: a deploy with two failing regions, followed live, and then as the recording in its report."""

import asyncio
import os
import queue
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from io import StringIO
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from attrs import Factory, evolve, frozen

from flyasync.cli.bulk.lines import BulkLines
from flyasync.cli.bulk.run import run_bulk
from flyasync.cli.deploy.job import DeployJob
from flyasync.cli.deploy.lines import Lines
from flyasync.cli.deploy.next_steps import LOCAL_NOTICE
from flyasync.cli.deploy.rehearsal import Rehearsal
from flyasync.cli.deploy.run import run_deploy
from flyasync.cli.shared.live_page import LivePage
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator import Fault
from flyasync.web.event_feed import EventFeed
from flyasync.web.server import serving
from tests.cli.bulk.driver import bulk_job

pytestmark = pytest.mark.browser

DESKTOP = {"width": 1280, "height": 900}
TABLET = {"width": 768, "height": 1024}
PHONE = {"width": 390, "height": 844}


class Notes(StringIO):
    """The stream for notes, from which another thread takes the URL."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: queue.Queue[str] = queue.Queue()

    def write(self, text: str) -> int:
        self.lines.put(text)
        return len(text)


@frozen(kw_only=True)
class HeldPage(LivePage):
    """A live page whose command begins, and ends, when the tabs are ready: a browser may take seconds to open one."""

    may_begin: Event = Factory(Event)
    may_end: Event = Factory(Event)

    @asynccontextmanager
    async def serving(
        self, note: Callable[[str], None], *, of_many: bool = False, notice: str = ""
    ) -> AsyncIterator[EventFeed]:
        async with LivePage.serving(self, note, of_many=of_many, notice=notice) as feed:
            await asyncio.to_thread(self.may_begin.wait, 30)
            yield feed
            await asyncio.to_thread(self.may_end.wait, 30)


class Run:
    """A command in a thread of its own, in real time, with a live page."""

    def __init__(self, work: Callable[[Notes, HeldPage], Coroutine[Any, Any, int]]) -> None:
        self.notes, self.held = Notes(), HeldPage(port=0, may_open=False)
        self.thread = Thread(target=lambda: asyncio.run(work(self.notes, self.held)))

    def __enter__(self) -> str:
        self.thread.start()
        return self.notes.lines.get(timeout=20).split("live page: ")[1].strip()

    def __exit__(self, *_: object) -> None:
        self.held.may_begin.set()
        self.held.may_end.set()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()


class Rollout(Run):
    """A deploy: lhr is full, and machines in fra crash."""

    def __init__(self, html: Path) -> None:
        builder = DeployBuilder("web").to_regions("iad", "lhr", "fra", "nrt").count(2).with_image("nginx:2")
        job = DeployJob(
            builder=builder.with_launch("v2").wait_for(timeout=20).immediate(),
            html=html,
            rehearsal=Rehearsal(capacity={"lhr": 0}, boot=0.5, faults=(Fault(does="crash", region="fra"),)),
        )
        super().__init__(lambda notes, held: run_deploy(evolve(job, web=held), Lines(StringIO(), notes)))


class Bulk(Run):
    """A run over three apps, one after the other; lhr, where the first two have a machine, has room for one."""

    def __init__(self) -> None:
        rows = 'app,image,regions\nshop-0,nginx,"iad,lhr"\nshop-1,nginx,"iad,lhr"\nshop-2,nginx,nrt\n'
        job = bulk_job(rows, at_once=1, rehearsal=Rehearsal(capacity={"lhr": 1}, boot=0.5))
        super().__init__(lambda notes, held: run_bulk(evolve(job, web=held), BulkLines(StringIO(), notes)))


class Served:
    """A feed in a thread of its own, with a live page, for events that no emulator would emit."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = events
        self.urls: queue.Queue[str] = queue.Queue()
        self.is_over = Event()
        self.thread = Thread(target=lambda: asyncio.run(self.serve()))

    async def serve(self) -> None:
        feed = EventFeed()
        for event in self.events:
            feed.add(event)
        async with serving(feed) as server:
            self.urls.put(server.url)
            await asyncio.to_thread(self.is_over.wait, 30)

    def __enter__(self) -> str:
        self.thread.start()
        return self.urls.get(timeout=20)

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()


class Tab:
    """A page of the browser that records errors, and requests that leave its origin."""

    def __init__(self, browser: Any, address: str, viewport: dict[str, int], scheme: str = "light") -> None:
        self.page = browser.new_page(viewport=viewport, color_scheme=scheme)
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda it: self.faults.extend([it.text] if it.type in {"error", "warning"} else []))
        self.page.on("pageerror", lambda it: self.faults.append(str(it)))
        self.page.on("request", lambda it: self.requests.append(it.url))
        self.page.goto(address)

    @property
    def overflow(self) -> int:
        width: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return width

    def serious(self) -> list[str]:
        """Return what axe-core finds that is serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in {"serious", "critical"}
        ]

    def shoot(self, name: str) -> None:
        if folder := os.environ.get("FLYASYNC_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report") / "report.html"


@pytest.fixture(scope="module")
def watched(browser: Any, saved: Path) -> Tab:
    """Return the tab that has followed a whole deploy; the first half is also in the middle of the run."""
    run = Rollout(saved)
    with run as url:
        tab = Tab(browser, url, DESKTOP)
        closed = Tab(browser, url, PHONE)
        closed.page.get_by_text("planning").wait_for()
        closed.page.close()
        run.held.may_begin.set()
        tab.page.locator("#failure-list li").first.wait_for()
        # In the middle: a failure is known, and the others go on.
        tab.midway = tab.page.locator("#count").inner_text()  # type: ignore[attr-defined]
        tab.shoot("live-midway")
        late = Tab(browser, url, DESKTOP)
        late.page.locator("#failure-list li").first.wait_for()
        tab.late = late  # type: ignore[attr-defined]
        run.held.may_end.set()
        tab.page.get_by_text("the command has ended").wait_for(timeout=40_000)
    assert all(request.startswith(url) for request in tab.requests)
    return tab


def test_the_page_reports_the_failures_in_the_words_of_the_api(watched: Tab) -> None:
    page = watched.page
    assert page.locator("#status").inner_text() == "✕ requirement missed"
    assert page.locator("#count").inner_text() == "4 of 8 done, 4 failed"
    shown = page.locator("#failure-list").inner_text()
    assert 'lhr has no room (region): "could not find a candidate host"' in shown
    assert "request 01" in shown
    assert "exit code 1" in shown
    assert watched.faults == []


def test_the_tab_and_the_page_name_the_app_its_state_and_the_rehearsal(watched: Tab, saved: Path, browser: Any) -> None:
    report = Tab(browser, saved.as_uri(), PHONE)
    for each in (watched.page, report.page):
        assert each.title() == "✕ web: requirement missed"
        assert each.get_by_text(LOCAL_NOTICE).is_visible()


def test_a_failure_was_shown_while_the_others_went_on(watched: Tab) -> None:
    assert "failed" in watched.midway  # type: ignore[attr-defined]
    assert "4 of 8 done" not in watched.midway  # type: ignore[attr-defined]


def test_a_page_that_is_opened_late_shows_the_same(watched: Tab) -> None:
    late: Tab = watched.late  # type: ignore[attr-defined]
    late.page.get_by_text("the command has ended").wait_for()
    for each in ("#count", "#failure-list", "#lane-list"):
        assert late.page.locator(each).inner_text() == watched.page.locator(each).inner_text()
    assert late.faults == []


def test_the_plan_shows_its_causes(watched: Tab) -> None:
    watched.page.locator("#plan > summary").click()
    watched.page.locator("#plan-text summary", has_text="iad").click()
    watched.page.locator("#plan-text li", has_text="create: ").first.wait_for()


def test_regions_can_be_chosen_with_the_keyboard(watched: Tab) -> None:
    page = watched.page
    page.locator("#map .region[tabindex='0']").focus()
    seen = set()
    for _ in range(4):
        seen.add(page.evaluate("document.activeElement.dataset.region"))
        page.keyboard.press("ArrowRight")
    assert seen == {"iad", "lhr", "fra", "nrt"}
    page.locator("#map .region[data-region='lhr']").focus()
    page.keyboard.press("Enter")
    lane = page.locator("#lane-list details", has_text="lhr")
    assert lane.get_attribute("open") is not None
    lane.locator("li", has_text="skipped").first.wait_for()


def test_a_screen_reader_hears_the_result(watched: Tab) -> None:
    assert watched.page.get_by_role("status").inner_text().startswith("requirement missed.")
    label = watched.page.locator("#map .region[data-region='lhr']").get_attribute("aria-label")
    assert label == "lhr: 0 of 2 done, 2 failed"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_live_page(watched: Tab, scheme: str) -> None:
    watched.page.emulate_media(color_scheme=scheme)
    assert watched.serious() == []


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (TABLET, "dark"), (PHONE, "dark")])
def test_the_report_is_a_recording_that_loads_nothing(
    watched: Tab, saved: Path, browser: Any, viewport: dict[str, int], scheme: str
) -> None:
    tab = Tab(browser, saved.as_uri(), viewport, scheme)
    assert tab.page.locator("#count").inner_text() == "4 of 8 done, 4 failed"
    assert tab.page.locator("#failure-list").inner_text() == watched.page.locator("#failure-list").inner_text()
    assert tab.requests == [saved.as_uri()]
    assert tab.overflow <= 0
    ticks = tab.page.locator(".axis span:visible").evaluate_all("all => all.map(it => it.getBoundingClientRect())")
    assert len(ticks) >= 2
    assert all(one["right"] <= other["left"] for one, other in pairwise(ticks))
    assert tab.serious() == []
    assert tab.faults == []
    tab.shoot(f"report-{viewport['width']}")


def test_the_slider_shows_an_earlier_moment(watched: Tab, saved: Path, browser: Any) -> None:
    page = Tab(browser, saved.as_uri(), DESKTOP).page
    slider = page.get_by_label("Time")
    slider.focus()
    page.keyboard.press("Home")
    page.locator("#count", has_text="0 of 8 done").wait_for()
    assert page.locator("#failures").is_hidden()
    assert page.locator("#log-list li").count() == 1
    assert slider.get_attribute("aria-valuetext").startswith(f"{float(slider.get_attribute('min')):.1f} of ")
    page.keyboard.press("End")
    page.locator("#count", has_text="4 of 8 done, 4 failed").wait_for()


def test_without_scripts_the_report_shows_its_timeline(watched: Tab, saved: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(saved.as_uri())
    assert page.locator("#live").is_hidden()
    assert page.locator("tr.machine").count() == 8


def test_a_bulk_run_shows_every_app_and_those_that_failed_first(browser: Any) -> None:
    run = Bulk()
    with run as url:
        tab = Tab(browser, url, DESKTOP)
        run.held.may_begin.set()
        page, rows = tab.page, tab.page.locator("#app-list li")
        page.locator("#app-list li", has_text="in progress").wait_for()
        assert rows.count() == 3
        page.locator("#failure-list > li", has_text="shop-1").wait_for()
        late = Tab(browser, url, PHONE, "dark")
        late.page.locator("#app-list li").first.wait_for()
        run.held.may_end.set()
        for each in (tab, late):
            each.page.get_by_text("the command has ended").wait_for(timeout=20_000)
            assert each.page.locator("#count").inner_text() == "2 of 3 apps done, 1 failed"
            assert each.page.get_by_text(LOCAL_NOTICE).is_visible()
            failures = each.page.locator("#failure-list").inner_text()
            assert 'lhr has no room (region): "could not find a candidate host" (HTTP 422' in failures
            assert "shop-1 in lhr · request 01" in failures
            assert each.page.locator("#app-list li").first.inner_text().startswith("✕ degraded")
            assert each.page.locator("#map .region path").count() == 5
            label = each.page.locator("#map .region[data-region='lhr']").get_attribute("aria-label")
            assert label == "lhr: 1 of 2 done, 1 failed"
            assert each.overflow <= 0
            assert each.serious() == []
            assert each.faults == []
        page.get_by_label("Filter by name or state").fill("SHOP-2")
        assert rows.count() == 1
        page.get_by_label("Filter by name or state").fill("degraded")
        assert rows.locator("b").all_inner_texts() == ["shop-1"]
        page.close()
        late.page.close()
    assert all(request.startswith(url) for request in [*tab.requests, *late.requests])


def test_a_bulk_run_on_a_cluster_says_what_is_not_visible_and_counts_old_machines(browser: Any) -> None:
    run = {"source": "shops.csv", "launch": "v1", "at_once": 2, "notice": HOSTILE, "apps": ["a", HOSTILE], "kept": []}
    end = {"status": "ok", "seconds": 2, "reasons": [], "where": "", "request_id": None, "ids": []}
    machine = {"name": "v1-iad-1", "asked": "iad", "region": "iad", "result": "running", "done": True, "lost": False}
    ended = {"event": "ended", "ok": True, **end}
    lost = {"ok": False, "status": "failed", "reasons": [HOSTILE], "request_id": "01A"}
    events = [
        {"event": "bulk", **run},
        {**ended, "app": "a", "machines": [machine]},
        {**ended, "app": "a", "machines": [], "regions": {"iad": [1, 1, 0]}},
        {**ended, **lost, "app": HOSTILE, "machines": [], "regions": {"nrt": [2, 0, 2]}},
    ]
    with Served(*events) as url:
        tab = Tab(browser, url, DESKTOP)
        tab.page.locator("#lane-list summary", has_text="0 of 2, 2 failed").wait_for()
        assert tab.page.locator("#count").inner_text() == "1 of 2 apps done, 1 failed"
        assert tab.page.locator("#map .region text").all_text_contents() == ["iad +1", "nrt +2"]
        assert tab.page.locator("#map .region path").count() == 0
        for each in ("#notice", "#failure-list", "#app-list", "#log-list"):
            assert HOSTILE in tab.page.locator(each).inner_text()
        assert tab.page.locator("img").count() == 0
        tab.page.close()
    assert tab.faults == []


HOSTILE = '<img src=x onerror="document.title=1"></li><script>document.title = 2</script>'


def test_no_text_becomes_markup(browser: Any) -> None:
    plan = {"app": HOSTILE, "launch": HOSTILE, "image": HOSTILE, "strategy": HOSTILE, "remarks": [HOSTILE]}
    steps = [{"step": "update", "cause": HOSTILE, "changes": [HOSTILE]}]
    machine = {"stage": 1, "name": HOSTILE, "region": "iad", "machine_id": HOSTILE, "steps": steps}
    stages = [{"stage": 1, "title": HOSTILE, "regions": [{"region": "iad", "width": 1}]}]
    planned = {"event": "planned", "plan": {**plan, "stages": stages, "machines": [machine]}, "last": {}, "watch": {}}
    failed = {
        "event": "progress",
        "name": HOSTILE,
        "asked": "iad",
        "region": "iad",
        "phase": "failed",
        "detail": HOSTILE,
    }
    with Served(planned, failed) as url:
        tab = Tab(browser, url, DESKTOP)
        tab.page.locator("#failure-list li").first.wait_for()
        tab.page.locator("#lane-list summary").first.click()
        tab.page.locator("#plan > summary").click()
        tab.page.locator("#plan-text summary").first.click()
        tab.page.locator("#plan-text code").first.wait_for()
        for each in ("#app", "#failure-list", "#lane-list", "#plan-text", "#log-list"):
            assert HOSTILE in tab.page.locator(each).inner_text()
        assert tab.page.locator("img").count() == 0
        assert tab.page.locator("script").count() == 1
        assert tab.page.title() == f"✕ {HOSTILE}: running"
        tab.page.close()
    assert tab.faults == []


def test_a_watched_app_shows_its_states_and_what_is_wrong(browser: Any) -> None:
    row = {"region": "iad", "state": "started", "serves": True, "trouble": None, "image": "nginx:1"}
    one, other = {**row, "id": "m1", "name": "app-iad-1"}, {**row, "id": "m2", "name": "app-iad-2"}
    crashed = {**one, "serves": False, "trouble": "restarts repeatedly"}
    state = {"event": "status", "app": "web"}
    unread = {"event": "unread", "message": "the state could not be read: 503"}
    states: list[dict[str, Any]] = [
        {**state, "machines": [one, other], "gone": []},
        {**state, "machines": [crashed], "gone": []},
        {**state, "machines": [], "gone": ["m2", "never seen"]},
    ]
    with Served(*states, unread) as url:
        tab = Tab(browser, url, PHONE)
        tab.page.locator("#failure-list li", has_text="restarts repeatedly").wait_for()
        assert tab.page.locator("#count").inner_text() == "0 of 1 serve, 1 failed"
        assert tab.page.locator("#log-list").inner_text().count("gone") == 1
        assert tab.page.locator("#notice").inner_text() == "the state could not be read: 503"
        assert tab.page.locator("#map .region path").count() == 1
        assert tab.overflow <= 0
        assert tab.serious() == []
        tab.page.close()
    assert tab.faults == []
