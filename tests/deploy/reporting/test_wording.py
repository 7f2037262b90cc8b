"""Two wordings: events and reports name methods in Python, and options and commands in the command."""

import pickle
import re

from attrs import evolve

from flyasync import DeployBuilder, DeployReport, Event, Failure, Fault, Finished, FlyError, Moment, Phase, Progress
from flyasync.deploy.plan.notes import Remark
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.reporting.events import Planned
from flyasync.deploy.reporting.report import Cause, MachineReport, RegionReport
from flyasync.deploy.reporting.result import Result
from flyasync.deploy.reporting.wording import in_command_terms
from flyasync.errors import LeaseHeld, WaitFailed
from tests.deploy.conftest import world

IN_PYTHON, IN_COMMAND = "fly.machines.events('web'", "flyasync machines events web"
CRASH = Fault(does="crash", image="*shop:2*", seconds=0.1, exit_code=3)
APP = DeployBuilder("web").to_regions("iad").smoke_check(5).rolling().roll_back_on_failure()

FAILURE = Failure.of(WaitFailed("web", "m1", wanted="up", state="failed", reason="it ended", hopeless=True))
MOMENT = Moment(at=1.0, phase=Phase.FAILED, region="iad", detail="fly.x()", for_command="flyasync x")
MACHINE = MachineReport(name="a", asked="iad", result=Result.FAILED, failure=FAILURE, moments=(MOMENT,))
REPORT = DeployReport(
    app="web",
    launch="v1",
    image="shop",
    require="all",
    needed=1,
    regions=(RegionReport(region="iad", asked=1, machines=(MACHINE,), retired=(MACHINE,)),),
    seconds=1.0,
    unseen=FAILURE,
    release=MACHINE,
    others=(MACHINE,),
    closed_by=Cause(name="a", region="iad", failure=FAILURE),
)


def test_every_text_of_a_report_is_converted_wherever_it_is() -> None:
    report = evolve(REPORT, rollback=REPORT)
    before, after = repr(report.to_dict()), repr(in_command_terms(report).to_dict())
    places = 6  # in the region, retired, unseen, release, others, closed_by
    assert (before.count(IN_PYTHON), after.count(IN_PYTHON)) == (2 * places, 0)
    assert after.count(IN_COMMAND) == 2 * places
    assert "for_command" not in after
    assert "fly.x()" not in after
    assert "fly.x()" in before
    assert IN_COMMAND in in_command_terms(report).to_html()
    assert IN_PYTHON not in in_command_terms(report).to_html()


def test_an_event_is_converted() -> None:
    event = Progress(
        at=1.0, name="a", asked="iad", region="iad", phase=Phase.FAILED, detail="fly.x()", for_command="flyasync x"
    )
    assert in_command_terms(event) == evolve(event, detail="flyasync x", for_command=None)
    finished = in_command_terms(Finished(at=1.0, report=REPORT))
    assert finished == Finished(at=1.0, report=in_command_terms(REPORT))


def test_what_has_one_wording_stays_the_same_object() -> None:
    report = DeployReport(app="web", launch="v1", image="shop", require="all", needed=1, regions=(), seconds=1.0)
    plain = Failure.of(FlyError("the create was refused"))
    event = Progress(at=1.0, name="a", asked="iad", region="iad", phase=Phase.MOVING, detail="iad has no room")
    for each in (report, plain, event, evolve(report, unseen=plain)):
        assert in_command_terms(each) is each


def test_no_text_remains_that_needs_a_conversion() -> None:
    held = LeaseHeld("machines.update", "m1", "lease currently held", status=409)
    failure = in_command_terms(Failure.of(held))
    assert failure.message == held.for_command
    assert failure.for_command is None
    assert (failure.kind, failure.status) == ("LeaseHeld", 409)


async def test_a_deploy_has_both_wordings_in_its_events_and_report() -> None:
    events: list[Event] = []
    async with world() as (emulator, fly):
        await APP.with_image("shop:1").execute(fly)
        emulator.faults.add(CRASH)
        report = await APP.with_image("shop:2").with_launch("v2").on_event(events.append).execute(fly)
    assert IN_PYTHON in str(report)
    assert IN_COMMAND not in str(report)
    assert f"stopped after the failure of app-iad-1 in iad: {report.closed_by and report.closed_by.failure}" in str(
        report
    )
    (failed,) = [event for event in events if isinstance(event, Progress) and event.phase is Phase.FAILED]
    assert IN_PYTHON in str(failed.detail)
    assert IN_COMMAND in str(failed.for_command)
    assert IN_COMMAND in str(in_command_terms(failed).detail)
    text = str(in_command_terms(report))
    assert IN_PYTHON not in text
    assert text.count(IN_COMMAND) == str(report).count(IN_PYTHON) == len(re.findall(IN_COMMAND, text))
    plan = next(event for event in events if isinstance(event, Planned))
    assert in_command_terms(plan) == plan


def test_a_remark_of_a_plan_names_methods_in_python_and_options_in_the_command() -> None:
    advice = Remark("1 of registry:p4ss@host/x left unchanged", python="adopt('all')", command="--adopt all")
    plan = Plan(
        app="web", launch="v1", image="nginx", fallback="skip", stages=(), strategy="rolling", remarks=(advice,)
    )
    for same in (plan, pickle.loads(pickle.dumps(plan))):
        assert "adopt('all')" in str(same)
        assert "--adopt" not in str(same)
        converted = in_command_terms(Planned(at=0.0, plan=same)).plan
        assert "--adopt all" in str(converted)
        assert "adopt('all')" not in str(converted)
        assert "p4ss" not in str(same) + str(converted)
