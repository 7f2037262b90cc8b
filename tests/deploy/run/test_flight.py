"""Every strategy against every bad day, a few seeds each; `python -m benchmarks.flight` flies them all."""

import pytest

from benchmarks import flight, killed
from benchmarks.parts.flight_days import DAYS

CASES = [(strategy, name) for strategy in flight.STRATEGIES for name in DAYS]


@pytest.mark.no_cover
@pytest.mark.parametrize(("strategy", "name"), CASES)
async def test_the_report_and_the_fleet_agree_on_a_bad_day(strategy: str, name: str) -> None:
    day = DAYS[name]
    for seed in (1, 2) if day.fleet is None else (1,):  # 1 rolls back, 2 does not
        result = await flight.fly(strategy, day, seed)
        assert not result.faults, f"seed {seed}: {result.faults}"


@pytest.mark.parametrize("strategy", flight.STRATEGIES)
async def test_without_trouble_all_is_well(strategy: str) -> None:
    result = await flight.fly(strategy, DAYS["none"], 0)
    assert result.ok


@pytest.mark.parametrize(
    "name", ["never starts", "check never passes", "stays warning", "all flap", "all turn critical", "region full"]
)
@pytest.mark.parametrize("strategy", flight.STRATEGIES)
async def test_what_cannot_succeed_is_rolled_back(strategy: str, name: str) -> None:
    result = await flight.fly(strategy, DAYS[name], 1)
    assert not result.ok
    assert result.is_back


@pytest.mark.no_cover
@pytest.mark.parametrize("case", tuple(killed.strategies(3)), ids=lambda case: case.name)
async def test_killed_at_any_request_another_run_comes_to_the_same_end(case: killed.Case) -> None:
    start = await killed.begun(case)
    whole = await killed.flown(start, case.wanted)
    for after in range(1, whole.requests + 1, 4):
        end = await killed.flown(start, case.wanted, after)
        assert end.ok, f"killed after {after}"
        assert end.fleet == whole.fleet, f"killed after {after}"
