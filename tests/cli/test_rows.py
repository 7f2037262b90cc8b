import pytest

from flyasync.cli.rows import Rows, summary
from flyasync.deploy.deployment import Wanted
from flyasync.deploy.events import Planned, Progress
from flyasync.deploy.outcome import Phase
from flyasync.deploy.plan import Adopt, AwaitHealthy, AwaitStarted, Create, Lane, Plan, Stage, Step, Track

CREATE = Create(cause="none there")
STARTED = AwaitStarted(cause="at most 300 s")
HEALTHY = AwaitHealthy(cause="it has checks")


def rows(*steps: Step) -> Rows:
    track = Track(machine=Wanted(name="v1-iad-1", region="iad", number=1), steps=steps)
    stage = Stage(lanes=(Lane(region="iad", tracks=(track,)),))
    return Rows.of(Planned(at=0.0, plan=Plan(app="web", launch="v1", image="nginx", fallback="skip", stages=(stage,))))


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
        told.take(progress(phase, 1.0))
        assert told.by_name["v1-iad-1"].is_ready is (phase is ready_at)


def test_its_seconds_run_from_its_first_event_until_it_is_over() -> None:
    told = rows(CREATE, STARTED)
    row = told.by_name["v1-iad-1"]
    assert row.seconds(9.0) == 0.0
    told.take(progress(Phase.CREATING, 1.0))
    assert row.seconds(3.5) == 2.5
    told.take(progress(Phase.STARTED, 4.0))
    assert row.seconds(9.0) == 3.0


def test_a_reason_stays_and_is_one_line() -> None:
    told = rows(CREATE, STARTED)
    told.take(progress(Phase.MOVING, 1.0, "no\n room"))
    told.take(progress(Phase.STARTING, 2.0))
    assert told.by_name["v1-iad-1"].why == "no room"


def test_a_summary_counts_by_phase() -> None:
    told = rows(CREATE)
    assert summary(told.by_name.values()) == "1 waiting"
    told.take(progress(Phase.FAILED, 1.0))
    assert summary(told.by_name.values()) == "1 failed"
