"""Machine verbs take names as well as ids."""

import asyncio
import json
import re
from collections.abc import Iterator

import click
import pytest

from flyasync.api.client import FlyClient
from flyasync.cli.machines.command import command
from flyasync.cli.machines.names import AmbiguousMachine, machine_ids
from flyasync.models.config import MachineConfig
from tests.cli.driver import Shop, account

# The arguments that follow the machine, for each verb that takes one.
VERBS = {
    "show": (),
    "start": (),
    "stop": (),
    "restart": (),
    "suspend": (),
    "cordon": (),
    "uncordon": (),
    "destroy": ("--force", "--yes"),
    "wait": (),
    "modify": ("--memory", "512"),
    "clone": (),
    "adopt": (),
    "release": (),
    "exec": ("--", "true"),
    "ps": (),
    "events": (),
    "versions": (),
    "signal": ("SIGHUP",),
    "metadata list": (),
    "metadata set": ("a=1",),
    "metadata delete": ("a",),
    "lease show": (),
    "lease clear": ("--yes",),
}
SEVERAL = ("start", "stop", "restart", "suspend", "cordon", "uncordon", "destroy")


def verbs(group: click.Group, prefix: str = "") -> Iterator[str]:
    for name, each in group.commands.items():
        if isinstance(each, click.Group):
            yield from verbs(each, f"{prefix}{name} ")
        elif {param.name for param in each.params} & {"machine_id", "machine_ids"}:
            yield f"{prefix}{name}"


def test_every_verb_is_covered() -> None:
    assert set(verbs(command)) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_the_name_of_a_machine(shop: Shop, verb: str) -> None:
    machine_id = shop.run("--name", "one")
    shop.run("--name", "two")
    if verb.startswith("lease"):
        shop.drive(lease(machine_id))
    if verb == "start":
        shop.said("machines", "stop", "web", machine_id)
        shop.drive(asyncio.sleep(10))
    before = len(shop.emulator.log)
    shop.said("machines", *verb.split(), "web", "one", *VERBS[verb])
    first, *others = shop.emulator.log[before:]
    assert first.action == "listMachines"
    assert not any(entry.action == "listMachines" for entry in others)
    # A clone is the one verb that also makes a request for another machine: the new one.
    assert all(machine_id in entry.path or entry.action == "createMachine" for entry in others)
    assert any(machine_id in entry.path for entry in others)


def test_an_id_is_used_as_it_is(shop: Shop) -> None:
    machine_id = shop.run()
    before = len(shop.emulator.log)
    shop.said("machines", "stop", "web", machine_id)
    assert [entry.action for entry in shop.emulator.log[before:]] == ["stopMachine"]


def test_names_and_ids_go_together_and_a_machine_is_asked_once(shop: Shop) -> None:
    one, two = shop.run("--name", "one"), shop.run("--name", "two")
    rows = shop.json("machines", "cordon", "web", "one", two, one)
    assert [row["machine"] for row in rows] == [one, two]


@pytest.mark.parametrize("verb", SEVERAL)
def test_an_unknown_name_is_refused_before_anything_changes(shop: Shop, verb: str) -> None:
    machine_id = shop.run("--name", "worker-one")
    before = len(shop.emulator.log)
    result = shop.ask("machines", verb, "web", machine_id, "worker-won", *VERBS[verb])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "web has no machine with the name or id 'worker-won'" in result.stderr
    assert result.stderr.endswith("Did you mean 'worker-one'?\n")
    assert [entry.action for entry in shop.emulator.log[before:]] == ["listMachines"]


def test_a_name_that_is_like_no_other_gets_the_command_that_lists(shop: Shop) -> None:
    shop.run("--name", "one")
    result = shop.ask("machines", "show", "web", "database", "--json")
    assert result.stderr.endswith("To list its machines, run: flyasync machines list web\n")
    assert json.loads(result.stdout)["kind"] == "UnknownMachine"


async def test_a_name_of_two_machines_is_refused_with_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    async with account(monkeypatch) as emulator, FlyClient() as fly:
        made = [await fly.machines.create("web", MachineConfig(image="nginx"), region="iad") for _ in range(2)]
        for machine in made:
            emulator.world.machines[machine.id].name = "twin"
        ids = ", ".join(sorted(machine.id for machine in made))
        with pytest.raises(AmbiguousMachine) as refused:
            await machine_ids(fly, "web", ["twin"])
        assert sorted(re.findall(r"[0-9a-f]{14}", str(refused.value.message))) == ids.split(", ")


async def test_a_machine_that_is_gone_does_not_make_a_name_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    async with account(monkeypatch) as emulator, FlyClient() as fly:
        old, new = [await fly.machines.create("web", MachineConfig(image="nginx"), region="iad") for _ in range(2)]
        for machine in (old, new):
            emulator.world.machines[machine.id].name = "twin"
        emulator.world.machines[old.id].state = "destroying"
        assert await machine_ids(fly, "web", ["twin"]) == (new.id,)


async def lease(machine_id: str) -> None:
    async with FlyClient() as fly:
        await fly.leases.acquire("web", machine_id, ttl=300)
