import asyncio
from collections import Counter
from typing import Any

import pytest
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.errors import InvalidInput, LeaseHeld, PoolExhausted, WaitFailed
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import structure
from flyasync.pool.events import (
    ClaimFailed,
    ClaimSource,
    DestroyReason,
    MachineClaimed,
    MachineCreated,
    MachineDestroyed,
    MachineReleased,
    PoolEvent,
)
from flyasync.pool.pool import MachinePool
from flyasync.pool.spec import KEY, POOL
from tests.pool.conftest import SANDBOX, MakePool, settle


def now() -> float:
    return asyncio.get_running_loop().time()


def names(emulator: Emulator) -> list[str]:
    """Return the names of the machines that exist and are not being destroyed."""
    gone = {"destroying", "destroyed"}
    return sorted(each.name for each in emulator.world.machines.values() if each.state not in gone)


def requests(emulator: Emulator, before: "Counter[tuple[str, str]]") -> "Counter[str]":
    """Return the requests since `before`, without the lists that all claims share."""
    counts: Counter[str] = Counter()
    for (action, _), number in (emulator.counts() - before).items():
        counts[action] += number
    del counts["listMachines"]
    return counts


# Ready machines


async def test_machines_are_created_and_wait_stopped(emulator: Emulator, make_pool: MakePool) -> None:
    done = await make_pool(ready=3).reconcile()
    await asyncio.sleep(30)
    assert len(done.created) == 3
    assert names(emulator) == ["pool-0", "pool-1", "pool-2"]
    assert {each.state for each in emulator.world.machines.values()} == {"stopped"}


@pytest.mark.parametrize("standby", ["started", "suspended"])
async def test_machines_wait_in_the_state_of_the_pool(emulator: Emulator, make_pool: MakePool, standby: str) -> None:
    await settle(make_pool(ready=2, standby=standby))
    assert [each.state for each in emulator.world.machines.values()] == [standby, standby]


async def test_new_machines_are_spread_over_the_regions(emulator: Emulator, make_pool: MakePool) -> None:
    await settle(make_pool(ready=4, regions=("iad", "lhr")))
    assert Counter(each.region for each in emulator.world.machines.values()) == {"iad": 2, "lhr": 2}


async def test_one_region_may_be_a_text(emulator: Emulator, make_pool: MakePool) -> None:
    await settle(make_pool(ready=1, regions="lhr"))
    assert [each.region for each in emulator.world.machines.values()] == ["lhr"]


async def test_a_region_that_is_full_is_skipped(emulator: Emulator, make_pool: MakePool) -> None:
    emulator.set_capacity("iad", 0)
    await settle(make_pool(ready=2, regions=("iad", "lhr")))
    assert {each.region for each in emulator.world.machines.values()} == {"lhr"}


async def test_the_pool_never_has_more_machines_than_max(emulator: Emulator, make_pool: MakePool) -> None:
    pools = [make_pool(ready=9, max=4) for _ in range(3)]
    await asyncio.gather(*(pool.reconcile() for pool in pools))
    assert names(emulator) == ["pool-0", "pool-1", "pool-2", "pool-3"]


async def test_several_processes_that_fill_a_pool_do_not_create_more_than_is_missing(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pools = [make_pool(ready=2, max=20) for _ in range(4)]
    await asyncio.gather(*(pool.reconcile() for pool in pools))
    assert names(emulator) == ["pool-0", "pool-1"]


async def test_an_open_pool_replaces_what_is_claimed(emulator: Emulator, make_pool: MakePool) -> None:
    async with make_pool(ready=2) as pool:
        await asyncio.sleep(30)
        async with pool.acquire("user-7"):
            await asyncio.sleep(30)
            status = await pool.status()
            assert (status.ready, status.claimed, status.machines, status.max) == (2, 1, 3, 5)


async def test_ready_may_be_a_function_and_be_changed(emulator: Emulator, make_pool: MakePool) -> None:
    wanted = 1
    async with make_pool(ready=lambda: wanted) as pool:
        await asyncio.sleep(30)
        assert len(names(emulator)) == 1
        wanted = 3
        await asyncio.sleep(30)
        assert len(names(emulator)) == 3
        pool.resize(ready=2)
        await asyncio.sleep(30)
        assert names(emulator) == ["pool-0", "pool-1"]


# Claims


@pytest.mark.parametrize(
    ("standby", "most"),
    [
        ("started", {"acquireLease": 1, "getMachine": 1, "setMachineMetadata": 1}),
        ("stopped", {"acquireLease": 1, "getMachine": 1, "setMachineMetadata": 1, "startMachine": 1, "waitMachine": 1}),
        (
            "suspended",
            {"acquireLease": 1, "getMachine": 1, "setMachineMetadata": 1, "startMachine": 1, "waitMachine": 1},
        ),
    ],
)
async def test_a_warm_claim_takes_three_requests_or_five(
    emulator: Emulator, make_pool: MakePool, standby: str, most: dict[str, int]
) -> None:
    pool = make_pool(ready=1, standby=standby)
    await settle(pool)
    before = emulator.counts()
    async with pool.acquire("user-7") as machine:
        sent = requests(emulator, before)
        assert sent.total() == sum(most.values()), sent
        assert machine.machine.state == "started"
        assert emulator.world.machines[machine.id].lease


async def test_a_claimed_machine_has_the_key_and_its_lease_and_is_not_claimed_again(
    emulator: Emulator, make_pool: MakePool, fly: FlyClient
) -> None:
    one, two = make_pool(max=1), make_pool(max=1)
    async with one.acquire("user-7") as machine:
        read = await fly.machines.get("web", machine.id)
        assert (read.metadata[POOL], read.metadata[KEY]) == ("pool", "user-7")
        with pytest.raises(LeaseHeld):
            await fly.machines.stop("web", machine.id)
        with pytest.raises(PoolExhausted, match="1 of its 1 machines are claimed"):
            async with two.acquire("user-8", timeout=10):
                pytest.fail("claimed twice")


async def test_many_claims_of_several_processes_never_share_a_machine(emulator: Emulator, make_pool: MakePool) -> None:
    pools = [make_pool(max=6, on_release="stop") for _ in range(3)]
    held: set[str] = set()

    async def use(pool: MachinePool, key: str) -> None:
        async with pool.acquire(key, timeout=600) as machine:
            assert machine.id not in held
            held.add(machine.id)
            await asyncio.sleep(5)
            held.discard(machine.id)

    await asyncio.gather(*(use(pools[number % 3], f"user-{number}") for number in range(24)))
    assert len(names(emulator)) <= 6
    assert not emulator.refused_by_limit()


async def test_two_claims_of_one_key_follow_each_other(make_pool: MakePool) -> None:
    pool = make_pool(on_release="keep")
    claims = 0

    async def use() -> str:
        nonlocal claims
        async with pool.acquire("user-7", timeout=600) as machine:
            claims += 1
            assert claims == 1
            await asyncio.sleep(3)
            claims -= 1
            return machine.id

    assert len(set(await asyncio.gather(use(), use(), use()))) == 1


async def test_the_error_of_a_claim_that_waits_for_another_one_of_its_key_shows_the_machines(
    make_pool: MakePool,
) -> None:
    pool = make_pool(ready=2)
    await settle(pool)
    async with pool.acquire("user-7"):
        await pool.status()
        with pytest.raises(PoolExhausted, match="of its 2 machines are claimed"):
            async with pool.acquire("user-7", timeout=10):
                pytest.fail("two claims of one key at once")


async def test_a_free_machine_in_the_region_comes_first(make_pool: MakePool) -> None:
    pool = make_pool(ready=2, regions=("iad", "lhr"))
    await settle(pool)
    for region in ("lhr", "iad"):
        async with pool.acquire("user-7", region=region) as machine:
            assert machine.region == region


async def test_without_a_free_machine_one_is_created_in_the_region(make_pool: MakePool) -> None:
    async with make_pool(regions=("iad", "lhr")).acquire("user-7", region="lhr") as machine:
        assert (machine.region, machine.machine.state) == ("lhr", "started")


async def test_a_claim_waits_for_the_checks(make_pool: MakePool) -> None:
    checks = {"alive": {"type": "tcp", "port": 80, "interval": "2s", "timeout": "1s"}}
    config = structure({"image": "sandbox", "checks": checks}, MachineConfig)
    async with make_pool(config).acquire("user-7") as machine:
        assert machine.machine.is_healthy


async def test_a_machine_that_does_not_start_is_destroyed_and_another_one_is_claimed(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pool = make_pool(ready=1)
    await settle(pool)
    emulator.faults.add(Fault(does="fail", name="pool-0", times=1))
    async with pool.acquire("user-7") as machine:
        assert machine.machine.state == "started"
        assert names(emulator) == [machine.machine.name] != ["pool-0"]


async def test_a_new_machine_that_fails_is_destroyed_and_its_error_raised(
    emulator: Emulator, make_pool: MakePool
) -> None:
    emulator.faults.add(Fault(does="fail"))
    with pytest.raises(WaitFailed):
        async with make_pool().acquire("user-7"):
            pytest.fail("it does not run")
    assert not names(emulator)


async def test_a_full_region_is_the_reason_of_a_claim_that_gets_none(emulator: Emulator, make_pool: MakePool) -> None:
    emulator.set_capacity("iad", 0)
    with pytest.raises(PoolExhausted, match=r"the last attempt failed: machines\.create"):
        async with make_pool(regions=("iad",)).acquire("user-7", timeout=5):
            pytest.fail("there is no room")


@pytest.mark.parametrize("after", [0.1, 0.6, 1.5, 4.0])
async def test_a_claim_that_is_cancelled_leaves_nothing_that_is_claimed(
    emulator: Emulator, make_pool: MakePool, after: float
) -> None:
    pool = make_pool()

    async def use() -> None:
        async with pool.acquire("user-7"):
            await asyncio.sleep(100)

    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=1))
    claim = asyncio.create_task(use())
    await asyncio.sleep(after)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    await asyncio.sleep(5)
    assert not names(emulator)


async def test_a_lease_that_is_lost_ends_the_block(emulator: Emulator, fly: FlyClient, make_pool: MakePool) -> None:
    pool = make_pool(claim_ttl=6)

    async def use() -> None:
        async with pool.acquire("user-7") as machine:
            lease = await fly.leases.get("web", machine.id)
            await fly.leases.release("web", machine.id, lease.nonce)
            await fly.leases.acquire("web", machine.id, ttl=60)
            await asyncio.sleep(100)

    with pytest.raises(LeaseHeld):
        await use()
    assert len(names(emulator)) == 1  # another client holds it


async def test_lost_responses_neither_lose_nor_duplicate_a_claim(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool(max=4, on_release="stop")
    emulator.faults.add(Fault(does="cut_after", probability=0.1), Fault(does="cut", probability=0.1))

    async def use(number: int) -> None:
        async with pool.acquire(f"user-{number}", timeout=600):
            await asyncio.sleep(1)

    await asyncio.gather(*(use(number) for number in range(20)))
    emulator.faults.clear()
    await asyncio.sleep(60)
    await pool.reconcile()
    assert all(each.lease is None for each in emulator.world.machines.values())
    assert len(names(emulator)) <= 4


# Release


async def test_a_recycled_machine_is_destroyed(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool()
    async with pool.acquire("user-7") as first:
        pass
    async with pool.acquire("user-7") as second:
        assert second.id != first.id


async def test_a_stopped_machine_is_free_for_any_key(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool(on_release="stop", max=1)
    async with pool.acquire("user-7") as first:
        pass
    await asyncio.sleep(5)
    assert emulator.world.machines[first.id].state == "stopped"
    async with pool.acquire("user-8") as second:
        assert second.id == first.id


@pytest.mark.parametrize("standby", ["started", "stopped", "suspended"])
async def test_a_kept_machine_is_for_its_key(emulator: Emulator, make_pool: MakePool, standby: str) -> None:
    pool = make_pool(on_release="keep", standby=standby)
    async with pool.acquire("user-7") as first:
        pass
    await asyncio.sleep(10)
    assert emulator.world.machines[first.id].state == standby
    async with pool.acquire("user-8") as other:
        assert other.id != first.id
    async with pool.acquire("user-7") as again:
        assert again.id == first.id


async def test_a_kept_machine_is_recycled_when_its_time_is_over(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool(on_release="keep", keep_for=60)
    async with pool.acquire("user-7"):
        pass
    await asyncio.sleep(50)
    assert (await pool.reconcile()).destroyed == {}
    await asyncio.sleep(15)
    assert (await pool.reconcile()).destroyed == {DestroyReason.ABANDONED: 1}
    assert not names(emulator)


async def test_a_kept_machine_makes_room_in_a_full_pool(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool(on_release="keep", max=2)
    ids = []
    for key in ("a", "b", "c"):
        async with pool.acquire(key) as machine:
            ids.append(machine.id)
        await asyncio.sleep(5)
    assert len(names(emulator)) == 2
    async with pool.acquire("b") as machine:
        assert machine.id == ids[1]


async def test_the_machine_of_a_dead_holder_is_recycled_when_its_lease_has_expired(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pool = make_pool(claim_ttl=30)
    held = asyncio.Event()

    async def hold() -> None:
        async with pool.acquire("user-7"):
            held.set()
            await asyncio.sleep(3600)

    holder = asyncio.create_task(hold())
    await held.wait()
    # From here on, no request of the holder arrives, as if it had been killed.
    emulator.faults.add(
        *(
            Fault(does="cut", action=action)
            for action in ("createMachineLease", "deleteMachine", "machinesReleaseLease")
        )
    )
    await asyncio.sleep(20)
    holder.cancel()
    await asyncio.wait([holder])
    emulator.faults.clear()
    other = make_pool()
    await asyncio.sleep(40)
    done = await other.reconcile()
    assert done.destroyed == {DestroyReason.ABANDONED: 1}
    assert not names(emulator)


# Outdated machines, other machines, deploys


async def test_machines_of_another_config_are_not_claimed_and_replaced_on_request(
    emulator: Emulator, make_pool: MakePool
) -> None:
    old = make_pool(ready=2)
    await settle(old)
    new = make_pool(evolve(SANDBOX, image="sandbox:2"), ready=1)
    assert (await new.reconcile()).destroyed == {}
    async with new.acquire("user-7") as machine:
        assert machine.machine.config
        assert machine.machine.config.image == "sandbox:2"
    done = await new.reconcile(replace_outdated=True)
    assert done.destroyed[DestroyReason.OUTDATED] == 2


async def test_a_full_pool_of_another_config_makes_room(emulator: Emulator, make_pool: MakePool) -> None:
    await settle(make_pool(ready=2, max=2))
    async with make_pool(evolve(SANDBOX, image="sandbox:2"), max=2).acquire("user-7") as machine:
        assert machine.machine.config
        assert machine.machine.config.image == "sandbox:2"


async def test_a_machine_of_another_tool_with_the_name_of_a_slot_is_left_alone(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    await fly.machines.create("web", MachineConfig(image="other"), name="pool-0")
    pool = make_pool(ready=1)
    async with pool.acquire("user-7") as machine:
        assert machine.machine.name != "pool-0"
    await settle(pool)
    await pool.drain()
    assert names(emulator) == ["pool-0"]


async def test_a_second_drain_does_not_count_machines_that_are_being_destroyed(make_pool: MakePool) -> None:
    pool = make_pool(ready=2, standby="started")
    await settle(pool)
    assert (await pool.drain()).destroyed == {DestroyReason.DRAINED: 2}
    assert (await pool.drain()).destroyed == {}


async def test_two_pools_of_an_app_do_not_touch_each_other(emulator: Emulator, make_pool: MakePool) -> None:
    one, two = make_pool(ready=2, name="small"), make_pool(ready=1, name="large")
    await settle(one)
    await settle(two)
    assert names(emulator) == ["large-0", "small-0", "small-1"]
    await one.drain()
    assert names(emulator) == ["large-0"]


async def test_machines_beyond_a_lower_max_are_destroyed_once_they_are_free(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pool = make_pool(ready=3)
    await settle(pool)
    pool.resize(ready=1, max=1)
    await pool.reconcile()
    assert names(emulator) == ["pool-0"]


# Closing, events, input


async def test_leaving_the_pool_waits_for_its_claims(make_pool: MakePool) -> None:
    async def use(pool: MachinePool) -> None:
        async with pool.acquire("user-7"):
            await asyncio.sleep(20)

    async with make_pool() as pool:
        claim = asyncio.create_task(use(pool))
        await asyncio.sleep(10)
        began = now()
    assert now() - began > 10
    await claim
    with pytest.raises(InvalidInput, match="the pool is closed"):
        pool.acquire("user-7")


async def test_events_show_what_happened(make_pool: MakePool) -> None:
    seen: list[PoolEvent] = []
    pool = make_pool(ready=1, max=2, on_event=seen.append)
    await settle(pool)
    async with pool.acquire("user-7") as warm, pool.acquire("user-8") as cold:
        with pytest.raises(PoolExhausted):
            async with pool.acquire("user-9", timeout=2):
                pytest.fail("the pool is full")
    assert [type(each) for each in seen] == [
        MachineCreated, MachineClaimed, MachineClaimed, ClaimFailed,
        MachineDestroyed, MachineReleased, MachineDestroyed, MachineReleased,
    ]  # fmt: skip
    claimed = [each for each in seen if isinstance(each, MachineClaimed)]
    assert [(each.key, each.machine_id, each.source) for each in claimed] == [
        ("user-7", warm.id, ClaimSource.WARM),
        ("user-8", cold.id, ClaimSource.COLD),
    ]
    assert all(each.seconds > 0.5 for each in claimed)
    assert [each.error for each in seen if isinstance(each, ClaimFailed)] == ["PoolExhausted"]
    assert {each.reason for each in seen if isinstance(each, MachineDestroyed)} == {DestroyReason.RELEASED}


async def test_an_observer_that_raises_changes_nothing(
    emulator: Emulator, make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    def observe(_event: PoolEvent) -> None:
        raise RuntimeError("an observer")

    async with make_pool(on_event=observe).acquire("user-7") as machine:
        assert names(emulator) == [machine.machine.name]
    assert "raised an exception" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"ready": -1}, {"ready": True}, {"max": 0}, {"claim_ttl": 1}, {"claim_ttl": 5.5}, {"name": ""},
        {"keep_for": 0}, {"standby": "asleep"},
        {"on_release": "nothing"}, {"config": MachineConfig()},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(fly: FlyClient, wrong: dict[str, Any]) -> None:
    options: dict[str, Any] = {"config": SANDBOX, "ready": 1, "max": 2, **wrong}
    with pytest.raises(InvalidInput):
        MachinePool(fly, "web", options.pop("config"), **options)


@pytest.mark.parametrize(("key", "timeout"), [("", 1.0), ("user-7", 0.0)])
async def test_a_claim_of_nothing_is_refused(make_pool: MakePool, key: str, timeout: float) -> None:
    with pytest.raises(InvalidInput):
        make_pool().acquire(key, timeout=timeout)
