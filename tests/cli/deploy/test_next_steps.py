import pytest
from attrs import evolve

from flyasync.cli.deploy.next_steps import Invocation, next_steps, restated
from flyasync.deploy.builder import DeployBuilder
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


def remaining(strategy: str) -> DeployReport:
    """Return a report whose only deficit is a machine that should be gone."""
    told = report(strategy, Result.RUNNING)
    old = MachineReport(name="app-iad-2", asked="iad", result=Result.FAILED, region="iad", id="149f")
    return evolve(told, regions=(evolve(told.regions[0], retired=(old,)),))


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
        (report("rolling", Result.NOT_BEGUN), Invocation(), ("to continue: the same command again",)),
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
            Invocation(groups=("worker",)),
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
        (
            evolve(report(None, Result.RUNNING), surplus=("m8", "m9")),
            Invocation(),
            ("to destroy the surplus machines: flyasync machines destroy web m8 m9 --force",),
        ),
        (remaining("rolling"), Invocation(), ("to continue: the same command again",)),
        (
            remaining("rolling"),
            Invocation(journal="deploy.jsonl"),
            (f"to continue: the same command again, or {RESUME}",),
        ),
        (
            evolve(report(None), regions=(*report(None, Result.RUNNING).regions, *report(None).regions)),
            Invocation(),
            (
                "to continue: the same command with --launch v2, which keeps what runs and creates what is missing",
                "to accept missing regions: state how many are required, such as --require 1",
            ),
        ),
    ],
)
def test_a_report_that_is_not_ok_says_how_to_go_on_and_back(
    told: DeployReport, called: Invocation, says: tuple[str, ...]
) -> None:
    assert tuple(next_steps(told, called)) == says


def test_what_a_journal_lacks_is_named_without_its_values_and_only_while_it_is_needed() -> None:
    app = DeployBuilder("web").to_regions("iad").with_image("nginx").rolling()
    assert restated(app.deployment()) == ""
    app = app.with_env(API_TOKEN="hunter2").with_metadata({"token": "t0ken"})
    spec = app.with_release_command("migrate --token abcdefgh").verify("curl -H 'Authorization: Bearer x'").deployment()
    release = " --release-command CMD"
    words = f" --env API_TOKEN --metadata token=VALUE{release} --verify CMD"
    assert restated(spec) == words
    called = Invocation(journal="deploy.jsonl", spec=spec)
    assert "hunter2" not in repr(called)
    told = report("rolling")
    assert list(next_steps(told, called)) == [
        f"to continue: the same command again, or {RESUME}{words}",
        f"to restore the previous release: {RESUME} --undo",
    ]
    ended = MachineReport(name="release-app", asked="iad", result=Result.ENDED)
    assert next(next_steps(evolve(told, release=ended), called)).endswith(f"{RESUME}{words.replace(release, '')}")
