"""The console in Chromium: a button injects a fault, shows how to do the same elsewhere, and has its effect."""

import json
import os
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from flyasync.emulator import Emulator
from flyasync.testing import EmulatorThread

pytestmark = pytest.mark.browser


def send(emulator: Emulator, path: str, body: dict[str, Any]) -> int:
    host = emulator.url.removeprefix("http://")
    with closing(HTTPConnection(host, timeout=10)) as connection:
        connection.request("POST", path, json.dumps(body), {"Authorization": "Bearer any"})
        return connection.getresponse().status


def test_the_console_shows_the_world_and_its_buttons_change_it(browser: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    hostile = "<img src=x onerror=alert(1)>"
    machine = {"name": "one", "region": "lhr", "config": {"image": "nginx", "env": {"TEXT": hostile}}}
    faults: list[str] = []
    requests: list[str] = []
    with EmulatorThread(Emulator(boot=(0, 0))) as emulator:
        send(emulator, "/v1/apps", {"name": "web", "org_slug": "personal"})
        assert send(emulator, "/v1/apps/web/machines", machine) == 200
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("console", lambda it: faults.extend([it.text] if it.type in {"error", "warning"} else []))
        page.on("pageerror", lambda it: faults.append(str(it)))
        page.on("request", lambda it: requests.append(it.url))
        page.goto(emulator.url)
        # 1. The world, and a request with its bodies, as text.
        page.locator("#machines td", has_text="started").wait_for()
        page.locator("#requests summary", has_text="POST /v1/apps/web/machines").click()
        page.locator("#requests pre", has_text=hostile).first.wait_for()
        assert page.locator("img").count() == 0
        # 2. A full region refuses the next machine.
        page.get_by_role("button", name="Fill region").click()
        page.locator("#status", has_text="lhr holds 0").wait_for()
        did = page.locator("#did").inner_text()
        assert f'curl {emulator.url}/_emulator/capacity -d \'{{"region":"lhr","machines":0}}\'' in did
        assert 'emulator.set_capacity("lhr", 0)' in did
        assert send(emulator, "/v1/apps/web/machines", {**machine, "name": "two"}) == 422
        page.locator("#requests summary", has_text="422").click()
        page.locator("#requests pre", has_text="could not find a candidate host").wait_for()
        # 3. The opened requests stay open, and the page fits a phone.
        assert page.locator("#requests details[open]").count() == 2
        page.get_by_role("button", name="Remove host").click()
        page.locator("#machines td", has_text="unreachable").wait_for()
        page.get_by_role("button", name="Return host").click()
        page.locator("#machines td", has_text="started").wait_for()
        page.get_by_role("button", name="Crash machine").click()
        page.locator("#did pre", has_text="emulator.crash(").wait_for()
        assert "Done" in page.locator("#did").inner_text()
        page.get_by_role("button", name="Let lists lag").click()
        page.locator("#faults td", has_text='does="stale" seconds=10').wait_for()
        # 4. A request that ends later is added to those that are shown.
        shown = page.locator("#requests details").count()
        assert send(emulator, "/v1/apps", {"name": "other", "org_slug": "personal"}) == 201
        page.locator("#apps td", has_text="other").wait_for()
        assert page.locator("#requests details").count() == shown + 1
        page.get_by_role("button", name="Lose responses").click()
        page.locator("#faults td", has_text='does="lose_answer"').wait_for()
        did = page.locator("#did").inner_text()
        assert 'from flyasync.emulator import Fault\nemulator.faults.add(Fault(does="lose_answer"' in did
        # 5. Without faults the region is still full, and the page says so.
        page.get_by_role("button", name="Remove all faults").click()
        page.locator("#faults", has_text="no faults").wait_for()
        assert "Region limits and removed hosts stay" in page.locator("#clear").inner_text()
        assert "lhr holds 0" in page.locator("#status").inner_text()
        if folder := os.environ.get("FLYASYNC_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / "console-390.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        # axe-core is injected past the policy of the page, whose trusted types it does not know.
        violations = Axe().run(page).response["violations"]
        assert [each["id"] for each in violations if each["impact"] in {"serious", "critical"}] == []
        page.close()
        assert all(url.startswith(emulator.url) for url in requests if not url.startswith("data:"))
    assert faults == []
