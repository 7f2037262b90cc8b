"""`flyasync scale`: numbers or sizes of groups that run already, over sockets."""

import json
from collections import Counter
from io import BytesIO

import pytest

from flyasync import FlyClient, MachineConfig
from tests.cli.driver import Keyboard, Shop

DEPLOY = ("deploy", "web", "--no-config", "--smoke-check", "0", "--memory", "512", "--env", "A=1")


@pytest.fixture
def running(shop: Shop) -> Shop:
    shop.said(*DEPLOY, "--image", "shop:1", "--region", "iad,lhr", "--launch", "v1")
    return shop


def there(shop: Shop) -> list[str]:
    return sorted(each.name for each in shop.emulator.world.machines.values() if each.state != "destroyed")


def guests(shop: Shop) -> Counter[tuple[int, int]]:
    found = (each.config["guest"] for each in shop.emulator.world.machines.values() if each.state != "destroyed")
    return Counter((guest["cpus"], guest["memory_mb"]) for guest in found)


def updates(shop: Shop) -> int:
    return sum(count for (action, _), count in shop.emulator.counts().items() if action == "updateMachine")


def test_a_number_is_that_of_each_region_and_the_same_again_changes_nothing(running: Shop) -> None:
    plan = running.said("scale", "web", "2", "--dry-run")
    assert plan.startswith("web keeps its images and configs, rolling, launch ")
    assert "create 2, keep 2" in plan
    assert there(running) == ["app-iad-1", "app-lhr-1"]
    shown = running.said("scale", "web", "2")
    assert "web: ok: 4 of 4 machines" in shown
    # Each step is shown when it happens, as by a deploy.
    for step in ("stage 1 of 1: all machines", "app-iad-2  creating", "app-lhr-2  started", "app-lhr-2  watching"):
        assert step in shown
    assert there(running) == ["app-iad-1", "app-iad-2", "app-lhr-1", "app-lhr-2"]
    assert (updates(running), guests(running)) == (0, {(1, 512): 4})
    assert {each.config["env"]["A"] for each in running.emulator.world.machines.values()} == {"1"}
    assert "nothing to do, all 4 up to date" in running.said("scale", "web", "2", "--dry-run")
    # So does a deploy of what runs.
    again = running.said(*DEPLOY, "--image", "shop:1", "--dry-run")
    assert "nothing to do, all 4 up to date" in again


def test_a_region_has_its_own_number_and_may_be_new(running: Shop) -> None:
    running.said("scale", "web", "app=2@iad", "1@nrt")
    assert there(running) == ["app-iad-1", "app-iad-2", "app-lhr-1", "app-nrt-1"]


def test_machines_are_destroyed_only_after_a_confirmation(running: Shop) -> None:
    running.said("scale", "web", "2")
    result = running.ask("scale", "web", "0@lhr")
    assert result.exit_code == 2
    assert "the confirmation needs a terminal: use --yes to skip it" in result.stderr
    result = running.ask("scale", "web", "0@lhr", answer=Keyboard(b"n\n"))
    assert result.exit_code == 1
    assert "destroy 2" in result.stderr
    assert "Destroy 2 machines? [y/N]" in result.stderr
    assert "nothing was changed" in result.stderr
    assert len(there(running)) == 4
    result = running.ask("scale", "web", "0@lhr", answer=Keyboard(b"y\n"))
    assert result.exit_code == 0, result.output
    assert there(running) == ["app-iad-1", "app-iad-2"]
    running.said("scale", "web", "1", "--yes")
    assert there(running) == ["app-iad-1"]


def test_what_was_confirmed_is_done_or_nothing(running: Shop) -> None:
    running.said("scale", "web", "2")

    async def add_another() -> None:
        async with FlyClient() as fly:
            config = MachineConfig(image="shop:1", metadata={"fly_process_group": "app"})
            await fly.machines.create("web", config, region="lhr", name="another")

    class Slow(Keyboard):
        """An answer before which another client adds a machine."""

        def read1(self, size: int | None = -1, /) -> bytes:
            if "another" not in there(running):
                running.drive(add_another())
            return super().read1(-1 if size is None else size)

    result = running.ask("scale", "web", "1", answer=Slow(b"y\n"))
    assert result.exit_code == 2
    assert "web was not scaled, because it has changed since the plan was made: another" in result.stderr
    assert "run the command again" in result.stderr
    assert len(there(running)) == 5


def test_a_size_updates_the_machines_in_place_and_keeps_their_image(running: Shop) -> None:
    ids = set(running.emulator.world.machines)
    running.emulator.push("shop:1")
    result = running.said("scale", "web", "--size", "shared-cpu-2x", "--memory", "2048")
    assert "web: ok: 2 of 2 machines" in result
    assert set(running.emulator.world.machines) == ids
    assert guests(running) == {(2, 2048): 2}
    assert len({each.digest for each in running.emulator.world.machines.values()}) == 1
    running.said("scale", "web", "--memory", "1024")
    assert guests(running) == {(2, 1024): 2}
    # The next deploy states another image and no size, and so keeps this one.
    running.said("deploy", "web", "--no-config", "--image", "shop:2", "--smoke-check", "0")
    assert guests(running) == {(2, 1024): 2}


def test_of_several_groups_each_is_named_or_all_get_a_size(running: Shop) -> None:
    running.said(*DEPLOY, "--group", "worker", "--image", "work:7", "--region", "iad")
    result = running.ask("scale", "web", "3")
    assert result.exit_code == 2
    assert "web has the process groups app and worker: say which one, such as app=3" in result.stderr
    plan = running.said("scale", "web", "app=2@iad", "worker=3", "--dry-run")
    assert "create 3, keep 3" in plan
    running.said("scale", "web", "worker=2", "app=2@lhr")
    assert there(running) == ["app-iad-1", "app-lhr-1", "app-lhr-2", "worker-iad-1", "worker-iad-2"]
    images = Counter(each.config["image"].partition("@")[0] for each in running.emulator.world.machines.values())
    assert images == {"shop:1": 3, "work:7": 2}
    running.said("scale", "web", "--memory", "1024", "--group", "worker")
    assert guests(running) == {(1, 512): 3, (1, 1024): 2}
    running.said("scale", "web", "--memory", "2048")
    assert guests(running) == {(1, 2048): 5}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give numbers of machines, such as 3 or worker=2@iad, or else --size or --memory"),
        (("3", "--memory", "512"), "give numbers of machines, such as 3 or worker=2@iad, or else --size or --memory"),
        (("many",), "'many' is not a number of machines, such as 3, 2@iad, worker=3 or worker=2@iad"),
        (("0",), "'0' would destroy all machines of the group: name regions, such as 0@iad"),
        (("2@eu",), "'eu' stands for many regions"),
        (("2@iad", "3@iad"), "it is given twice for iad"),
        (("app=3", "--group", "app"), "name the group as GROUP=N or with --group, but not both"),
        (("iad=3",), "web has no process group iad, only app; for one region, give the number as N@iad"),
        (("0@iad", "0@lhr"), "every region has a count of 0"),
        (("2000",), "N is 2000, but must be a whole number from 1 to 1000"),
        (("2@xxx",), "'xxx' is not a region of Fly.io"),
        (("--size", "giant"), "--size"),
        (("--size", "performance-1x", "--memory", "512"), "--size"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way_out(running: Shop, words: tuple[str, ...], told: str) -> None:
    before = there(running)
    result = running.ask("scale", "web", *words)
    assert result.exit_code == 2, result.output
    assert told in " ".join(result.stderr.split())
    assert (there(running), updates(running)) == (before, 0)


def test_an_app_without_machines_or_that_does_not_exist(shop: Shop) -> None:
    result = shop.ask("scale", "web", "3")
    assert result.exit_code == 2
    assert "web has no machines in a process group, so there is nothing to scale" in result.stderr
    assert shop.ask("scale", "other", "3").exit_code == 1


def test_json_lines_are_those_of_a_deploy_and_an_undo_restores_it(running: Shop) -> None:
    result = running.ask("scale", "web", "2", "--json", "--launch", "more", "--message", "black friday")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [lines[0]["event"], lines[-1]["event"]] == ["planned", "finished"]
    assert lines[-1]["report"]["status"] == "ok"
    made = next(each for each in running.emulator.world.machines.values() if each.name == "app-iad-2")
    assert made.config["metadata"]["flyasync_message"] == "black friday"
    assert made.config["metadata"]["flyasync_launch"] == "more"
    running.said("deploy", "web", "--undo")
    assert there(running) == ["app-iad-1", "app-lhr-1"]


def test_a_region_without_room_is_reported_and_has_a_fallback(running: Shop) -> None:
    running.emulator.set_capacity("nrt", 0)
    result = running.ask("scale", "web", "1@nrt", answer=BytesIO())
    assert result.exit_code == 3, result.output
    assert "nrt has no room" in result.stdout
    assert "the same command with --fallback nearest" in result.stdout
    result = running.ask("scale", "web", "1@nrt", "--fallback", "nearest")
    assert result.exit_code == 0, result.output
    assert len(there(running)) == 3
