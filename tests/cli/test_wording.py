import pytest

from flyasync.cli.wording import Setting, duration, left, remarks, word
from flyasync.deploy.outcome import Phase
from flyasync.deploy.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.verdict import Result


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.2, "1 s"),
        (19.5, "20 s"),
        (21, "25 s"),
        (59, "1 min"),
        (77.3, "1 min 20 s"),
        (120, "2 min"),
        (3725, "62 min 5 s"),
        (15150, "4 h 13 min"),
    ],
)
def test_a_duration_is_as_fine_as_it_can_be_meant(seconds: float, says: str) -> None:
    assert duration(seconds) == says


@pytest.mark.parametrize("seconds", [None, 0.0, -3.0])
def test_nothing_is_said_of_time_that_is_unknown_or_over(seconds: float | None) -> None:
    assert left(seconds) == ""
    assert left(77) == "about 1 min 20 s left"


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
