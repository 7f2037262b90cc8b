import pytest
from attrs import evolve

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
            ("to destroy the machines of this launch: flyasync destroy web --launch v2",),
        ),
        (
            report(None),
            Invocation(journal="deploy.jsonl"),
            (f"to continue: {RESUME}", "to destroy the machines of this launch: flyasync destroy web --launch v2"),
        ),
        (
            report("canary"),
            Invocation(),
            (
                "to continue: the same command again",
                "to restore the previous release: flyasync deploy web --undo --launch v2",
            ),
        ),
        (
            report("canary", rollback=report("undo")),
            Invocation(journal="deploy.jsonl"),
            (
                f"to continue: the same command again, or {RESUME}",
                f"to restore the previous release: {RESUME} --undo",
            ),
        ),
        (
            report("canary", rollback=report("undo", Result.RUNNING)),
            Invocation(),
            ("once the cause is fixed: the same command again",),
        ),
        (
            report("undo"),
            Invocation(group="worker"),
            ("to continue: flyasync deploy web --undo --group worker --launch v2",),
        ),
        (
            evolve(report("rolling", Result.RUNNING), unverified=("iad",)),
            Invocation(),
            (
                "to verify one stopped machine per region: the same command with --verify-stopped always",
                "to continue: the same command again",
                "to restore the previous release: flyasync deploy web --undo --launch v2",
            ),
        ),
        (report("undo"), Invocation(journal="deploy.jsonl"), (f"to continue: {RESUME} --undo",)),
    ],
)
def test_a_report_that_is_not_ok_says_how_to_go_on_and_back(
    told: DeployReport, called: Invocation, says: tuple[str, ...]
) -> None:
    assert tuple(next_steps(told, called)) == says
