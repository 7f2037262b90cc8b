"""What else encounters a machine that is claimed: a deploy, and the Fly Proxy, which starts machines under a lease."""

import pytest

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator import Emulator
from flyasync.errors import LeaseHeld
from flyasync.models.config import MachineConfig
from tests.pool.conftest import MakePool, settle


async def test_a_deploy_leaves_a_claimed_machine_alone(emulator: Emulator, fly: FlyClient, make_pool: MakePool) -> None:
    async with make_pool().acquire("alice") as machine:
        before = emulator.world.machines[machine.id].instance_id
        await DeployBuilder("web").to_regions("iad").with_image("nginx:2").rolling().execute(fly)
        assert emulator.world.machines[machine.id].instance_id == before
        with pytest.raises(LeaseHeld):
            await fly.machines.modify("web", machine.id, lambda _: MachineConfig(image="nginx:2"))


async def test_a_machine_that_the_proxy_starts_under_its_lease_is_not_claimed(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    pool = make_pool(ready=2)
    await settle(pool)
    first, second = sorted(emulator.world.machines)
    # The proxy acquires a lease as any client does, starts the machine, and releases it.
    lease = await fly.leases.acquire("web", first, ttl=30, description="fly-proxy")
    await fly.machines.start("web", first, nonce=lease.nonce)
    async with pool.acquire("alice") as machine:
        assert machine.id == second
    await fly.leases.release("web", first, lease.nonce)
