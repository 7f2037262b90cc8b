"""The action for each machine of a group, on the emulator: update, replace, leave stopped, or start."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from flyasync import Check, DeployBuilder, Fault, FlyClient, Machine, MachineConfig, Restart, Result
from flyasync.testing import mock_machine
from tests.deploy.conftest import tag, total, world
from tests.deploy.relay import relayed

APP = DeployBuilder("web").to_regions("iad", "lhr").count(2).with_image("nginx:1").rolling().smoke_check(0)
NEW = APP.with_image("nginx:2")
HOST_FULL = Fault(
    does="refuse",
    action="updateMachine",
    status=409,
    times=1,
    body={
        "error": "aborted: could not reserve resource for machine: insufficient memory available to fulfill request "
        "on the current host"
    },
)


async def up(fly: FlyClient) -> list[Machine]:
    return [machine for machine in await fly.machines.list("web") if machine.is_alive]


async def named(fly: FlyClient, name: str) -> Machine:
    return next(machine for machine in await up(fly) if machine.name == name)


async def states(fly: FlyClient) -> dict[str, tuple[str, str]]:
    return {machine.name: (machine.state, image(machine)) for machine in await up(fly)}


def image(machine: Machine) -> str:
    return tag(machine)


async def bring(fly: FlyClient, name: str, state: str) -> Machine:
    machine = await named(fly, name)
    await {"stopped": fly.machines.stop, "suspended": fly.machines.suspend}[state]("web", machine.id)
    await fly.machines.wait("web", machine.id, state=state)
    return machine


# At rest.


@pytest.mark.parametrize("state", ["stopped", "suspended"])
async def test_a_machine_at_rest_is_updated_and_stays_stopped(state: str) -> None:
    async with world(seed=1) as (_, fly):
        await APP.execute(fly)
        await bring(fly, "app-iad-2", state)
        report = await NEW.execute(fly)
        assert report.ok, str(report)
        found = await states(fly)
        assert found.pop("app-iad-2") == ("stopped", "nginx:2")
        assert set(found.values()) == {("started", "nginx:2")}
        assert (await NEW.plan(fly)).is_empty
    resting = [machine.name for machine in report.machines if machine.result is Result.RESTING]
    assert resting == ["app-iad-2"]


async def test_a_machine_that_is_about_to_stop_stays_stopped_too() -> None:
    """The proxy puts machines to rest at any moment, also at this one."""
    async with world(seed=1) as (_, fly):
        await APP.execute(fly)
        machine = await named(fly, "app-iad-2")
        await fly.machines.stop("web", machine.id)
        report = await NEW.execute(fly)
        assert report.ok, str(report)
        assert (await states(fly))["app-iad-2"] == ("stopped", "nginx:2")


async def test_a_machine_that_crashed_is_not_at_rest_and_comes_back_with_the_next_deploy() -> None:
    once = APP.with_config(MachineConfig(image="nginx:1", restart=Restart(policy="no"))).smoke_check(5)
    async with world(seed=1) as (emulator, fly):
        await once.execute(fly)
        emulator.faults.add(Fault(does="crash", image="nginx:bad", exit_code=137))
        failed = await once.with_image("nginx:bad").execute(fly)
        assert not failed.ok
        crashed = [machine for machine in await up(fly) if machine.state == "stopped"]
        assert len(crashed) == 1
        report = await once.with_image("nginx:2").execute(fly)
        assert report.ok, str(report)
        assert set((await states(fly)).values()) == {("started", "nginx:2")}


async def test_a_machine_that_crashed_since_is_started_again() -> None:
    once = APP.with_config(MachineConfig(image="nginx:1", restart=Restart(policy="no"))).smoke_check(2)
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(Fault(does="crash", name="app-iad-2", seconds=60, times=1))
        assert (await once.execute(fly)).ok
        await asyncio.sleep(120)
        assert (await states(fly))["app-iad-2"] == ("stopped", "nginx:1")
        report = await once.execute(fly)
        assert report.ok, str(report)
        assert set((await states(fly)).values()) == {("started", "nginx:1")}


def exited(**event: Any) -> Machine:
    request = {"exit_event": {"exit_code": 1, **event}}
    return mock_machine(state="stopped", events=[{"type": "exit", "timestamp": 1, "request": request}])


def test_to_crash_is_to_stop_with_a_failure_that_nobody_asked_for() -> None:
    assert exited().has_crashed
    assert not exited(requested_stop=True).has_crashed
    assert not exited(exit_code=0).has_crashed
    assert not evolve(exited(), state="started").has_crashed
    assert not mock_machine(state="stopped").has_crashed


# Replaced.


async def test_where_the_host_is_full_another_machine_takes_the_place_before_the_old_one_goes() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        old = {machine.id for machine in await up(fly)}
        emulator.faults.add(HOST_FULL)
        least: list[int] = []
        emulator.on_change(lambda machine: least.append(emulator.serving("web")[machine.region]))
        report = await NEW.with_launch("v2").to_regions("iad").count(iad=2).execute(fly)
        assert report.ok, str(report)
        found = await up(fly)
        assert len(old & {machine.id for machine in found}) == 3
        assert sorted(machine.name for machine in found if machine.id not in old) == ["app-iad-3"]
        assert {image(machine) for machine in found if machine.region == "iad"} == {"nginx:2"}
        # The full one serves until its substitute does: 2, 3, 2; then the other one is away while it is updated.
        assert least[: least.index(3)] == [2] * least.index(3)
        assert min(least) == 1
        assert (await NEW.to_regions("iad").plan(fly)).is_empty
    replaced = next(machine for machine in report.machines if machine.name == "app-iad-1")
    assert replaced.result is Result.RUNNING
    assert "insufficient memory available" in str(replaced)


async def test_a_substitute_that_does_not_start_leaves_the_old_machine_where_it_was() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        old = await named(fly, "app-iad-1")
        emulator.faults.add(HOST_FULL, Fault(does="fail", name="app-iad-3"))
        report = await NEW.with_launch("v2").execute(fly)
        assert not report.ok
        assert (await fly.machines.get("web", old.id)).state == "started"


async def test_a_machine_that_failed_is_replaced() -> None:
    async with world(seed=1, faults=[Fault(does="fail", name="app-iad-1", times=1)]) as (_, fly):
        assert not (await APP.execute(fly)).ok
        report = await APP.execute(fly)
        assert report.ok, str(report)
        assert set(await states(fly)) == {"app-iad-2", "app-iad-3", "app-lhr-1", "app-lhr-2"}


async def test_a_machine_whose_host_is_gone_is_replaced_at_once() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        lost = await named(fly, "app-iad-1")
        emulator.set_host_status(lost.id, "unreachable")
        report = await APP.execute(fly)
        assert report.ok, str(report)
        assert report.seconds < 30
        assert "app-iad-1" not in await states(fly)
        assert len(await up(fly)) == 4


# Crashes and checks.


async def test_a_crash_loop_fails_fast_with_the_exit_and_the_last_lines() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        emulator.faults.add(Fault(does="crash", image="nginx:2", exit_code=137, seconds=0.5))
        deploy = asyncio.ensure_future(NEW.smoke_check(10).execute(fly))
        updated = asyncio.Event()
        emulator.on_change(lambda machine: updated.set() if machine.config["image"].startswith("nginx:2@") else None)
        await updated.wait()
        emulator.write_log("web", "out of luck", machine_id=(await named(fly, "app-iad-1")).id)
        report = await deploy
        assert total(emulator, "updateMachine") == 1
    assert not report.ok
    assert report.seconds < 30
    failed = next(machine for machine in report.machines if machine.result is Result.FAILED)
    assert "exit code 137" in str(failed.exit)
    assert "out of luck" in failed.logs
    assert [machine.result for machine in report.machines].count(Result.NOT_BEGUN) == 3


async def test_a_machine_without_checks_has_to_stay_up_for_a_while() -> None:
    once = APP.with_config(MachineConfig(image="nginx:1", restart=Restart(policy="no")))
    crash = Fault(does="crash", image="nginx:2", exit_code=1, seconds=7)
    for seconds, is_ok in ((5, True), (12, False)):
        async with world(seed=1) as (emulator, fly):
            await once.execute(fly)
            emulator.faults.add(crash)
            report = (
                await once.to_regions("iad").count(1, iad=1).with_image("nginx:2").smoke_check(seconds).execute(fly)
            )
        failed = [machine for machine in report.machines if machine.failure]
        assert ("exit code 1" in str(failed)) is not is_ok


async def test_checks_that_never_pass_stop_the_deploy_at_the_first_machine() -> None:
    checked = APP.with_check("up", Check(type="tcp", port=80, interval=5, timeout=2)).wait_for(timeout=60)
    async with world(seed=1) as (emulator, fly):
        assert (await checked.execute(fly)).ok
        emulator.faults.add(Fault(does="checks_never_pass", image="nginx:2"))
        report = await checked.with_image("nginx:2").execute(fly)
        assert total(emulator, "updateMachine") == 1
        assert sum(emulator.serving("web").values()) == 3
    assert not report.ok
    assert "up" in str(report)


# Secrets.


async def test_every_machine_starts_with_the_secrets_as_they_are() -> None:
    async with world(seed=1, secrets_lag=(5, 5)) as (emulator, _), relayed(emulator) as (relay, fly):
        await APP.to_regions("iad").execute(fly)
        version = (await fly.secrets.update("web", {"TOKEN": "hunter2"})).version
        report = await NEW.count(2, lhr=1).execute(fly)
        assert report.ok, str(report)
        creates = relay.bodies("POST /v1/apps/web/machines")
        updates = [body for body in creates if "name" not in body and body and "config" in body]
        asked = [body.get("min_secrets_version") for body in creates if body and "config" in body]
        refused = [each for each in relay.asked if each.status == 412]
    assert version is not None
    assert asked[:2] == [None, None]  # there were none yet
    assert len(asked) >= 5
    assert all(given is not None and given >= version for given in asked[2:])
    assert len(updates) >= 2
    assert refused
    assert "hunter2" not in str(report)


async def test_an_app_without_secrets_asks_for_no_version() -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        await APP.execute(fly)
        await NEW.execute(fly)
        asked = relay.bodies("POST /v1/apps/web/machines")
        assert total(emulator, "updateSecrets") == 0
    assert not any("min_secrets_version" in body for body in asked if body)


# What others wrote.


async def test_what_others_wrote_survives() -> None:
    async with world(seed=1) as (_, fly):
        await APP.with_env(A="1").execute(fly)
        for machine in await up(fly):
            await fly.machines.patch_metadata("web", machine.id, {"team": "blue"})
        report = await NEW.execute(fly)
        assert report.ok, str(report)
        for machine in await up(fly):
            assert machine.metadata["team"] == "blue"
            assert machine.config is not None
            assert not machine.config.env  # an earlier deploy set it, and this one does not


async def test_machines_of_other_groups_are_left_alone() -> None:
    async with world(seed=1) as (_, fly):
        await APP.process_group("worker").execute(fly)
        await APP.execute(fly)
        before = {machine.id: machine.instance_id for machine in await up(fly) if "worker" in machine.name}
        assert (await NEW.count(1).execute(fly)).ok
        after = {machine.id: machine.instance_id for machine in await up(fly) if "worker" in machine.name}
        assert before == after
        assert len(before) == 4
        assert (await NEW.retire_groups("worker").execute(fly)).ok
        assert not [machine for machine in await up(fly) if "worker" in machine.name]
