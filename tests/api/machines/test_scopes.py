"""Creates and leases inside the cancel scopes of anyio, which cancel at every await until they are left."""

import asyncio

import anyio
import pytest
import pytest_asyncio
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import Creation
from flyasync.emulator import Emulator, Fault
from flyasync.models.machine import Machine
from tests.api.client_on_emulator import NGINX, client, count, now, running


@pytest.fixture
def slow_creates(emulator: Emulator) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=5))


async def test_a_create_that_was_sent_is_awaited(fly: FlyClient, emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=5))
    creation = Creation(app=app, config=NGINX, name="one", launch="v1")
    with anyio.move_on_after(1) as scope:
        await fly.machines.once.create(creation)
    assert scope.cancelled_caught
    assert now() == pytest.approx(5, abs=0.3)
    assert creation.machine is not None
    assert (list(emulator.world.machines), creation.may_have_happened) == ([creation.machine.id], False)


async def test_a_create_in_the_queue_is_not_sent(fly: FlyClient, emulator: Emulator, app: str) -> None:
    creations = [Creation(app=app, config=NGINX, name=f"m{number}", launch="v1") for number in range(9)]
    async with anyio.create_task_group() as group:
        for creation in creations:
            group.start_soon(fly.machines.once.create, creation)
        await asyncio.sleep(1.5)
        group.cancel_scope.cancel()
    await asyncio.sleep(10)
    known = {each.machine.id for each in creations if each.machine}
    assert set(emulator.world.machines) == known
    assert len(known) == count(emulator, "createMachine") < 9
    assert not any(each.may_have_happened for each in creations)


async def test_creates_in_the_tasks_of_gather_are_awaited_too(fly: FlyClient, emulator: Emulator, app: str) -> None:
    """Gather passes every cancellation of the scope on, so the clock stands still: the response must not need it."""
    creations = [Creation(app=app, config=NGINX, name=name, launch="v1") for name in ("one", "two")]
    with anyio.CancelScope() as scope:

        def cancel_soon() -> None:
            asyncio.get_running_loop().call_soon(scope.cancel)

        for creation in creations:
            creation.on_leave = cancel_soon
        await asyncio.gather(*map(fly.machines.once.create, creations), return_exceptions=True)
    assert not any(each.may_have_happened for each in creations)
    assert {each.machine.id for each in creations if each.machine} == set(emulator.world.machines)


@pytest.mark.usefixtures("slow_creates")
async def test_fail_after_raises_its_timeout_error_after_the_response(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(1):
        await fly.machines.create_once(app, NGINX, name="one", launch="v1")
    assert [each.name for each in emulator.world.machines.values()] == ["one"]


@pytest.mark.usefixtures("slow_creates")
async def test_task_cancel_still_cuts_a_second_time(fly: FlyClient, app: str) -> None:
    creation = Creation(app=app, config=NGINX, name="one", launch="v1")

    async def in_a_scope() -> None:
        with anyio.fail_after(100):
            await fly.machines.once.create(creation)

    task = asyncio.create_task(in_a_scope())
    for _ in range(2):
        await asyncio.sleep(1)
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert now() == pytest.approx(2, abs=0.1)
    assert creation.may_have_happened


async def test_ensure_running_awaits_the_create_of_its_last_caller(
    fly: FlyClient, emulator: Emulator, app: str
) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=5))
    for seconds in (2, 100):
        with anyio.move_on_after(seconds):
            await fly.machines.ensure_running(app, "alice", NGINX)
    assert count(emulator, "createMachine") == 1


@pytest_asyncio.fixture
async def machine(fly: FlyClient, app: str) -> Machine:
    return await running(fly)


def leased(emulator: Emulator) -> list[str]:
    return [each.id for each in emulator.world.machines.values() if each.lease]


@pytest.mark.parametrize("after", [0.001, 0.5, 3, 12])
async def test_a_lease_is_released_whenever_the_scope_ends(
    fly: FlyClient, emulator: Emulator, machine: Machine, after: float
) -> None:
    emulator.faults.add(
        Fault(does="delay", action="createMachineLease", seconds=2),
        Fault(does="delay", action="machinesReleaseLease", seconds=2),
    )
    with anyio.move_on_after(after) as scope:
        async with fly.leases.hold("web", machine.id, ttl=30):
            await asyncio.sleep(100)
    assert scope.cancelled_caught
    assert leased(emulator) == []


@pytest.mark.parametrize("trouble", ["cut_after", "lose_answer"])
async def test_a_lease_whose_response_is_lost_is_found_and_released(
    fly: FlyClient, emulator: Emulator, machine: Machine, trouble: str
) -> None:
    emulator.faults.add(Fault(does=trouble, action="createMachineLease", times=1))
    emulator.faults.add(Fault(does="delay", action="getMachineLease", seconds=5))
    with anyio.move_on_after(2):
        async with fly.leases.hold("web", machine.id, ttl=60):
            await asyncio.sleep(100)
    assert leased(emulator) == []


async def test_a_change_under_a_lease_ends_with_its_scope(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    emulator.faults.add(Fault(does="delay", action="updateMachine", seconds=20))
    with anyio.move_on_after(3) as scope:
        await fly.machines.modify("web", machine.id, lambda config: evolve(config, env={"MODE": "fast"}))
    assert scope.cancelled_caught
    assert leased(emulator) == []


async def test_a_client_that_is_closed_by_a_scope_lets_its_calls_finish(emulator: Emulator, app: str) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=3))
    with anyio.move_on_after(1):
        async with client(emulator) as fly:
            create = asyncio.create_task(fly.machines.create(app, NGINX))
            await asyncio.sleep(100)
    assert (await create).id in emulator.world.machines
