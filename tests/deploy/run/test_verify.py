"""Machines that are polled: whether they stay up, how a release command ends, and the last lines of their logs."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from flyasync import (
    Check,
    DeployBuilder,
    Fault,
    Machine,
    MachineConfig,
    MachineEvent,
    Port,
    Progress,
    Restart,
    Result,
    Service,
    log_event,
)
from flyasync.api.machines.wait import JUST_CREATED
from flyasync.api.spans import Spans
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.spec import DesiredMachine
from flyasync.deploy.reporting.journal import Journal
from flyasync.deploy.reporting.phase import Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.context import DeployContext
from flyasync.deploy.run.leases import DeployLeases
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.run.verify import Verifier, masked
from flyasync.emulator import Output
from flyasync.errors import ServerFault, WaitFailed
from tests.deploy.conftest import total, world

APP = DeployBuilder("web").to_regions("iad").with_image("shop:1").rolling().smoke_check(0)
RELEASED = APP.with_release_command("bin/migrate")
AUTOSTOP = Service(internal_port=80, autostop="stop", autostart=True, ports=(Port(port=80),))
RESTS = APP.with_config(MachineConfig(image="shop:1", restart=Restart(policy="no"))).with_service(AUTOSTOP)
UNKNOWN = Fault(does="refuse", action="getMachine", status=404, body={"error": "machine not found"}, times=5)
BROKEN = Fault(does="refuse", action="deleteMachine", status=500)


# That they stay up.


async def test_a_crash_under_autostop_is_no_rest() -> None:
    app = RESTS.count(2).smoke_check(10)
    async with world(seed=1) as (emulator, fly):
        assert (await app.execute(fly)).ok
        emulator.faults.add(Fault(does="crash", image="shop:2", seconds=3, exit_code=1))
        report = await app.with_image("shop:2").execute(fly)
        assert total(emulator, "updateMachine") == 1
    assert not report.ok
    assert [machine.result for machine in report.machines] == [Result.FAILED, Result.NOT_BEGUN]
    assert "exit code 1" in str(report.machines[0].failure)


async def test_a_crash_after_the_last_step_is_no_rest_either() -> None:
    crash = Fault(does="crash", name="app-iad-1", seconds=0.1, exit_code=1)
    slow = Fault(does="delay", action="listMachines", after=1, seconds=3)
    async with world(seed=1, faults=[crash, slow]) as (_, fly):
        report = await RESTS.execute(fly)
    assert not report.ok
    assert report.machines[0].result is Result.FAILED


async def test_a_machine_that_autostop_puts_to_rest_is_told_to_rest() -> None:
    async with world(seed=1) as (emulator, fly):
        deploy = asyncio.ensure_future(RESTS.smoke_check(20).execute(fly))
        await asyncio.sleep(10)
        (machine,) = emulator.world.machines.values()
        assert machine.lease is not None
        await fly.machines.stop("web", machine.id, nonce=machine.lease.nonce)  # the proxy may, whoever has the lease
        report = await deploy
    assert report.ok, str(report)
    assert report.machines[0].state == "stopped"
    assert report.machines[0].result is Result.RESTING


# How a release command has ended.


async def test_a_release_machine_that_is_not_known_yet_is_waited_for() -> None:
    async with world(seed=1, faults=[UNKNOWN]) as (_, fly):
        report = await RELEASED.execute(fly)
    assert report.ok, str(report)
    assert report.release is not None
    assert report.release.result is Result.ENDED


async def test_one_that_never_becomes_known_is_not_found_after_a_while() -> None:
    unknown = Fault(does="refuse", action="getMachine", status=404, body={"error": "machine not found"})
    async with world(seed=1, faults=[unknown]) as (_, fly):
        report = await RELEASED.execute(fly)
    assert not report.ok
    assert JUST_CREATED <= report.seconds < JUST_CREATED + 15


async def test_trouble_with_its_removal_does_not_hide_why_it_failed() -> None:
    async with world(seed=1, commands={"bin/migrate": Output(seconds=1e6)}, faults=[BROKEN]) as (_, fly):
        report = await RELEASED.with_release_command("bin/migrate", timeout=20).execute(fly)
    assert report.release is not None
    assert "did not exit within 20 s" in str(report.release.failure)


async def test_trouble_with_its_removal_is_no_failure_of_one_that_ended_well() -> None:
    exit_event = {"exit_event": {"exited_at": "2026-01-01T00:00:00Z"}}
    ended = Machine(
        id="m1",
        name="release-app",
        state="stopped",
        region="iad",
        events=[MachineEvent(type="exit", request=exit_event)],
    )
    deletes: list[str] = []
    phases: list[Phase] = []

    async def get(*_: str) -> Machine:
        return ended

    async def delete(_: str, machine_id: str, **options: Any) -> None:
        deletes.append(machine_id)
        assert options == {"force": True}
        raise ServerFault("machines.delete", "web/m1", "out of order", status=500)

    fly: Any = SimpleNamespace(machines=SimpleNamespace(get=get, delete=delete), spans=Spans(log_event))
    spec = RELEASED.deployment()
    context = DeployContext(
        fly=fly,
        spec=spec,
        plan=spec.strategy.plan(spec, Fleet("web", ())),
        leases=DeployLeases(fly, "web", spec.launch),
        journal=Journal(),
        observers=Observers((lambda event: phases.append(event.phase) if isinstance(event, Progress) else None,)),
    )
    run = MachineRun(desired=DesiredMachine(name="release-app", region="iad", number=1), region="iad", machine=ended)
    await Verifier(context).run_to_end(run, 60)
    assert deletes == ["m1"]
    assert phases == [Phase.RUNNING, Phase.ENDED]


# By what a machine that has come up counts as down.


def verifier(*answers: Machine | Exception) -> Verifier:
    """Verify with polls that return these responses in turn; the last one repeats."""
    left = list(answers)

    async def get(*_: str) -> Machine:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    fly: Any = SimpleNamespace(machines=SimpleNamespace(get=get), spans=Spans(log_event))
    spec = APP.deployment()
    plan = spec.strategy.plan(spec, Fleet("web", ()))
    leases = DeployLeases(fly, "web", spec.launch)
    return Verifier(
        DeployContext(fly=fly, spec=spec, plan=plan, leases=leases, journal=Journal(), observers=Observers(()))
    )


def machine(state: str = "started", **exit_event: Any) -> Machine:
    events = [MachineEvent(type="exit", request={"exit_event": exit_event})] if exit_event else []
    return Machine(id="m1", name="app-iad-1", state=state, region="iad", events=events)


def up(seen: Machine, **facts: Any) -> MachineRun:
    wanted = DesiredMachine(name="app-iad-1", region="iad", number=1)
    return MachineRun(desired=wanted, region="iad", machine=seen, **facts)


async def test_a_process_that_was_asked_to_stop_has_not_crashed() -> None:
    asked = machine(exit_code=143, requested_stop=True)
    crashed = machine(exit_code=143, requested_stop=False)
    assert verifier(asked).why_down(up(asked), asked) is None
    assert "exit code 143" in str(verifier(crashed).why_down(up(crashed), crashed))


async def test_checks_that_have_passed_and_are_not_reported_any_more_are_missed() -> None:
    seen = machine()
    checked = MachineConfig(checks={"up": Check(type="tcp", port=80)})
    run = up(seen, config=checked, was_healthy=True)
    assert verifier(seen).why_down(run, seen) == "some of its checks are no longer reported"
    assert verifier(seen).why_down(up(seen, config=checked), seen) is None


async def test_a_watch_does_not_end_before_the_machine_is_seen_after_it() -> None:
    hidden = ServerFault("machines.get", "web/m1", "out of order", status=500)
    crashed = machine(exit_code=3)
    with pytest.raises(WaitFailed, match="exit code 3"):
        await verifier(machine(), *[hidden] * 8, crashed).stay_up(up(machine()), 10)
    with pytest.raises(ServerFault):
        await verifier(machine(), hidden).stay_up(up(machine()), 10)


# What they said last.


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password is hunter2!", "password is <PASSWORD>!"),
        ("hunter2hunter2", "<PASSWORD><PASSWORD>"),
        ("postgres://me:hunter2@db/x", "<DATABASE_URL>"),
        ("running in fast mode", "running in fast mode"),
        ("-- BEGIN KEY --: abcdefgh.", "<KEY>: <KEY>."),
        ("PASSWORD", "PASSWORD"),
        ("", ""),
    ],
)
def test_values_of_the_env_are_masked_in_log_lines(line: str, shown: str) -> None:
    env = {
        "PASSWORD": "hunter2!"[:7],
        "DATABASE_URL": "postgres://me:hunter2@db/x",
        "MODE": "fast",
        "KEY": "-- BEGIN KEY --\nabcdefgh\n",
        "EMPTY": "",
        "OTHER": "PASSWORDS",
    }
    assert masked([line], env.items()) == (shown,)
    assert masked([line], ()) == (line,)


async def test_a_report_shows_no_value_of_the_env() -> None:
    app = APP.with_config(MachineConfig(image="shop:1", restart=Restart(policy="no"))).smoke_check(10)
    async with world(seed=1, faults=[Fault(does="crash", seconds=3)]) as (emulator, fly):
        deploy = asyncio.ensure_future(app.with_env(TOKEN="hunter2-hunter2").execute(fly))
        await asyncio.sleep(2)
        (machine,) = await fly.machines.list("web")
        emulator.write_log("web", "cannot log in with hunter2-hunter2", machine_id=machine.id)
        report = await deploy
    assert "cannot log in with <TOKEN>" in report.machines[0].logs
    assert "hunter2" not in str(report) + report.to_html() + str(report.to_dict())
