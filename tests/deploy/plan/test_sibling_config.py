"""What a new machine of a group inherits, whom it is like, and what is refused, on fleets that other tools made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    Check,
    Concurrency,
    DeployBuilder,
    Emulator,
    Fault,
    FlyClient,
    Guest,
    Init,
    InvalidInput,
    Machine,
    MachineConfig,
    Mount,
    Port,
    Restart,
    Result,
    Service,
)
from flyasync.deploy.plan.sibling_config import inherited
from flyasync.models.container import StopConfig
from tests.deploy.conftest import tag, world

WEB = Service(
    protocol="tcp",
    internal_port=8080,
    ports=[Port(port=443, handlers=["tls", "http"])],
    autostop="suspend",
    autostart=True,
    concurrency=Concurrency(type="requests", soft_limit=20, hard_limit=25),
)
RICH = MachineConfig(
    image="nginx:1",
    env={"PORT": "8080", "PRIMARY_REGION": "iad"},
    init=Init(cmd=["bin/web"]),
    restart=Restart(policy="always"),
    stop_config=StopConfig(signal="SIGTERM", timeout=20),
    services=[WEB],
    checks={"up": Check(type="tcp", port=8080, interval="2s", timeout="1s")},
    metadata={"fly_process_group": "app", "fly_platform_version": "v2", "fly_release_version": "7"},
    extra={"from_the_future": {"a": 1}},
)
APP = DeployBuilder("web").to_regions("iad").with_image("nginx:2").smoke_check(0)
NEW = APP.rolling()


@asynccontextmanager
async def fleet(*configs: MachineConfig, **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient, list[Machine]]]:
    """An app with machines that plain API calls made, once these are up."""
    async with world(seed=1, **options) as (emulator, fly):
        made = [await fly.machines.create("web", config, region="iad") for config in configs]
        for machine, config in zip(made, configs, strict=True):
            if not config.standbys:
                await fly.machines.wait("web", machine.id, state="started")
        yield emulator, fly, made


async def up(fly: FlyClient) -> list[Machine]:
    return [machine for machine in await fly.machines.list("web") if machine.is_alive]


def shown(machine: Machine) -> MachineConfig:
    """The config of a machine, without what says which deploy made it, and without the digest of its image."""
    assert machine.config is not None
    metadata = {key: value for key, value in machine.metadata.items() if not key.startswith("flyasync_")}
    return evolve(machine.config, image=tag(machine), metadata=metadata)


# A machine more is like the others.


WAYS = {
    "scale-out": NEW.count(3),
    "another region": NEW.count(2).to_regions("iad", "lhr"),
    "canary": APP.count(3).canary(soak=0),
    "immediate": APP.count(3).immediate(),
    "bluegreen": APP.count(2).bluegreen(drain=0),
}


@pytest.mark.parametrize("way", WAYS)
async def test_all_that_is_not_stated_is_inherited(way: str) -> None:
    async with fleet(RICH, RICH) as (_, fly, old):
        report = await WAYS[way].execute(fly)
        assert report.ok, str(report)
        there = await up(fly)
        assert {machine.id for machine in there} - {machine.id for machine in old}
        for machine in there:
            assert shown(machine) == evolve(shown(old[0]), image="nginx:2")
        assert (await WAYS[way].plan(fly)).is_empty


async def test_where_the_host_is_full_the_substitute_inherits_too() -> None:
    full = Fault(does="refuse", action="updateMachine", status=409, times=1, body={
        "error": "aborted: could not reserve resource for machine: insufficient memory available to fulfill request"
    })  # fmt: skip
    async with fleet(RICH, RICH) as (emulator, fly, old):
        emulator.faults.add(full)
        report = await NEW.count(2).execute(fly)
        assert report.ok, str(report)
        there = await up(fly)
        assert len({machine.id for machine in there} - {machine.id for machine in old}) == 1
        assert {tag(machine) for machine in there} == {"nginx:2"}
        assert all(machine.config and machine.config.services and machine.config.init for machine in there)


async def test_where_the_host_is_lost_the_next_one_is_like_a_sibling() -> None:
    async with fleet(RICH, RICH) as (emulator, fly, old):
        emulator.set_host_status(old[0].id, "unreachable")
        assert (await NEW.count(2).execute(fly)).ok
        made = next(each for each in await up(fly) if each.id not in {machine.id for machine in old})
        assert shown(made) == evolve(shown(old[0]), image="nginx:2")


async def test_where_no_host_answers_a_foreign_group_is_left_as_it_is() -> None:
    async with fleet(RICH) as (emulator, fly, old):
        emulator.set_host_status(old[0].id, "unreachable")
        with pytest.raises(InvalidInput, match="the complete config of no machine of the group app is known"):
            await NEW.execute(fly)
        assert len(await fly.machines.list("web")) == 1


async def test_a_new_machine_gets_a_volume_of_its_own_of_the_same_name_and_size() -> None:
    async with world(seed=1) as (_, fly):
        volume = await fly.volumes.create("web", name="data", region="iad", size_gb=3)
        mount = Mount(volume=volume.id, path="/data", extend_threshold_percent=80, add_size_gb=1)
        old = await fly.machines.create("web", evolve(RICH, mounts=[mount]), region="iad")
        await fly.machines.wait("web", old.id, state="started")
        plan = str(await NEW.count(2).plan(fly))
        assert "create volume data (3 GB): no unattached volume data in the region" in plan
        report = await NEW.count(2).execute(fly)
        assert report.ok, str(report)
        made = next(machine for machine in await up(fly) if machine.id != old.id)
        assert made.config is not None
        (its,) = made.config.mounts or ()
        assert evolve(its, volume=volume.id) == mount
        own = await fly.volumes.get("web", str(its.volume))
        assert (own.name, own.size_gb, own.id == volume.id) == ("data", 3, False)


def test_what_is_of_one_machine_or_of_one_deploy_is_not_inherited() -> None:
    config = evolve(
        RICH,
        env={**(RICH.env or {}), "FLY_STANDBY_FOR": "m1"},
        guest=Guest(cpus=1, host_dedication_id="h1"),
        standbys=["m1"],
        services=None,
        mounts=[Mount(volume="vol_1", path="/data")],
        metadata={
            **(RICH.metadata or {}),
            "fly_canary": "true",
            "fly_bluegreen_deployment_tag": "1",
            "fly_flyctl_bluegreen_launch_id": "2",
            "flyasync_launch": "v1",
            "flyasync_region": "lhr",
        },
    )
    assert inherited(config) == evolve(
        RICH, guest=Guest(cpus=1), standbys=None, services=None, mounts=[Mount(path="/data")]
    )


async def test_an_update_touches_only_what_is_stated() -> None:
    async with fleet(RICH) as (_, fly, (old,)):
        gate = Check(type="http", method="get", path="/health", interval="10s", timeout="5s")
        stated = Service(protocol="tcp", internal_port=8080, ports=[Port(port=80, handlers=["http"])], checks=[gate])
        report = await NEW.with_env(Z="1").with_service(stated).execute(fly)
        assert report.ok, str(report)
        (machine,) = await up(fly)
        ports = [*(WEB.ports or ()), Port(port=80, handlers=["http"])]
        assert shown(machine) == evolve(
            shown(old),
            image="nginx:2",
            env={**(RICH.env or {}), "Z": "1"},
            services=[evolve(WEB, ports=ports, checks=[gate])],
        )
        assert (await NEW.execute(fly)).ok  # nothing of that is stated any more
        (machine,) = await up(fly)
        assert machine.config is not None
        assert (machine.config.env, len(machine.config.services or ())) == (RICH.env, 1)


@pytest.mark.parametrize("way", [APP.bluegreen(), NEW.wait_for("healthy"), APP.canary().wait_for("healthy")])
async def test_there_have_to_be_checks_to_wait_for(way: DeployBuilder) -> None:
    async with fleet(evolve(RICH, checks=None)) as (_, fly, (old,)):
        with pytest.raises(InvalidInput, match="would have none: add one"):
            await way.execute(fly)
        assert [machine.config for machine in await up(fly)] == [(await fly.machines.get("web", old.id)).config]


# Whom it is like.


async def test_it_is_like_the_majority() -> None:
    odd = evolve(RICH, env={"ODD": "1"})
    async with fleet(odd, RICH, RICH) as (_, fly, old):
        assert (await NEW.count(4).execute(fly)).ok
        made = next(each for each in await up(fly) if each.id not in {machine.id for machine in old})
        assert made.config is not None
        assert made.config.env == RICH.env


async def test_where_as_many_are_like_this_as_like_that_the_deploy_is_refused_and_shows_both() -> None:
    async with fleet(RICH, evolve(RICH, env={"ODD": "1"})) as (_, fly, old):
        before = [machine.config for machine in await up(fly)]
        with pytest.raises(InvalidInput, match="could be like") as caught:
            await NEW.count(3).execute(fly)
        assert all(machine.name in str(caught.value) and machine.id in str(caught.value) for machine in old)
        assert "env.ODD " in str(caught.value)
        assert [machine.config for machine in await up(fly)] == before
        assert (await NEW.count(2).execute(fly)).ok  # none has to be made


async def test_what_a_release_that_did_not_complete_has_left_does_not_count() -> None:
    newer = evolve(RICH, env={"NEW": "1"}, metadata={**(RICH.metadata or {}), "fly_release_version": "8"})
    async with fleet(RICH) as (_, fly, (old,)):
        made = [await fly.machines.create("web", newer, region="iad") for _ in range(2)]
        for machine in made:
            await fly.machines.wait("web", machine.id, state="started")
        assert f"like {old.name}:" in str(await NEW.count(4).plan(fly))
        await fly.machines.delete("web", old.id, force=True)
        await fly.machines.wait("web", old.id, state="destroyed")
        plan = str(await NEW.count(3).plan(fly))
        assert any(f"like {machine.name}:" in plan for machine in made)


async def test_a_release_is_complete_by_region() -> None:
    newer = evolve(RICH, env={"NEW": "1"}, metadata={**(RICH.metadata or {}), "fly_release_version": "8"})
    async with fleet(RICH) as (_, fly, _):
        made = await fly.machines.create("web", newer, region="lhr")
        await fly.machines.wait("web", made.id, state="started")
        assert f"like {made.name}:" in str(await NEW.to_regions("iad", "lhr").count(2).plan(fly))


# Services are the same within a group.


async def test_services_that_would_differ_are_refused() -> None:
    base = APP.with_image("nginx:1").rolling().to_regions("iad", "lhr").with_service(internal_port=80)
    async with world(seed=1) as (_, fly):
        assert (await base.execute(fly)).ok
        with pytest.raises(InvalidInput, match=r"would have different services.*app-lhr-1|app-lhr-1.*differ"):
            await NEW.with_service(internal_port=90).replace("services").execute(fly)
        both = await NEW.to_regions("iad", "lhr").with_service(internal_port=90).execute(fly)
        assert both.ok, str(both)


async def test_services_that_differ_already_are_told() -> None:
    other = evolve(RICH, services=[evolve(WEB, internal_port=9090)])
    async with fleet(RICH, other) as (_, fly, _):
        report = await NEW.count(2).execute(fly)
    assert report.ok, str(report)
    assert any("services differ" in remark for remark in report.remarks)


async def test_a_public_port_that_another_service_has_is_refused_before_anything_is_sent() -> None:
    async with fleet(RICH) as (_, fly, (old,)):
        with pytest.raises(
            InvalidInput, match=r"9090/tcp has the public port 443, which .*8080/tcp.* has too.*replace"
        ):
            await NEW.with_service(internal_port=9090).execute(fly)
        assert (await fly.machines.get("web", old.id)).config == (await up(fly))[0].config
        report = await NEW.with_service(internal_port=9090).replace("services").execute(fly)
        assert report.ok, str(report)
        (machine,) = await up(fly)
        assert machine.config is not None
        assert [service.internal_port for service in machine.config.services or ()] == [9090]


# Beside those that count.


async def test_a_standby_gets_the_update_and_nothing_else() -> None:
    worker = evolve(RICH, services=None, checks=None)
    async with fleet(worker) as (_, fly, (first,)):
        standby = await fly.machines.create(
            "web", evolve(worker, standbys=[first.id]), region="iad", name="standby", skip_launch=True
        )
        await fly.machines.wait("web", standby.id, state="settled")
        report = await NEW.execute(fly)
        assert report.ok, str(report)
        assert [(each.name, each.result) for each in report.others] == [("standby", Result.RESTING)]
        assert [each.id for each in report.machines] == [first.id]
        after = await fly.machines.get("web", standby.id)
        assert after.state in {"created", "stopped"}
        assert after.config is not None
        assert (tag(after), after.config.standbys) == ("nginx:2", (first.id,))
        assert "1 standby, neither counted nor started" in str(report)
        assert (await NEW.plan(fly)).is_empty


async def test_a_standby_for_a_machine_that_goes_is_told() -> None:
    worker = evolve(RICH, services=None)
    async with fleet(worker) as (_, fly, (first,)):
        await fly.machines.create(
            "web", evolve(worker, standbys=[first.id]), region="iad", name="standby", skip_launch=True
        )
        plan = await APP.bluegreen().plan(fly)
    assert (
        f"standby is a standby for {first.id}, which is destroyed: set its standbys to another machine" in plan.remarks
    )


@pytest.mark.parametrize("state", ["started", "stopped"])
async def test_a_scheduled_machine_is_neither_a_spare_nor_waited_for(state: str) -> None:
    job = evolve(RICH, services=None, checks=None, schedule="daily")
    async with fleet(job, RICH) as (_, fly, (scheduled, web)):
        if state == "stopped":
            await fly.machines.stop("web", scheduled.id)
            await fly.machines.wait("web", scheduled.id, state="stopped")
        report = await NEW.execute(fly)
        assert report.ok, str(report)
        assert [each.id for each in report.machines] == [web.id]
        assert [each.id for each in report.others] == [scheduled.id]
        after = await fly.machines.get("web", scheduled.id)
        assert after.config is not None
        assert (tag(after), after.config.schedule) == ("nginx:2", "daily")
        assert (after.state == "stopped") == (state == "stopped")
        assert (await NEW.plan(fly)).is_empty


async def test_a_group_of_one_job_takes_no_second_one_for_granted() -> None:
    job = evolve(RICH, services=None, checks=None, schedule="daily")
    async with fleet(job) as (_, fly, (scheduled,)):
        assert (await NEW.execute(fly)).ok
        assert [machine.id for machine in await up(fly)] == [scheduled.id]
        plan = await NEW.with_image("nginx:3").count(2).plan(fly)
    assert '- schedule: "daily"' in str(plan)


JOB = evolve(RICH, services=None, checks=None, schedule="daily")


@pytest.mark.parametrize("way", [APP.bluegreen(), APP.rolling(), APP.canary(soak=0), APP.immediate()])
async def test_a_lone_job_stays_one_whatever_the_strategy(way: DeployBuilder) -> None:
    async with fleet(JOB) as (_, fly, (old,)):
        report = await way.execute(fly)
        assert report.ok, str(report)
        (machine,) = await up(fly)
        assert machine.id == old.id
        assert shown(machine) == evolve(shown(old), image="nginx:2")


async def test_what_takes_the_place_of_a_job_that_failed_is_that_job() -> None:
    async with fleet(JOB) as (emulator, fly, (old,)):
        emulator.faults.add(Fault(does="fail", image="nginx:bad", times=1))
        await fly.machines.update("web", old.id, evolve(JOB, image="nginx:bad"))
        await fly.machines.wait("web", old.id, state="settled")
        report = await NEW.execute(fly)
        assert report.ok, str(report)
        (machine,) = await up(fly)
        assert machine.config is not None
        assert (machine.id == old.id, machine.config.schedule) == (False, "daily")


async def test_a_release_command_has_the_environment_of_the_group() -> None:
    env = {"FLY_PROCESS_GROUP": "app", "PORT": "8080"}
    async with fleet(evolve(RICH, env=env)) as (emulator, fly, _):
        seen: list[dict[str, Any]] = []
        emulator.on_change(lambda machine: seen.append(machine.config))
        assert (await NEW.with_env(Z="1").with_release_command("bin/migrate").execute(fly)).ok
    ran = next(config["env"] for config in seen if "RELEASE_COMMAND" in config.get("env", {}))
    assert ran == {"FLY_PROCESS_GROUP": "fly_app_release_command", "PORT": "8080", "Z": "1", "RELEASE_COMMAND": "1"}


# Remarks on machines beside a launch, or outside a group.


async def test_two_launches_side_by_side_are_told() -> None:
    base = DeployBuilder("web").to_regions("iad")
    async with world(seed=1) as (_, fly):
        assert (await base.with_image("nginx:1").with_launch("one").execute(fly)).remarks == ()
        report = await base.with_image("nginx:2").with_launch("two").execute(fly)
        again = await base.with_image("nginx:2").with_launch("two").plan(fly)
    text = (
        "1 other machine of launch one with nginx:1 left unchanged: a launch only adds machines; "
        "to destroy them: flyasync destroy web --launch one"
    )
    assert report.remarks == again.remarks == (text,)
    assert text in str(report)


async def test_machines_outside_the_group_are_told_before_anything_happens() -> None:
    bare, worker = MachineConfig(image="nginx:1"), MachineConfig(image="x", metadata={"fly_process_group": "worker"})
    async with fleet(bare, bare, worker) as (_, fly, _):
        plan = await NEW.plan(fly)
    assert plan.remarks == (
        "2 without a process group left unchanged; to take them into a group: adopt('all')",
        "1 machine of the group worker left unchanged",
    )
