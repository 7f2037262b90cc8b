"""The seed command: it runs once, in the first deploy of an app, and never twice unless it is known to have failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flyasync import DeployBuilder, Emulator, Fault, FlyClient, InvalidInput, Machine, MachineConfig, Result
from flyasync.deploy.plan.command_stages import SEED
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import decide
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.emulator import Output
from flyasync.models.config import Init
from flyasync.models.machine import MachineEvent
from tests.deploy.conftest import killed, total, world
from tests.deploy.relay import relayed

PLAIN = DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx:1").with_env(A="1").smoke_check(0).rolling()
APP = PLAIN.with_seed_command("bin/seed --demo")
BOTH = APP.with_release_command("bin/migrate")


@asynccontextmanager
async def seeded(**seed: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    async with world(seed=1, commands={"bin/seed *": Output(**seed)}) as (emulator, fly):
        yield emulator, fly


def ran(emulator: Emulator) -> int:
    """Count the machines that ever ran the seed command."""
    return sum(machine.name.startswith("seed-") for machine in emulator.world.machines.values())


async def left_by_a_killed_deploy(fly: FlyClient) -> Machine:
    """The machine of a seed command that a killed deploy has begun, as that deploy had created it."""
    config = MachineConfig(
        image="nginx:1",
        init=Init(cmd=("bin/seed", "--demo")),
        auto_destroy=True,
        metadata={"fly_process_group": RELEASE_GROUP, SEED: "killed"},
    )
    machine = await fly.machines.create_once("web", config, name="seed-app", launch="killed", region="iad")
    await fly.machines.wait("web", machine.id, state="started")
    return machine


async def test_the_first_deploy_runs_it_after_the_release_command_and_before_all_groups() -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        report = await BOTH.execute(fly)
        created = [each for each in relay.bodies("POST /v1/apps/web/machines") if "name" in each]
    assert report.ok, str(report)
    assert [each["name"] for each in created[:2]] == ["release-app", "seed-app"]
    assert len(created) == 4
    config = created[1]["config"]
    assert config["init"]["cmd"] == ["bin/seed", "--demo"]
    assert config["env"] == {"A": "1", "RELEASE_COMMAND": "1"}
    assert config["metadata"]["fly_process_group"] == "fly_app_release_command"
    assert config["auto_destroy"] is True
    assert report.seed is not None
    assert report.seed.result is Result.ENDED
    assert "seed-app" in str(report)
    assert "seed command" in report.to_html()


async def test_later_deploys_do_not_run_it() -> None:
    async with seeded() as (emulator, fly):
        assert (await APP.execute(fly)).ok
        report = await APP.with_image("nginx:2").execute(fly)
        assert report.ok
        assert report.seed is None
        assert not any("seed" in remark for remark in report.remarks)
        assert ran(emulator) == 1


async def test_if_it_fails_no_machine_is_created_and_the_next_deploy_runs_it_again() -> None:
    async with seeded(exit_code=3, stderr="no such table: users\n") as (emulator, fly):
        report = await BOTH.execute(fly)
        assert not report.ok
        assert report.seed is not None
        assert "the seed command ended with exit code 3" in str(report.seed)
        assert "no such table: users" in report.seed.logs
        assert {machine.result for machine in report.machines} == {Result.NOT_BEGUN}
        assert total(emulator, "createMachine") == 2
        plan = await APP.plan(fly)
        assert "on " in str(plan.stages[0].tracks[0].steps[0])
        assert "it ended with exit code 3" in str(plan)


async def test_one_that_is_running_is_waited_for_and_not_run_again() -> None:
    async with seeded(seconds=60) as (emulator, fly):
        machine = await left_by_a_killed_deploy(fly)
        plan = await APP.plan(fly)
        assert f"adopt {machine.id}: an earlier deploy began it, and it must not run twice" in str(plan)
        report = await APP.execute(fly)
        assert report.ok, str(report)
        assert report.seed is not None
        assert (report.seed.id, report.seed.result) == (machine.id, Result.ENDED)
        assert report.seconds > 50
        assert ran(emulator) == 1


async def test_one_that_has_succeeded_is_not_run_again() -> None:
    async with seeded() as (emulator, fly):
        machine = await left_by_a_killed_deploy(fly)
        await asyncio.sleep(60)
        assert (await fly.machines.get("web", machine.id)).state == "destroyed"
        report = await APP.execute(fly)
        assert report.ok, str(report)
        assert report.seed is None
        assert (
            f"seed command: not run again, since it ended with exit code 0 on {machine.id} in an earlier deploy"
            in report.remarks
        )
        assert ran(emulator) == 1


def gone(name: str, exit_code: int | None, **metadata: str) -> Machine:
    end = {"exit_event": {"exit_code": exit_code}} if exit_code is not None else {}
    event = MachineEvent(type="exit", timestamp=1, request=end)
    config = MachineConfig(image="nginx:1", metadata=metadata)
    return Machine(id="gone1", name=name, region="iad", state="destroyed", config=config, events=[event])


@pytest.mark.parametrize(
    ("machine", "runs", "text"),
    [
        (gone("seed-app", None, fly_process_group=RELEASE_GROUP, flyasync_seed="v0"), False, "may have run it"),
        (gone("seed-app", 0, fly_process_group=RELEASE_GROUP, flyasync_seed="v0"), False, "exit code 0"),
        (gone("seed-app", 1, fly_process_group=RELEASE_GROUP, flyasync_seed="v0"), True, "exit code 1"),
        (gone("release-app", 0, fly_process_group=RELEASE_GROUP), True, "run bin/seed"),
        (gone("app-iad-1", 0, fly_process_group="app"), False, "the app has had machines before, such as app-iad-1"),
        (gone("experiment", 0), True, "run bin/seed"),
    ],
)
def test_what_destroyed_machines_show_decides_whether_it_runs(machine: Machine, runs: bool, text: str) -> None:  # noqa: FBT001
    plan = decide(APP.with_launch("v1").deployment(), Fleet("web", (), gone=(machine,))).plan
    assert (plan.stages[0].title == "seed command") is runs
    assert text in str(plan)
    assert ("run the seed command, create 2" in str(plan)) is runs


@pytest.mark.parametrize("requests", range(4, 34, 5))
@pytest.mark.parametrize("resumes", [True, False])
async def test_killed_at_any_request_and_run_again_it_has_run_once(
    requests: int, tmp_path: Path, *, resumes: bool
) -> None:
    path = tmp_path / "deploy.jsonl"
    async with seeded(seconds=5) as (emulator, fly):
        await killed(emulator, fly, APP.with_journal(path), requests)
        again = DeployBuilder.resumed(path, env={"A": "1"}) if resumes and "planned" in path.read_text() else APP
        report = await again.execute(fly)
        assert report.ok, str(report)
        assert ran(emulator) == 1


async def test_a_lost_response_to_its_create_runs_it_once() -> None:
    async with seeded() as (emulator, fly):
        lost = Fault(does="cut_after", action="createMachine", times=1)
        emulator.faults.add(lost)
        assert (await APP.execute(fly)).ok
        assert emulator.faults.hits(lost) == 1
        assert ran(emulator) == 1


async def test_one_that_may_hold_a_secret_is_stated_again_to_resume(tmp_path: Path) -> None:
    path = tmp_path / "deploy.jsonl"
    secret = PLAIN.with_seed_command("bin/seed --token hunter2")
    async with seeded(exit_code=1) as (_, fly):
        assert not (await secret.with_journal(path).execute(fly)).ok
        assert "hunter2" not in path.read_text()
        with pytest.raises(InvalidInput, match="does not contain the seed command of launch"):
            await DeployBuilder.resumed(path, env={"A": "1"}).execute(fly)


@pytest.mark.parametrize("command", ["", "   ", ()])
def test_no_command_is_refused(command: Any) -> None:
    with pytest.raises(InvalidInput, match="a seed command needs a command, such as 'bin/seed'"):
        PLAIN.with_seed_command(command)
