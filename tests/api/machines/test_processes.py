import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Output
from flyasync.errors import InvalidInput, WrongState
from flyasync.models.config import MachineConfig
from flyasync.models.guest import Guest
from tests.api.client_on_emulator import running, sent_by, stopped


async def test_a_command_tells_what_it_said_and_how_it_ended(fly: FlyClient, app: str, emulator: Emulator) -> None:
    emulator.commands["ls *"] = Output(stdout="a\nb\n", exit_code=0)
    machine = await running(fly)
    result = await fly.machines.exec(app, machine.id, ["ls", "-l"])
    assert (result.stdout, result.succeeded) == ("a\nb\n", True)
    assert "a\nb" not in repr(result)


async def test_a_command_that_fails_is_an_answer(fly: FlyClient, app: str, emulator: Emulator) -> None:
    emulator.commands["make"] = Output(stderr="no rule", exit_code=2)
    machine = await running(fly)
    result = await fly.machines.exec(app, machine.id, "make", timeout=5)
    assert (result.exit_code, result.stderr, result.succeeded) == (2, "no rule", False)


async def test_a_machine_that_does_not_run_runs_no_command(fly: FlyClient, app: str) -> None:
    machine = await stopped(fly)
    with pytest.raises(WrongState):
        await fly.machines.exec(app, machine.id, ["true"])


@pytest.mark.parametrize("command", ["", []])
async def test_a_command_must_be_given(command: str | list[str]) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        await FlyClient("token").machines.exec("web", "m1", command)


async def test_a_list_is_sent_as_words_a_text_as_one_and_seconds_are_whole() -> None:
    sent = await sent_by(lambda fly: fly.machines.exec("web", "m1", ("ls", "-l"), timeout=0.2), {})
    assert sent.body == {"command": ["ls", "-l"], "timeout": 1}
    sent = await sent_by(lambda fly: fly.machines.exec("web", "m1", "ls -l", container="c", machine=False), {})
    assert sent.body == {"cmd": "ls -l", "container": "c", "machine": False}


async def test_processes_are_listed_as_asked(fly: FlyClient, app: str) -> None:
    machine = await running(fly)
    up = await fly.machines.ps(app, machine.id, sort_by="pid", order="asc")
    down = await fly.machines.ps(app, machine.id, sort_by="pid", order="desc")
    assert up
    assert up == tuple(reversed(down))
    assert up[0].command


async def test_memory_is_looked_at_limited_and_reclaimed(fly: FlyClient, app: str) -> None:
    guest = Guest(cpu_kind="shared", cpus=1, memory_mb=256, max_memory_mb=512)
    machine = await running(fly, MachineConfig(image="nginx", guest=guest))
    assert (await fly.machines.memory(app, machine.id)).limit_mb == 256
    assert (await fly.machines.set_memory(app, machine.id, limit_mb=512)).limit_mb == 512
    assert (await fly.machines.memory(app, machine.id)).limit_mb == 512
    assert 0 <= await fly.machines.reclaim_memory(app, machine.id, amount_mb=16) <= 16
