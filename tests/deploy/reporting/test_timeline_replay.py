"""The recording in a report's page: its events, its script and the policy that allows it, and no harm from any text."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from attrs import evolve

from flyasync.deploy.reporting.page_assets import MODULES, STYLES, asset, positions_of, whole_script
from flyasync.deploy.reporting.page_events import page_event, recorded_events
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.result import Failure, Result
from flyasync.emulator.core.regions import REGIONS
from flyasync.models.region import Region
from tests.deploy.reporting.test_html import Read, full, machine, moments, region, report
from tests.web.driver import planned, progress

DATA = re.compile(r'<script type="application/json" id="recording">(.*?)</script>', re.DOTALL)
SCRIPT = re.compile(r'<script type="module">(.*?)</script>', re.DOTALL)


def data(page: str) -> dict[str, Any]:
    (found,) = DATA.findall(page)
    read: dict[str, Any] = json.loads(found)
    return read


def test_all_files_together_are_under_sixty_kilobytes() -> None:
    names = {*MODULES, *STYLES, "live.html", "report.css", "regions.json"}
    assert sum(len(asset(name).encode()) for name in names) < 60_000


def test_the_script_is_the_only_one_and_the_policy_names_it() -> None:
    page = report().to_html()
    (script,) = SCRIPT.findall(page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'" in page
    assert page.count("<script") == 2
    assert not re.search(r"src=|@import|url\(|<link", page.replace(script, ""))


def test_the_modules_are_one_script_without_imports() -> None:
    script = whole_script()
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:class|function|const) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_those_before_it_and_writes_no_markup(name: str) -> None:
    text = asset(name)
    earlier = MODULES[: MODULES.index(name)]
    assert set(re.findall(r"from '\./([\w.]+)'", text)) <= set(earlier)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)


def test_the_positions_are_those_that_the_platform_lists() -> None:
    listed = {each.code: (each.latitude, each.longitude) for each in REGIONS}
    known = positions_of(())
    assert known.keys() == listed.keys()
    assert all(known[code] == pytest.approx(listed[code], abs=0.01) for code in known)


def test_given_regions_are_on_the_map() -> None:
    page = report().to_html(regions=[Region(code="xyz", latitude=1.0, longitude=2.0), Region(code="iad")])
    assert data(page)["positions"]["xyz"] == [1.0, 2.0]
    assert data(page)["positions"]["iad"] == list(positions_of(())["iad"])


def test_a_notice_is_shown_first_and_as_text() -> None:
    assert "<main><p>&lt;b&gt;only&lt;/b&gt; a rehearsal</p><div" in report().to_html(notice="<b>only</b> a rehearsal")
    assert "<main><div" in report().to_html()


def test_a_report_alone_has_the_phases_of_each_machine_in_order() -> None:
    two = report(
        region("iad", machine()), region("lhr", machine("v1-lhr-1", "lhr", moments=moments((2.0, "creating"))))
    )
    first, *events, last = recorded_events(two)
    assert first["event"] == "planned"
    assert [each["name"] for each in first["plan"]["machines"]] == ["v1-iad-1", "v1-lhr-1"]
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    assert len(events) == 6
    assert (last["event"], last["status"]) == ("finished", "ok")


def test_a_failure_has_the_wording_of_the_api_and_the_request_id() -> None:
    failure = Failure(kind="NoCapacity", message="could not find a host", status=422, request_id="01ABC")
    failed = report(region("iad", machine(result=Result.FAILED, failure=failure)))
    (row,) = recorded_events(failed)[-1]["machines"]
    assert (row["reasons"], row["request_id"]) == (["could not find a host"], "01ABC")


def test_a_watch_lasts_until_the_machine_is_ready() -> None:
    canary = machine(moments=moments((0, "creating"), (2, "watching")), ready_after=6.0)
    first, *_ = recorded_events(report(region("iad", canary)))
    assert (first["last"], first["watch"]) == ({}, {"v1-iad-1": 4.0})


def test_a_rollback_is_a_second_plan() -> None:
    back = report(region("iad", machine("v0-iad-1", moments=moments((12.0, "updating"), (13.0, "updated")))))
    events = recorded_events(report(rollback=back, needed=2))
    plans = [(event["at"], event["plan"]["machines"][0]["name"]) for event in events if event["event"] == "planned"]
    assert plans == [(0.0, "v1-iad-1"), (12.0, "v0-iad-1")]
    assert events[-1]["rollback"][0]["name"] == "v0-iad-1"


def test_observed_events_add_the_plan_with_its_causes() -> None:
    page = report().to_html([planned("iad"), progress("iad", Phase.FAILED, detail="<b>no room</b>")])
    first, second = data(page)["events"]
    assert first["plan"]["machines"][0]["steps"][0]["cause"] == "it is missing"
    assert second["detail"] == "<b>no room</b>"
    assert "hunter2" not in page


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", "a\u2028b & <i>", "\x1b[31mred \udfff"])
def test_no_text_leaves_the_data(text: str) -> None:
    page = full(text).to_html()
    page.encode()
    assert page.count("<script") == page.count("</script>") == 2
    (found,) = DATA.findall(page)
    assert "<" not in found
    assert data(page)["events"]


def test_without_scripts_the_timeline_is_there() -> None:
    page = report().to_html()
    assert '<div id="live" hidden>' in page
    read = Read(DATA.sub("", SCRIPT.sub("", page)).replace(asset("live.html"), ""))
    assert len(read.rows) == 1


def test_a_notebook_shows_the_page_in_a_frame_without_scripts() -> None:
    shown = evolve(report(), app="<web>")._repr_html_()
    assert shown.startswith("<iframe ")
    assert shown.endswith("></iframe>")
    assert "allow-scripts" not in shown
    assert shown.count("<") == 2


def test_the_words_of_an_event_are_those_of_the_json() -> None:
    event = page_event(progress("iad", Phase.CREATED, machine_id="m1"))
    assert event == {
        "event": "progress", "at": 1.0, "name": "v1-iad-1", "asked": "iad", "region": "iad", "phase": "created",
        "machine_id": "m1",
    }  # fmt: skip
