"""What can be read from volumes, leases, regions and answers."""

import math
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from flyasync.models.lease import Lease, MachineLease
from flyasync.models.machine_results import ExecResult
from flyasync.models.region import Region, distance_km
from flyasync.models.volume import Volume

FREE = Volume(id="vol_1", name="data", state="created", region="iad", host_status="ok")
AMS = Region(code="ams", latitude=52.374342, longitude=4.895439)
IAD = Region(code="iad", latitude=39.02214, longitude=-77.462556)
SYD = Region(code="syd", latitude=-33.86603, longitude=151.20693)


@pytest.mark.parametrize(
    ("change", "free"),
    [
        ({}, True),
        ({"state": "hydrating"}, True),
        ({"attached_machine_id": ""}, True),
        ({"attached_machine_id": "1857"}, False),
        ({"attached_alloc_id": "1857"}, False),
        ({"state": "pending_destroy"}, False),
        ({"host_status": "unreachable"}, False),
    ],
)
def test_a_free_volume(change: dict[str, Any], *, free: bool) -> None:
    assert attrs.evolve(FREE, **change).is_free is free


def test_a_lease_ends() -> None:
    assert MachineLease().expires is None
    assert Lease(nonce="n", expires_at=1708569778).expires == datetime(2024, 2, 22, 2, 42, 58, tzinfo=UTC)
    assert Lease(nonce="n", expires_at=1708569778).acquired_at(30) == 1708569748


@pytest.mark.parametrize(("a", "b", "km"), [(AMS, IAD, 6200), (AMS, SYD, 16650), (IAD, IAD, 0)])
def test_distances(a: Region, b: Region, km: float) -> None:
    assert distance_km(a, b) == pytest.approx(km, abs=60)
    assert distance_km(a, b) == pytest.approx(distance_km(b, a))


def test_opposite_ends_of_the_earth() -> None:
    north, south = Region(code="n", latitude=90.0, longitude=0.0), Region(code="s", latitude=-90.0, longitude=0.0)
    assert distance_km(north, south) == pytest.approx(math.pi * 6371)


@pytest.mark.parametrize("unknown", [Region(code="xyz"), Region(code="xyz", latitude=1.0)])
def test_a_place_that_is_not_known_is_infinitely_far(unknown: Region) -> None:
    assert distance_km(AMS, unknown) == math.inf
    assert distance_km(unknown, AMS) == math.inf


@pytest.mark.parametrize(
    ("result", "succeeded"),
    [
        (ExecResult(), True),
        (ExecResult(exit_code=0, exit_signal=-1), True),
        (ExecResult(exit_code=1), False),
        (ExecResult(exit_code=0, exit_signal=9), False),
    ],
)
def test_a_command_succeeds_with_zero_and_no_signal(result: ExecResult, *, succeeded: bool) -> None:
    assert result.succeeded is succeeded
