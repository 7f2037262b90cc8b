"""A machine's own command may end by itself."""

import asyncio
from typing import Any

import pytest

from flyasync.emulator import Fault, Output
from tests.emulator.driver import Api, serving

RELEASE = {"fly_process_group": "fly_app_release_command"}
ONCE = {"restart": {"policy": "no"}}


async def state(api: Api, machine: dict[str, Any], seconds: float) -> str:
    await asyncio.sleep(seconds)
    return str((await api.look(machine))["state"])


async def exits(api: Api, machine: dict[str, Any]) -> list[Any]:
    events = (await api.look(machine))["events"]
    return [event["request"] for event in events if event["type"] == "exit"]


async def messages(api: Api, machine: dict[str, Any], provider: str) -> list[str]:
    lines = (await api.get(f"/api/v1/apps/web/logs?instance={machine['id']}")).body["data"]
    found = [line["attributes"] for line in lines]
    return [line["message"] for line in found if line["meta"]["event"]["provider"] == provider]


async def test_a_command_that_is_known_writes_and_ends(api: Api) -> None:
    machine = await api.running(config={"init": {"exec": ["echo", "hello"]}})
    assert await state(api, machine, 0.4) == "started"
    assert await state(api, machine, 0.2) == "stopped"
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
async def test_the_first_pattern_that_fits_says_how(api: Api, init: dict[str, Any], pattern: str) -> None:
    output = Output(stdout="one\ntwo\n", stderr="locked\n", exit_code=3, seconds=10)
    api.emulator.commands.update({pattern: output, "bin/*": Output()})
    machine = await api.running(config={"init": init, **ONCE})
    assert await state(api, machine, 9) == "started"
    assert await messages(api, machine, "app") == []
    assert await state(api, machine, 1.1) == "stopped"
    assert [request["exit_event"]["exit_code"] for request in await exits(api, machine)] == [3]
    assert await messages(api, machine, "app") == ["one", "two", "locked"]


@pytest.mark.parametrize("init", [{"exec": ["/bin/sleep", "inf"]}, {"cmd": ["serve"]}, {}])
async def test_any_other_command_runs_on(api: Api, init: dict[str, Any]) -> None:
    api.emulator.commands["migrate*"] = Output()
    machine = await api.running(config={"init": init})
    assert await state(api, machine, 3600) == "started"


async def test_a_machine_without_a_command_fits_no_pattern(api: Api) -> None:
    api.emulator.commands["*"] = Output()
    machine = await api.running()
    assert await state(api, machine, 60) == "started"


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
    assert await state(api, machine, 120) == "stopped"
    events = api.emulator.world.machines[machine["id"]].events
    assert sum(event.type == "exit" for event in events) == expected


async def test_a_policy_of_always_never_ends(api: Api) -> None:
    machine = await api.running(config={"init": {"cmd": ["true"]}, "restart": {"policy": "always"}})
    await asyncio.sleep(600)
    assert api.emulator.world.machines[machine["id"]].restart_count > 100


async def test_it_destroys_itself_when_told_so(api: Api) -> None:
    machine = await api.running(config={"init": {"cmd": ["true"]}, "auto_destroy": True, **ONCE})
    assert await state(api, machine, 2) == "destroyed"


async def test_it_runs_again_when_started_again(api: Api) -> None:
    machine = await api.stopped(config={"init": {"cmd": ["echo", "hello"]}, **ONCE})
    for _ in range(2):
        assert (await api.act(machine, "start")).status == 200
        assert await state(api, machine, 5) == "stopped"
    assert await messages(api, machine, "app") == ["hello", "hello"]


async def test_a_stop_comes_before_the_end(api: Api) -> None:
    api.emulator.commands["work"] = Output(exit_code=1, seconds=60)
    machine = await api.running(config={"init": {"cmd": ["work"]}})
    await api.act(machine, "stop")
    assert await state(api, machine, 120) == "stopped"
    assert [request["exit_event"].get("requested_stop") for request in await exits(api, machine)] == [True]


@pytest.mark.parametrize("init", [{"cmd": ["bin/migrate"]}, {}])
async def test_a_release_command_that_is_not_known_ends_well(api: Api, init: dict[str, Any]) -> None:
    machine = await api.running(config={"init": init, "metadata": RELEASE, **ONCE})
    assert await state(api, machine, 0.9) == "started"
    assert await state(api, machine, 0.2) == "stopped"
    assert "exit_code" not in (await exits(api, machine))[0]["exit_event"]


@pytest.mark.parametrize("command", ["false", "bin/migrate"])
async def test_a_release_command_may_fail(api: Api, command: str) -> None:
    api.emulator.commands["bin/migrate"] = Output(exit_code=1)
    machine = await api.running(config={"init": {"cmd": [command]}, "metadata": RELEASE, **ONCE})
    assert await state(api, machine, 2) == "stopped"
    assert (await exits(api, machine))[0]["exit_event"]["exit_code"] == 1


async def test_a_crash_wins() -> None:
    async with serving(limits=False, faults=[Fault(does="crash", seconds=5, exit_code=137)]) as api:
        await api.app()
        machine = await api.running(config={"init": {"cmd": ["echo", "hello"]}, **ONCE})
        assert await state(api, machine, 4) == "started"
        assert await state(api, machine, 2) == "stopped"
        assert [request["exit_event"]["exit_code"] for request in await exits(api, machine)] == [137]
        assert await messages(api, machine, "app") == []


async def test_seconds_are_of_the_emulated_world() -> None:
    async with serving(limits=False, speed=10, commands={"work": Output(seconds=10)}) as api:
        await api.app()
        machine = await api.running(config={"init": {"cmd": ["work"]}})
        assert await state(api, machine, 0.9) == "started"
        assert await state(api, machine, 0.2) == "stopped"


async def test_exec_does_not_tell_the_seconds(api: Api) -> None:
    said = await api.act(await api.running(), "exec", {"cmd": "true"})
    assert said.body == {"stdout": "", "stderr": "", "exit_code": 0, "exit_signal": 0}


def test_a_command_takes_no_less_than_no_time() -> None:
    with pytest.raises(ValueError, match="seconds"):
        Output(seconds=-1)
