"""Changes that start from what is there: nothing else is touched, nothing is lost, nothing is sent in vain."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import evolve

from flyasync.api.client import FlyClient
from flyasync.api.machines.create_once import CREATION, LAUNCH
from flyasync.api.machines.machines import Machines
from flyasync.emulator import Emulator, Fault
from flyasync.emulator.core.config import accepted
from flyasync.errors import (
    BadRequest,
    ConnectionLost,
    InvalidInput,
    LeaseHeld,
    NotFound,
    Refused,
    StaleVersion,
    WrongState,
)
from flyasync.models.config import MachineConfig, Mount
from flyasync.models.container import Restart
from flyasync.models.guest import Guest
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.machine import Machine
from flyasync.models.service import Service
from tests.api.client_on_emulator import asked, client, count, now, running, stopped

DAILY = "daily"


@pytest.fixture
def machines(fly: FlyClient, app: str) -> Machines:
    return fly.machines


def daily(config: MachineConfig) -> MachineConfig:
    return evolve(config, schedule=DAILY)


def counted(config: MachineConfig) -> MachineConfig:
    env = dict(config.env or {})
    return evolve(config, env={**env, "COUNT": str(int(env.get("COUNT", "0")) + 1)})


def there(emulator: Emulator, machine: Machine) -> dict[str, Any]:
    """Give the config that the API has for the machine."""
    return dict(emulator.world.machines[machine.id].config)


# modify


async def test_a_running_machine_gets_a_new_version(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await running(fly)
    changed = await machines.modify("web", machine.id, daily)
    assert changed.config is not None
    assert changed.config.schedule == DAILY
    assert changed.instance_id != machine.instance_id
    assert emulator.world.machines[machine.id].lease is None
    assert await fly.machines.wait("web", machine.id, state="started") == "started"


async def test_nothing_is_sent_when_nothing_changes(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    services = [Service(protocol="tcp", internal_port=80, autostop="off")]
    machine = await stopped(fly, MachineConfig(image="nginx", services=services))

    def respelled(config: MachineConfig) -> MachineConfig:
        return evolve(config, env={}, restart=Restart(policy=""), services=services, extra={"novel": None})

    same = await machines.modify("web", machine.id, respelled)
    assert same.instance_id == machine.instance_id
    assert count(emulator, "updateMachine") == count(emulator, "createMachineLease") == 0


async def test_an_option_goes_along(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await running(fly)
    await machines.modify("web", machine.id, daily, skip_launch=True)
    assert await fly.machines.wait("web", machine.id, state="settled") == "stopped"


async def test_a_second_change_waits_for_the_first_to_settle(fly: FlyClient, machines: Machines) -> None:
    machine = await running(fly)
    for _ in range(5):
        machine = await machines.modify("web", machine.id, counted)
    assert machine.config is not None
    assert machine.config.env == {"COUNT": "5"}


async def test_a_config_that_would_be_refused_is_not_sent(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    machine = await stopped(fly)
    with pytest.raises(InvalidInput, match="image"):
        await machines.modify("web", machine.id, lambda config: evolve(config, image=""))
    with pytest.raises(InvalidInput, match="change returned NoneType"):
        await machines.modify("web", machine.id, lambda config: None)  # type: ignore[arg-type,return-value]
    assert count(emulator, "createMachineLease") == 0


async def test_a_refusal_by_the_api_comes_out(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await stopped(fly)
    mounts = [Mount(volume="vol_1", path="/data")]
    with pytest.raises(BadRequest):
        await machines.modify("web", machine.id, lambda config: evolve(config, mounts=mounts))
    assert emulator.world.machines[machine.id].lease is None


async def test_a_machine_that_is_not_there(machines: Machines) -> None:
    with pytest.raises(NotFound):
        await machines.modify("web", "m1", daily)


BROKEN: dict[str, Any] = {
    "id": "m1",
    "name": "a",
    "state": "started",
    "region": "iad",
    "host_status": "unreachable",
    "incomplete_config": {"image": "nginx"},
}


@pytest.mark.parametrize("config", [None, {"image": "nginx"}])
@pytest.mark.parametrize(
    "ask", [lambda machines: machines.modify("web", "m1", daily), lambda machines: machines.clone("web", "m1")]
)
async def test_a_config_not_known_whole_is_never_sent(config: Any, ask: Callable[[Machines], Any]) -> None:
    async with asked({**BROKEN, "config": config}) as (recorder, fly):
        with pytest.raises(InvalidInput, match="machine m1 is incomplete, since its host is unreachable"):
            await ask(fly.machines)
    assert [sent.line for sent in recorder.heard] == ["GET /v1/apps/web/machines/m1"]


async def test_it_waits_for_a_lease_held_by_another(fly: FlyClient, machines: Machines) -> None:
    machine = await stopped(fly)
    await fly.leases.acquire("web", machine.id, ttl=20)
    before = now()
    await machines.modify("web", machine.id, daily)
    assert 19 < now() - before < 25


async def test_patience_ends(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await stopped(fly)
    await fly.leases.acquire("web", machine.id, ttl=600)
    before = now()
    with pytest.raises(LeaseHeld):
        await machines.modify("web", machine.id, daily, patience=10)
    assert 8 < now() - before < 12
    assert count(emulator, "updateMachine") == 0


async def test_a_lost_answer_to_the_update_is_looked_up(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await stopped(fly)
    emulator.faults.add(Fault(does="cut_after", action="updateMachine", times=1))
    changed = await machines.modify("web", machine.id, counted)
    assert changed.config is not None
    assert changed.config.env == {"COUNT": "1"}
    assert count(emulator, "updateMachine") == 1


async def test_an_update_that_never_arrived_is_an_error(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await stopped(fly)
    emulator.faults.add(Fault(does="cut", action="updateMachine", times=1))
    with pytest.raises(ConnectionLost):
        await machines.modify("web", machine.id, counted)
    assert "env" not in there(emulator, machine)
    assert emulator.world.machines[machine.id].lease is None


async def test_a_lost_answer_that_cannot_be_looked_up_is_an_error(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    machine = await stopped(fly)
    emulator.faults.add(Fault(does="cut_after", action="updateMachine", times=1))
    emulator.faults.add(Fault(does="refuse", action="getMachine", status=403, body="no", after=2))
    with pytest.raises(ConnectionLost) as caught:
        await machines.modify("web", machine.id, counted)
    assert caught.value.may_have_happened


async def test_a_lost_lease_is_not_waited_out(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await stopped(fly)
    emulator.faults.add(Fault(does="cut_after", action="createMachineLease", times=1))
    before = now()
    await machines.modify("web", machine.id, counted, ttl=30)
    assert there(emulator, machine)["env"] == {"COUNT": "1"}
    assert now() - before < 5


WRONG = {"error": "failed_precondition: unable to update machine from current state: 'started'"}


async def test_a_wrong_state_that_does_not_pass_comes_out_at_once(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    machine = await running(fly)
    emulator.faults.add(Fault(does="refuse", action="updateMachine", status=412, body=WRONG))
    with pytest.raises(WrongState):
        await machines.modify("web", machine.id, daily)
    assert count(emulator, "updateMachine") == count(emulator, "createMachineLease") == 1
    assert emulator.world.machines[machine.id].lease is None


async def test_a_machine_on_its_way_is_tried_a_handful_of_times(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    emulator.faults.add(Fault(does="stay_starting"))
    emulator.faults.add(Fault(does="refuse", action="updateMachine", status=412, body=WRONG))
    machine = await fly.machines.create("web", MachineConfig(image="nginx"))
    with pytest.raises(WrongState):
        await machines.modify("web", machine.id, daily)
    assert 4 <= count(emulator, "updateMachine") <= 6


async def test_between_two_tries_others_may_have_the_lease(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    emulator.faults.add(Fault(does="stay_starting"))
    emulator.faults.add(Fault(does="refuse", action="updateMachine", status=412, body=WRONG, times=4))
    machine = await fly.machines.create("web", MachineConfig(image="nginx"))
    changing = asyncio.create_task(machines.modify("web", machine.id, daily))
    await asyncio.sleep(6)
    other = await fly.leases.acquire("web", machine.id, ttl=3)
    await fly.leases.release("web", machine.id, other.nonce)
    assert (await changing).id == machine.id


async def test_a_wrong_state_of_a_machine_that_is_gone_meanwhile_comes_out(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    machine = await running(fly)
    emulator.faults.add(Fault(does="refuse", action="updateMachine", status=412, body=WRONG))
    emulator.faults.add(Fault(does="refuse", action="getMachine", status=404, body="no", after=2))
    with pytest.raises(WrongState):
        await machines.modify("web", machine.id, daily)


async def test_what_is_wrong_already_stands_in_no_changes_way(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    machine = await stopped(fly)
    emulator.world.machines[machine.id].config["image"] = ""
    emulator.faults.add(Fault(does="refuse", action="updateMachine", status=418, body="as the API likes"))
    with pytest.raises(Refused, match="as the API likes"):
        await machines.modify("web", machine.id, daily)
    with pytest.raises(InvalidInput, match="size"):
        await machines.modify(
            "web", machine.id, lambda config: evolve(config, size="shared-cpu-1x", guest=Guest(cpus=1))
        )


async def test_cancelled_it_gives_the_lease_back(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await stopped(fly)
    emulator.faults.add(Fault(does="delay", action="updateMachine", seconds=5))
    task = asyncio.create_task(machines.modify("web", machine.id, daily))
    await asyncio.sleep(2)
    assert emulator.world.machines[machine.id].lease is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert emulator.world.machines[machine.id].lease is None


# modify: nothing else is touched


def noise(rng: random.Random, depth: int = 0) -> Any:
    kinds = 7 if depth < 3 else 5
    pick = rng.randrange(kinds)
    if pick == 5:
        return [noise(rng, depth + 1) for _ in range(rng.randrange(3))]
    if pick == 6:
        return {f"novel_{number}": noise(rng, depth + 1) for number in range(rng.randrange(3))}
    return [None, True, rng.randrange(100), 1.5, rng.choice(["", "a", "é"])][pick]


def noisy(rng: random.Random, known: dict[str, Any]) -> dict[str, Any]:
    """Give some of the known keys, some as nulls, with unknown ones in between."""
    some = {key: None if rng.random() < 0.1 else value for key, value in known.items() if rng.random() < 0.6}
    unknown = {f"novel_{number}": noise(rng) for number in range(rng.randrange(3))}
    pairs = [*some.items(), *unknown.items()]
    rng.shuffle(pairs)
    return dict(pairs)


def check_of(rng: random.Random) -> dict[str, Any]:
    times = {"interval": rng.choice(["15s", "1m", 15_000_000_000, "0.25m"]), "timeout": "2s"}
    return noisy(rng, {"type": "http", "port": 80, **times, "path": "/", "headers": [noisy(rng, {"name": "A"})]})


def service_of(rng: random.Random) -> dict[str, Any]:
    known = {
        "protocol": "tcp",
        "internal_port": 8080,
        "ports": [noisy(rng, {"port": 80, "handlers": ["tls", "http"]}), noisy(rng, {"port": 443})],
        "autostop": rng.choice([True, False, "suspend"]),
        "autostart": rng.random() < 0.5,
        "concurrency": noisy(rng, {"type": "requests", "soft_limit": 20}),
        "checks": [check_of(rng)],
    }
    return noisy(rng, known)


def config_of(rng: random.Random) -> dict[str, Any]:
    known = {
        "env": noisy(rng, {}) and {"A": "1", "B": ""},
        "metadata": {"fly_process_group": "app", "a/b": "c"},
        "init": noisy(rng, {"cmd": ["a"], "tty": True}),
        "services": [service_of(rng) for _ in range(rng.randrange(3))],
        "checks": {"up": check_of(rng)},
        "restart": {"policy": "always", **noisy(rng, {"max_retries": 3})},
        "dns": noisy(rng, {"skip_registration": True}),
        "stop_config": noisy(rng, {"timeout": "1m30s", "signal": "SIGTERM"}),
        "processes": [noisy(rng, {"cmd": ["a"], "env": {"X": "y"}})],
        "containers": [noisy(rng, {"name": "a", "image": "b", "env": {"X": "y"}})],
        "auto_destroy": False,
        "statics": [],
    }
    return {"image": "nginx", **noisy(rng, known)}


def with_env(config: dict[str, Any]) -> None:
    config["env"] = {**(config.get("env") or {}), "NEW": "1"}


def with_metadata(config: dict[str, Any]) -> None:
    config["metadata"] = {**(config.get("metadata") or {}), "new": "1"}


def with_port(config: dict[str, Any]) -> None:
    if config.get("services"):
        config["services"][0]["internal_port"] = 9
    else:
        config["services"] = [{"internal_port": 9}]


def port_changed(config: MachineConfig) -> MachineConfig:
    first, *rest = config.services or [Service()]
    return evolve(config, services=[evolve(first, internal_port=9), *rest])


CHANGES: list[tuple[Callable[[MachineConfig], MachineConfig], Callable[[dict[str, Any]], object]]] = [
    (daily, lambda config: config.update(schedule=DAILY)),
    (lambda config: evolve(config, env={**(config.env or {}), "NEW": "1"}), with_env),
    (lambda config: evolve(config, metadata={**(config.metadata or {}), "new": "1"}), with_metadata),
    (lambda config: evolve(config, auto_destroy=True), lambda config: config.update(auto_destroy=True)),
    (lambda config: evolve(config, image="nginx:2"), lambda config: config.update(image="nginx:2")),
    (port_changed, with_port),
]


@pytest.mark.no_cover  # measured by the other tests, and twice as fast without
async def test_a_thousand_random_configs_change_only_where_asked(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    rng = random.Random(1)
    machine = await stopped(fly)
    record = emulator.world.machines[machine.id]
    for _ in range(1000):
        config = accepted(config_of(rng))
        change, expect = rng.choice(CHANGES)
        expected = copy.deepcopy(config)
        expect(expected)
        record.config, record.state = config, "stopped"
        await machines.modify("web", machine.id, change)
        assert record.config == expected
        assert unstructure(structure(record.config, MachineConfig)) == expected
    assert count(emulator, "updateMachine") == 1000


# modify: no update is lost


async def count_up(fly: FlyClient, machine: Machine, times: int) -> None:
    for _ in range(times):
        await fly.machines.modify("web", machine.id, counted, patience=600)


async def count_up_without_leases(fly: FlyClient, machine: Machine, times: int) -> None:
    while times:
        seen = await fly.machines.get("web", machine.id)
        assert seen.config is not None
        try:
            await fly.machines.update("web", machine.id, counted(seen.config), current_version=seen.instance_id)
            times -= 1
        except (LeaseHeld, StaleVersion):
            await asyncio.sleep(0.5)


@asynccontextmanager
async def two_clients(seed: int) -> AsyncIterator[tuple[Emulator, FlyClient, FlyClient]]:
    async with Emulator(seed=seed, latency=(0.0, 0.4)) as emulator, client(emulator) as one, client(emulator) as other:
        await one.apps.create("web", org_slug="personal")
        yield emulator, one, other


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("start", [running, stopped])
async def test_two_writers_lose_no_update(seed: int, start: Callable[..., Any]) -> None:
    async with two_clients(seed) as (emulator, one, other):
        machine = await start(one)
        await asyncio.gather(count_up(one, machine, 3), count_up(other, machine, 3), count_up(other, machine, 1))
        assert there(emulator, machine)["env"] == {"COUNT": "7"}
        assert count(emulator, "updateMachine") >= 7


@pytest.mark.parametrize("seed", range(10))
async def test_nor_beside_one_who_takes_no_lease(seed: int) -> None:
    async with two_clients(seed) as (emulator, one, other):
        machine = await stopped(one)
        await asyncio.gather(count_up(one, machine, 3), count_up_without_leases(other, machine, 3))
        assert there(emulator, machine)["env"] == {"COUNT": "6"}


@pytest.mark.parametrize("seed", range(5))
async def test_the_same_change_by_two_is_sent_once(seed: int) -> None:
    async with two_clients(seed) as (emulator, one, other):
        machine = await stopped(one)
        await asyncio.gather(*(fly.machines.modify("web", machine.id, daily) for fly in (one, other)))
        assert count(emulator, "updateMachine") == 1


# clone


async def test_a_clone_has_the_whole_config(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    config = structure(
        {
            "image": "nginx",
            "env": {"A": "1"},
            "novel": {"deep": [1, None]},
            "services": [{"protocol": "tcp", "internal_port": 80, "novel": 1}],
            "metadata": {
                "fly_process_group": "worker",
                "mine": "1",
                LAUNCH: "l1",
                CREATION: "c1",
                "flyasync_config": "f1",
                "fly_canary": "true",
                "fly_bluegreen_deployment_tag": "1",
                "fly_flyctl_bluegreen_launch_id": "01H",
            },
        },
        MachineConfig,
    )
    machine = await stopped(fly, config, region="lhr")
    clone = await machines.clone("web", machine.id, name="twin", skip_launch=True)
    expected = {**there(emulator, machine), "metadata": {"fly_process_group": "worker", "mine": "1"}}
    assert there(emulator, clone) == expected
    assert (clone.name, clone.region, clone.id != machine.id) == ("twin", "lhr", True)


async def test_a_clone_elsewhere_and_otherwise(fly: FlyClient, machines: Machines) -> None:
    machine = await stopped(fly, region="lhr")
    clone = await machines.clone("web", machine.id, region="nrt", env={"B": "2"}, metadata={"only": "this"})
    assert clone.config is not None
    assert (clone.region, clone.config.env, clone.config.metadata) == ("nrt", {"B": "2"}, {"only": "this"})


GUEST, SIZE = {"cpus": 1, "memory_mb": 256, "cpu_kind": "shared"}, "shared-cpu-2x"


@pytest.mark.parametrize(
    ("there", "change", "sent"),
    [
        ({"guest": GUEST}, {"size": SIZE}, {"size": SIZE}),
        ({"size": SIZE}, {"guest": structure(GUEST, Guest)}, {"guest": GUEST}),
    ],
)
async def test_a_clone_of_another_size(there: dict[str, Any], change: dict[str, Any], sent: dict[str, Any]) -> None:
    source = {"id": "m1", "name": "a", "state": "started", "region": "iad", "config": {"image": "nginx", **there}}
    async with asked(source) as (recorder, fly):
        await fly.machines.clone("web", "m1", **change)
    assert recorder.heard[-1].body["config"] == {"image": "nginx", "metadata": {}, **sent}


async def test_what_belongs_to_one_machine_is_not_cloned(
    fly: FlyClient, emulator: Emulator, machines: Machines
) -> None:
    volume = await fly.volumes.create("web", name="data", region="lhr", size_gb=1)
    mounts = [Mount(volume=volume.id, path="/data")]
    machine = await stopped(fly, MachineConfig(image="nginx", mounts=mounts, standbys=["m1"]), region="lhr")
    with pytest.raises(InvalidInput, match=r"has mounts and standbys, which cannot be cloned: pass mounts=, standbys="):
        await machines.clone("web", machine.id)
    with pytest.raises(InvalidInput, match="has standbys"):
        await machines.clone("web", machine.id, mounts=[])
    assert count(emulator, "createMachine") == 1
    clone = await machines.clone("web", machine.id, mounts=[], standbys=[])
    assert clone.config is not None
    assert not clone.config.mounts


async def test_a_change_that_no_config_has_is_refused_at_once(emulator: Emulator, machines: Machines) -> None:
    with pytest.raises(InvalidInput, match="a machine's config has no field memory, novel"):
        await machines.clone("web", "m1", novel=1, memory=2)
    assert count(emulator, "getMachine") == 0


# adopt and release


async def test_adopted_and_released(fly: FlyClient, emulator: Emulator, machines: Machines) -> None:
    machine = await running(fly, MachineConfig(image="nginx", metadata={"mine": "1"}))
    await machines.adopt("web", machine.id, process_group="worker")
    adopted = {"mine": "1", "fly_platform_version": "v2", "fly_process_group": "worker"}
    assert await fly.machines.metadata("web", machine.id) == adopted
    await machines.adopt("web", machine.id)
    assert (await fly.machines.metadata("web", machine.id))["fly_process_group"] == "app"
    await machines.release("web", machine.id)
    await machines.release("web", machine.id)
    assert await fly.machines.metadata("web", machine.id) == {"mine": "1"}
    assert emulator.world.machines[machine.id].instance_id == machine.instance_id


async def test_a_group_without_a_name_is_refused(emulator: Emulator, machines: Machines) -> None:
    with pytest.raises(InvalidInput, match="is not a process group"):
        await machines.adopt("web", "m1", process_group=" ")
    assert count(emulator, "patchMachineMetadata") == 0
