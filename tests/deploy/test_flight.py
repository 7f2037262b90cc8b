"""Every strategy against every bad day, a few seeds each; `python -m benchmarks.flight` flies them all."""

import random

import pytest

from benchmarks import flight, killed

CASES = [(strategy, trouble) for strategy in flight.STRATEGIES for trouble in flight.TROUBLE]


@pytest.mark.no_cover
@pytest.mark.parametrize(("strategy", "trouble"), CASES)
async def test_the_report_and_the_fleet_agree_on_a_bad_day(strategy: str, trouble: str) -> None:
    for seed in (1, 2):  # one rolls back, the other does not
        random.seed(seed)
        verdict = await flight.fly(strategy, trouble, seed)
        assert not verdict.faults, f"seed {seed}: {verdict.faults}"


@pytest.mark.parametrize("strategy", flight.STRATEGIES)
async def test_without_trouble_all_is_well(strategy: str) -> None:
    verdict = await flight.fly(strategy, "none", 0)
    assert verdict.ok


@pytest.mark.parametrize("trouble", ["never starts", "check never passes", "region full"])
@pytest.mark.parametrize("strategy", flight.STRATEGIES)
async def test_what_cannot_succeed_is_rolled_back(strategy: str, trouble: str) -> None:
    verdict = await flight.fly(strategy, trouble, 1)
    assert not verdict.ok
    assert verdict.is_back


@pytest.mark.no_cover
@pytest.mark.parametrize("strategy", flight.STRATEGIES)
async def test_killed_at_any_request_another_run_comes_to_the_same_end(strategy: str) -> None:
    whole = await killed.undisturbed(strategy, 3)
    for after in range(1, whole.requests + 1, 4):
        end = await killed.killed(strategy, 3, after)
        assert end.ok, f"killed after {after}"
        assert end.fleet == whole.fleet, f"killed after {after}"
