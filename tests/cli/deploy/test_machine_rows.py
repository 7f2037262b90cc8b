import pytest
from attrs import evolve

from flyasync import MachineConfig
from flyasync.cli.deploy.machine_rows import MachineRows, phase_counts
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import (
    Adopt,
    AwaitHealthy,
    AwaitStarted,
    Create,
    Destroy,
    Lane,
    Plan,
    Stage,
    Step,
    Target,
    Track,
    Watch,
)
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.events import Planned, Progress
from flyasync.deploy.reporting.phase import Phase

CREATE = Create(cause="none there", config=MachineConfig(image="nginx"))
STARTED = AwaitStarted(cause="timeout 300 s")
HEALTHY = AwaitHealthy(cause="it has checks")


def rows(
    *steps: Step, target: Target = Target.SERVE, strategy: str | None = None, name: str = "v1-iad-1"
) -> MachineRows:
    track = Track(machine=DesiredMachine(name=name, region="iad", number=1), steps=steps, target=target)
    plan = Plan(
        app="web",
        launch="v1",
        image="nginx",
        fallback="skip",
        stages=(Stage(lanes=(Lane(region="iad", tracks=(track,)),)),),
        strategy=strategy,
    )
    return MachineRows.of(Planned(at=0.0, plan=plan))


def progress(phase: Phase, at: float, detail: str | None = None) -> Progress:
    return Progress(at=at, name="v1-iad-1", asked="iad", region="iad", phase=phase, detail=detail)


@pytest.mark.parametrize(
    ("steps", "ready_at"),
    [
        ((CREATE,), Phase.CREATED),
        ((Adopt(machine_id="1", cause="it is there"),), Phase.ADOPTED),
        ((CREATE, STARTED), Phase.STARTED),
        ((CREATE, STARTED, HEALTHY), Phase.HEALTHY),
    ],
)
def test_a_machine_is_ready_where_its_steps_end(steps: tuple[Step, ...], ready_at: Phase) -> None:
    told = rows(*steps)
    for phase in (Phase.CREATED, Phase.ADOPTED, Phase.STARTED, Phase.HEALTHY):
        told.record(progress(phase, 1.0))
        assert told.by_name["v1-iad-1"].is_ready(1.0) is (phase is ready_at)


@pytest.mark.parametrize(
    ("name", "label"), [("v1-iad-1", "iad-1"), ("app-iad-1", "app-iad-1"), ("autumn-sun-42", "iad autumn-sun-42")]
)
def test_a_row_names_its_region(name: str, label: str) -> None:
    assert [row.label for row in rows(CREATE, name=name).by_name.values()] == [label]


def test_its_seconds_run_from_its_first_event_until_it_is_over() -> None:
    told = rows(CREATE, STARTED)
    row = told.by_name["v1-iad-1"]
    assert row.seconds(9.0) == 0.0
    told.record(progress(Phase.CREATING, 1.0))
    assert row.seconds(3.5) == 2.5
    told.record(progress(Phase.STARTED, 4.0))
    assert row.seconds(9.0) == 3.0


def test_a_reason_stays_and_is_one_line() -> None:
    told = rows(CREATE, STARTED)
    told.record(progress(Phase.MOVING, 1.0, "no\n room"))
    told.record(progress(Phase.STARTING, 2.0))
    assert told.by_name["v1-iad-1"].why == "no room"


def test_a_summary_counts_by_phase() -> None:
    told = rows(CREATE)
    assert phase_counts(told.by_name.values(), 1.0) == "1 waiting"
    told.record(progress(Phase.FAILED, 1.0))
    assert phase_counts(told.by_name.values(), 1.0) == "1 failed"


def test_a_machine_that_has_to_stay_up_is_ready_once_it_has() -> None:
    told = rows(CREATE, STARTED, Watch(cause="no checks", seconds=10.0), Watch(cause="a canary", seconds=60.0))
    row = told.by_name["v1-iad-1"]
    for at, phase in ((1.0, Phase.CREATED), (2.0, Phase.STARTED), (3.0, Phase.WATCHING), (13.5, Phase.WATCHING)):
        told.record(progress(phase, at))
    assert not row.is_ready(73.0)
    assert row.text(73.0) == "watching"
    assert row.is_ready(73.5)
    assert row.text(73.5) == "steady"
    assert row.seconds(99.0) == 72.5
    told.record(progress(Phase.FAILED, 70.0))
    assert row.is_lost
    assert not row.is_ready(99.0)


def test_a_machine_that_is_to_go_is_ready_when_it_is_gone() -> None:
    told = rows(Destroy(cause="not wanted"), target=Target.GO, strategy="rolling")
    row = told.by_name["v1-iad-1"]
    told.record(progress(Phase.STOPPING, 1.0))
    assert not row.is_ready(1.0)
    told.record(progress(Phase.DESTROYED, 2.0))
    assert (row.is_ready(2.0), row.is_lost, row.text(2.0)) == (True, False, "retired")


def test_a_machine_that_was_made_in_vain_is_lost() -> None:
    told = rows(CREATE, STARTED)
    told.record(progress(Phase.DESTROYED, 2.0))
    assert told.by_name["v1-iad-1"].is_lost


def test_the_time_left_runs_down_between_the_events() -> None:
    told = rows(CREATE, STARTED)
    assert told.remaining(5.0) is None
    told.record(evolve(progress(Phase.CREATING, 1.0), remaining=Estimate(least=3.0, likely=20.0, most=30.0)))
    told.record(progress(Phase.CREATED, 2.0))
    assert told.remaining(5.0) == Estimate(least=0.0, likely=16.0, most=26.0)


def test_what_moves_or_is_lost_stays_to_be_seen_among_hundreds() -> None:
    tracks = tuple(
        Track(machine=DesiredMachine(name=f"app-iad-{n}", region="iad", number=n), steps=(CREATE, STARTED))
        for n in range(300)
    )
    stage = Stage(lanes=(Lane(region="iad", tracks=tracks),))
    told = MachineRows.of(
        Planned(at=0.0, plan=Plan(app="web", launch="v1", image="nginx", fallback="skip", stages=(stage,)))
    )
    for number in range(290):
        phase = Phase.FAILED if number == 7 else Phase.CREATING if number == 280 else Phase.STARTED
        told.record(evolve(progress(phase, 1.0), name=f"app-iad-{number}"))
    shown, hidden = told.fit(5, 1.0)
    assert [row.label for row in shown] == ["app-iad-7", "app-iad-280", "app-iad-290", "app-iad-291"]
    assert phase_counts(hidden, 1.0) == "288 started, 8 waiting"


def test_an_event_of_a_machine_that_is_not_in_the_plan_is_no_row() -> None:
    told = rows(CREATE)
    told.record(evolve(progress(Phase.CREATED, 1.0), name="stranger"))
    assert list(told.by_name) == ["v1-iad-1"]
