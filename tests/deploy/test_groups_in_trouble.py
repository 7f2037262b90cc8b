"""Several process groups of one app, one of which is in trouble: what that means for the others."""

import asyncio
from pathlib import Path

import pytest

from flyasync import DeployBuilder, DeployReport, Fault, FlyClient, Port, Service
from flyasync.deploy.reporting.status import Status
from tests.deploy.conftest import tag, total, world
from tests.deploy.test_groups import CRON, SHOP, STRATEGIES, WEB, WORKER, fleet


async def ran(fly: FlyClient) -> list[tuple[str, str]]:
    """Return the role and the image of each machine that is there."""
    return sorted((role, image) for image, role, _ in (await fleet(fly)).values())


async def test_after_an_undo_that_left_both_sets_a_deploy_without_counts_ends_with_one() -> None:
    shop = STRATEGIES["bluegreen"]
    async with world(seed=1) as (emulator, fly):
        assert (await shop.execute(fly)).ok
        assert (await shop.with_image("shop:2").execute(fly)).ok
        emulator.faults.add(Fault(does="refuse", action="deleteMachine", status=403))
        assert not (await DeployBuilder("web").undo(fly, every_group=True)).ok
        emulator.faults.clear()
        assert len(await fleet(fly)) == 14
        again = WEB.rolling().together_with(WORKER, CRON).with_image("shop:3").keep_counts()
        assert (await again.execute(fly)).ok
        assert await ran(fly) == [("cron", "shop:3"), *[("web", "shop:3")] * 4, *[("worker", "shop:3")] * 2]


async def test_an_undo_takes_back_the_other_groups_of_a_region_where_one_cannot_be_restored() -> None:
    shop = STRATEGIES["bluegreen"]
    async with world(seed=1) as (emulator, fly):
        assert (await shop.execute(fly)).ok
        assert (await shop.with_image("shop:2").execute(fly)).ok
        emulator.faults.add(Fault(does="refuse", action="createMachine", name="web-iad-*", status=422))
        assert not (await DeployBuilder("web").undo(fly, every_group=True)).ok
        left = sorted(f"{name} {image}" for name, (image, _, _) in (await fleet(fly)).items() if image == "shop:2")
        assert left == ["web-iad-3 shop:2", "web-iad-4 shop:2"]


async def test_the_new_name_of_a_group_keeps_its_machines_where_the_old_one_cannot_be_restored() -> None:
    jobs = DeployBuilder("web").process_group("jobs").to_regions("iad", "nrt").with_env(ROLE="jobs")
    async with world(seed=1) as (emulator, fly):
        assert (await SHOP.execute(fly)).ok
        renamed = WEB.rolling().together_with(jobs, CRON).with_image("shop:2").retire_groups("worker")
        assert (await renamed.execute(fly)).ok
        emulator.faults.add(Fault(does="refuse", action="createMachine", name="worker-iad-*", status=422))
        assert not (await DeployBuilder("web").undo(fly, every_group=True)).ok
        found = await fleet(fly)
        assert {name for name in found if name.startswith(("jobs", "worker"))} == {"jobs-iad-1", "worker-nrt-1"}


async def test_a_region_without_room_for_one_group_may_have_room_for_another() -> None:
    body = {"error": "insufficient capacity", "status": "insufficient_capacity"}
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(Fault(does="refuse", action="createMachine", name="web-iad-*", status=409, body=body))
        report = await SHOP.require(1).execute(fly)
        assert report.status is Status.DEGRADED, str(report)
        assert {name for name in await fleet(fly) if "iad" in name} == {"worker-iad-1", "cron-jobs-iad-1"}


@pytest.mark.parametrize("group", ["web", "api"])
async def test_two_first_deploys_at_once_allocate_each_address_once(group: str) -> None:
    # UDP needs an address of the app's own; a shared one would be the same for both.
    ports = (Port(port=53),)
    web = DeployBuilder("web").process_group("web").to_regions("iad").with_image("shop:1").rolling()
    web = web.smoke_check(0).with_service(Service(internal_port=53, protocol="udp", ports=ports)).allocate_public_ips()
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(Fault(does="delay", action="createAppIPAssignment", seconds=1))
        reports = await asyncio.gather(web.execute(fly), web.process_group(group).execute(fly), return_exceptions=True)
        made = [ip for each in reports if isinstance(each, DeployReport) for ip in each.addresses]
        assert total(emulator, "createAppIPAssignment") == 2
        (kept,) = await fly.ip_assignments.list("web")
        assert made == [kept.ip]


async def test_once_a_worker_runs_the_commands_that_allocate_an_address_are_shown() -> None:
    web = WEB.with_service(internal_port=81).rolling().allocate_public_ips()
    async with world(seed=1) as (_, fly):
        assert (await WORKER.with_image("shop:1").rolling().smoke_check(0).execute(fly)).ok
        report = await web.execute(fly)
        assert report.ok
        assert await fly.ip_assignments.list("web") == ()
        assert any("flyasync ips allocate web --type" in remark for remark in report.remarks), report.remarks


@pytest.mark.parametrize("name", ["rolling", "bluegreen", "destroyed"])
async def test_the_standby_of_a_machine_that_is_gone_stands_by_for_the_one_that_replaces_it(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "fly.toml"
    path.write_text('app = "web"\nprimary_region = "iad"\n[processes]\nworker = "work"\n', encoding="utf-8")
    app = DeployBuilder.from_fly_toml(path, image="shop:1").smoke_check(0)
    async with world(seed=1) as (_, fly):
        assert (await app.execute(fly)).ok
        (first,) = [each for each in await fly.machines.list("web") if each.name == "worker-iad-1"]
        if name == "destroyed":
            await fly.machines.delete("web", first.id, force=True)
            await fly.machines.wait("web", first.id, state="destroyed")
        new = app.with_image("shop:2")
        assert (await (new.bluegreen(drain=0).wait_for("started") if name == "bluegreen" else new).execute(fly)).ok
        machines = {each.name: each for each in await fly.machines.list("web")}
        standby = machines.pop("worker-iad-standby")
        (running,) = machines.values()
        assert (running.id == first.id) == (name == "rolling")
        assert standby.config is not None
        assert (standby.config.standbys, tag(standby)) == ((running.id,), "shop:2")
        assert (standby.config.env or {})["FLY_STANDBY_FOR"] == running.id
        assert (await new.plan(fly)).is_empty
