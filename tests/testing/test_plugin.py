"""The fixtures that come with flyasync, as another project would use them."""

import os
import runpy
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from flyasync import BadRequest, Emulator, Fault, FlyClient, MachineConfig, NoCapacity, ServerFault, WaitFailed
from flyasync.testing import mock_machine, plugin, trouble


async def test_the_fixtures_belong_together(fly: FlyClient, fly_emulator: Emulator) -> None:
    await fly.apps.create("users", org_slug="personal")
    assert fly_emulator.counts()["createApp", "personal"] == 1


@pytest.mark.fly_emulator(seed=7, capacity={"iad": 0}, faults=[Fault(does="fail", region="lhr")])
async def test_the_marker_sets_the_options_of_the_emulator(fly: FlyClient) -> None:
    await fly.apps.create("users", org_slug="personal")
    with pytest.raises(NoCapacity):
        await fly.machines.create("users", MachineConfig(image="nginx"), region="iad")
    machine = await fly.machines.create("users", MachineConfig(image="nginx"), region="lhr")
    with pytest.raises(WaitFailed):
        await fly.machines.wait("users", machine.id)


async def test_the_environment_points_other_clients_to_the_emulator(fly_environment: dict[str, str]) -> None:
    assert os.environ["FLY_FLAPS_BASE_URL"] == fly_environment["FLY_FLAPS_BASE_URL"]
    async with FlyClient() as fly:
        assert not await fly.apps.list("personal")


@pytest.mark.fly_emulator(speed=1000)
def test_a_synchronous_test_can_call_a_fastapi_app(fly_environment: dict[str, str], fly_emulator: Emulator) -> None:
    # TestClient blocks the thread of the test, and runs the app on an event loop in another thread.
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with FlyClient() as app.state.fly:
            await app.state.fly.apps.create("web", org_slug="personal")
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/machines/{region}")
    async def create(region: str) -> dict[str, str]:
        fly: FlyClient = app.state.fly
        machine = await fly.machines.create("web", MachineConfig(image="nginx"), region=region)
        return {"id": machine.id, "state": await fly.machines.wait("web", machine.id)}

    with TestClient(app) as client:
        created = client.post("/machines/iad")
        assert (created.status_code, created.json()["state"]) == (200, "started")
        with trouble(fly_emulator, Fault(does="refuse", action="createMachine", status=422)), pytest.raises(BadRequest):
            client.post("/machines/lhr")
    assert fly_emulator.serving("web").total() == 1
    assert fly_emulator.url == fly_environment["FLY_FLAPS_BASE_URL"]


@pytest.mark.fly_emulator(thread=True, capacity={"lhr": 0})
async def test_an_async_test_may_block_if_the_emulator_has_a_thread(
    fly_environment: dict[str, str], fly_emulator: Emulator
) -> None:
    headers = {"Authorization": f"Bearer {fly_environment['FLY_API_TOKEN']}"}
    request = urllib.request.Request(f"{fly_environment['FLY_FLAPS_BASE_URL']}/v1/platform/regions", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: ASYNC210 - it blocks the loop of this test
        assert reply.status == 200
    assert fly_emulator.counts()["getRegions", "-"] == 1
    assert fly_emulator.world.capacity == {"lhr": 0}


@pytest.mark.xfail(raises=pytest.fail.Exception, strict=True, reason="refused before the test, which would time out")
@pytest.mark.fly_emulator(thread=True)
async def test_a_client_on_a_virtual_loop_is_refused_an_emulator_in_a_thread(fly: FlyClient) -> None:
    raise AssertionError("the fixture was made")


async def test_trouble_lasts_as_long_as_its_block(fly: FlyClient, fly_emulator: Emulator) -> None:
    await fly.apps.create("users", org_slug="personal")
    before = Fault(does="delay", seconds=1)
    fly_emulator.faults.add(before)
    down = Fault(does="refuse", action="listMachines", status=500)
    with trouble(fly_emulator, down), pytest.raises(ServerFault):
        await fly.machines.list("users")
    assert await fly.machines.list("users") == ()
    assert tuple(fly_emulator.faults) == (before,)


async def test_trouble_lasts_as_long_as_the_coroutine_it_decorates(fly: FlyClient, fly_emulator: Emulator) -> None:
    await fly.apps.create("users", org_slug="personal")

    @trouble(fly_emulator, Fault(does="refuse", action="listMachines", status=500))
    async def look() -> int:
        return len(await fly.machines.list("users"))

    with pytest.raises(ServerFault):
        await look()
    assert not len(fly_emulator.faults)


def test_a_mock_machine_is_like_one_of_the_api() -> None:
    machine = mock_machine(state="stopped", config={"image": "app:2", "new_key": 1})
    assert (machine.state, machine.region) == ("stopped", "iad")
    assert machine.config is not None
    assert (machine.config.image, machine.config.extra["new_key"]) == ("app:2", 1)
    with pytest.raises(ValueError, match=r"\$\.state"):
        mock_machine(state=3)


def test_without_pytest_asyncio_only_its_own_fixtures_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest_asyncio", None)
    without = runpy.run_path(plugin.__file__)
    there = {name for name in vars(plugin) if "fly" in name}
    assert there - without.keys() == {
        f"_fly_{what}{scope}"
        for what in ("", "emulator_")
        for scope in ("function", "class", "module", "package", "session")
    }
    assert {"fly", "fly_emulator", "fly_environment", "_fly_anyio", "_fly_emulator_anyio"} <= without.keys()
