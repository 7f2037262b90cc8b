"""The main paths in a few seconds of real time, for event loops that have no virtual time, such as uvloop."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest_asyncio

from flyasync import DeployBuilder, Emulator, Fault, FlyClient, MachineConfig, MachinePool

NGINX = MachineConfig(image="nginx")


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(seed=1, boot=(0.1, 0.3)) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def fly(emulator: Emulator) -> AsyncIterator[FlyClient]:
    async with FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("web", org_slug="personal")
        yield fly


async def test_a_deploy_to_three_regions(emulator: Emulator, fly: FlyClient) -> None:
    report = await DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("nginx").execute(fly)
    assert (report.ok, len(report.running)) == (True, 3)
    assert emulator.refused_by_limit() == {}


async def test_a_deploy_that_a_scope_cancels_leaves_nothing_unknown(emulator: Emulator, fly: FlyClient) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=1))
    with anyio.move_on_after(0.5) as scope:
        await DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx").execute(fly)
    assert scope.cancelled_caught
    assert len(emulator.world.machines) == 2
    assert not any(each.lease for each in emulator.world.machines.values())


async def test_a_create_whose_response_is_lost(emulator: Emulator, fly: FlyClient) -> None:
    emulator.faults.add(Fault(does="cut_after", action="createMachine", times=1))
    machine = await fly.machines.create_once("web", NGINX, name="one", launch="v1")
    await fly.machines.wait("web", machine.id, just_created=True)
    assert list(emulator.world.machines) == [machine.id]


async def test_concurrent_calls_for_one_machine(emulator: Emulator, fly: FlyClient) -> None:
    found = await asyncio.gather(*(fly.machines.ensure_running("web", "alice", NGINX) for _ in range(20)))
    assert {each.machine.id for each in found} == set(emulator.world.machines)
    assert len(emulator.world.machines) == 1


async def test_a_lease_is_released_by_a_scope(emulator: Emulator, fly: FlyClient) -> None:
    machine = await fly.machines.create("web", NGINX)
    with anyio.move_on_after(0.5):
        async with fly.leases.hold("web", machine.id):
            await asyncio.sleep(10)
    assert emulator.world.machines[machine.id].lease is None


async def test_a_claim_of_a_pool(emulator: Emulator, fly: FlyClient) -> None:
    async with (
        MachinePool(fly, "web", NGINX, ready=0, max=2) as pool,
        pool.acquire("alice") as first,
        pool.acquire("bob") as second,
    ):
        assert first.id != second.id
    assert {each.state for each in emulator.world.machines.values()} <= {"destroying", "destroyed"}
