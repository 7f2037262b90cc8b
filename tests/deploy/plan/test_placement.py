"""Which region next when one has no room."""

import pytest
from hypothesis import given, strategies as st

from flyasync import NoCapacity, Refusal, Region, Regions, Scope
from flyasync.deploy.plan.placement import HOST_TRIES, by_distance, next_region


def refusal(region: str, scope: Scope = Scope.REGION) -> Refusal:
    error = NoCapacity("machines.create", "web", "no room here", status=422, code="c", request_id="r", scope=scope)
    return Refusal.of(region, error)


def test_a_refusal_cites_the_api() -> None:
    assert str(refusal("iad")) == 'iad has no room (region): "no room here" (HTTP 422 c, request r)'


@pytest.mark.parametrize("scope", [Scope.REGION, Scope.QUOTA])
def test_a_full_region_sends_the_machine_on_at_once(scope: Scope) -> None:
    assert next_region([refusal("iad", scope)], ["ewr", "ord"], []) == "ewr"
    assert next_region([refusal("iad", scope), refusal("ewr", scope)], ["ewr", "ord"], []) == "ord"
    assert next_region([refusal("iad", scope)], ["ewr", "ord"], ["ewr"]) == "ord"
    assert next_region([refusal("iad", scope)], [], []) is None


def test_a_full_host_is_worth_another_try_in_the_same_region() -> None:
    refusals = [refusal("iad", Scope.HOST)]
    for _ in range(HOST_TRIES - 1):
        assert next_region(refusals, ["ewr"], []) == "iad"
        refusals.append(refusal("iad", Scope.HOST))
    assert next_region(refusals, ["ewr"], []) == "ewr"


def test_a_full_volume_host_moves_nothing() -> None:
    assert next_region([refusal("iad", Scope.VOLUME_HOST)], ["ewr"], []) is None


CODES = st.sampled_from(["iad", "ewr", "ord", "lhr", "nrt", "syd"])


@given(st.lists(CODES, unique=True), st.sets(CODES))
def test_the_walk_visits_each_alternative_once_in_order_and_ends(alternatives: list[str], full: set[str]) -> None:
    visited, refusals = ["iad"], [refusal("iad")]
    while region := next_region(refusals, alternatives, full):
        visited.append(region)
        refusals.append(refusal(region))
    assert visited[1:] == [region for region in alternatives if region not in full | {"iad"}]


MAP = Regions(
    regions=[
        Region(code="iad", latitude=39.0, longitude=-77.5),
        Region(code="ewr", latitude=40.8, longitude=-74.1),
        Region(code="ord", latitude=41.9, longitude=-87.6),
        Region(code="lhr", latitude=51.5, longitude=-0.1),
        Region(code="bom", latitude=19.1, longitude=72.9, requires_paid_plan=True),
        Region(code="bos", latitude=42.4, longitude=-71.0, deprecated=True),
        Region(code="xxx"),
    ]
)


def test_the_nearest_come_first() -> None:
    assert by_distance("iad", MAP, without=[], room=None) == ("ewr", "ord", "lhr", "xxx")


def test_wanted_full_paid_and_retired_regions_stand_in_for_none() -> None:
    assert by_distance("iad", MAP, without=["ewr"], room={"ewr", "lhr", "bom", "bos"}) == ("lhr",)


def test_a_home_that_is_not_on_the_map_is_far_from_everywhere() -> None:
    assert by_distance("zzz", MAP, without=[], room={"lhr", "ewr"}) == ("ewr", "lhr")
