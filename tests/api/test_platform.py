from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator
from flyasync.errors import BadRequest
from flyasync.models.guest import Guest
from tests.api.client_on_emulator import Ask, asked, sent_by

SENT: list[tuple[Ask, str, Any, Any]] = [
    (lambda fly: fly.platform.regions(), "GET /v1/platform/regions", None, {"Regions": []}),
    (
        lambda fly: fly.platform.placements("personal"),
        "POST /v1/platform/placements",
        {"org_slug": "personal"},
        {"Regions": []},
    ),
    (
        lambda fly: fly.platform.placements(
            "personal",
            region="iad,eu",
            count=0,
            compute=Guest(cpu_kind="shared", cpus=1, memory_mb=256),
            volume_name="data",
            volume_size_bytes=10,
            weights={"region": 50},
        ),
        "POST /v1/platform/placements",
        {
            "org_slug": "personal",
            "region": "iad,eu",
            "count": 0,
            "compute": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "volume_name": "data",
            "volume_size_bytes": 10,
            "weights": {"region": 50},
        },
        {"Regions": []},
    ),
]


@pytest.mark.parametrize(("ask", "line", "body", "answer"), SENT)
async def test_each_method_sends_what_the_api_documents(ask: Ask, line: str, body: Any, answer: Any) -> None:
    sent = await sent_by(ask, answer)
    assert (sent.line, sent.body) == (line, body)


async def test_regions_come_with_their_coordinates_and_the_nearest(fly: FlyClient) -> None:
    found = await fly.platform.regions()
    assert found.nearest == "iad"
    london = next(region for region in found.regions if region.code == "lhr")
    assert london.latitude == pytest.approx(51.5, abs=0.1)


@pytest.mark.parametrize("keys", [("Regions", "Nearest"), ("regions", "nearest")])
async def test_the_keys_of_the_platform_may_be_capitalized_or_not(keys: tuple[str, str]) -> None:
    async with asked({keys[0]: [{"code": "lhr", "deprecated": True}], keys[1]: "lhr"}) as (_, fly):
        found = await fly.platform.regions()
    assert (found.nearest, found.regions[0].deprecated) == ("lhr", True)


async def test_a_placement_leaves_out_a_region_without_room(fly: FlyClient, emulator: Emulator) -> None:
    emulator.set_capacity("lhr", 0)
    emulator.set_capacity("iad", 1)
    found = await fly.platform.placements("personal", region="lhr,iad,fra", count=3)
    assert {one.region: one.count for one in found.regions} == {"iad": 1, "fra": 2}


async def test_a_region_that_is_unknown_is_a_bad_request(fly: FlyClient) -> None:
    with pytest.raises(BadRequest, match="atlantis"):
        await fly.platform.placements("personal", region="atlantis")
