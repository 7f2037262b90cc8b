import pytest

from flyasync.cli.deploy.event_text import phase_text, time_left
from flyasync.deploy.plan.duration import Estimate
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
