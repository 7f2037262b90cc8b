"""How far a run is, and what its failures come to."""

import pytest
from attrs import evolve

from flyasync.cli.bulk.results import AppNames, AppResult, BulkProgress, main_reason
from flyasync.cli.bulk.summary import (
    MOST_REASONS,
    BulkInvocation,
    BulkSummary,
    cause_rows,
    headline,
    progress_text,
    remarks,
    time_left,
)
from flyasync.deploy.plan.placement import Refusal
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Failure, Result
from flyasync.errors import InvalidInput, Scope

RUN = BulkInvocation(source="shops.csv", launch="v7")


def report(
    app: str, *machines: MachineReport, unseen: Failure | None = None, surplus: tuple[str, ...] = ()
) -> DeployReport:
    regions = tuple(
        RegionReport(region=code, asked=1, machines=tuple(each for each in machines if each.asked == code))
        for code in dict.fromkeys(each.asked for each in machines)
    )
    return DeployReport(
        app=app,
        launch="v7",
        image="nginx",
        require="all regions",
        needed=max(1, len(regions)),
        regions=regions,
        seconds=2.5,
        unseen=unseen,
        surplus=surplus,
    )


def machine(region: str, why: str | None = None, result: Result = Result.FAILED, number: int = 1) -> MachineReport:
    failure = Failure(kind="Refused", message=why) if why else None
    return MachineReport(name=f"v7-{region}-{number}", asked=region, result=result, failure=failure)


def test_a_reason_is_in_the_terms_of_the_command() -> None:
    error = InvalidInput("app-iad-1 has no checks", python="use with_check(…)", command="use --check PATH")
    failure = Failure.of(error)
    lone = evolve(machine("iad"), failure=failure)
    assert AppResult.of(report("a", lone)).why == "app-iad-1 has no checks: use --check PATH"
    assert AppResult.of(report("a", unseen=failure)).why == "app-iad-1 has no checks: use --check PATH"
    assert str(failure) == "app-iad-1 has no checks: use with_check(…)"
    assert DeployReport.from_dict(report("a", lone).to_dict()) == report("a", lone)


def failed(app: str, why: str) -> AppResult:
    return AppResult.of(report(app, machine("iad", why)))


def test_an_app_that_is_well_needs_no_reason() -> None:
    result = AppResult.of(report("web", machine("iad", result=Result.RUNNING)))
    assert (result.ok, result.complete, result.why) == (True, True, None)


def test_the_reason_is_the_one_that_most_machines_give() -> None:
    said = report(
        "web",
        machine("iad", "machine 1857156b526dd8 of web is failed"),
        machine("lhr", "it is gone"),
        machine("nrt", "machine 9080e514b67d28 of web is failed"),
        machine("ams", result=Result.RUNNING),
    )
    assert main_reason(said) == "machine 1857156b526dd8 of web is failed"


def test_a_region_without_room_is_a_reason() -> None:
    refusal = Refusal(region="lhr", scope=Scope.REGION, status=422, code="x", message="full", request_id="01K")
    full = MachineReport(name="v7-lhr-1", asked="lhr", result=Result.SKIPPED, refusals=(refusal,))
    assert main_reason(report("web", full)) == 'lhr has no room (region): "full" (HTTP 422 x, request 01K)'


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (report("web", unseen=Failure(kind="NotFound", message="app not\nfound")), "app not found"),
        (report("web", machine("iad", result=Result.RUNNING), surplus=("m1",)), "too many machines: m1 have"),
        (report("web", machine("iad", result=Result.NOT_BEGUN)), "1 not begun, 0 of 1 regions complete"),
    ],
)
def test_there_is_always_a_reason(said: DeployReport, why: str) -> None:
    assert main_reason(said).startswith(why)


def test_failures_of_one_cause_are_one_row_whatever_the_app_the_machine_and_the_request() -> None:
    progress = BulkProgress(total=5, at_once=1)
    for number in range(4):
        progress.record(
            failed(
                f"shop-{number}",
                f"machine 1857156b526dd{number} of shop-{number} is failed after 1{number}.5 s "
                f"(HTTP 422, request 01K{number}-iad). See registry.fly.io/shop-{number}:v1",
            )
        )
    progress.record(failed("shop-4", "machines.list shop-4: app not found (HTTP 404, request 01K-iad)"))
    assert cause_rows(progress.causes) == [
        (
            "4",
            "machine ID of APP is failed after 13.5 s (HTTP 422). See registry.fly.io/APP:v1",
            "shop-0, shop-1, shop-2 and 1 more",
        ),
        ("1", "machines.list shop-4: app not found (HTTP 404)", "shop-4"),
    ]


def test_the_status_tells_causes_apart() -> None:
    progress = BulkProgress(total=2, at_once=1)
    progress.record(failed("a", "no (HTTP 404)"))
    progress.record(failed("b", "no (HTTP 500)"))
    assert len(progress.causes) == 2


def test_causes_beyond_the_first_ones_are_counted() -> None:
    progress = BulkProgress(total=99, at_once=1)
    for number in range(MOST_REASONS + 3):
        progress.record(failed("web", "because of " + "x" * (number + 1)))
    told = cause_rows(progress.causes)
    assert len(told) == MOST_REASONS + 1
    assert told[-1] == ("3", "3 other causes", "")


def test_the_time_left_is_known_once_as_many_apps_have_ended_as_are_under_way_at_once() -> None:
    progress = BulkProgress(total=40, at_once=4, kept=10)
    assert progress.left == 30
    assert time_left(progress, 1.0) == "time left unknown"
    for number in range(6):
        assert (progress.seconds_left(12.0) is None) == (number < 4)
        progress.begin()
        progress.record(AppResult.of(report(f"shop-{number}", machine("iad", result=Result.RUNNING))))
    assert progress.seconds_left(12.0) == pytest.approx(24 / (6 / 12))
    assert (
        progress_text(progress, 12.0)
        == "6 of 30 apps done, 0 failed, 24 left, 0 in progress, 0.5 apps/s, about 50 s left"
    )


def test_a_remark_of_many_apps_is_one_line_and_one_with_other_numbers_another() -> None:
    progress = BulkProgress(total=MOST_REASONS + 3, at_once=1)
    for number, count in enumerate((1, 2, 2)):
        told = report(f"shop-{number}", machine("iad", result=Result.RUNNING))
        left = (f"lhr has {count}, see shop-{number}", "nrt stays")
        progress.record(AppResult.of(evolve(told, remarks=left[: 1 + number % 2])))
    assert [(each.text, str(each.apps)) for each in progress.remarks] == [
        ("lhr has 2, see APP", "shop-1, shop-2"),
        ("lhr has 1, see shop-0", "shop-0"),
        ("nrt stays", "shop-1"),
    ]
    for number in range(MOST_REASONS):
        progress.record(AppResult.of(evolve(report("web", machine("iad", "no")), remarks=(f"{number} stay",))))
    end = BulkSummary(
        called=RUN, progress=progress, seconds=3.0, is_cut=False, renamed=AppNames(), abandoned=AppNames()
    )
    first, *_, more, _ = remarks(end)
    assert first == "2 apps (shop-1, shop-2): lhr has 2, see APP"
    assert more == "and 3 other remarks; --json shows all"


def test_the_end_says_how_to_go_on() -> None:
    progress = BulkProgress(total=3, at_once=2, begun=2, done=1)
    cut = BulkSummary(called=RUN, progress=progress, seconds=3.0, is_cut=True, renamed=AppNames(), abandoned=AppNames())
    assert headline(cut) == "shops.csv: interrupted: 1 of 3 apps done, 0 failed, 2 left, 3.0 s (launch v7)"
    assert list(remarks(cut)) == [
        "in progress when the run was interrupted: 1 app; their machines keep running",
        "to continue: the same command with --launch v7, which creates only the machines that are missing",
    ]
