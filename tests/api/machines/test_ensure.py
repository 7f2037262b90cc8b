import asyncio
from collections.abc import Mapping

import pytest

from flyasync.api.client import FlyClient
from flyasync.api.machines.ensure import Ensured
from flyasync.emulator import Emulator, Fault
from flyasync.errors import BadRequest, InvalidInput, WaitFailed
from flyasync.models.config import MachineConfig
from flyasync.models.json.codec import structure
from tests.api.client_on_emulator import NGINX, client, count, now


def made_in(emulator: Emulator) -> list[str]:
    return sorted(machine.name for machine in emulator.world.machines.values())


async def rest(fly: FlyClient, name: str, *, state: str = "stopped") -> str:
    """Create a machine that rests, and return its id."""
    machine = await fly.machines.create_once("web", NGINX, name=name, launch="earlier")
    await fly.machines.wait("web", machine.id, just_created=True)
    await (fly.machines.stop if state == "stopped" else fly.machines.suspend)("web", machine.id)
    await fly.machines.wait("web", machine.id, state=state)
    await asyncio.sleep(5)  # a machine that has just stopped refuses to start
    return machine.id


async def test_a_machine_that_does_not_exist_is_created_and_has_started(fly: FlyClient, app: str) -> None:
    ensured = await fly.machines.ensure_running(app, "user-7", NGINX, region="lhr")
    assert ensured.created
    assert not ensured.started
    assert (ensured.machine.name, ensured.machine.state, ensured.machine.region) == ("user-7", "started", "lhr")
    assert ensured.start_seconds >= 1  # the boot
    assert ensured.seconds == pytest.approx(
        ensured.find_seconds + ensured.create_seconds + ensured.start_seconds + ensured.healthy_seconds
    )


@pytest.mark.parametrize("state", ["stopped", "suspended"])
async def test_a_machine_that_rests_is_started_with_four_requests(
    emulator: Emulator, fly: FlyClient, app: str, state: str
) -> None:
    machine_id = await rest(fly, "user-7", state=state)
    before = emulator.counts().total()
    ensured = await fly.machines.ensure_running(app, "user-7", MachineConfig(image="another"))
    assert emulator.counts().total() - before == 4  # list, start, wait, get
    assert (ensured.machine.id, ensured.machine.state) == (machine_id, "started")
    assert (ensured.created, ensured.started) == (False, True)
    assert ensured.machine.config
    assert ensured.machine.config.image == NGINX.image


async def test_a_machine_that_runs_takes_a_list_and_one_read(emulator: Emulator, fly: FlyClient, app: str) -> None:
    first = await fly.machines.ensure_running(app, "user-7", NGINX)
    await asyncio.sleep(2)
    before = emulator.counts().total()
    again = await fly.machines.ensure_running(app, "user-7", NGINX)
    assert emulator.counts().total() - before == 2
    assert again == Ensured(machine=first.machine, find_seconds=again.find_seconds)


async def test_two_hundred_callers_of_four_clients_create_one_machine(emulator: Emulator, app: str) -> None:
    async with client(emulator) as one, client(emulator) as two, client(emulator) as three, client(emulator) as four:
        calls = [
            each.machines.ensure_running(app, "user-7", NGINX) for _ in range(50) for each in (one, two, three, four)
        ]
        ensured = await asyncio.gather(*calls)
    assert made_in(emulator) == ["user-7"]
    assert len({each.machine.id for each in ensured}) == 1
    assert {each.machine.state for each in ensured} == {"started"}


async def test_twelve_users_who_return_send_no_create_and_share_one_list(
    emulator: Emulator, fly: FlyClient, app: str
) -> None:
    names = [f"user-{number}" for number in range(12)]
    await asyncio.gather(*(rest(fly, name) for name in names))
    creates, lists, began = count(emulator, "createMachine"), count(emulator, "listMachines"), now()
    ensured = await asyncio.gather(*(fly.machines.ensure_running(app, name, NGINX) for name in names))
    assert [each.machine.name for each in ensured] == names
    assert count(emulator, "createMachine") == creates
    assert count(emulator, "listMachines") == lists + 1
    boot = 3.0
    assert now() - began < boot + 1


@pytest.mark.parametrize("verb", ["stop", "suspend"])
async def test_a_machine_that_is_stopping_is_awaited_then_started(fly: FlyClient, app: str, verb: str) -> None:
    first = await fly.machines.ensure_running(app, "user-7", NGINX)
    await getattr(fly.machines, verb)(app, first.machine.id)
    await asyncio.sleep(1.1)
    again = await fly.machines.ensure_running(app, "user-7", NGINX)
    assert (again.machine.id, again.machine.state, again.started) == (first.machine.id, "started", True)


async def test_a_machine_that_is_being_replaced_is_awaited(fly: FlyClient, app: str) -> None:
    first = await fly.machines.ensure_running(app, "user-7", NGINX)
    updated = await fly.machines.update(app, first.machine.id, MachineConfig(image="nginx:2"))
    again = await fly.machines.ensure_running(app, "user-7", NGINX)
    assert (again.machine.state, again.machine.current_version) == ("started", updated.current_version)


async def test_a_machine_that_is_being_destroyed_is_replaced_by_a_new_one(fly: FlyClient, app: str) -> None:
    first = await fly.machines.ensure_running(app, "user-7", NGINX)
    await fly.machines.delete(app, first.machine.id, force=True)
    await asyncio.sleep(1.1)
    again = await fly.machines.ensure_running(app, "user-7", NGINX)
    assert again.created
    assert again.machine.id != first.machine.id


async def test_lost_responses_create_no_second_machine(emulator: Emulator, fly: FlyClient, app: str) -> None:
    emulator.faults.add(Fault(does="cut_after", action="createMachine", times=2))
    ensured = await fly.machines.ensure_running(app, "user-7", NGINX)
    assert made_in(emulator) == ["user-7"]
    assert ensured.machine.state == "started"


async def test_a_start_that_a_lease_prevents_is_tried_again_until_the_lease_ends(fly: FlyClient, app: str) -> None:
    machine_id = await rest(fly, "user-7")
    await fly.leases.acquire(app, machine_id, ttl=10)
    began = now()
    ensured = await fly.machines.ensure_running(app, "user-7", NGINX)
    assert ensured.started
    assert now() - began > 9


async def test_the_error_of_a_caller_whose_time_is_up_has_the_state_and_the_last_refusal(
    fly: FlyClient, app: str
) -> None:
    machine_id = await rest(fly, "user-7")
    await fly.leases.acquire(app, machine_id, ttl=60)
    with pytest.raises(
        WaitFailed, match=rf"machine {machine_id} of web is stopped, not started: it was not within 5 s"
    ):
        await fly.machines.ensure_running(app, "user-7", NGINX, timeout=5)


async def test_a_caller_that_leaves_does_not_end_the_call_of_another(
    emulator: Emulator, fly: FlyClient, app: str
) -> None:
    hasty = asyncio.create_task(fly.machines.ensure_running(app, "user-7", NGINX, timeout=0.5))
    patient = asyncio.create_task(fly.machines.ensure_running(app, "user-7", NGINX))
    with pytest.raises(WaitFailed):
        await hasty
    assert (await patient).machine.state == "started"
    assert made_in(emulator) == ["user-7"]


async def test_the_last_caller_that_is_cancelled_waits_for_a_create_that_was_sent(
    emulator: Emulator, fly: FlyClient, app: str
) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=3))
    call = asyncio.create_task(fly.machines.ensure_running(app, "user-7", NGINX))
    await asyncio.sleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert made_in(emulator) == ["user-7"]


async def test_who_calls_while_the_last_caller_is_being_cancelled_gets_the_machine(
    emulator: Emulator, fly: FlyClient, app: str
) -> None:
    emulator.faults.add(Fault(does="delay", action="createMachine", seconds=5))
    first = asyncio.create_task(fly.machines.ensure_running(app, "user-7", NGINX))
    await asyncio.sleep(3)
    first.cancel()
    await asyncio.sleep(0.5)
    ensured = await fly.machines.ensure_running(app, "user-7", NGINX)
    assert (ensured.machine.name, ensured.machine.state) == ("user-7", "started")
    assert made_in(emulator) == ["user-7"]
    assert first.cancelled()


@pytest.mark.parametrize("seed", [0, 2])
async def test_nodes_that_lag_do_not_hide_what_became_of_a_machine(seed: int) -> None:
    async with Emulator(seed=seed, lag=(0.5, 6.0)) as emulator, client(emulator) as one, client(emulator) as two:
        await one.apps.create("web", org_slug="personal")
        await asyncio.sleep(10)

        async def ensure_all() -> None:
            calls = (
                fly.machines.ensure_running("web", f"u{number}", NGINX) for fly in (one, two) for number in (0, 1, 2)
            )
            await asyncio.gather(*calls)

        await ensure_all()
        first, *others = emulator.world.machines
        await asyncio.gather(*(one.machines.stop("web", each) for each in (first, *others)))
        await asyncio.sleep(1)
        await ensure_all()
        await one.machines.delete("web", first, force=True)
        await ensure_all()
        states = {each.id: each.state for each in emulator.world.machines.values()}
        assert states.pop(first) in {"destroying", "destroyed"}
        assert [*states.values()] == ["started"] * 3


async def test_the_error_of_a_machine_whose_checks_never_pass_names_them(
    emulator: Emulator, fly: FlyClient, app: str
) -> None:
    emulator.faults.add(Fault(does="checks_never_pass"))
    checks = {"alive": {"type": "tcp", "port": 80, "interval": "2s", "timeout": "1s"}}
    config = structure({"image": "nginx", "checks": checks}, MachineConfig)
    with pytest.raises(WaitFailed, match=r"is started, not healthy: it was not within 20 s, check alive is critical"):
        await fly.machines.ensure_running(app, "user-7", config, timeout=20)


async def test_a_machine_that_fails_is_an_error_with_its_reason(emulator: Emulator, fly: FlyClient, app: str) -> None:
    emulator.faults.add(Fault(does="fail"))
    with pytest.raises(WaitFailed, match="failed"):
        await fly.machines.ensure_running(app, "user-7", NGINX)


@pytest.mark.parametrize(("config", "timeout"), [(MachineConfig(), 1), (NGINX, 0)])
async def test_bad_input_is_refused_before_any_request(
    emulator: Emulator, fly: FlyClient, app: str, config: MachineConfig, timeout: float
) -> None:
    before = emulator.counts().total()
    with pytest.raises(InvalidInput):
        await fly.machines.ensure_running(app, "user-7", config, timeout=timeout)
    assert emulator.counts().total() == before


async def test_a_refused_create_is_raised_to_all_callers(fly: FlyClient, app: str) -> None:
    calls = [fly.machines.ensure_running(app, "user-7", NGINX, region="nowhere") for _ in range(2)]
    refusals = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in refusals] == [BadRequest, BadRequest]


@pytest.mark.parametrize(
    ("metadata", "found"), [({"role": "a"}, ["one"]), ({"role": "b"}, ["two"]), (None, ["one", "two"])]
)
async def test_find_filters_by_metadata(
    fly: FlyClient, app: str, metadata: Mapping[str, str] | None, found: list[str]
) -> None:
    await fly.machines.create(app, MachineConfig(image="nginx", metadata={"role": "a"}), name="one")
    await fly.machines.create(app, MachineConfig(image="nginx", metadata={"role": "b"}), name="two")
    assert sorted(each.name for each in await fly.machines.find(app, metadata=metadata)) == found
    assert [each.name for each in await fly.machines.find(app, name="one")] == ["one"]


async def test_concurrent_lookups_share_lists(emulator: Emulator, fly: FlyClient, app: str) -> None:
    for name in ("a", "b"):
        await fly.machines.create(app, MachineConfig(image="nginx", metadata={"role": name, "pool": "p"}), name=name)
    await asyncio.sleep(5)
    calls = [fly.machines.find(app, metadata={"role": role, "pool": "p"}) for role in ("a", "b") for _ in range(20)]
    found = await asyncio.gather(*calls)
    assert [len(each) for each in found] == [1] * 40
    assert count(emulator, "listMachines") == 1
    # Calls within the same second share that list; a later one gets a new one.
    await fly.machines.find(app, metadata={"role": "b", "pool": "p"})
    assert count(emulator, "listMachines") == 1
    await asyncio.sleep(1.1)
    await fly.machines.find(app)
    assert count(emulator, "listMachines") == 2
