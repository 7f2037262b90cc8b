import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.emulator.core.records import MachineRecord
from flyasync.errors import (
    ConnectionLost,
    InvalidInput,
    LeaseHeld,
    NoReplyInTime,
    NotFound,
    ServerFault,
)
from flyasync.models.machine import Machine
from tests.api.client_on_emulator import Ask, client, count, now, sent_by, stopped

LEASE = {"status": "success", "data": {"nonce": "5c35f65c9f95", "expires_at": 1708569778, "owner": "hello@fly.io"}}
L1 = "/v1/apps/web/machines/m1/lease"

SENT: list[tuple[Ask, str, Any, str | None]] = [
    (lambda fly: fly.leases.acquire("web", "m1"), f"POST {L1}?ttl=30", {"ttl": 30}, None),
    (
        lambda fly: fly.leases.acquire("web", "m1", ttl=7, description="deploy"),
        f"POST {L1}?ttl=7",
        {"ttl": 7, "description": "deploy"},
        None,
    ),
    (lambda fly: fly.leases.refresh("web", "m1", "n0nce", ttl=9), f"POST {L1}?ttl=9", {"ttl": 9}, "n0nce"),
    (lambda fly: fly.leases.get("web", "m1"), f"GET {L1}", None, None),
    (lambda fly: fly.leases.release("web", "m1", "n0nce"), f"DELETE {L1}", None, "n0nce"),
]


@pytest.mark.parametrize(("ask", "line", "body", "nonce"), SENT)
async def test_each_method_sends_what_the_api_documents(ask: Ask, line: str, body: Any, nonce: str | None) -> None:
    sent = await sent_by(ask, LEASE)
    assert (sent.line, sent.body, sent.nonce) == (line, body, nonce)


@pytest_asyncio.fixture
async def machine(fly: FlyClient, app: str) -> Machine:
    return await stopped(fly)


def record(emulator: Emulator, machine: Machine) -> MachineRecord:
    return emulator.world.machines[machine.id]


async def test_a_lease_is_taken_read_refreshed_and_given_back(fly: FlyClient, machine: Machine) -> None:
    taken = await fly.leases.acquire("web", machine.id, ttl=20, description="deploy")
    assert (taken.description, taken.version) == ("deploy", machine.instance_id)
    assert await fly.leases.get("web", machine.id) == taken
    await asyncio.sleep(10)
    fresh = await fly.leases.refresh("web", machine.id, taken.nonce, ttl=20)
    assert fresh.nonce == taken.nonce
    assert taken.expires
    assert fresh.expires
    assert (fresh.expires - taken.expires).total_seconds() == pytest.approx(10, abs=1)
    await fly.leases.release("web", machine.id, taken.nonce)
    for lost in (fly.leases.get("web", machine.id), fly.leases.release("web", machine.id, taken.nonce)):
        with pytest.raises(NotFound, match="lease not found"):
            await lost


async def test_a_lease_that_is_held_names_its_holder_and_its_end(fly: FlyClient, machine: Machine) -> None:
    taken = await fly.leases.acquire("web", machine.id)
    for ask in (fly.leases.acquire("web", machine.id), fly.leases.refresh("web", machine.id, "wrong")):
        with pytest.raises(LeaseHeld, match="Wait until it expires") as caught:
            await ask
        assert caught.value.holder == taken.owner
        assert caught.value.expires_at
        assert caught.value.expires_at.endswith("UTC")


async def test_a_lease_ends_by_itself(fly: FlyClient, machine: Machine) -> None:
    await fly.leases.acquire("web", machine.id, ttl=5)
    await asyncio.sleep(6)
    await fly.leases.acquire("web", machine.id, ttl=5)


async def test_the_nonce_stays_out_of_every_repr(fly: FlyClient, machine: Machine) -> None:
    async with fly.leases.hold("web", machine.id) as lease:
        seen = await fly.machines.get("web", machine.id)
        assert seen.nonce is None
        assert lease.nonce not in repr(lease) + repr(seen) + str(seen)
        with pytest.raises(LeaseHeld) as caught:
            await fly.leases.acquire("web", machine.id)
        assert lease.nonce not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("ttl", [0, -1, 1.5])
async def test_a_ttl_is_a_whole_number_of_seconds(fly: FlyClient, ttl: Any) -> None:
    with pytest.raises(InvalidInput, match="whole number"):
        await fly.leases.acquire("web", "m1", ttl=ttl)


async def test_a_ttl_may_be_a_whole_float() -> None:
    ttl: Any = 30.0
    sent = await sent_by(lambda fly: fly.leases.acquire("web", "m1", ttl=ttl), LEASE)
    assert (sent.line, sent.body) == (f"POST {L1}?ttl=30", {"ttl": 30})


async def test_a_lease_too_short_to_be_kept_is_refused_before_it_is_taken(fly: FlyClient, emulator: Emulator) -> None:
    with pytest.raises(InvalidInput, match="3 s or more"):
        async with fly.leases.hold("web", "m1", ttl=2):
            pass
    assert emulator.log == []


async def test_an_acquire_whose_answer_is_lost_is_not_repeated(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(Fault(does="cut_after", action="createMachineLease", times=1))
    with pytest.raises(ConnectionLost) as caught:
        await fly.leases.acquire("web", machine.id)
    assert caught.value.may_have_happened
    assert count(emulator, "createMachineLease") == 1


@pytest.mark.parametrize("ttl", [3, 10, 30])
async def test_a_held_lease_stays_fresh_for_minutes_and_is_given_back(
    fly: FlyClient, emulator: Emulator, machine: Machine, ttl: int
) -> None:
    async with fly.leases.hold("web", machine.id, ttl=ttl, description="long") as lease:
        for passed in range(5, 305, 5):
            await asyncio.sleep(5)
            held = await fly.leases.get("web", machine.id)
            assert held.nonce == lease.nonce
            assert held.expires
            assert lease.expires
            assert (held.expires - lease.expires).total_seconds() <= passed + 1  # never for longer than its ttl
            assert held.description
            assert held.description.startswith("long #")
        await fly.machines.start("web", machine.id, nonce=lease.nonce)
    assert record(emulator, machine).lease is None
    assert count(emulator, "createMachineLease") == pytest.approx(300 / ttl * 3, abs=4)
    assert emulator.refused_by_limit() == {}


async def test_a_block_that_never_waits_leaves_nothing_behind(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    async with fly.leases.hold("web", machine.id):
        pass
    assert record(emulator, machine).lease is None


Block = Callable[[], Awaitable[object]]


async def hold(fly: FlyClient, machine: Machine, block: Block, **options: Any) -> None:
    async with fly.leases.hold("web", machine.id, **options):
        await block()


async def fail() -> None:
    await asyncio.sleep(25)
    raise ZeroDivisionError


async def test_a_lease_is_given_back_when_the_block_fails(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    with pytest.raises(ZeroDivisionError):
        await hold(fly, machine, fail)
    assert record(emulator, machine).lease is None


@pytest.mark.parametrize("after", [1, 10, 25])
async def test_a_lease_is_given_back_when_the_block_is_cancelled(
    fly: FlyClient, emulator: Emulator, machine: Machine, after: float
) -> None:
    holding = asyncio.create_task(hold(fly, machine, asyncio.Event().wait))
    await asyncio.sleep(after)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert record(emulator, machine).lease is None
    assert holding.cancelled()


async def test_a_lease_is_given_back_although_the_giving_back_is_cancelled(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(Fault(does="delay", action="machinesReleaseLease", seconds=3))
    holding = asyncio.create_task(hold(fly, machine, asyncio.Event().wait))
    await asyncio.sleep(1)
    for _ in range(2):
        holding.cancel()
        await asyncio.sleep(1)
    assert record(emulator, machine).lease
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert record(emulator, machine).lease is None


async def test_giving_back_is_bounded_by_the_ttl(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    emulator.faults.add(Fault(does="lose_answer", action="machinesReleaseLease"))
    async with fly.leases.hold("web", machine.id, ttl=6):
        before = now()
    assert now() - before == pytest.approx(6, abs=0.1)


async def test_a_lease_whose_request_was_delivered_twice_is_held_all_the_same(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(Fault(does="repeat", action="createMachineLease", seconds=1, times=1))
    async with fly.leases.hold("web", machine.id) as lease:
        await asyncio.sleep(40)
        held = record(emulator, machine).lease
        assert held
        assert held.nonce == lease.nonce
    assert record(emulator, machine).lease is None


async def test_a_lease_of_another_client_is_not_taken_for_ones_own(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    async with fly.leases.hold("web", machine.id, description="deploy"), client(emulator) as other:
        with pytest.raises(LeaseHeld):
            await hold(other, machine, fail, description="deploy")
        assert record(emulator, machine).lease


@pytest.mark.parametrize("status", [404, 500])
async def test_giving_back_raises_nothing(fly: FlyClient, emulator: Emulator, machine: Machine, status: int) -> None:
    emulator.faults.add(Fault(does="refuse", action="machinesReleaseLease", status=status))
    async with fly.leases.hold("web", machine.id):
        pass


async def steal(emulator: Emulator, machine: Machine) -> None:
    """Do what the docs allow to anyone: clear the lease by its nonce, and take it."""
    async with client(emulator) as thief:
        lease = await thief.leases.get("web", machine.id)
        await thief.leases.release("web", machine.id, lease.nonce)
        await thief.leases.acquire("web", machine.id, ttl=600)


def cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_a_lease_that_somebody_took_cancels_the_block_and_says_who(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    reached: list[float] = []

    async def block() -> None:
        await steal(emulator, machine)
        try:
            await asyncio.sleep(600)
        finally:
            reached.append(now())

    before = now()
    with pytest.raises(LeaseHeld) as caught:
        await hold(fly, machine, block)
    assert caught.value.holder
    assert reached[0] - before <= 11
    assert cancellations() == 0
    assert record(emulator, machine).lease


def losing(emulator: Emulator, machine: Machine, then: Block | None = None) -> Block:
    """A block whose lease goes, and that does `then` when it is cancelled for it."""

    async def block() -> None:
        record(emulator, machine).lease = None
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            if then is None:
                raise
            await then()

    return block


async def test_a_lease_that_ended_cancels_the_block(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    with pytest.raises(NotFound):
        await hold(fly, machine, losing(emulator, machine))
    assert cancellations() == 0


async def test_a_block_that_swallows_the_cancellation_still_ends_with_the_error(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    with pytest.raises(NotFound):
        await hold(fly, machine, losing(emulator, machine, lambda: asyncio.sleep(1)))
    assert cancellations() == 0


async def test_the_blocks_own_error_outranks_the_loss_of_the_lease(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    with pytest.raises(ZeroDivisionError):
        await hold(fly, machine, losing(emulator, machine, fail))
    assert cancellations() == 0


async def test_a_real_cancellation_outranks_the_loss_of_the_lease(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    holding = asyncio.create_task(hold(fly, machine, losing(emulator, machine, lambda: asyncio.sleep(5))))
    await asyncio.sleep(12)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding


async def test_a_deadline_around_the_block_still_ends_it_as_a_deadline(fly: FlyClient, machine: Machine) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(45), fly.leases.hold("web", machine.id):
            await asyncio.sleep(600)


async def test_a_lease_can_be_held_inside_a_task_group(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    async def group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(hold(fly, machine, losing(emulator, machine)))
            group.create_task(asyncio.sleep(600))

    with pytest.raises(ExceptionGroup) as caught:
        await group()
    (error,) = caught.value.exceptions
    assert isinstance(error, NotFound)


async def test_a_lease_can_be_held_by_a_task_that_cleans_up_after_its_cancellation(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    async def clean_up() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            with pytest.raises(NotFound):
                await hold(fly, machine, losing(emulator, machine))

    cleaning = asyncio.create_task(clean_up())
    await asyncio.sleep(1)
    cleaning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cleaning


TROUBLE = [
    Fault(does="refuse", action="createMachineLease", status=503),
    Fault(does="refuse", action="createMachineLease", status=500),
    Fault(does="refuse", action="createMachineLease", status=408),
    Fault(does="refuse", action="createMachineLease", status=429),
    Fault(does="cut", action="createMachineLease"),
    Fault(does="cut_after", action="createMachineLease"),
    Fault(does="lose_answer", action="createMachineLease"),
]


@pytest.mark.parametrize("fault", TROUBLE, ids=[f"{fault.does} {fault.status}" for fault in TROUBLE])
async def test_trouble_that_passes_within_the_ttl_does_not_lose_the_lease(
    fly: FlyClient, emulator: Emulator, machine: Machine, fault: Fault
) -> None:
    async with fly.leases.hold("web", machine.id) as lease:
        emulator.faults.add(fault)
        await asyncio.sleep(18)
        emulator.faults.clear()
        await asyncio.sleep(60)
        assert (await fly.leases.get("web", machine.id)).nonce == lease.nonce
    assert emulator.refused_by_limit() == {}


async def test_one_lost_answer_in_each_refresh_does_not_lose_the_lease(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    async with fly.leases.hold("web", machine.id) as lease:
        for _ in range(10):
            emulator.faults.add(Fault(does="lose_answer", action="createMachineLease", times=1))
            await asyncio.sleep(20)
        assert (await fly.leases.get("web", machine.id)).nonce == lease.nonce


@pytest.mark.parametrize(
    "fault",
    [*TROUBLE, Fault(does="refuse", action="createMachineLease", status=429, headers={"Retry-After": "3600"})],
    ids=lambda fault: f"{fault.does} {fault.status} {fault.headers}",
)
async def test_trouble_that_lasts_ends_the_block_before_the_lease_ends(
    fly: FlyClient, emulator: Emulator, machine: Machine, fault: Fault
) -> None:
    ended: list[float] = []

    async def block() -> None:
        emulator.faults.add(fault)
        try:
            await asyncio.sleep(600)
        finally:
            ended.append(now())

    before = now()
    with pytest.raises(NoReplyInTime, match="could not be refreshed"):
        await hold(fly, machine, block, ttl=30)
    assert ended[0] - before == pytest.approx(25, abs=0.5)


async def test_a_lease_that_cannot_be_taken_runs_no_block(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    emulator.faults.add(Fault(does="refuse", action="createMachineLease", status=500))
    with pytest.raises(ServerFault):
        async with fly.leases.hold("web", machine.id):
            pytest.fail("nobody holds the lease")
    assert count(emulator, "machinesReleaseLease") == 0


ACQUIRE = "createMachineLease"


@pytest.mark.parametrize("trouble", ["delay", "cut_after"])
@pytest.mark.parametrize("after", [0.001, 1, 4.999])
async def test_a_lease_is_given_back_when_it_is_cancelled_while_it_is_taken(
    fly: FlyClient, emulator: Emulator, machine: Machine, trouble: str, after: float
) -> None:
    emulator.faults.add(Fault(does=trouble, action=ACQUIRE, seconds=5, times=1))
    emulator.faults.add(Fault(does="delay", action="getMachineLease", seconds=5))
    holding = asyncio.create_task(hold(fly, machine, asyncio.Event().wait, ttl=60))
    await asyncio.sleep(after)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    await asyncio.sleep(10)
    assert record(emulator, machine).lease is None
    assert holding.cancelled()


async def test_one_cancelled_in_line_asks_for_nothing(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    for _ in range(3):
        async with fly.leases.hold("web", machine.id):
            pass
    before = count(emulator, ACQUIRE)
    holding = asyncio.create_task(hold(fly, machine, asyncio.Event().wait))
    await asyncio.sleep(0.1)
    asked_at = now()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert now() - asked_at < 0.1
    await asyncio.sleep(10)
    assert count(emulator, ACQUIRE) == before


async def test_cancelled_while_a_429_is_under_way_no_lease_is_acquired(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(
        Fault(does="delay", action=ACQUIRE, seconds=2),
        Fault(does="refuse", action=ACQUIRE, status=429, headers={"Retry-After": "5"}, times=1),
    )
    holding = asyncio.create_task(hold(fly, machine, asyncio.Event().wait))
    await asyncio.sleep(1)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    await asyncio.sleep(30)
    assert count(emulator, ACQUIRE) == 1


async def test_a_second_cancellation_does_not_wait(fly: FlyClient, emulator: Emulator, machine: Machine) -> None:
    emulator.faults.add(Fault(does="lose_answer", action=ACQUIRE, times=1))
    holding = asyncio.create_task(hold(fly, machine, asyncio.Event().wait))
    for _ in range(2):
        await asyncio.sleep(1)
        before = now()
        holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert now() - before < 0.1


async def test_waiting_for_the_answer_is_bounded_by_the_ttl(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(Fault(does="lose_answer", action=ACQUIRE, times=1))
    holding = asyncio.create_task(hold(fly, machine, asyncio.Event().wait, ttl=5))
    await asyncio.sleep(1)
    before = now()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert now() - before == pytest.approx(5, abs=0.1)


async def test_a_lease_whose_answer_is_lost_is_found_and_kept(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(Fault(does="cut_after", action=ACQUIRE, times=1))
    before = now()
    async with fly.leases.hold("web", machine.id, ttl=30) as lease:
        assert now() - before < 2
        await asyncio.sleep(100)
        assert (await fly.leases.get("web", machine.id)).nonce == lease.nonce
    assert record(emulator, machine).lease is None


async def test_a_lease_of_somebody_else_is_not_taken_for_ones_own(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    taken = await fly.leases.acquire("web", machine.id, description="deploy")
    emulator.faults.add(Fault(does="cut", action=ACQUIRE, times=1))
    with pytest.raises(ConnectionLost):
        await hold(fly, machine, fail, description="deploy")
    assert (await fly.leases.get("web", machine.id)).nonce == taken.nonce


async def test_a_lease_that_was_found_but_cannot_be_refreshed_is_given_back(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(Fault(does="cut_after", action=ACQUIRE, times=1))
    emulator.faults.add(Fault(does="refuse", action=ACQUIRE, status=403, body="no", after=1))
    with pytest.raises(ConnectionLost):
        await hold(fly, machine, fail)
    assert record(emulator, machine).lease is None


async def test_looking_for_a_lease_whose_answer_is_lost_is_bounded_by_the_ttl(
    fly: FlyClient, emulator: Emulator, machine: Machine
) -> None:
    emulator.faults.add(Fault(does="cut_after", action=ACQUIRE, times=1))
    emulator.faults.add(Fault(does="lose_answer", action="getMachineLease"))
    before = now()
    with pytest.raises(ConnectionLost):
        await hold(fly, machine, fail, ttl=5)
    assert now() - before == pytest.approx(5, abs=0.5)
