from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from flyasync.api.client import FlyClient
from flyasync.emulator import Emulator, Fault
from flyasync.models.config import MachineConfig
from tests.cli.driver import DEPLOY, Keyboard, events, flyasync, served
from tests.deploy.relay import relayed

Drive = Callable[[Coroutine[Any, Any, Any]], Any]
DESTROY = ("destroy", "web", "--launch", "v1")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Emulator, Drive]]:
    with served(monkeypatch) as (emulator, drive):
        drive(create_another())
        flyasync(*DEPLOY, "--add", "--region", "iad,lhr", drive=drive)
        flyasync("deploy", "web", "--image", "nginx", "--launch", "v2", "--add", "--region", "iad", drive=drive)
        yield emulator, drive


async def create_another() -> None:
    async with FlyClient() as fly:
        await fly.machines.create("web", MachineConfig(image="nginx"), name="by-hand", region="iad")


def there(emulator: Emulator) -> set[str]:
    gone = {"destroying", "destroyed"}
    return {machine.name for machine in emulator.world.machines.values() if machine.state not in gone}


def test_it_destroys_the_machines_of_the_launch_and_no_others(shop: tuple[Emulator, Drive]) -> None:
    emulator, drive = shop
    result = flyasync(*DESTROY, "--yes", drive=drive)
    assert result.exit_code == 0, result.output
    assert there(emulator) == {"by-hand", "v2-iad-1"}
    lines = result.stdout.splitlines()
    assert lines[0] == "web: launch v1 has 2 machines"
    assert lines[-1] == "web: 2 of 2 machines destroyed, all gone"
    assert sum("  destroyed  " in line for line in lines) == 2
    assert result.stderr == f"flyasync: api: {emulator.url}\n"


def test_once_more_there_is_nothing_to_do(shop: tuple[Emulator, Drive]) -> None:
    flyasync(*DESTROY, "--yes", drive=shop[1])
    result = flyasync(*DESTROY, "--yes", drive=shop[1])
    assert result.exit_code == 0
    assert result.stdout == "web: launch v1 has 0 machines\n"
    assert "lists can lag" in result.stderr


@pytest.mark.parametrize("seconds", [3, 8])
def test_machines_that_no_list_shows_yet_are_destroyed(shop: tuple[Emulator, Drive], seconds: float) -> None:
    emulator, drive = shop
    emulator.faults.add(Fault(does="stale", action="listMachines", seconds=seconds))
    flyasync(
        "deploy", "web", "--image", "nginx", "--launch", "v3", "--add", "--region", "iad", "--wait", "none", drive=drive
    )
    assert "v3-iad-1" in there(emulator)
    result = flyasync("destroy", "web", "--launch", "v3", "--yes", drive=drive)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("web: 1 of 1 machine destroyed, all gone\n")
    assert there(emulator) == {"by-hand", "v1-iad-1", "v1-lhr-1", "v2-iad-1"}


def test_json_is_one_object_a_line(shop: tuple[Emulator, Drive]) -> None:
    told = events(flyasync(*DESTROY, "--yes", "--json", drive=shop[1]).stdout)
    assert [event["event"] for event in told] == ["found", "destroyed", "destroyed", "finished"]
    assert {machine["name"] for machine in told[0]["machines"]} == {"v1-iad-1", "v1-lhr-1"}
    assert told[-1] == {"event": "finished", "app": "web", "launch": "v1", "ok": True, "left": []}


def test_a_machine_that_stays_is_told_and_the_exit_status_is_1(shop: tuple[Emulator, Drive]) -> None:
    emulator, drive = shop
    stays = next(machine.id for machine in emulator.world.machines.values() if machine.name == "v1-iad-1")
    emulator.faults.add(
        Fault(does="refuse", action="deleteMachine", identifier=stays, status=403, body={"error": "no"})
    )
    result = flyasync(*DESTROY, "--yes", drive=drive)
    assert result.exit_code == 1
    assert "not destroyed: machines.delete" in result.stdout
    assert result.stdout.endswith(f"web: 1 of 2 machines destroyed, not all gone, remaining: {stays}\n")


def test_a_machine_that_is_gone_already_is_gone(shop: tuple[Emulator, Drive]) -> None:
    emulator, drive = shop
    emulator.faults.add(Fault(does="refuse", action="deleteMachine", times=1, status=404, body={"error": "not found"}))
    assert flyasync(*DESTROY, "--yes", drive=drive).exit_code == 0


def test_a_machine_whose_destroy_is_accepted_and_not_done_is_left(
    shop: tuple[Emulator, Drive], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator, drive = shop

    async def destroy_in_vain(stack: AsyncExitStack) -> None:
        relay, fly = await stack.enter_async_context(relayed(emulator))
        relay.instead["DELETE"] = {"ok": True}
        monkeypatch.setenv("FLY_FLAPS_BASE_URL", fly.base_url)

    stack = AsyncExitStack()
    drive(destroy_in_vain(stack))
    result = flyasync(*DESTROY, "--yes", "--json", drive=drive)
    drive(stack.aclose())
    assert result.exit_code == 1
    told = events(result.stdout)
    assert [event["event"] for event in told] == ["found", "left", "left", "finished"]
    assert told[1]["message"] == "not destroyed: the API accepted the request, but the machine was last seen as started"
    assert set(told[-1]["left"]) == {machine["id"] for machine in told[0]["machines"]}
    assert len(there(emulator)) == 4


def test_one_404_is_no_proof(shop: tuple[Emulator, Drive]) -> None:
    emulator, drive = shop
    for action in ("deleteMachine", "getMachine"):
        emulator.faults.add(Fault(does="refuse", action=action, times=2, status=404, body={"error": "not found"}))
    assert flyasync(*DESTROY, "--yes", drive=drive).exit_code == 0
    assert there(emulator) == {"by-hand", "v2-iad-1"}


def test_a_machine_that_does_not_come_to_its_end_is_not_called_destroyed(shop: tuple[Emulator, Drive]) -> None:
    emulator, drive = shop
    emulator.faults.add(Fault(does="refuse", action="getMachine", after=2, status=500))
    result = flyasync(*DESTROY, "--yes", drive=drive)
    assert "last seen as destroying" in result.stdout
    assert result.exit_code == 1


def test_what_cannot_be_observed_is_not_called_destroyed(shop: tuple[Emulator, Drive]) -> None:
    emulator, drive = shop
    emulator.faults.add(Fault(does="refuse", action="getMachine", status=403, body={"error": "no"}))
    result = flyasync(*DESTROY, "--yes", drive=drive)
    assert result.exit_code == 1
    assert "  destroyed  " not in result.stdout


@pytest.mark.parametrize(("answer", "exit_code", "left"), [(b"y\n", 0, 2), (b"n\n", 1, 4), (b"", 130, 4)])
def test_in_a_terminal_it_asks_first(shop: tuple[Emulator, Drive], answer: bytes, exit_code: int, left: int) -> None:
    emulator, drive = shop
    result = flyasync(*DESTROY, drive=drive, answer=Keyboard(answer))
    assert result.exit_code == exit_code
    assert "Destroy them?" in result.stderr
    assert len(there(emulator)) == left


def test_without_a_terminal_it_needs_a_yes() -> None:
    result = flyasync(*DESTROY)
    assert result.exit_code == 2
    assert "use --yes to skip it" in result.stderr


@pytest.mark.parametrize(("app", "launch"), [("Web", "v1"), ("web", "V 1")])
def test_names_that_cannot_be_are_wrong_input(app: str, launch: str) -> None:
    assert flyasync("destroy", app, "--launch", launch, "--yes").exit_code == 2


def test_an_unknown_app_is_an_error(shop: tuple[Emulator, Drive]) -> None:
    result = flyasync("destroy", "nosuch", "--launch", "v1", "--yes", "--json", drive=shop[1])
    assert result.exit_code == 1
    assert events(result.stdout)[-1]["kind"] == "NotFound"
