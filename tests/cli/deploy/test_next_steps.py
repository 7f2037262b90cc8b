import pytest

from flyasync.cli.deploy.next_steps import Invocation, next_steps
from flyasync.deploy.reporting.report import DeployReport, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Result


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
    ("told", "called", "says"),
    [
        (report("rolling", Result.RUNNING), Invocation(), ()),
        (
            report(None),
            Invocation(),
            ("to destroy what this launch made: flyasync destroy web --launch v2",),
        ),
        (
            report(None),
            Invocation(journal="deploy.jsonl"),
            (f"to go on: {RESUME}", "to destroy what this launch made: flyasync destroy web --launch v2"),
        ),
        (
            report("canary"),
            Invocation(),
            (
                "to go on: the same command again",
                "to go back to what was there before: flyasync deploy web --undo --launch v2",
            ),
        ),
        (
            report("canary", rollback=report("undo")),
            Invocation(journal="deploy.jsonl"),
            (
                f"to go on: the same command again, or {RESUME}",
                f"to go back to what was there before: {RESUME} --undo",
            ),
        ),
        (
            report("canary", rollback=report("undo", Result.RUNNING)),
            Invocation(),
            ("once what failed is mended: the same command again",),
        ),
        (
            report("undo"),
            Invocation(group="worker"),
            ("to go on: flyasync deploy web --undo --group worker --launch v2",),
        ),
        (report("undo"), Invocation(journal="deploy.jsonl"), (f"to go on: {RESUME} --undo",)),
    ],
)
def test_a_report_that_is_not_ok_says_how_to_go_on_and_back(
    told: DeployReport, called: Invocation, says: tuple[str, ...]
) -> None:
    assert tuple(next_steps(told, called)) == says
