import pytest

from flyasync import MachineConfig
from flyasync.cli.deploy.plan_progress import PlanProgress, last_phase, phases
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.plan import (
    AwaitHealthy,
    AwaitOthersStopped,
    AwaitSettled,
    AwaitStarted,
    Cordon,
    Create,
    DeleteVolume,
    Destroy,
    GiveUp,
    Lane,
    Plan,
    RunToEnd,
    Stage,
    Start,
    Step,
    Stop,
    TakeVolume,
    Target,
    Track,
    Uncordon,
    Unmark,
    Update,
    Watch,
)
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.events import Progress
from flyasync.deploy.reporting.phase import Phase

CREATE = Create(cause="none there", config=MachineConfig(image="nginx"))
HEALTHY = AwaitHealthy(cause="it has checks")
LET_IN = Uncordon(cause="all are ready")
GOING = (Cordon(cause="old"), Stop(cause="old"), Destroy(cause="old"))


def track(name: str, *steps: Step, target: Target = Target.SERVE) -> Track:
    return Track(machine=DesiredMachine(name=name, region="iad", number=1), steps=steps, target=target)


def stage(title: str | None, *tracks: Track, point_of_no_return: bool = False) -> Stage:
    return Stage(title=title, lanes=(Lane(region="iad", tracks=tracks),), point_of_no_return=point_of_no_return)


def plan(*stages: Stage, strategy: str | None = "bluegreen") -> Plan:
    return Plan(app="web", launch="v1", image="nginx", fallback="skip", stages=stages, strategy=strategy)


def bluegreen(strategy: str = "bluegreen") -> Plan:
    return plan(
        stage("make", track("new", CREATE, HEALTHY)),
        stage("let in", track("new", LET_IN), point_of_no_return=True),
        stage("take out", track("old", *GOING, target=Target.GO)),
        strategy=strategy,
    )


def came(name: str, phase: Phase) -> Progress:
    return Progress(at=1.0, name=name, asked="iad", region="iad", phase=phase)


def test_the_events_lead_through_the_stages() -> None:
    stages = PlanProgress(bluegreen())
    told = [
        (name, phase)
        for name, phase in (
            ("new", Phase.CREATING),
            ("new", Phase.HEALTHY),
            ("new", Phase.UNCORDONED),
            ("old", Phase.CORDONED),
            ("old", Phase.DESTROYED),
        )
        if stages.advance(came(name, phase))
    ]
    assert told == [("new", Phase.CREATING), ("new", Phase.UNCORDONED), ("old", Phase.CORDONED)]
    assert stages.heading == "3 of 3: take out"


def test_what_belongs_to_no_stage_begins_none() -> None:
    stages = PlanProgress(bluegreen())
    assert stages.advance(came("new", Phase.FAILED)) is None
    assert stages.advance(came("stranger", Phase.CREATING)) is None
    assert stages.heading == ""
    stages.advance(came("new", Phase.UNCORDONED))
    assert stages.heading == "2 of 3: let in (point of no return)"
    assert stages.advance(came("new", Phase.CREATING)) is None, "no stage comes again"


def test_a_launch_has_no_stage_to_tell_of() -> None:
    stages = PlanProgress(plan(stage(None, track("new", CREATE)), strategy=None))
    assert stages.advance(came("new", Phase.CREATING)) is not None
    assert stages.heading == ""


def test_only_a_deploy_retires_what_goes() -> None:
    assert PlanProgress(bluegreen()).retires("old")
    assert not PlanProgress(bluegreen()).retires("new")
    assert not PlanProgress(bluegreen("undo")).retires("old")


@pytest.mark.parametrize(
    ("steps", "ends_at"),
    [
        ((Update(cause="old"), AwaitStarted(cause="")), Phase.STARTED),
        ((Update(cause="old"), AwaitStarted(cause=""), Watch(cause="", seconds=1)), Phase.WATCHING),
        ((Update(cause="old", launches=False), AwaitSettled(cause="")), Phase.SETTLED),
        ((Update(cause="old"), HEALTHY, LET_IN), Phase.UNCORDONED),
        ((*GOING, DeleteVolume(cause="", volume_id="vol_1")), Phase.DESTROYED),
        ((TakeVolume(cause="", volume=DesiredVolume(name="data", path="/data")), CREATE), Phase.CREATED),
        ((CREATE, RunToEnd(cause="", seconds=1)), Phase.ENDED),
        ((GiveUp(cause="its host is gone"),), Phase.FAILED),
        ((Start(cause="it is stopped"),), Phase.STARTED),
    ],
)
def test_the_last_step_that_tells_of_itself_is_where_a_machine_ends(steps: tuple[Step, ...], ends_at: Phase) -> None:
    assert last_phase(track("it", *steps)) is ends_at


def test_every_step_but_five_has_phases() -> None:
    silent = [kind for kind in Step.__args__ if not phases([kind.__new__(kind)])]
    assert silent == [TakeVolume, Start, AwaitOthersStopped, DeleteVolume, Unmark]
