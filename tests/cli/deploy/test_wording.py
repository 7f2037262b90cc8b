import pytest

from flyasync.cli.deploy.wording import Setting, left, remarks, word
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Result


@pytest.mark.parametrize("remaining", [None, Estimate(least=0.0), Estimate(least=0.0, likely=0.0, most=0.0)])
def test_nothing_is_said_of_time_that_is_unknown_or_over(remaining: Estimate | None) -> None:
    assert left(remaining) == ""


def test_what_is_left_is_said_with_how_much_is_known_of_it() -> None:
    assert left(Estimate(least=70, likely=77, most=90)) == "about 1 min 20 s left"
    assert left(Estimate(least=10, likely=77, most=200)) == "about 1 min 20 s (10 s to 3 min 20 s) left"
    assert left(Estimate(least=12)) == "at least 12 s left"


def test_what_goes_is_retired_if_nobody_wants_it_and_else_destroyed() -> None:
    assert word(Phase.DESTROYED, retires=True) == "retired"
    assert word(Phase.DESTROYED, retires=False) == "destroyed"
    assert word(Phase.SETTLED, retires=False) == "resting"
    assert word(Phase.CORDONED, retires=True) == "cordoned"


def report(
    strategy: str | None, result: Result = Result.FAILED, *, rollback: DeployReport | None = None
) -> DeployReport:
    machine = MachineReport(name="app-iad-1", asked="iad", result=result, region="iad", id="148e")
    return DeployReport(
        app="web",
        launch="v2",
        image="nginx",
        require="all regions",
        needed=1,
        regions=(RegionReport(region="iad", asked=1, machines=(machine,)),),
        seconds=1.0,
        strategy=strategy,
        rollback=rollback,
    )


RESUME = "flyasync deploy --resume deploy.jsonl"


@pytest.mark.parametrize(
    ("told", "setting", "says"),
    [
        (report("rolling", Result.RUNNING), Setting(), ()),
        (
            report(None),
            Setting(),
            ("to destroy what this launch made: flyasync destroy web --launch v2",),
        ),
        (
            report(None),
            Setting(journal="deploy.jsonl"),
            (f"to go on: {RESUME}", "to destroy what this launch made: flyasync destroy web --launch v2"),
        ),
        (
            report("canary"),
            Setting(),
            (
                "to go on: the same command again",
                "to go back to what was there before: flyasync deploy web --undo --launch v2",
            ),
        ),
        (
            report("canary", rollback=report("undo")),
            Setting(journal="deploy.jsonl"),
            (
                f"to go on: the same command again, or {RESUME}",
                f"to go back to what was there before: {RESUME} --undo",
            ),
        ),
        (
            report("canary", rollback=report("undo", Result.RUNNING)),
            Setting(),
            ("once what failed is mended: the same command again",),
        ),
        (
            report("undo"),
            Setting(group="worker"),
            ("to go on: flyasync deploy web --undo --group worker --launch v2",),
        ),
        (report("undo"), Setting(journal="deploy.jsonl"), (f"to go on: {RESUME} --undo",)),
    ],
)
def test_a_report_that_is_not_ok_says_how_to_go_on_and_back(
    told: DeployReport, setting: Setting, says: tuple[str, ...]
) -> None:
    assert remarks(told, setting) == says
