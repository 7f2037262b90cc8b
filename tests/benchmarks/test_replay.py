"""Failing deploys of the flight simulator end with the same report when they are run again from their recordings."""

import pytest

from benchmarks.replay import one, only_case


@pytest.mark.parametrize(
    "case",
    [
        "rolling/answers lost/2",
        "bluegreen/all flap/0",
        "canary/crashes/1",
        "immediate/region full/0",
        "rolling/cancelled/2",
    ],
)
def test_a_replay_is_the_same(case: str) -> None:
    result = one(only_case(case))
    assert result.failed
    assert not result.reveals
    assert result.faults == ()
