"""`keep_config`: counts or settings of a group that runs already are changed, and nothing else."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from flyasync import Check, DeployBuilder, Fault, FlyClient, InvalidInput, MachineConfig, Service
from flyasync.deploy.plan.plan import Start, Uncordon, Update
from flyasync.models.image import digest_of
from flyasync.models.machine import GONE, Machine
from tests.deploy.conftest import total, world

IMAGE = "registry.fly.io/web:v1"
APP = (
    DeployBuilder("web")
    .to_regions("iad", "lhr")
    .with_image(IMAGE)
    .with_guest(cpus=1, memory_mb=256)
    .with_env(MODE="fast")
    .rolling()
    .smoke_check(0)
    .with_launch("v1")
)
TOUCHING = ("updateMachine", "startMachine", "uncordonMachine")
KEEP = DeployBuilder("web").keep_config().smoke_check(0)


async def there(fly: FlyClient) -> dict[str, Machine]:
    return {each.name: each for each in await fly.machines.list("web") if each.state not in GONE}


async def versions(fly: FlyClient) -> dict[str, str | None]:
    return {name: machine.current_version for name, machine in (await there(fly)).items()}


async def test_a_count_adds_machines_like_the_others_and_touches_none_of_them() -> None:
    async with world(seed=1) as (_, fly):
        await APP.execute(fly)
        before = await versions(fly)
        plan = await KEEP.count(iad=3).plan(fly)
        assert str(plan).startswith("web keeps its images and configs, rolling, launch ")
        assert (plan.creates, plan.updates, plan.destroys, len(plan.kept)) == (2, 0, 0, 2)
        report = await KEEP.count(iad=3).execute(fly)
        assert report.ok, str(report)
        now = await there(fly)
        assert sorted(now) == ["app-iad-1", "app-iad-2", "app-iad-3", "app-lhr-1"]
        assert before.items() <= (await versions(fly)).items()
        one, new = now["app-iad-1"], now["app-iad-3"]
        assert one.config is not None
        assert new.config is not None
        assert new.image == one.image
        assert digest_of(new.config.image) == digest_of(one.image)
        assert (new.config.guest, new.config.env) == (one.config.guest, {"MODE": "fast"})
        # A deploy of the same finds them up to date.
        assert (await APP.keep_counts().with_launch("v2").plan(fly)).is_empty


async def test_a_lower_count_destroys_surplus_machines_only() -> None:
    async with world(seed=1) as (_, fly):
        await APP.count(3).execute(fly)
        before = await versions(fly)
        report = await KEEP.count(iad=1, lhr=0).execute(fly)
        assert report.ok, str(report)
        now = await versions(fly)
        assert sorted(now) == ["app-iad-1"]
        assert now.items() <= before.items()


async def test_what_nothing_changes_in_is_left_as_it_is_even_stopped_cordoned_or_with_older_secrets() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.count(2).execute(fly)
        machines = await there(fly)
        await fly.machines.stop("web", machines["app-iad-1"].id)
        await fly.machines.wait("web", machines["app-iad-1"].id, state="stopped")
        await fly.machines.cordon("web", machines["app-iad-2"].id)
        await fly.secrets.set("web", "KEY", "new")
        before = await versions(fly)
        sent = [total(emulator, action) for action in TOUCHING]
        report = await KEEP.count(lhr=3).execute(fly)
        assert report.ok, str(report)
        now = await there(fly)
        assert now["app-iad-1"].state == "stopped"
        assert now["app-iad-2"].cordoned
        assert before.items() <= (await versions(fly)).items()
        assert [total(emulator, action) for action in TOUCHING] == sent
        # The new one starts with the present secrets.
        marks = {name: machine.metadata["flyasync_secrets"] for name, machine in now.items()}
        assert marks["app-lhr-3"] != marks["app-lhr-1"]


async def test_a_size_updates_each_machine_in_place_and_keeps_all_else() -> None:
    async with world(seed=1) as (_, fly):
        await APP.count(2).with_service(Service(protocol="tcp", internal_port=80)).execute(fly)
        machines = await there(fly)
        await fly.machines.cordon("web", machines["app-iad-2"].id)
        await fly.machines.stop("web", machines["app-lhr-2"].id)
        await fly.machines.wait("web", machines["app-lhr-2"].id, state="stopped")
        resized = KEEP.with_size("shared-cpu-2x", memory_mb=1024)
        report = await resized.execute(fly)
        assert report.ok, str(report)
        now = await there(fly)
        for name, old in machines.items():
            new = now[name]
            assert old.config is not None
            assert new.config is not None
            assert new.config.guest is not None
            assert (new.id, new.image) == (old.id, old.image)
            assert (new.config.guest.cpus, new.config.guest.memory_mb) == (2, 1024)
            assert (new.config.env, new.config.services) == (old.config.env, old.config.services)
        assert now["app-iad-2"].cordoned
        assert now["app-lhr-2"].state == "stopped"
        assert (await resized.plan(fly)).is_empty


async def test_a_later_deploy_without_a_size_keeps_that_of_the_scale_and_one_with_a_size_restores_it() -> None:
    async with world(seed=1) as (_, fly):
        await APP.execute(fly)
        await KEEP.with_guest(memory_mb=1024).execute(fly)
        bare = DeployBuilder("web").to_regions("iad", "lhr").with_image(f"{IMAGE}.2").with_env(MODE="fast").rolling()
        plan = str(await bare.plan(fly))
        assert "guest" not in plan
        assert "~ image" in plan
        assert "guest.memory_mb: 1024 → 256" in str(await APP.with_launch("v3").plan(fly))


async def test_each_machine_keeps_the_digest_that_it_runs_even_if_its_tag_has_moved() -> None:
    async with world(seed=1) as (emulator, fly):
        machine = await fly.machines.create(
            "web", MachineConfig(image="nginx:1", metadata={"fly_process_group": "app"}), region="iad", name="one"
        )
        await fly.machines.wait("web", machine.id, state="started")
        runs = (await there(fly))["one"].image
        assert digest_of(runs)
        assert emulator.push("nginx:1") != digest_of(runs)
        report = await KEEP.with_guest(memory_mb=512).count(2).execute(fly)
        assert report.ok, str(report)
        assert {each.image for each in (await there(fly)).values()} == {runs}


async def test_groups_are_scaled_together_each_with_its_own_image() -> None:
    async with world(seed=1) as (_, fly):
        await APP.process_group("web").execute(fly)
        await APP.process_group("worker").with_image("registry.fly.io/work:v7").execute(fly)
        before = await versions(fly)
        web, worker = KEEP.process_group("web").count(lhr=2), KEEP.process_group("worker").count(2)
        report = await web.together_with(worker).execute(fly)
        assert report.ok, str(report)
        now = await there(fly)
        assert len(now) == 7
        assert before.items() <= (await versions(fly)).items()
        assert str(now["web-lhr-2"].image).startswith(IMAGE)
        assert str(now["worker-iad-2"].image).startswith("registry.fly.io/work:v7")


async def test_a_lost_host_keeps_its_machine_and_is_retired_first() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.to_regions("iad").count(2).execute(fly)
        machines = await there(fly)
        emulator.set_host_status(machines["app-iad-1"].id, "unreachable")
        plan = await KEEP.count(3).plan(fly)
        assert (plan.creates, plan.updates, plan.destroys) == (1, 0, 0)
        (track,) = (await KEEP.count(1).plan(fly)).tracks
        assert track.machine.name == "app-iad-1"


async def test_a_scale_is_undone_as_a_deploy_is() -> None:
    async with world(seed=1) as (_, fly):
        await APP.execute(fly)
        await KEEP.with_guest(memory_mb=1024).count(iad=2).execute(fly)
        report = await DeployBuilder("web").undo(fly)
        assert report.ok, str(report)
        now = await there(fly)
        assert sorted(now) == ["app-iad-1", "app-lhr-1"]
        assert {each.config.guest.memory_mb for each in now.values() if each.config and each.config.guest} == {256}


async def test_a_scale_that_was_killed_is_resumed_from_its_journal(tmp_path: Any) -> None:
    journal = tmp_path / "scale.jsonl"
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        emulator.faults.add(Fault(does="refuse", action="createMachine", status=500, times=20))
        report = await KEEP.count(3).with_journal(journal).execute(fly)
        assert not report.ok
        emulator.faults.clear()
        report = await DeployBuilder.resumed(journal).execute(fly)
        assert report.ok, str(report)
        assert len(await there(fly)) == 6


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (KEEP.with_image("nginx"), "an image"),
        (KEEP.with_volume("data", "/data"), "a volume"),
        (KEEP.bluegreen(), "bluegreen"),
        (KEEP.with_env(A="1").replace("env").with_release_command("migrate"), "a release command and replace"),
    ],
)
def test_what_cannot_be_stated_with_it_is_refused(builder: DeployBuilder, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"so {told} cannot be combined with it"):
        builder.deployment()


async def test_a_group_without_machines_and_a_guest_that_they_cannot_have_are_refused() -> None:
    async with world(seed=1) as (_, fly):
        with pytest.raises(InvalidInput, match="no machine of the group app, so there is no image and config to keep"):
            await KEEP.count(iad=2).plan(fly)
        await APP.with_size("performance-1x").execute(fly)
        with pytest.raises(InvalidInput, match="memory"):
            await KEEP.with_guest(memory_mb=256).plan(fly)


async def test_new_machines_have_volumes_like_the_others_and_a_size_keeps_them() -> None:
    async with world(seed=1) as (_, fly):
        await APP.with_volume("data", "/data", size_gb=3).execute(fly)
        report = await KEEP.count(iad=2).execute(fly)
        assert report.ok, str(report)
        volumes = {each.id: each for each in await fly.volumes.list("web")}
        assert sorted((each.name, each.region, each.size_gb) for each in volumes.values()) == [
            ("data", "iad", 3),
            ("data", "iad", 3),
            ("data", "lhr", 3),
        ]
        report = await KEEP.with_guest(memory_mb=512).execute(fly)
        assert report.ok, str(report)
        assert {each.id: each.attached_machine_id for each in await fly.volumes.list("web")} == {
            id_: each.attached_machine_id for id_, each in volumes.items()
        }


async def test_a_standby_gets_the_size_and_is_not_started() -> None:
    async with world(seed=1) as (_, fly):
        await APP.to_regions("iad").execute(fly)
        first = (await there(fly))["app-iad-1"]
        assert first.config is not None
        standby = evolve(first.config, standbys=(first.id,), env={**(first.config.env or {}), "OWN": "1"})
        await fly.machines.create("web", standby, region="iad", name="standby", skip_launch=True)
        assert (await KEEP.count(1).plan(fly)).is_empty
        report = await KEEP.with_guest(memory_mb=512).execute(fly)
        assert report.ok, str(report)
        now = (await there(fly))["standby"]
        assert now.config is not None
        assert now.config.guest is not None
        assert (now.state, now.config.guest.memory_mb, (now.config.env or {})["OWN"]) == ("stopped", 512, "1")


@pytest.mark.parametrize("strategy", ["canary", "immediate", "recreate"])
async def test_any_strategy_that_keeps_the_machines_can_change_the_size(strategy: str) -> None:
    async with world(seed=1) as (_, fly):
        await APP.count(2).execute(fly)
        ids = {each.id for each in (await there(fly)).values()}
        report = await getattr(KEEP, strategy)().with_guest(memory_mb=512).execute(fly)
        assert report.ok, str(report)
        now = (await there(fly)).values()
        assert {each.id for each in now} == ids
        assert {each.config.guest.memory_mb for each in now if each.config and each.config.guest} == {512}


CHECKED = APP.to_regions("iad").count(2).with_check("up", Check(type="tcp", port=80, interval=2, timeout=1))


async def test_a_machine_that_is_coming_up_is_waited_for_and_not_touched() -> None:
    async with world(seed=1) as (emulator, fly):
        await CHECKED.execute(fly)
        machine = (await there(fly))["app-iad-2"]
        await fly.machines.restart("web", machine.id)
        sent = [total(emulator, action) for action in TOUCHING]
        plan = await KEEP.count(3).plan(fly)
        assert [track.machine.name for track in plan.tracks] == ["app-iad-2", "app-iad-3"]
        assert not any(isinstance(step, Update | Start | Uncordon) for step in plan.steps)
        report = await KEEP.count(3).execute(fly)
        assert report.ok, str(report)
        assert [total(emulator, action) for action in TOUCHING] == sent


async def test_a_machine_that_fails_does_not_delay_more_machines_and_is_reported() -> None:
    async with world(seed=1) as (emulator, fly):
        await CHECKED.execute(fly)
        machine = (await there(fly))["app-iad-2"]
        emulator.faults.add(Fault(does="checks_never_pass", region="iad", times=1))
        await fly.machines.restart("web", machine.id)
        await asyncio.sleep(30)
        report = await KEEP.count(4).wait_for("healthy", timeout=600).execute(fly)
        assert report.seconds < 30
        failed = [each for each in report.machines if each.result != "running"]
        assert [each.name for each in failed] == ["app-iad-2"]
        assert "failing checks" in str(failed[0].failure)
        assert len(await there(fly)) == 4


async def test_a_size_with_which_a_machine_fails_is_rolled_back() -> None:
    async with world(seed=1) as (emulator, fly):
        await CHECKED.execute(fly)
        before = {
            name: (each.id, each.image, each.config and each.config.env) for name, each in (await there(fly)).items()
        }
        emulator.faults.add(Fault(does="checks_never_pass", region="iad", times=1))
        resized = KEEP.with_guest(memory_mb=1024).count(3).wait_for("healthy", timeout=60).roll_back_on_failure()
        report = await resized.execute(fly)
        assert report.status == "rolled back", str(report)
        now = await there(fly)
        assert {name: (each.id, each.image, each.config and each.config.env) for name, each in now.items()} == before
        assert {each.config.guest.memory_mb for each in now.values() if each.config and each.config.guest} == {256}
