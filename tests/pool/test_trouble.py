"""What other clients, lagging lists, lost responses and broken machines do to a pool."""

import asyncio
from collections import Counter

import pytest
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.emulator import Emulator, Fault
from flyasync.errors import PoolExhausted
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.json.codec import structure
from flyasync.pool.events import DestroyReason, MachineDestroyed, PoolEvent
from flyasync.pool.pool import MachinePool
from flyasync.pool.spec import KEY, POOL
from tests.pool.conftest import SANDBOX, MakePool, settle
from tests.pool.test_pool import names, now


def sent(emulator: Emulator, action: str) -> int:
    return sum(number for (each, _), number in emulator.counts().items() if each == action)


async def test_a_machine_that_has_just_stopped_is_claimed_again(emulator: Emulator, make_pool: MakePool) -> None:
    events: list[PoolEvent] = []
    pool = make_pool(on_release="stop", max=1, on_event=events.append)
    async with pool.acquire("user-7") as first:
        pass
    async with pool.acquire("user-8") as second:
        assert second.id == first.id
    assert not [each for each in events if isinstance(each, MachineDestroyed)]


async def test_a_machine_that_is_found_after_its_lease_has_expired_is_claimed_by_its_key(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pool = make_pool(claim_ttl=6)
    emulator.faults.add(
        Fault(does="cut_after", action="createMachine", times=1),
        Fault(does="delay", action="listMachines", seconds=15, after=1, times=1),
    )
    async with pool.acquire("user-7", timeout=120) as machine:
        assert names(emulator) == [machine.machine.name]
        assert emulator.world.machines[machine.id].config["metadata"][KEY] == "user-7"


async def test_a_claim_whose_lease_is_lost_while_the_machine_starts_continues_when_that_lease_ends(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    pool = make_pool(ready=1, claim_ttl=6)
    await settle(pool)
    (machine,) = emulator.world.machines.values()
    emulator.faults.add(Fault(does="delay", action="waitMachine", seconds=5))

    async def steal() -> None:
        await asyncio.sleep(2)
        lease = await fly.leases.get("web", machine.id)
        await fly.leases.release("web", machine.id, lease.nonce)
        await fly.leases.acquire("web", machine.id, ttl=10)

    theft = asyncio.create_task(steal())
    async with pool.acquire("user-7", timeout=300) as claimed:
        assert claimed.machine.state == "started"
    await theft


async def test_a_failed_machine_that_has_a_key_is_recycled(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    emulator.faults.add(Fault(does="fail"))
    config = evolve(SANDBOX, metadata={POOL: "pool", KEY: "user-7"})
    await fly.machines.create("web", config, name="pool-0")
    await asyncio.sleep(10)
    emulator.faults.clear()
    assert (await make_pool().reconcile()).destroyed == {DestroyReason.ABANDONED: 1}


async def test_a_ready_that_raises_does_not_end_the_pool(
    emulator: Emulator, make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([1, 1])

    def ready() -> int:
        try:
            return next(answers)
        except StopIteration:
            raise RuntimeError("no idea") from None

    async with make_pool(ready=ready):
        await asyncio.sleep(60)
    assert "no idea" in caplog.text
    assert len(names(emulator)) == 1


async def test_names_of_other_machines_are_not_tried(emulator: Emulator, fly: FlyClient, make_pool: MakePool) -> None:
    for number in range(3):
        await fly.machines.create("web", MachineConfig(image="other"), name=f"pool-{number}")
    before = sent(emulator, "createMachine")
    async with make_pool(ready=1, max=4).acquire("user-7") as machine:
        assert machine.machine.name == "pool-3"
    assert sent(emulator, "createMachine") == before + 1


async def test_one_claim_evicts_one_machine(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool(on_release="keep", max=4)
    for number in range(4):
        async with pool.acquire(f"user-{number}"):
            pass
    await asyncio.sleep(5)
    # Lists that lag show the evicted machine for longer.
    emulator.faults.add(Fault(does="stale", action="listMachines", seconds=3))
    await asyncio.sleep(4)
    async with pool.acquire("user-9"):
        pass
    destroyed = [each for each in emulator.world.machines.values() if each.state in {"destroying", "destroyed"}]
    assert len(destroyed) == 1


async def test_a_machine_on_an_unreachable_host_is_neither_claimed_nor_replaced(
    emulator: Emulator, make_pool: MakePool
) -> None:
    pool = make_pool(ready=1, max=2)
    await settle(pool)
    (lost,) = emulator.world.machines.values()
    emulator.set_host_status(lost.id, "unreachable")
    async with pool.acquire("user-7") as machine:
        assert machine.id != lost.id
    with pytest.raises(PoolExhausted):
        async with pool.acquire("user-8", timeout=30) as one, pool.acquire("user-9", timeout=5):
            pytest.fail(f"{one.id} is the only one")
    emulator.set_host_status(lost.id, "ok")
    await asyncio.sleep(2)
    async with pool.acquire("user-7") as machine:
        assert machine.id == lost.id


async def test_a_cordoned_machine_is_not_claimed(emulator: Emulator, fly: FlyClient, make_pool: MakePool) -> None:
    pool = make_pool(ready=1)
    await settle(pool)
    (machine,) = emulator.world.machines.values()
    await fly.machines.cordon("web", machine.id)
    async with pool.acquire("user-7") as other:
        assert other.id != machine.id


@pytest.mark.parametrize("key", ["ü ☃/../..%2F", "a" * 1024, '"quoted" {}\n\t', " ", "null"])
async def test_any_text_may_be_a_key(emulator: Emulator, make_pool: MakePool, key: str) -> None:
    pool = make_pool(ready=1, on_release="keep")
    await settle(pool)
    async with pool.acquire(key) as first:
        assert emulator.world.machines[first.id].config["metadata"][KEY] == key
    await asyncio.sleep(5)
    async with pool.acquire(key) as second:
        assert second.id == first.id


@pytest.mark.parametrize("on_release", ["recycle", "stop", "keep"])
async def test_with_lagging_lists_no_machine_is_claimed_twice(
    emulator: Emulator, make_pool: MakePool, on_release: str
) -> None:
    pools = [make_pool(max=4, on_release=on_release) for _ in range(3)]
    emulator.faults.add(Fault(does="stale", action="listMachines", seconds=4))
    held: set[str] = set()

    async def use(pool: MachinePool, key: str) -> None:
        async with pool.acquire(key, timeout=900) as machine:
            assert machine.id not in held
            held.add(machine.id)
            await asyncio.sleep(3)
            held.discard(machine.id)

    await asyncio.gather(*(use(pools[number % 3], f"user-{number}") for number in range(15)))
    assert len(names(emulator)) <= 4
    assert not emulator.refused_by_limit()


async def test_many_waiters_are_served_in_order_and_send_few_requests(emulator: Emulator, make_pool: MakePool) -> None:
    pool = make_pool(ready=2, max=2, on_release="stop", standby="started")
    await settle(pool)
    served: list[int] = []
    before = emulator.counts().total()

    async def use(number: int) -> None:
        async with pool.acquire(f"user-{number}", timeout=3600):
            served.append(number)

    await asyncio.gather(*(use(number) for number in range(60)))
    overtaken = [number for place, number in enumerate(served) if abs(place - number) > 2]
    assert not overtaken
    assert emulator.counts().total() - before < 60 * 15
    assert not emulator.refused_by_limit()


async def test_processes_that_fill_a_pool_together_waste_few_creates(emulator: Emulator, make_pool: MakePool) -> None:
    pools = [make_pool(ready=20, max=30) for _ in range(4)]
    async with pools[0], pools[1], pools[2], pools[3]:
        await asyncio.sleep(90)
        assert len(names(emulator)) == 20
    assert sent(emulator, "createMachine") < 40


async def test_claims_that_keep_coming_do_not_stop_the_refill(emulator: Emulator, make_pool: MakePool) -> None:
    async def use(pool: MachinePool, number: int) -> None:
        await asyncio.sleep(2 * number)
        async with pool.acquire(f"user-{number}"):
            await asyncio.sleep(1)

    async with make_pool(ready=4, max=12) as pool:
        await asyncio.gather(*(use(pool, number) for number in range(30)))
        states = Counter(
            KEY in each.config["metadata"] for each in emulator.world.machines.values() if each.state == "stopped"
        )
        assert states[False] >= 2


async def test_a_free_machine_that_was_started_is_brought_back_to_rest(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    pool = make_pool(ready=1)
    await settle(pool)
    (machine,) = emulator.world.machines.values()
    await fly.machines.start("web", machine.id)
    await asyncio.sleep(5)
    await settle(pool)
    assert machine.state == "stopped"


async def test_a_key_that_another_process_has_claimed_waits_for_it(make_pool: MakePool) -> None:
    one, two = make_pool(on_release="keep"), make_pool(on_release="keep")
    began = now()

    async def hold() -> str:
        async with one.acquire("user-7") as machine:
            await asyncio.sleep(20)
            return machine.id

    holder = asyncio.create_task(hold())
    await asyncio.sleep(5)
    async with two.acquire("user-7") as machine:
        assert machine.id == await holder
    assert now() - began > 20


@pytest.mark.parametrize("standby", ["stopped", "suspended"])
async def test_a_machine_that_is_stuck_is_replaced_within_the_timeout_of_a_claim(
    emulator: Emulator, make_pool: MakePool, standby: str
) -> None:
    pool = make_pool(ready=1, standby=standby)
    await settle(pool)
    (stuck,) = emulator.world.machines.values()
    emulator.faults.add(Fault(does="stay_starting", name=stuck.name))
    async with pool.acquire("user-7") as machine:
        assert machine.id != stuck.id
    assert stuck.state in {"destroying", "destroyed"}


async def test_a_volume_by_its_name_is_taken_by_one_machine_at_a_time(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    for _ in range(2):
        await fly.volumes.create("web", name="data", region="iad", size_gb=1)
    config = evolve(SANDBOX, mounts=[Mount(volume="data", path="/data")])
    pool = make_pool(config, max=5, regions=("iad",))
    held = 0

    async def use(number: int) -> None:
        nonlocal held
        async with pool.acquire(f"user-{number}", timeout=600):
            held += 1
            assert held <= 2
            await asyncio.sleep(5)
            held -= 1

    await asyncio.gather(*(use(number) for number in range(5)))


@pytest.mark.parametrize("on_release", ["recycle", "stop", "keep"])
async def test_with_nodes_that_lag_no_machine_is_claimed_twice(on_release: str) -> None:
    async with Emulator(seed=3, lag=(0.5, 3.0)) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("web", org_slug="personal")
        await asyncio.sleep(10)
        pools = [MachinePool(fly, "web", SANDBOX, ready=1, max=4, on_release=on_release) for _ in range(2)]  # type: ignore[arg-type]
        held: set[str] = set()

        async def use(pool: MachinePool, key: str) -> None:
            async with pool.acquire(key, timeout=900) as machine:
                assert machine.id not in held
                held.add(machine.id)
                await asyncio.sleep(3)
                held.discard(machine.id)

        async with pools[0], pools[1]:
            await asyncio.gather(*(use(pools[number % 2], f"user-{number}") for number in range(12)))
        assert len(names(emulator)) <= 4


async def test_a_new_key_that_two_processes_claim_at_once_gets_one_machine(
    emulator: Emulator, make_pool: MakePool
) -> None:
    one, two = make_pool(on_release="keep", keep_for=30), make_pool(on_release="keep", keep_for=30)

    async def use(pool: MachinePool) -> str:
        async with pool.acquire("user-7") as machine:
            await asyncio.sleep(5)
            return machine.id

    first, second = await asyncio.gather(use(one), use(two))
    assert first == second
    await asyncio.sleep(40)
    await one.reconcile()
    assert not names(emulator)


async def test_resizing_while_machines_are_claimed(emulator: Emulator, make_pool: MakePool) -> None:
    async with make_pool(max=1, on_release="stop") as pool:
        async with pool.acquire("user-1"):
            waiting = asyncio.create_task(_name(pool, "user-2"))
            await asyncio.sleep(3)
            assert not waiting.done()
            pool.resize(max=3)
            assert await waiting in {"pool-1", "pool-2"}
            pool.resize(max=1)
        await asyncio.sleep(30)
    assert len(names(emulator)) <= 1


async def _name(pool: MachinePool, key: str) -> str:
    async with pool.acquire(key) as machine:
        return machine.machine.name


async def test_a_deploy_leaves_a_pool_alone_and_reports_it_in_one_line(
    emulator: Emulator, fly: FlyClient, make_pool: MakePool
) -> None:
    pool = make_pool(ready=2, regions=("iad",))
    await settle(pool)
    async with pool.acquire("user-7") as machine:
        report = await DeployBuilder("web").to_regions("iad").with_image("shop:2").rolling().execute(fly)
        assert report.ok
        assert str(report).count("launch pool ") == 1
        assert emulator.world.machines[machine.id].config["image"] == "sandbox"
    assert names(emulator) == ["app-iad-1", "pool-1" if machine.machine.name == "pool-0" else "pool-0"]


async def test_the_machine_of_another_process_in_the_slot_is_neither_claimed_nor_destroyed(
    emulator: Emulator, make_pool: MakePool
) -> None:
    one, two = make_pool(max=1), make_pool(max=1)
    emulator.faults.add(Fault(does="stale", action="listMachines", seconds=5))
    await asyncio.sleep(6)
    async with one.acquire("user-1") as machine:
        with pytest.raises(PoolExhausted):
            async with two.acquire("user-2", timeout=8):
                pytest.fail("claimed twice")
        assert emulator.world.machines[machine.id].state == "started"


@pytest.mark.parametrize("ready", [0, 1])
async def test_a_claim_whose_machines_never_pass_their_checks_ends_with_an_error_that_names_them(
    emulator: Emulator, make_pool: MakePool, ready: int
) -> None:
    checks = {"alive": {"type": "tcp", "port": 80, "interval": "2s", "timeout": "1s"}}
    pool = make_pool(structure({"image": "sandbox", "checks": checks}, MachineConfig), ready=ready)
    await settle(pool)
    emulator.faults.add(Fault(does="checks_never_pass"))
    began = now()
    with pytest.raises(PoolExhausted, match=r"the last attempt failed: .* check alive is critical"):
        async with pool.acquire("user-7", timeout=30):
            pytest.fail("its checks do not pass")
    assert now() - began < 32


async def test_a_kept_machine_that_starts_slowly_survives_a_claim_with_a_short_timeout(
    emulator: Emulator, make_pool: MakePool
) -> None:
    checks = {"alive": {"type": "tcp", "port": 80, "interval": "2s", "timeout": "1s"}}
    pool = make_pool(structure({"image": "sandbox", "checks": checks}, MachineConfig), on_release="keep")
    async with pool.acquire("user-7") as first:
        pass
    await asyncio.sleep(10)
    emulator.faults.add(Fault(does="checks_pass_late", seconds=20))
    with pytest.raises(PoolExhausted, match="check alive is critical"):
        async with pool.acquire("user-7", timeout=8):
            pytest.fail("it does not serve yet")
    async with pool.acquire("user-7") as again:
        assert again.id == first.id


async def test_rounds_leave_machines_alone_that_are_kept_for_longer(emulator: Emulator, make_pool: MakePool) -> None:
    async with make_pool(on_release="keep", keep_for=300) as pool:
        for key in ("a", "b", "c"):
            async with pool.acquire(key):
                pass
        await asyncio.sleep(30)  # one round learns the API's time
        before = emulator.counts()
        await asyncio.sleep(200)
        assert {action for action, _ in emulator.counts() - before} == {"listMachines"}
        await asyncio.sleep(150)
        assert not names(emulator)
