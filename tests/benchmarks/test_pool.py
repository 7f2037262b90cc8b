"""What the benchmark of pools promises, at its smallest size and in virtual time."""

import pytest

from benchmarks.pool.costs import costs
from benchmarks.pool.seen import Held, held, twice
from flyasync.testing import run_virtual
from tests.pool.storm import MOST, storm


@pytest.mark.parametrize("on_release", ["stop", "keep", "recycle"])
def test_processes_that_are_killed_neither_share_nor_leak_a_machine(on_release: str) -> None:
    result = run_virtual(storm(24, clients=3, kills=4, on_release=on_release))
    assert (result.served, result.killed) == (24, 4)
    assert (result.twice, result.leaked) == (0, 0)
    assert result.most <= MOST


def test_the_costs_of_all_ways_reach_their_goals() -> None:
    table = costs()
    assert not list(table.missed)
    former = next(
        row for row in table.rows if (row.name, row.figures["machines before"]) == ("former example", "stopped")
    )
    assert former.figures["creates"] == 12


def test_claims_of_one_machine_at_one_time_are_found() -> None:
    one = [["claimed", "a", "m", 1.0]]
    other = [["claimed", "b", "m", 4.0], ["released", "b", 5.0]]
    assert len(twice([*held(one, 4.5), *held(other, 9.0)])) == 1
    assert not twice([*held(one, 3.0), *held(other, 9.0)])
    assert list(held(one, 3.0)) == [Held("m", "a", 1.0, 3.0)]
