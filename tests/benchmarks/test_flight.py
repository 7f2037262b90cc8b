"""What the flights are judged by: harm to a fleet of another tool is named, and nothing else is."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from benchmarks.flight import GROUP, world
from benchmarks.parts.flight_fleets import ASLEEP, NEW, OLD, WEB, WORKERS, Fleet
from flyasync import Emulator

Harm = Callable[[dict[str, Any]], Any]


async def named_after(fleet: Fleet, machine: str, harm: Harm) -> list[str]:
    """Return what is named once the config of one machine, by its name, has been harmed."""
    async with world(seed=1) as (emulator, _):
        found = await fleet.settle(emulator)
        assert list(found.harmed(emulator)) == []
        harm(next(each.config for each in emulator.world.machines.values() if each.name == machine))
        return list(found.harmed(emulator))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda config: config["env"].pop("PORT"), "env.PORT is None instead of '8080'"),
        (lambda config: config["services"].pop(), "services is "),
        (lambda config: config["services"][0]["checks"][0].pop("path"), "services[0].checks[0].path is None"),
        (lambda config: config["metadata"].pop("owner"), "metadata.owner is None instead of 'shop'"),
        (lambda config: config.update(image=NEW), "env.Z is None instead of '1'"),
        (lambda config: config.update(schedule="daily"), "schedule is 'daily' instead of None"),
    ],
)
async def test_a_field_that_differs_is_named(harm: Harm, named: str) -> None:
    [fault] = await named_after(WEB, "lhr-1-old", harm)
    assert fault.startswith(f"lhr-1-old: {named}")


@pytest.mark.parametrize(("fleet", "machine"), [(WEB, "worker-old"), (WEB, "console-old"), (WORKERS, "standby-old")])
async def test_a_machine_that_is_not_the_deploys_is_watched_too(fleet: Fleet, machine: str) -> None:
    assert await named_after(fleet, machine, lambda config: config.update(env={"NEW": "1"}))


def gone(emulator: Emulator, name: str) -> None:
    next(each for each in emulator.world.machines.values() if each.name == name).state = "destroyed"


def started(emulator: Emulator, name: str) -> None:
    next(each for each in emulator.world.machines.values() if each.name == name).state = "started"


@pytest.mark.parametrize(
    ("fleet", "machine", "change", "named"),
    [
        (WEB, "worker-old", gone, ["worker-old is gone"]),
        (WORKERS, "standby-old", started, ["standby-old was stopped and is started"]),
        (ASLEEP, "iad-0-old", started, ["iad-0-old was stopped and is started"]),
        (ASLEEP, "iad-0-old", gone, []),
    ],
)
async def test_what_is_gone_or_was_woken_is_named(
    fleet: Fleet, machine: str, change: Callable[[Emulator, str], None], named: list[str]
) -> None:
    async with world(seed=1) as (emulator, _):
        found = await fleet.settle(emulator)
        change(emulator, machine)
        assert list(found.harmed(emulator)) == named


async def test_a_deploy_that_replaces_what_is_there_does_harm() -> None:
    deploy = GROUP.with_service(internal_port=8080).replace("services").with_image(NEW).immediate()
    async with world(seed=1) as (emulator, fly):
        found = await evolve(WEB, adds={}).settle(emulator)
        assert (await deploy.count(3).execute(fly)).ok
        assert len(list(found.harmed(emulator))) == 9


async def test_nothing_of_a_fleet_of_another_tool_is_marked_as_ours() -> None:
    async with world(seed=1) as (emulator, _):
        found = await WEB.settle(emulator)
    marks = [key for each in found.before.values() for key in each.config.get("metadata", {}) if "flyasync" in key]
    assert marks == []
    assert sum(each.config["image"] == OLD for each in found.before.values()) == 10
