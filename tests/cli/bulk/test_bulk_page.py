"""`flyasync bulk --web`: every app of the file with its state, those that failed with the words of the API."""

from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.bulk.bulk_page import BulkPage
from flyasync.cli.bulk.results import AppResult, BulkProgress
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Result
from flyasync.web.event_feed import EventFeed
from flyasync.web.limit_queues import machine_in_app
from tests.cli.bulk.driver import bulk_job, names, street, table
from tests.cli.driver import account
from tests.web.driver import everything

Json = dict[str, Any]


def result(app: str, *machines: Result) -> AppResult:
    rows = tuple(
        MachineReport(name=f"v1-iad-{n}", asked="iad", result=each, id=f"{n}") for n, each in enumerate(machines)
    )
    region = RegionReport(region="iad", asked=len(rows), machines=rows)
    return AppResult.of(
        DeployReport(
            app=app, launch="v1", image="nginx", require="all regions", needed=1, regions=(region,), seconds=2.0
        )
    )


def test_the_page_is_announced_and_the_run_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with street(monkeypatch, tmp_path, 2) as shops:
        run = shops.bulk(table(2), "--web", "--no-open", "--launch", "v1")
        assert run.exit_code == 0, run.output
        assert shops.machines() == {name: ["nginx in iad"] for name in names(2)}
    assert "flyasync: live page: http://127.0.0.1:" in run.stderr
    assert "live page" not in run.stdout


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--no-open",), "--no-open needs --web"),
        (("--web", "--dry-run"), "--web shows a run while it lasts"),
        (("--web=70000",), "0<=x<=65535"),
    ],
)
def test_a_wrong_combination_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, words: tuple[str, ...], advice: str
) -> None:
    with street(monkeypatch, tmp_path, 1) as shops:
        run = shops.bulk(table(1), *words)
        assert (run.exit_code, shops.changes()) == (2, 1)  # the app itself
    assert advice in run.stderr


async def test_each_app_is_shown_with_its_machines_and_its_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    async with account(monkeypatch, apps=names(2), capacity={"lhr": 0}), FlyClient() as fly:
        feed = EventFeed(machine_in_app)
        progress = BulkProgress(2, at_once=2)
        page = BulkPage(feed, None, progress)
        page.begin(bulk_job(table(2)).called("v1"), names(2), ["shop-1"])
        builder = DeployBuilder("shop-1").to_regions("iad", "lhr").with_image("nginx").with_launch("v1")
        report = await page.observed("shop-1", builder).execute(fly)
        progress.record(AppResult.of(report))
        page.show(AppResult.of(report))
    run, begun, expected, *events, ended = await everything(feed)
    assert (run["event"], run["apps"], run["kept"], run["notice"]) == ("bulk", ["shop-0", "shop-1"], ["shop-0"], None)
    assert (begun["event"], begun["app"]) == ("begun", "shop-1")
    assert [each["name"] for each in expected["machines"]] == ["v1-iad-1", "v1-lhr-1"]
    assert {each["app"] for each in events if each["event"] == "progress"} == {"shop-1"}
    assert events[-1]["at"] >= begun["at"]
    assert (ended["event"], ended["ok"], ended["where"]) == ("ended", False, "lhr")
    assert 'lhr has no room (region): "could not find a candidate host"' in ended["reasons"][0]
    assert ended["request_id"].startswith("01")
    assert {each["asked"]: each["lost"] for each in ended["machines"]} == {"iad": False, "lhr": True}


async def test_what_runs_on_a_cluster_is_shown_by_its_reports_and_the_page_says_so() -> None:
    feed = EventFeed(machine_in_app)
    page = BulkPage(feed, "tcp://10.0.0.5:8786", BulkProgress(1, at_once=1))
    page.begin(bulk_job(table(1)).called("v1"), names(1), names(1))
    builder = DeployBuilder("shop-0").to_regions("iad").with_image("nginx")
    assert page.observed("shop-0", builder).observers == ()  # a builder with observers cannot be sent
    page.show(result("shop-0", Result.RUNNING))
    run, _, ended = await everything(feed)
    assert (
        "on the workers of tcp://10.0.0.5:8786, whose events, requests and rate limits are not visible" in run["notice"]
    )
    assert [(each["name"], each["done"]) for each in ended["machines"]] == [("v1-iad-0", True)]


async def test_the_machines_of_apps_that_ended_long_ago_are_counted() -> None:
    feed = EventFeed(machine_in_app)
    page = BulkPage(feed, None, BulkProgress(300, at_once=1))
    first = result("shop-0", Result.RUNNING, Result.FAILED)
    for one in (first, *(result(name, Result.RUNNING) for name in names(300)[1:])):
        page.observed(one.app, DeployBuilder(one.app).to_regions("iad").with_image("nginx"))
        page.show(one)
    events = await everything(feed)
    folded = [event for event in events if "regions" in event]
    assert [(event["app"], event["regions"], event["machines"]) for event in folded] == [
        ("shop-0", {"iad": [2, 1, 1]}, [])
    ]
    assert folded[0]["at"] <= folded[0]["seconds"]
    assert {event["app"] for event in events} == {*names(300)}
    assert len(events) == 2 * 300 - 1
