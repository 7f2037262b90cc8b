"""Images over time: tags that move, and images that were just pushed."""

import asyncio
from typing import Any

import pytest

from flyasync.emulator import Emulator, Fault
from tests.emulator.driver import Api, at, serving

IMAGE = "registry.fly.io/web:v2"
UNKNOWN = f"failed to get manifest {IMAGE}: MANIFEST_UNKNOWN: manifest unknown; unknown tag=v2"
LAG: dict[str, Any] = {"limits": False, "boot": (1, 1), "image_lag": (5, 5)}


async def create(api: Api, image: str = IMAGE) -> tuple[int, str]:
    said = await api.post("/v1/apps/web/machines", {"config": {"image": image}})
    return said.status, said.error if said.status >= 400 else said.body["image_ref"]["digest"]


async def test_an_image_is_not_found_right_after_its_first_use_and_after_each_push() -> None:
    async with serving(**LAG) as api:
        await api.app()
        assert await create(api) == (400, UNKNOWN)
        await asyncio.sleep(4.9)
        assert (await create(api))[0] == 400
        await asyncio.sleep(0.1)
        assert (await create(api))[0] == 200
        digest = api.emulator.push(IMAGE)
        assert await create(api) == (400, UNKNOWN)
        assert (await create(api, f"{IMAGE}@{digest}"))[0] == 400
        await asyncio.sleep(5)
        assert await create(api) == (200, digest)


async def test_an_update_to_an_image_that_was_just_pushed_changes_nothing() -> None:
    async with serving(**LAG) as api:
        await api.app()
        await create(api, "nginx")
        await asyncio.sleep(5)
        machine = await api.running(config={"image": "nginx"})
        said = await api.post(at(machine), {"config": {"image": IMAGE}})
        assert (said.status, said.error) == (400, UNKNOWN)
        assert (await api.look(machine))["instance_id"] == machine["instance_id"]
        assert (await api.post(at(machine), {"config": {"image": "nginx", "env": {"A": "1"}}})).status == 200


async def test_the_fault_refuses_machines_and_versions_with_the_image(api: Api) -> None:
    machine = await api.running()
    api.emulator.faults.add(Fault(does="manifest_unknown", image=IMAGE, times=2))
    assert (await create(api, "nginx"))[0] == 200
    assert await create(api) == (400, UNKNOWN)
    assert (await api.post(at(machine), {"config": {"image": IMAGE}})).error == UNKNOWN
    assert (await create(api))[0] == 200
    api.emulator.faults.add(Fault(does="manifest_unknown"))
    assert (await create(api, "localhost:5000/web"))[1].endswith("; unknown tag=latest")


async def test_a_tag_moves_at_its_time_and_a_reset_moves_it_again() -> None:
    async with serving(limits=False, tag_moves={IMAGE: 10, f"{IMAGE}x@sha256:ab": 20}) as api:
        for _ in range(2):
            await api.app()
            before = await create(api)
            await asyncio.sleep(9)
            assert await create(api) == before
            await asyncio.sleep(1)
            after = await create(api)
            assert after[1] != before[1]
            assert (await create(api, f"{IMAGE}x"))[1] != "sha256:ab"
            await asyncio.sleep(10)
            assert await create(api) == after
            assert await create(api, f"{IMAGE}x") == (200, "sha256:ab")
            api.emulator.reset()


async def test_the_fault_moves_a_tag_between_two_machines(api: Api) -> None:
    api.emulator.faults.add(Fault(does="move_tag", image=IMAGE, after=2, times=1))
    digests = [(await create(api))[1] for _ in range(4)]
    assert digests[0] == digests[1] != digests[2] == digests[3]


@pytest.mark.parametrize("moves", [{"": 3.0}, {IMAGE: -1.0}, {IMAGE: float("inf")}])
def test_a_move_has_an_image_and_a_time(moves: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"tag_moves: '.*' needs a name and a number of seconds, 0 or more"):
        Emulator(tag_moves=moves)
