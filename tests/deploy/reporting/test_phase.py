"""Phases: each says whether it has a duration, whether it is the last, and how it is drawn; texts never decide that."""

import pickle
from typing import get_args

import pytest

from flyasync import Phase
from flyasync.deploy.plan.plan import AwaitOthersStopped, DeleteVolume, Start, Step, TakeVolume, Unmark
from flyasync.deploy.reporting.phase import STEP_PHASES
from flyasync.deploy.reporting.styles import Look
from flyasync.models.json.codec import structure, unstructure

LASTING = {
    *(
        Phase.QUEUED,
        Phase.CREATING,
        Phase.MOVING,
        Phase.UPDATING,
        Phase.REPLACING,
        Phase.HEDGING,
        Phase.STARTING,
        Phase.CHECKING,
    ),
    *(Phase.WATCHING, Phase.VERIFYING, Phase.RUNNING, Phase.STOPPING),
}


def test_what_is_under_way_has_a_duration() -> None:
    assert {phase for phase in Phase if phase.lasts} == LASTING


def test_from_three_phases_a_machine_goes_no_further() -> None:
    assert {phase for phase in Phase if phase.is_over} == {Phase.SKIPPED, Phase.FAILED, Phase.DESTROYED}


@pytest.mark.parametrize(
    ("phase", "look"),
    [
        (Phase.QUEUED, Look.WAITING),
        (Phase.CREATING, Look.MAKING),
        (Phase.UPDATING, Look.CHANGING),
        (Phase.STARTING, Look.STARTING),
        (Phase.WATCHING, Look.CHECKING),
        (Phase.HEALTHY, Look.GOOD),
        (Phase.FAILED, Look.BAD),
        (Phase.DESTROYED, Look.GONE),
    ],
)
def test_a_phase_has_a_look(phase: Phase, look: Look) -> None:
    assert phase.look is look


def test_phases_come_in_the_order_of_a_machine_s_way() -> None:
    way = [Phase.CREATING, Phase.CREATED, Phase.STARTING, Phase.STARTED, Phase.CHECKING, Phase.HEALTHY, Phase.WATCHING]
    assert [phase for phase in Phase if phase in way] == way
    assert [phase for phase in Phase if phase.is_over] == list(Phase)[-3:]


@pytest.mark.parametrize("phase", Phase)
def test_a_phase_is_its_word_and_comes_back_from_it(phase: Phase) -> None:
    assert phase == phase.name.lower()
    assert Phase(str(phase)) is pickle.loads(pickle.dumps(phase)) is phase
    assert structure(unstructure(phase), Phase) is phase


def test_every_step_that_takes_a_machine_anywhere_has_phases() -> None:
    steps = set(get_args(Step))
    assert steps - STEP_PHASES.keys() == {TakeVolume, DeleteVolume, Start, AwaitOthersStopped, Unmark}
