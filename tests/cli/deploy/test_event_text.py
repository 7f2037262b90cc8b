import pytest
from attrs import evolve

from flyasync import MachineConfig
from flyasync.cli.deploy.event_text import event_text, phase_text, plan_headline, region_text, time_left
from flyasync.cli.deploy.plan_progress import PlanProgress
from flyasync.deploy.plan.duration import Estimate
from flyasync.deploy.plan.plan import Adopt, Create, Lane, Plan, Stage, Target, Track
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.events import Progress
from flyasync.deploy.reporting.phase import Phase


@pytest.mark.parametrize("remaining", [None, Estimate(least=0.0), Estimate(least=0.0, likely=0.0, most=0.0)])
def test_nothing_is_said_of_time_that_is_unknown_or_over(remaining: Estimate | None) -> None:
    assert time_left(remaining) == ""


def test_what_is_left_is_said_with_how_much_is_known_of_it() -> None:
    assert time_left(Estimate(least=70, likely=77, most=90)) == "about 1 min 20 s left"
    assert time_left(Estimate(least=10, likely=77, most=200)) == "about 1 min 20 s (10 s to 3 min 20 s) left"
    assert time_left(Estimate(least=12)) == "at least 12 s left"


def test_what_goes_is_retired_if_nobody_wants_it_and_else_destroyed() -> None:
    assert phase_text(Phase.DESTROYED, is_retired=True) == "retired"
    assert phase_text(Phase.DESTROYED, is_retired=False) == "destroyed"
    assert phase_text(Phase.SETTLED, is_retired=False) == "resting"
    assert phase_text(Phase.CORDONED, is_retired=True) == "cordoned"


def test_an_event_tells_its_region_its_machine_and_why_on_one_line() -> None:
    event = Progress(
        at=1.0, name="new", asked="iad", region="lhr", phase=Phase.MOVING, machine_id="148e", detail="no\n  room"
    )
    assert region_text(event, " -> ") == "iad -> lhr"
    assert region_text(evolve(event, region="iad"), " -> ") == "iad"
    progress = PlanProgress(Plan(app="web", launch="v1", image="nginx", fallback="skip", stages=()))
    assert event_text(event, progress) == "moving 148e: no room"
    assert event_text(evolve(event, machine_id=None, detail=None), progress) == "moving"
    queued = evolve(event, machine_id=None, phase=Phase.QUEUED, detail="behind the create limit (12 s)")
    assert event_text(queued, progress) == "queued behind the create limit (12 s)"


def test_the_headline_of_a_launch_tells_what_it_creates_and_where() -> None:
    machine = DesiredMachine(name="v1-iad-1", region="iad", number=1)
    create = Track(machine=machine, steps=(Create(cause="none there", config=MachineConfig(image="nginx")),))
    adopt = Track(machine=machine, steps=(Adopt(machine_id="1", cause="it is there"),))
    lanes = (Lane(region="iad", tracks=(create, create)), Lane(region="lhr", tracks=(adopt,)))
    plan = Plan(app="web", launch="v1", image="nginx", fallback="skip", stages=(Stage(lanes=lanes),))
    assert plan_headline(plan) == "web: launch v1, create 2 of nginx, adopt 1 in iad, lhr"
    release = Lane(region="fra", tracks=(evolve(create, target=Target.END),))
    released = evolve(plan, stages=(Stage(lanes=(release,)), *plan.stages))
    text = "web: launch v1, run the release command, create 2 of nginx, adopt 1 in iad, lhr"
    assert plan_headline(released) == text
    only = evolve(plan, stages=(Stage(lanes=lanes[:1]),))
    assert plan_headline(only) == "web: launch v1, create 2 of nginx in iad"
