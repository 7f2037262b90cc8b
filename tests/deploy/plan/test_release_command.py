"""The release command: it runs first and once, and without its exit code 0 nothing changes."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from flyasync import DeployBuilder, DeployReport, Emulator, Fault, FlyClient, Guest, InvalidInput, MachineConfig, Result
from flyasync.deploy.plan.release_command import RELEASE_GROUP, ReleaseCommand
from flyasync.deploy.reporting.wording import in_command_terms
from flyasync.emulator import Output
from flyasync.models.config import Init
from flyasync.models.container import StopConfig
from flyasync.models.image import without_digest
from tests.deploy.conftest import total, world
from tests.deploy.relay import relayed

BASE = DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx:1").with_env(A="1").smoke_check(0).rolling()
APP = BASE.with_release_command("bin/migrate --all")
NEW = APP.with_image("nginx:2")


def migrate(**output: Any) -> dict[str, Output]:
    return {"bin/migrate *": Output(**output)}


def images(emulator: Emulator) -> list[str]:
    gone = {"destroying", "destroyed"}
    return sorted(
        without_digest(machine.config["image"])
        for machine in emulator.world.machines.values()
        if machine.state not in gone
    )


def changes(emulator: Emulator) -> int:
    return sum(total(emulator, action) for action in ("updateMachine", "stopMachine", "cordonMachine"))


async def deployed(emulator: Emulator, fly: Any, builder: DeployBuilder = NEW) -> DeployReport:
    """Deploy over a fleet that is there; the report, after a moment in which everything has settled."""
    assert (await BASE.execute(fly)).ok
    report = await builder.execute(fly)
    await asyncio.sleep(10)
    return report


async def test_after_exit_code_0_it_goes_on() -> None:
    async with world(seed=1, commands=migrate(seconds=3)) as (emulator, fly):
        report = await deployed(emulator, fly)
        assert images(emulator) == ["nginx:2", "nginx:2"]
        assert total(emulator, "createMachine") == 3
    assert report.ok, str(report)
    assert report.release is not None
    assert report.release.result is Result.ENDED
    assert "bin/migrate" not in {machine.name for machine in report.machines}


async def test_it_runs_before_anything_changes() -> None:
    async with world(seed=1, commands=migrate(seconds=30)) as (emulator, fly):
        await BASE.execute(fly)
        deploy = asyncio.ensure_future(NEW.execute(fly))
        await asyncio.sleep(20)
        assert changes(emulator) == 0
        assert (await deploy).ok


async def test_its_machine_has_what_the_app_has_and_serves_nobody() -> None:
    app = NEW.with_service(internal_port=80).with_guest(cpus=2, memory_mb=512).with_launch("v2")
    async with world(seed=1, commands=migrate()) as (emulator, _), relayed(emulator) as (relay, fly):
        await app.execute(fly)
        first = relay.bodies("POST /v1/apps/web/machines")[0]
    config = first["config"]
    assert first["name"] == "release-app"
    assert config["init"]["cmd"] == ["bin/migrate", "--all"]
    assert config["env"] == {"A": "1", "RELEASE_COMMAND": "1"}
    assert without_digest(config["image"]) == "nginx:2"
    assert config["guest"] == {"cpus": 2, "memory_mb": 512}
    assert config["restart"] == {"policy": "no"}
    assert config["auto_destroy"] is True
    assert config["dns"] == {"skip_registration": True}
    assert config["metadata"]["fly_process_group"] == "fly_app_release_command"
    assert "services" not in config
    assert "mounts" not in config


async def test_a_release_command_that_fails_changes_nothing_and_is_told() -> None:
    said = "".join(f"line {number}\n" for number in range(15)) + "no such table: users\n"
    async with world(seed=1, commands=migrate(exit_code=3, stderr=said)) as (emulator, fly):
        report = await deployed(emulator, fly)
        assert images(emulator) == ["nginx:1", "nginx:1"]
        assert changes(emulator) == 0
    assert not report.ok
    assert report.release is not None
    assert report.release.result is Result.FAILED
    assert "exit code 3" in str(report.release)
    assert "no such table: users" in report.release.logs
    assert len(report.release.logs) == 10
    assert {machine.result for machine in report.machines} == {Result.NOT_BEGUN}
    assert "no such table: users" in str(report)


async def test_one_that_does_not_end_in_time_is_taken_away() -> None:
    app = BASE.with_image("nginx:2").with_release_command("bin/migrate --all", timeout=20)
    async with world(seed=1, commands=migrate(seconds=500)) as (emulator, fly):
        report = await deployed(emulator, fly, app)
        assert images(emulator) == ["nginx:1", "nginx:1"]
        assert changes(emulator) == 0
    assert not report.ok
    assert report.seconds < 40
    assert "the release command did not exit within 20 s" in str(report.release)


@pytest.mark.parametrize("does", ["fail", "launch_fail"])
async def test_one_that_never_starts_changes_nothing(does: str) -> None:
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        await BASE.execute(fly)
        emulator.faults.add(Fault(does=does, name="release-*"))
        report = await NEW.execute(fly)
        assert changes(emulator) == 0
        assert images(emulator)[:2] == ["nginx:1", "nginx:1"]
    assert not report.ok
    assert report.release is not None
    assert report.release.result is Result.FAILED
    assert report.seconds < 60


async def test_one_that_is_stuck_in_its_boot_is_given_up_in_time() -> None:
    app = BASE.with_image("nginx:2").with_release_command("bin/migrate --all", timeout=30)
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        await BASE.execute(fly)
        emulator.faults.add(Fault(does="stay_created", name="release-*"))
        report = await app.execute(fly)
        await asyncio.sleep(10)
        assert images(emulator) == ["nginx:1", "nginx:1"]
        assert changes(emulator) == 0
    assert not report.ok


async def test_where_its_region_is_full_it_runs_in_another() -> None:
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        await BASE.execute(fly)
        emulator.set_capacity("iad", 1)
        report = await NEW.execute(fly)
        ran = next(machine for machine in emulator.world.machines.values() if machine.name.startswith("release-"))
        assert ran.region == "lhr"
    assert report.ok, str(report)


async def test_without_room_anywhere_nothing_changes() -> None:
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        await BASE.execute(fly)
        emulator.set_capacity("iad", 1)
        emulator.set_capacity("lhr", 1)
        report = await NEW.execute(fly)
        assert changes(emulator) == 0
    assert not report.ok
    assert report.release is not None
    assert report.release.result is Result.SKIPPED


async def test_a_deploy_that_finds_nothing_to_do_does_not_run_it() -> None:
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        await NEW.execute(fly)
        creates = total(emulator, "createMachine")
        report = await NEW.execute(fly)
        assert total(emulator, "createMachine") == creates
    assert report.ok
    assert report.release is None


async def test_lost_answers_run_it_once() -> None:
    lost = Fault(does="cut_after", action="createMachine", times=1)
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        await BASE.execute(fly)
        emulator.faults.add(lost)
        report = await NEW.execute(fly)
        ran = [machine for machine in emulator.world.machines.values() if machine.name.startswith("release-")]
        assert emulator.faults.hits(lost) == 1
    assert report.ok, str(report)
    assert len(ran) == 1


async def test_a_launch_runs_it_as_well() -> None:
    launch = DeployBuilder("web").to_regions("iad").with_image("nginx").with_release_command("bin/migrate --all")
    async with world(seed=1, commands=migrate(exit_code=1)) as (emulator, fly):
        report = await launch.execute(fly)
        assert total(emulator, "createMachine") == 1
    assert not report.ok
    assert not report.surplus


def test_its_machine_is_of_its_own_group_and_stops_as_the_app_does() -> None:
    app = MachineConfig(
        image="x",
        env={"FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "lhr"},
        metadata={"fly_platform_version": "v2", "fly_process_group": "app", "owner": "me"},
        stop_config=StopConfig(signal="SIGTERM"),
    )
    config = ReleaseCommand.of("bin/migrate").config(app)
    assert config.env == {"FLY_PROCESS_GROUP": RELEASE_GROUP, "PRIMARY_REGION": "lhr", "RELEASE_COMMAND": "1"}
    assert config.metadata == {"fly_platform_version": "v2", "fly_process_group": RELEASE_GROUP}
    assert config.stop_config == app.stop_config


def test_a_command_line_that_cannot_be_read_is_not_repeated_where_it_tells_a_secret() -> None:
    with pytest.raises(
        InvalidInput, match="a value that may be secret is not a valid command line: a quote is not closed"
    ):
        ReleaseCommand.of("bin/x --token hunter2 it's")


def test_a_command_line_is_read_as_a_shell_reads_it() -> None:
    assert ReleaseCommand.of("bin/do 'two words' --x=1").command == ("bin/do", "two words", "--x=1")
    assert ReleaseCommand.of(("bin/do", "it's")).command == ("bin/do", "it's")
    assert str(ReleaseCommand.of(("bin/do", "two words"))) == "bin/do 'two words'"


@pytest.mark.parametrize("command", ["", "   ", "'open", ()])
def test_no_command_is_refused(command: Any) -> None:
    with pytest.raises(InvalidInput):
        BASE.with_release_command(command)


def test_a_guest_and_the_way_to_run_are_its_own() -> None:
    command = ReleaseCommand.of("migrate", guest=Guest(cpus=4))
    config = MachineConfig(image="a", guest=Guest(cpus=1), init=Init(exec=("serve",), entrypoint=("sh",), tty=True))
    made = command.config(config)
    assert made.guest == Guest(cpus=4)
    assert made.init == Init(cmd=("migrate",), entrypoint=("sh",), tty=True)


# What a deploy that was killed has left behind.


async def leftover(fly: FlyClient, builder: DeployBuilder, launch: str, **options: Any) -> str:
    """A release machine that its deploy did not take away; its id."""
    wanted = builder.deployment()
    assert wanted.release is not None
    config = evolve(wanted.release.config(wanted.config), auto_destroy=False)
    machine = await fly.machines.create_once("web", config, name="release-app", launch=launch, region="iad", **options)
    await fly.machines.wait("web", machine.id, state="stopped" if options else "started")
    return machine.id


@pytest.mark.parametrize("launch", ["killed", "v2"])
async def test_a_machine_that_a_killed_deploy_left_is_replaced(launch: str) -> None:
    async with world(seed=1, commands=migrate(seconds=3)) as (emulator, fly):
        old = await leftover(fly, APP, launch, skip_launch=True)
        report = await deployed(emulator, fly, NEW.with_launch("v2"))
        assert (await fly.machines.get("web", old)).state == "destroyed"
    assert report.ok, str(report)
    assert report.release is not None
    assert report.release.result is Result.ENDED
    assert report.release.id != old


async def test_a_name_that_a_machine_of_another_kind_has_is_not_laid_to_a_list() -> None:
    other = MachineConfig(image="nginx", metadata={"fly_process_group": "app"})
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        await BASE.execute(fly)
        held = await fly.machines.create("web", other, name="release-app", region="ams")
        report = await NEW.execute(fly)
        assert changes(emulator) == 0
    assert not report.ok
    assert held.id in str(report)
    assert "lists lag" not in str(report)


async def test_an_earlier_release_command_that_still_runs_is_awaited() -> None:
    async with world(seed=1, commands=migrate(seconds=100)) as (emulator, fly):
        old = await leftover(fly, APP, "killed")
        report = await deployed(emulator, fly)
        assert (await fly.machines.get("web", old)).state == "destroyed"
    assert report.ok, str(report)
    assert report.release is not None
    assert report.release.id != old
    assert report.seconds > 180  # the two commands ran one after the other


async def test_an_earlier_release_command_that_does_not_exit_in_time_is_named_and_not_disturbed() -> None:
    async with world(seed=1, commands=migrate(seconds=300)) as (emulator, fly):
        old = await leftover(fly, APP, "killed")
        report = await deployed(emulator, fly, NEW.with_release_command("bin/migrate --all", timeout=60))
        machine = await fly.machines.get("web", old)
        assert machine.state == "started"
        assert images(emulator) == ["nginx:1"] * 3
    assert not report.ok
    for word in (f"created at {machine.created_at}", f"fly.machines.delete('web', '{old}', force=True)"):
        assert word in str(report)
    assert f"flyasync machines destroy web {old} --force" in str(in_command_terms(report))
    assert report.closed_by is not None
    assert report.closed_by.failure.kind == "StillRunning"


async def test_a_machine_of_another_kind_that_has_the_name_is_left_alone() -> None:
    async with world(seed=1, commands=migrate()) as (emulator, fly):
        other = await fly.machines.create("web", MachineConfig(image="x"), name="release-app", region="iad")
        report = await deployed(emulator, fly)
        assert (await fly.machines.get("web", other.id)).state == "started"
    assert not report.ok
    assert "already exists" in str(report)
