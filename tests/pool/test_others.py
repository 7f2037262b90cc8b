"""What else encounters a machine that is claimed: a deploy, and the Fly Proxy, which starts machines under a lease."""

import asyncio

import pytest

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator import Emulator, Fault
from flyasync.errors import LeaseHeld
from flyasync.models.config import MachineConfig
from flyasync.models.service import Port, Service
from tests.pool.conftest import MakePool, settle

HTTPS = Service(internal_port=8080, ports=(Port(port=443, handlers=("tls", "http")),), autostart=True)
SERVED = MachineConfig(image="sandbox", services=(HTTPS,))


async def test_a_deploy_leaves_a_claimed_machine_alone(emulator: Emulator, fly: FlyClient, make_pool: MakePool) -> None:
    async with make_pool().acquire("alice") as machine:
        before = emulator.world.machines[machine.id].instance_id
        await DeployBuilder("web").to_regions("iad").with_image("nginx:2").rolling().execute(fly)
        assert emulator.world.machines[machine.id].instance_id == before
        with pytest.raises(LeaseHeld):
            await fly.machines.modify("web", machine.id, lambda _: MachineConfig(image="nginx:2"))


async def test_a_deploy_to_the_group_of_a_pool_raises_that_a_claimed_machine_is_held(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    config = MachineConfig(image="sandbox", metadata={"fly_process_group": "app", "fly_platform_version": "v2"})
    async with make_pool(config).acquire("alice", region="iad") as machine:
        before = emulator.world.machines[machine.id].instance_id
        with pytest.raises(LeaseHeld):
            await DeployBuilder("web").to_regions("iad").with_image("nginx:2").rolling().execute(fly)
        assert emulator.world.machines[machine.id].instance_id == before


async def test_a_claim_takes_another_machine_than_the_proxy_starts_or_waits_until_its_lease_ends(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    await fly.ip_assignments.create("web", type="v6")
    pool = make_pool(SERVED, ready=2, max=2)
    await settle(pool)
    started = emulator.request("web")
    async with pool.acquire("alice") as first:
        assert first.id != started
        began = asyncio.get_running_loop().time()
        async with pool.acquire("bob") as second:
            assert second.id == started
            assert 8 < asyncio.get_running_loop().time() - began < 15


async def test_the_proxy_starts_no_machine_that_a_claim_holds_and_routes_to_it_once_it_serves(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    await fly.ip_assignments.create("web", type="v6")
    pool = make_pool(SERVED, ready=1, max=1)
    await settle(pool)
    emulator.faults.add(Fault(does="delay", action="startMachine", seconds=5))

    async def use() -> None:
        async with pool.acquire("alice") as machine:
            assert emulator.request("web") == machine.id

    claim = asyncio.create_task(use())
    await asyncio.sleep(2)
    (machine,) = emulator.world.machines.values()
    assert (machine.lease is not None, machine.state) == (True, "stopped")
    assert emulator.request("web") is None
    await claim


async def test_ensure_running_waits_for_the_machine_that_the_proxy_starts(emulator: Emulator, fly: FlyClient) -> None:
    await fly.ip_assignments.create("web", type="v6")
    machine = (await fly.machines.ensure_running("web", "user-7", SERVED)).machine
    await fly.machines.stop("web", machine.id)
    await fly.machines.wait("web", machine.id, state="stopped")
    await asyncio.sleep(2)
    assert emulator.request("web") == machine.id
    before = emulator.counts()
    ensured = await fly.machines.ensure_running("web", "user-7", SERVED)
    assert (ensured.machine.id, ensured.machine.state) == (machine.id, "started")
    assert not ensured.created
    assert (emulator.counts() - before)["createMachine", "web"] == 0
