from typing import Any

import pytest

from flyasync.emulator import Output
from tests.emulator.driver import Api, at, serving


async def executed(api: Api, found: dict[str, Any], **body: Any) -> tuple[int, str, str]:
    said = await api.act(found, "exec", body)
    assert said.status == 200, said
    return said.body["exit_code"], said.body["stdout"], said.body["stderr"]


async def test_a_command_is_taken_in_both_forms(api: Api) -> None:
    machine = await api.running()
    assert await executed(api, machine, command=["echo", "a b", "c"]) == (0, "a b c\n", "")
    assert await executed(api, machine, cmd="echo 'a b' c", timeout=10, stdin="x", machine=True) == (0, "a b c\n", "")
    assert (await api.act(machine, "exec", {"command": ["true"]})).body["exit_signal"] == 0


async def test_how_a_command_ends_is_data(api: Api) -> None:
    machine = await api.running()
    assert await executed(api, machine, cmd="false") == (1, "", "")
    assert await executed(api, machine, cmd="rm -rf /") == (127, "", "rm: command not found\n")


async def test_commands_are_scripted_by_pattern() -> None:
    async with serving(limits=False, commands={"ls *": Output(stdout="a\n")}) as api:
        await api.app()
        machine = await api.running()
        api.emulator.commands["*migrate*"] = Output(stderr="locked\n", exit_code=3)
        assert await executed(api, machine, command=["ls", "-l"]) == (0, "a\n", "")
        assert await executed(api, machine, cmd="bin/migrate up") == (3, "", "locked\n")
        api.emulator.reset()
        assert list(api.emulator.commands) == ["ls *"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "command is required"),
        ({"cmd": "'"}, "invalid cmd: No closing quotation"),
        ({"cmd": "ls", "container": "a", "machine": True}, "container and machine are mutually exclusive"),
        ({"command": "ls"}, "json: cannot unmarshal string into Go struct field execRequest.command of type []string"),
    ],
)
async def test_a_command_must_make_sense(api: Api, body: Any, text: str) -> None:
    said = await api.act(await api.running(), "exec", body)
    assert (said.status, said.error) == (400, text)


@pytest.mark.parametrize(("method", "path"), [("POST", "exec"), ("GET", "ps"), ("GET", "memory")])
async def test_nothing_runs_inside_a_machine_that_does_not(api: Api, method: str, path: str) -> None:
    machine = await api.stopped()
    said = await api.ask(method, f"{at(machine)}/{path}", **({"json": {"cmd": "ls"}} if method == "POST" else {}))
    assert (said.status, said.error) == (412, "failed_precondition: machine not running")


async def test_processes_are_read_off_the_config(api: Api) -> None:
    services = [{"protocol": "tcp", "internal_port": 8080}]
    machine = await api.running(config={"init": {"cmd": ["web", "--all"]}, "services": services})
    first, second = (await api.get(f"{at(machine)}/ps")).body
    assert (first["pid"], first["command"]) == (1, "/fly/init")
    assert second["command"] == "web --all"
    assert second["listen_sockets"] == [{"proto": "tcp", "address": "[::]:8080"}]


async def test_processes_are_sorted_and_scripted(api: Api) -> None:
    machine = await api.running()
    path = f"{at(machine)}/ps"
    assert [row["pid"] for row in (await api.get(f"{path}?sort_by=rss&order=desc")).body] == [315, 1]
    assert (await api.get(f"{path}?sort_by=age")).error == "invalid sort_by: 'age'"
    assert (await api.get(f"{path}?order=up")).error == "invalid order: 'up'"
    api.emulator.processes[machine["id"]] = [{"pid": 7, "command": "mine"}]
    assert (await api.get(path)).body == [{"pid": 7, "command": "mine"}]


async def test_memory_is_limited_by_the_guest(api: Api) -> None:
    machine = await api.running(config={"guest": {"memory_mb": 512, "max_memory_mb": 1024}})
    path = f"{at(machine)}/memory"
    assert (await api.get(path)).body == {"available_mb": 456, "limit_mb": 512}
    assert (await api.ask("PUT", path, json={"limit_mb": 1024})).body == {"available_mb": 968, "limit_mb": 1024}
    assert (await api.ask("PUT", path, json={"limit_mb": 1025})).error == "limit_mb must be between 57 and 1024"
    assert (await api.ask("PUT", path, json={})).status == 400
    await api.post(at(machine), {"config": {"image": "nginx"}})
    await api.reach(machine, "started")
    assert (await api.get(path)).body["limit_mb"] == 256


async def test_unused_memory_is_reclaimed(api: Api) -> None:
    machine = await api.running()
    assert (await api.act(machine, "memory/reclaim", {"amount_mb": 64})).body == {"actual_mb": 64}
    assert (await api.act(machine, "memory/reclaim", {"amount_mb": 9000})).body == {"actual_mb": 200}
    assert (await api.act(machine, "memory/reclaim")).body == {"actual_mb": 200}
    assert (await api.act(machine, "memory/reclaim", {"amount_mb": -1})).status == 400
