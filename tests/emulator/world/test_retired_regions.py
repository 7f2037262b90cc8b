"""Regions that no longer accept new machines and volumes."""

from collections.abc import AsyncIterator

import pytest

from flyasync.emulator import Emulator, Fault
from flyasync.emulator.core.regions import RETIRED
from tests.emulator.driver import Api, at, serving

TEXT = (
    "Region lhr is deprecated and cannot have new resources provisioned. Please consider using an alternate region "
    "such as cdg"
)
MACHINES = "/v1/apps/web/machines"
CONFIG = {"image": "nginx"}


@pytest.fixture
async def retired() -> AsyncIterator[Api]:
    async with serving(limits=False, boot=(1, 1), retired=[*RETIRED, "lhr"]) as api:
        await api.app()
        yield api


async def test_new_machines_and_volumes_are_refused(retired: Api) -> None:
    for path, body in (("machines", {"config": CONFIG}), ("volumes", {"name": "data"})):
        said = await retired.post(f"/v1/apps/web/{path}", {**body, "region": "lhr"})
        assert (said.status, said.body) == (422, {"error": TEXT})
    assert (await retired.get(MACHINES)).body == []


@pytest.mark.parametrize("region", ["lhr,nrt", "nrt"])
async def test_another_region_of_the_expression_is_taken(retired: Api, region: str) -> None:
    assert (await retired.machine(region=region))["region"] == "nrt"


async def test_it_is_listed_as_deprecated_and_no_placement_names_it(retired: Api) -> None:
    regions = {row["code"]: row["deprecated"] for row in (await retired.get("/v1/platform/regions")).body["Regions"]}
    assert {code for code in ("lhr", "iad", "atl") if regions[code]} == {"lhr", "atl"}
    for count in (0, 30):
        said = await retired.post("/v1/platform/placements", {"region": "lhr,eu", "count": count})
        assert "lhr" not in {row["Region"] for row in said.body["Regions"]}


async def test_a_region_that_fly_has_retired_is_refused_by_default(api: Api) -> None:
    said = await api.post(MACHINES, {"config": CONFIG, "region": "sea"})
    assert said.status == 422
    assert said.error.startswith("Region sea is deprecated")
    assert said.error.endswith("such as sjc")


async def test_without_retired_regions_all_accept_machines() -> None:
    async with serving(retired=()) as every:
        await every.app()
        assert (await every.machine(region="sea"))["region"] == "sea"


async def test_the_fault_refuses_new_resources_of_its_region_only(api: Api) -> None:
    fault = Fault(does="retire_region", region="lhr", after=1, times=1)
    api.emulator.faults.add(fault)
    first = await api.machine(region="lhr")
    assert (await api.get(at(first))).status == 200
    assert (await api.machine(region="nrt"))["region"] == "nrt"
    said = await api.post(MACHINES, {"config": CONFIG, "region": "lhr"})
    assert (said.status, said.error) == (422, TEXT)
    assert (await api.machine(region="lhr"))["region"] == "lhr"
    assert api.emulator.faults.hits(fault) == 1


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ValueError, match="retired: there is no region 'xyz'"):
        Emulator(retired=["xyz"])
