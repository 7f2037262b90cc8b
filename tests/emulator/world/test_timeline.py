"""Transitions of machines by themselves: faults at boot, crashes, restarts, commands that end."""

import asyncio
from typing import Any

import pytest

from flyasync.emulator import Fault, Output
from tests.emulator.driver import Api, at, serving


async def state_after(api: Api, machine: dict[str, Any], seconds: float) -> str:
    await asyncio.sleep(seconds)
    return str((await api.look(machine))["state"])


async def test_a_machine_may_stay_created_or_starting(api: Api) -> None:
    api.emulator.faults.add(
        Fault(does="stay_created", region="lhr"), Fault(does="stay_starting", region="nrt", times=1)
    )
    london, tokyo = await api.machine(region="lhr"), await api.machine(region="nrt")
    assert await state_after(api, london, 500) == "created"
    assert await state_after(api, tokyo, 0) == "starting"
    await api.act(tokyo, "stop")
    assert await state_after(api, tokyo, 5) == "stopped"
    await api.act(tokyo, "start")
    assert await state_after(api, tokyo, 5) == "started"


async def test_a_machine_may_fail_to_start(api: Api) -> None:
    api.emulator.faults.add(Fault(does="fail", image="*:v2"))
    good, bad = await api.machine(), await api.machine(config={"image": "web:v2"})
    assert await state_after(api, good, 5) == "started"
    assert await state_after(api, bad, 0) == "failed"
    assert (await api.look(bad))["events"][0]["status"] == "failed"
    api.emulator.faults.clear()
    await api.act(bad, "restart")
    assert await state_after(api, bad, 5) == "started"


async def test_a_launch_may_fail_for_good(api: Api) -> None:
    api.emulator.faults.add(Fault(does="launch_fail"))
    machine = await api.machine()
    assert (await api.wait(machine, "launch_failed")).status == 200
    assert (await api.wait(machine, "destroyed")).status == 200


async def test_a_crash_restarts_as_often_as_the_policy_allows(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=2, exit_code=137))
    machine = await api.machine(config={"restart": {"policy": "on-failure", "max_retries": 2}})
    assert await state_after(api, machine, 60) == "stopped"
    exits = [event for event in (await api.look(machine))["events"] if event["type"] == "exit"]
    assert len(exits) == 3
    newest, _, oldest = exits
    assert newest["request"]["restart_count"] == 2
    assert newest["request"]["exit_event"]["exit_code"] == 137
    assert "restarting" not in newest["request"]["exit_event"]
    assert oldest["request"]["exit_event"]["restarting"] is True
    assert "requested_stop" not in oldest["request"]["exit_event"]


@pytest.mark.parametrize(
    ("restart", "exit_code", "state"),
    [
        ({"policy": "no"}, 1, "stopped"),
        ({}, 0, "stopped"),
        ({}, 1, "started"),
        ({"policy": "always"}, 0, "started"),
    ],
)
async def test_the_policy_decides_after_an_exit(api: Api, restart: dict[str, str], exit_code: int, state: str) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=1, exit_code=exit_code, times=1))
    machine = await api.machine(config={"restart": restart})
    assert await state_after(api, machine, 30) == state
    events = (await api.look(machine))["events"]
    exit_event = next(event for event in events if event["type"] == "exit")["request"]["exit_event"]
    assert ("exit_code" in exit_event) is (exit_code != 0)


async def test_an_exit_ends_a_machine_that_destroys_itself(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=1, exit_code=3))
    machine = await api.machine(config={"auto_destroy": True, "restart": {"policy": "no"}})
    assert await state_after(api, machine, 10) == "destroyed"


@pytest.mark.parametrize("flapping", [[], [Fault(does="checks_flap", seconds=1)]], ids=["steady", "flapping"])
async def test_a_crash_comes_at_its_second_whatever_the_checks_do(api: Api, flapping: list[Fault]) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=30, exit_code=9), *flapping)
    checks = {"checks": {"alive": {"type": "tcp", "port": 80, "interval": "2s"}}}
    machine = await api.running(config=checks | {"restart": {"policy": "no"}})
    began = api.emulator.world.clock
    assert await state_after(api, machine, 29.9) == "started"
    assert await state_after(api, machine, 0.2) == "stopped"
    (exit_,) = [event for event in api.emulator.world.machines[machine["id"]].events if event.type == "exit"]
    assert exit_.at - began == pytest.approx(30, abs=0.02)


async def test_a_restart_after_a_crash_pauses_and_no_later_start_does(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=5, times=1))
    machine = await api.running()
    # A boot of a second takes 0.6 s to start, after the pause.
    assert await state_after(api, machine, 5 + 1 + 0.6 - 0.1) == "starting"
    assert await state_after(api, machine, 0.2) == "started"
    await api.act(machine, "stop")
    await api.reach(machine, "stopped")
    await asyncio.sleep(2)
    await api.act(machine, "start")
    assert await state_after(api, machine, 0.7) == "started"


async def test_a_stop_ends_a_machine_that_destroys_itself(api: Api) -> None:
    machine = await api.running(config={"auto_destroy": True})
    await api.act(machine, "stop")
    assert await state_after(api, machine, 3) == "destroyed"


@pytest.mark.parametrize("way", ["update", "restart", "stop and start"])
async def test_what_a_client_starts_counts_restarts_anew(api: Api, way: str) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=5))
    machine = await api.running()
    await asyncio.sleep(15)
    if way == "update":
        await api.post(at(machine), {"config": {"image": "nginx:2"}})
    elif way == "restart":
        await api.act(machine, "restart")
    else:
        await api.act(machine, "stop")
        await asyncio.sleep(2)
        await api.act(machine, "start")
    await asyncio.sleep(8)
    counts = [request["restart_count"] for request in await exits(api, machine) if "restart_count" in request]
    # Newest first; the stop for the update has a count of its own.
    assert (counts[0], max(counts)) == (1, 2)


async def test_a_crash_does_not_strike_a_machine_that_was_stopped_before(api: Api) -> None:
    api.emulator.faults.add(Fault(does="crash", seconds=10))
    machine = await api.running()
    await api.act(machine, "stop")
    assert await state_after(api, machine, 60) == "stopped"
    assert "restart_count" not in str((await api.look(machine))["events"])


RELEASE = {"fly_process_group": "fly_app_release_command"}
ONCE = {"restart": {"policy": "no"}}


async def exits(api: Api, machine: dict[str, Any]) -> list[Any]:
    events = (await api.look(machine))["events"]
    return [event["request"] for event in events if event["type"] == "exit"]


async def messages(api: Api, machine: dict[str, Any], provider: str) -> list[str]:
    lines = (await api.get(f"/api/v1/apps/web/logs?instance={machine['id']}")).body["data"]
    found = [line["attributes"] for line in lines]
    return [line["message"] for line in found if line["meta"]["event"]["provider"] == provider]


async def test_a_command_that_is_known_writes_and_ends(api: Api) -> None:
    machine = await api.running(config={"init": {"exec": ["echo", "hello"]}})
    assert await state_after(api, machine, 0.4) == "started"
    assert await state_after(api, machine, 0.2) == "stopped"
    (request,) = await exits(api, machine)
    assert "exit_code" not in request["exit_event"]
    assert await messages(api, machine, "app") == ["hello"]
    assert (await messages(api, machine, "runner"))[-1] == "machine exited with exit code 0, not restarting"


@pytest.mark.parametrize(
    "init",
    [
        {"exec": ["bin/migrate", "up to", "9"]},
        {"cmd": ["bin/migrate", "up to", "9"]},
        {"entrypoint": ["bin/migrate"], "cmd": ["up to", "9"]},
    ],
)
@pytest.mark.parametrize("pattern", ["bin/migrate up to 9", "bin/migrate 'up to' *"])
async def test_the_first_matching_pattern_applies(api: Api, init: dict[str, Any], pattern: str) -> None:
    output = Output(stdout="one\ntwo\n", stderr="locked\n", exit_code=3, seconds=10)
    api.emulator.commands.update({pattern: output, "bin/*": Output()})
    machine = await api.running(config={"init": init, **ONCE})
    assert await state_after(api, machine, 9) == "started"
    assert await messages(api, machine, "app") == []
    assert await state_after(api, machine, 1.1) == "stopped"
    assert [request["exit_event"]["exit_code"] for request in await exits(api, machine)] == [3]
    assert await messages(api, machine, "app") == ["one", "two", "locked"]


@pytest.mark.parametrize("init", [{"exec": ["/bin/sleep", "inf"]}, {"cmd": ["serve"]}, {}])
async def test_any_other_command_runs_on(api: Api, init: dict[str, Any]) -> None:
    api.emulator.commands["migrate*"] = Output()
    machine = await api.running(config={"init": init})
    assert await state_after(api, machine, 3600) == "started"


async def test_a_machine_without_a_command_fits_no_pattern(api: Api) -> None:
    api.emulator.commands["*"] = Output()
    machine = await api.running()
    assert await state_after(api, machine, 60) == "started"


@pytest.mark.parametrize(
    ("command", "more", "expected"),
    [
        ("false", {}, 11),
        ("false", {"restart": {"policy": "on-failure", "max_retries": 2}}, 3),
        ("true", {}, 1),
        ("false", ONCE, 1),
    ],
)
async def test_the_restart_policy_takes_over(api: Api, command: str, more: dict[str, Any], expected: int) -> None:
    machine = await api.running(config={"init": {"cmd": [command]}, **more})
    assert await state_after(api, machine, 120) == "stopped"
    events = api.emulator.world.machines[machine["id"]].events
    assert sum(event.type == "exit" for event in events) == expected


async def test_a_policy_of_always_never_ends(api: Api) -> None:
    machine = await api.running(config={"init": {"cmd": ["true"]}, "restart": {"policy": "always"}})
    await asyncio.sleep(600)
    assert api.emulator.world.machines[machine["id"]].restart_count > 100


async def test_it_destroys_itself_with_auto_destroy(api: Api) -> None:
    machine = await api.running(config={"init": {"cmd": ["true"]}, "auto_destroy": True, **ONCE})
    assert await state_after(api, machine, 2) == "destroyed"


async def test_it_runs_again_when_started_again(api: Api) -> None:
    machine = await api.stopped(config={"init": {"cmd": ["echo", "hello"]}, **ONCE})
    for _ in range(2):
        assert (await api.act(machine, "start")).status == 200
        assert await state_after(api, machine, 5) == "stopped"
    assert await messages(api, machine, "app") == ["hello", "hello"]


async def test_a_stop_comes_before_the_end(api: Api) -> None:
    api.emulator.commands["work"] = Output(exit_code=1, seconds=60)
    machine = await api.running(config={"init": {"cmd": ["work"]}})
    await api.act(machine, "stop")
    assert await state_after(api, machine, 120) == "stopped"
    assert [request["exit_event"].get("requested_stop") for request in await exits(api, machine)] == [True]


@pytest.mark.parametrize("init", [{"cmd": ["bin/migrate"]}, {}])
async def test_a_release_command_that_is_not_known_ends_well(api: Api, init: dict[str, Any]) -> None:
    machine = await api.running(config={"init": init, "metadata": RELEASE, **ONCE})
    assert await state_after(api, machine, 0.9) == "started"
    assert await state_after(api, machine, 0.2) == "stopped"
    assert "exit_code" not in (await exits(api, machine))[0]["exit_event"]


@pytest.mark.parametrize("command", ["false", "bin/migrate"])
async def test_a_release_command_may_fail(api: Api, command: str) -> None:
    api.emulator.commands["bin/migrate"] = Output(exit_code=1)
    machine = await api.running(config={"init": {"cmd": [command]}, "metadata": RELEASE, **ONCE})
    assert await state_after(api, machine, 2) == "stopped"
    assert (await exits(api, machine))[0]["exit_event"]["exit_code"] == 1


async def test_a_crash_wins() -> None:
    async with serving(limits=False, faults=[Fault(does="crash", seconds=5, exit_code=137)]) as api:
        await api.app()
        machine = await api.running(config={"init": {"cmd": ["echo", "hello"]}, **ONCE})
        assert await state_after(api, machine, 4) == "started"
        assert await state_after(api, machine, 2) == "stopped"
        assert [request["exit_event"]["exit_code"] for request in await exits(api, machine)] == [137]
        assert await messages(api, machine, "app") == []


async def test_seconds_are_of_the_emulated_world() -> None:
    async with serving(limits=False, speed=10, commands={"work": Output(seconds=10)}) as api:
        await api.app()
        machine = await api.running(config={"init": {"cmd": ["work"]}})
        assert await state_after(api, machine, 0.9) == "started"
        assert await state_after(api, machine, 0.2) == "stopped"


async def test_exec_does_not_return_the_seconds(api: Api) -> None:
    said = await api.act(await api.running(), "exec", {"cmd": "true"})
    assert said.body == {"stdout": "", "stderr": "", "exit_code": 0, "exit_signal": 0}


def test_a_command_takes_no_less_than_no_time() -> None:
    with pytest.raises(ValueError, match="seconds"):
        Output(seconds=-1)
