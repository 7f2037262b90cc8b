"""A machine that was read under its lease is brought to where it serves."""

import asyncio

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.errors import LeaseHeld, WaitFailed
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import structure
from flyasync.models.machine import Machine
from tests.api.client_on_emulator import NGINX, now

CHECKED = structure(
    {"image": "nginx", "checks": {"alive": {"type": "tcp", "port": 80, "interval": "2s", "timeout": "1s"}}},
    MachineConfig,
)


async def leased(fly: FlyClient, config: MachineConfig = NGINX) -> tuple[Machine, str]:
    """Create a machine that runs; return it and the nonce of its lease."""
    machine = await fly.machines.create("web", config, lease_ttl=600)
    await fly.machines.wait("web", machine.id, just_created=True)
    assert machine.nonce
    return await fly.machines.get("web", machine.id), machine.nonce


async def test_a_machine_that_runs_takes_no_request(emulator: Emulator, fly: FlyClient, app: str) -> None:
    machine, nonce = await leased(fly)
    before = emulator.counts().total()
    assert await fly.machines.starter.serve(app, machine, nonce=nonce, timeout=60) == machine
    assert emulator.counts().total() == before


@pytest.mark.parametrize("pause", [0.0, 1.0, 20.0])
async def test_a_machine_that_is_stopping_or_has_just_stopped_is_started(
    fly: FlyClient, app: str, pause: float
) -> None:
    machine, nonce = await leased(fly)
    await fly.machines.stop(app, machine.id, nonce=nonce)
    await asyncio.sleep(pause)
    read = await fly.machines.get(app, machine.id)
    served = await fly.machines.starter.serve(app, read, nonce=nonce, timeout=60)
    assert served.state == (await fly.machines.get(app, machine.id)).state == "started"


async def test_its_checks_are_awaited(fly: FlyClient, app: str) -> None:
    machine, nonce = await leased(fly, CHECKED)
    await fly.machines.stop(app, machine.id, nonce=nonce)
    await asyncio.sleep(20)
    read = await fly.machines.get(app, machine.id)
    assert (await fly.machines.starter.serve(app, read, nonce=nonce, timeout=60)).is_healthy


async def test_a_machine_that_stays_in_starting_is_an_error_after_half_a_minute(
    emulator: Emulator, fly: FlyClient, app: str
) -> None:
    machine, nonce = await leased(fly)
    await fly.machines.stop(app, machine.id, nonce=nonce)
    await asyncio.sleep(20)
    emulator.faults.add(Fault(does="stay_starting"))
    read, began = await fly.machines.get(app, machine.id), now()
    with pytest.raises(WaitFailed):
        await fly.machines.starter.serve(app, read, nonce=nonce, timeout=600)
    assert 29 < now() - began < 35


async def test_a_lease_of_another_client_is_an_error(fly: FlyClient, app: str) -> None:
    machine, nonce = await leased(fly)
    await fly.machines.stop(app, machine.id, nonce=nonce)
    await asyncio.sleep(20)
    read = await fly.machines.get(app, machine.id)
    with pytest.raises(LeaseHeld):
        await fly.machines.starter.serve(app, read, nonce="another", timeout=60)
