"""The benchmark of the shared limits: what judges is right, and at its smallest it shows what it is to show."""

import asyncio

import pytest
from attrs import evolve

from benchmarks.budget.runs import STORM, Case, Seen, call, take
from benchmarks.budget.shares import LEASED, NOTHING, OWN, beyond, sends
from benchmarks.budget.turns import Turn, by_the_server, ideal, peak, recovered, spread
from benchmarks.shared.valkey import Grant
from flyasync.transport.ratelimit.rates import Rate
from flyasync.transport.ratelimit.shared import SECOND

TENTH = SECOND // 10


def a_turn(process: int, at: int, *, by: str = "store", late: int = 0) -> Turn:
    return Turn(process, by, at - 10, at, at + late)


def seen_of(backing: str) -> Seen:
    async def flown() -> Seen:
        (seen,) = await take(Case("tiny", backing, 0.4, processes=2, tasks=5), STORM, asyncio.Barrier(1))
        return seen

    return asyncio.run(flown())


def missed(seen: Seen) -> list[str]:
    busy = {"grants/ideal", "most/fewest", "429s"}  # what a busy host may spoil
    return [goal.column for goal, is_met in seen.row.checked() if not is_met and goal.column not in busy]


def test_the_peak_is_what_the_fullest_window_holds_beyond_the_rate() -> None:
    assert peak([], TENTH) == 0
    assert peak([0, TENTH, 2 * TENTH], TENTH) == 1
    assert peak([SECOND] * 5, TENTH) == 5
    assert peak([0, 0, 0, TENTH, TENTH], TENTH) == 4
    assert peak([0, 0, 0, SECOND, SECOND], TENTH) == 3


def test_the_ideal_is_a_full_bucket_and_what_comes_in_until_the_last() -> None:
    assert ideal([SECOND, SECOND, 3 * SECOND], TENTH, burst=5) == 25


def test_shares_are_compared_when_the_first_process_is_through() -> None:
    turns = [*(a_turn(1, at) for at in range(4)), a_turn(2, 2), *(a_turn(2, at) for at in range(10, 13))]
    assert spread(turns, {1, 2}) == (4, 1)


def test_it_has_recovered_when_the_rate_flows_for_a_whole_second() -> None:
    slow, full = range(0, 4 * SECOND, SECOND // 2), range(4 * SECOND, 6 * SECOND, TENTH)
    assert recovered([*slow, *full], SECOND, TENTH) == pytest.approx(2.5, abs=0.5)
    assert recovered(slow, 0, TENTH) is None


def test_a_turn_has_the_time_of_its_grant_in_the_record_and_no_other() -> None:
    turns = [a_turn(1, 5 * SECOND), a_turn(1, 9 * SECOND), a_turn(2, 6 * SECOND, by="own")]
    ahead = 100 * SECOND
    grants = [Grant(1, ahead + at) for at in (5 * SECOND - 3, 7 * SECOND, 9 * SECOND - 4)]  # the second came too late
    judged = by_the_server(turns, grants, ahead)
    assert [turn.decided for turn in judged] == [5 * SECOND - 3, 9 * SECOND - 4, 6 * SECOND]
    assert [turn.by for turn in judged] == ["store", "store", "own"]


def test_a_turn_that_is_in_no_record_takes_the_time_of_no_other() -> None:
    turns = [a_turn(1, 5 * SECOND), a_turn(1, 9 * SECOND)]
    judged = by_the_server(turns, [Grant(1, 9 * SECOND - 4)], 0)
    assert [(turn.by, turn.decided) for turn in judged] == [("unrecorded", 5 * SECOND), ("store", 9 * SECOND - 4)]


def test_processes_that_count_each_for_itself_are_seen_to_exceed_the_limit() -> None:
    seen = seen_of("memory")
    assert seen.row.figures["peak"] > 50  # type: ignore[operator]
    assert not missed(seen)


@pytest.mark.parametrize("backing", ["file", "redis"])
def test_processes_that_share_are_seen_to_keep_to_it_and_would_be_seen_not_to(backing: str) -> None:
    seen = seen_of(backing)
    assert not missed(seen)
    assert seen.row.figures["grants"] == 130
    assert missed(evolve(seen, rate=Rate(per_second=200, burst=40))) == ["peak"]
    assert missed(evolve(seen, missing=1)) == ["missing"]


def test_clients_that_share_are_judged_by_an_api_in_a_process_of_its_own() -> None:
    results = asyncio.run(call(Case("API", "file", 0.5, processes=2), asyncio.Barrier(1)))
    assert [seen.row.figures["grants"] for seen in results] == [10, 2]
    assert [fault for seen in results for fault in missed(seen)] == []


def test_only_a_lease_bounds_what_a_client_sends_that_is_cut_off_and_it_costs_the_others_a_share() -> None:
    rate = Rate(per_second=100, burst=10)
    over = {policy: beyond(rate, sends(rate, policy, 30.0).moments) for policy in (OWN, NOTHING, LEASED)}
    assert over[OWN] > 10 * over[LEASED] > over[NOTHING] == 0
    left = {policy: len(sends(rate, policy, 30.0, is_killed=True).moments) for policy in (OWN, LEASED)}
    assert left[OWN] - left[LEASED] == pytest.approx((30 - 2) * 100 / 8, abs=2)
