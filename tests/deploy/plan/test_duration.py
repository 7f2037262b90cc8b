"""Durations in words, and estimates: a time, a range, or the least there is to know."""

import math

import pytest

from flyasync import Estimate
from flyasync.deploy.plan.duration import duration


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.2, "1 s"),
        (19.5, "20 s"),
        (21, "25 s"),
        (59, "1 min"),
        (77.3, "1 min 20 s"),
        (120, "2 min"),
        (3725, "62 min 5 s"),
        (15150, "4 h 13 min"),
    ],
)
def test_a_duration_is_as_fine_as_it_can_be_meant(seconds: float, says: str) -> None:
    assert duration(seconds) == says


def test_the_least_is_rounded_down() -> None:
    assert duration(19.5, math.floor) == "19 s"
    assert duration(59, math.floor) == "55 s"
    assert str(Estimate(least=59.9, unobserved=("boots",))) == "at least 55 s"


def test_a_range_is_told_where_it_is_wide() -> None:
    assert str(Estimate(least=38, likely=40, most=47)) == "about 40 s"
    assert str(Estimate(least=38, likely=40, most=100)) == "about 40 s (35 s to 1 min 40 s)"
    assert str(Estimate(least=1.5, likely=3, most=5)) == "about 3 s"


def test_what_has_passed_is_taken_off_both_bounds_down_to_nothing() -> None:
    assert Estimate(least=3, likely=5, most=9).after(4) == Estimate(least=0, likely=1, most=5)
    assert Estimate(least=3, unobserved=("boots",)).after(1) == Estimate(least=2, unobserved=("boots",))
