"""Several process groups of one app in one deploy: one plan, one report, one rollback, and a lock for each."""

import asyncio
from pathlib import Path

import pytest
from attrs import evolve

from flyasync import (
    Check,
    DeployBuilder,
    DeployReport,
    Fault,
    FlyClient,
    InvalidInput,
    LeaseHeld,
    MachineConfig,
    Service,
)
from flyasync.deploy.reporting.status import Status
from tests.deploy.conftest import tag, total, world

WEB = (
    DeployBuilder("web")
    .process_group("web")
    .to_regions("iad", "lhr")
    .count(2)
    .with_image("shop:1")
    .with_service(Service(internal_port=80, checks=(Check(type="http", path="/", interval=2, timeout=1),)))
    .with_env(ROLE="web")
    .smoke_check(0)
)
WORKER = DeployBuilder("web").process_group("worker").to_regions("iad", "nrt").with_env(ROLE="worker")
CRON = DeployBuilder("web").process_group("cron_jobs").to_regions("iad").with_env(ROLE="cron")
SHOP = WEB.rolling().together_with(WORKER, CRON)
STRATEGIES = {
    "rolling": SHOP,
    "canary": SHOP.canary(soak=5),
    "bluegreen": SHOP.bluegreen(drain=0).wait_for("started"),
    "immediate": SHOP.immediate(),
    "recreate": SHOP.recreate(),
}


async def fleet(fly: FlyClient) -> dict[str, tuple[str, str, str]]:
    """Return the image, the role and the state of each machine that is there, by its name."""
    machines = [each for each in await fly.machines.list("web") if each.is_alive]
    return {each.name: (tag(each), ((each.config and each.config.env) or {})["ROLE"], each.state) for each in machines}


def running(image: str) -> dict[str, tuple[str, str, str]]:
    names = ("web-iad-1", "web-iad-2", "web-lhr-1", "web-lhr-2", "worker-iad-1", "worker-nrt-1", "cron-jobs-iad-1")
    return {name: (image, name.split("-", maxsplit=1)[0], "started") for name in names}


async def test_all_groups_are_one_plan_in_which_nothing_changes_before_the_release_command() -> None:
    async with world(seed=1) as (_, fly):
        plan = await SHOP.with_launch("v1").with_release_command("bin/migrate").plan(fly)
        assert plan.groups == ("web", "worker", "cron_jobs")
        release, all_machines = plan.stages
        assert [track.machine.name for track in release.tracks] == ["release-web"]
        assert sorted(track.machine.name for track in all_machines.tracks) == sorted(running("shop:1"))
        assert plan.creates == 7


@pytest.mark.parametrize("name", STRATEGIES)
async def test_every_group_converges_to_its_own_config_and_counts(name: str) -> None:
    shop = STRATEGIES[name]
    async with world(seed=1) as (emulator, fly):
        first = await shop.execute(fly)
        assert first.ok, str(first)
        assert await fleet(fly) == running("shop:1")
        assert {region.region: region.asked for region in first.regions} == {"iad": 4, "lhr": 2, "nrt": 1}

        # The same deploy changes nothing.
        before = total(emulator, "updateMachine"), total(emulator, "createMachine")
        assert (await shop.execute(fly)).ok
        assert (await shop.plan(fly)).is_empty
        assert (total(emulator, "updateMachine"), total(emulator, "createMachine")) == before

        second = await shop.with_image("shop:2").execute(fly)
        assert second.ok, str(second)
        now = await fleet(fly)
        assert {image for image, _, _ in now.values()} == {"shop:2"}
        assert sorted(role for _, role, _ in now.values()) == ["cron", "web", "web", "web", "web", "worker", "worker"]


async def test_a_group_changes_alone_and_the_others_are_kept() -> None:
    async with world(seed=1) as (_, fly):
        assert (await SHOP.execute(fly)).ok
        larger = WEB.rolling().together_with(WORKER.count(2), CRON)
        plan = await larger.plan(fly)
        assert (plan.creates, plan.updates, plan.destroys) == (2, 0, 0)
        assert (await larger.execute(fly)).ok
        assert {"worker-iad-2", "worker-nrt-2"} == (await fleet(fly)).keys() - running("shop:1").keys()

        # A group that is no longer deployed is left unchanged until it is retired.
        fewer = WEB.rolling().together_with(WORKER.count(2))
        plan = await fewer.plan(fly)
        assert plan.is_empty
        assert "1 machine of the group cron_jobs left unchanged" in str(plan)
        assert "the group cron has no machines, so there is nothing to retire" in str(
            await fewer.retire_groups("cron").plan(fly)
        )
        assert (await fewer.retire_groups("cron_jobs").execute(fly)).ok
        assert "cron-jobs-iad-1" not in await fleet(fly)


@pytest.mark.parametrize("name", ["rolling", "canary", "bluegreen"])
async def test_a_worker_that_fails_rolls_the_web_group_back_as_well(name: str) -> None:
    shop = STRATEGIES[name].smoke_check(10).roll_back_on_failure()
    async with world(seed=1) as (emulator, fly):
        assert (await shop.execute(fly)).ok
        before = await fleet(fly)
        emulator.faults.add(Fault(does="crash", name="worker-*", image="shop:2"))
        report = await shop.with_image("shop:2").execute(fly)
        assert report.status is Status.ROLLED_BACK, str(report)
        assert report.rollback is not None
        assert report.rollback.ok, str(report.rollback)
        assert await fleet(fly) == before


async def test_a_recreate_takes_the_regions_of_all_groups_down_one_after_another() -> None:
    async with world(seed=1) as (_, fly):
        assert (await SHOP.execute(fly)).ok
        plan = await SHOP.with_image("shop:2").recreate().plan(fly)
        assert [{lane.region for lane in stage.lanes} for stage in plan.stages] == [{"iad"}, {"lhr"}, {"nrt"}]
        surplus = SHOP.with_image("shop:2").count_group("worker", nrt=0).recreate()
        *others, last = (await surplus.plan(fly)).stages
        assert last.relies_on_others
        assert not any(stage.relies_on_others for stage in others)


async def test_machines_of_two_groups_in_a_region_have_slots_of_their_own() -> None:
    async with world(seed=1) as (_, fly):
        assert (await SHOP.execute(fly)).ok
        plan = await SHOP.with_image("shop:2").plan(fly)
        ahead, rest = plan.stages
        assert {lane.key for lane in ahead.lanes} == {("iad", "web"), ("iad", "worker")}
        assert {lane.key for lane in rest.lanes} >= {("iad", "web"), ("lhr", "web"), ("nrt", "worker")}


@pytest.mark.parametrize("other", [WEB.rolling(), WORKER.with_image("shop:3").rolling()])
async def test_a_deploy_of_any_of_its_groups_is_locked_out(other: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        assert (await SHOP.execute(fly)).ok
        together = asyncio.create_task(SHOP.with_image("shop:2").canary(soak=120).execute(fly))
        await asyncio.sleep(8)
        with pytest.raises(LeaseHeld):
            await other.with_image("shop:3").execute(fly)
        assert (await together).ok
        assert {image for image, _, _ in (await fleet(fly)).values()} == {"shop:2"}


async def test_two_deploys_of_an_empty_app_create_each_machine_once() -> None:
    async with world(seed=1) as (_, fly):
        ends = await asyncio.gather(SHOP.execute(fly), SHOP.execute(fly), return_exceptions=True)
        assert all(isinstance(end, LeaseHeld) or not isinstance(end, BaseException) for end in ends), ends
        await asyncio.sleep(30)
        assert (await SHOP.execute(fly)).ok
        assert await fleet(fly) == running("shop:1")


async def test_groups_share_the_free_volumes_of_a_region() -> None:
    shop = WEB.rolling().with_volume("data", "/data").together_with(WORKER.with_volume("data", "/data"))
    async with world(seed=1) as (_, fly):
        await fly.volumes.create("web", name="data", region="iad", size_gb=1)
        report = await shop.execute(fly)
        assert report.ok, str(report)
        assert len(await fly.volumes.list("web")) == 6
        assert all(volume.attached_machine_id for volume in await fly.volumes.list("web"))


async def test_a_deploy_that_was_cut_short_continues_from_its_journal(tmp_path: Path) -> None:
    journal = tmp_path / "deploy.jsonl"
    shop = SHOP.with_env(ROLE="any").with_launch("v1").with_journal(journal)
    async with world(seed=1) as (_, fly):
        task = asyncio.create_task(shop.execute(fly))
        await asyncio.sleep(4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(await fleet(fly)) < 7
        with pytest.raises(InvalidInput, match=r"does not contain env\.ROLE, worker: env\.ROLE, cron_jobs: env\.ROLE"):
            await DeployBuilder.resumed(journal).execute(fly)
        resumed = DeployBuilder.resumed(journal, env={"ROLE": "any", "OTHER": "1"})
        assert resumed.spec.group_names == ("web", "worker", "cron_jobs")
        assert (await resumed.execute(fly)).ok
        assert await fleet(fly) == {
            name: (image, "any", state) for name, (image, _, state) in running("shop:1").items()
        }


async def test_a_changed_config_of_any_group_is_not_the_launch_of_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (_, fly):
        await WEB.rolling().together_with(WORKER).with_launch("v1").with_journal(journal).execute(fly)
        resumed = DeployBuilder.resumed(journal, env={"ROLE": "web"})
        with pytest.raises(InvalidInput, match="launch v1 has another config in the journal"):
            await resumed.execute(fly)


def test_groups_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two apps, but one deploy changes one app"):
        WEB.together_with(WORKER.for_app("other"))
    with pytest.raises(InvalidInput, match="run one image, but worker has shop:3, and web shop:1"):
        WEB.together_with(WORKER.with_image("shop:3"))
    with pytest.raises(InvalidInput, match="need a strategy, such as rolling"):
        WEB.together_with(WORKER).deployment()
    with pytest.raises(InvalidInput, match=r"would both name their machines web-…"):
        WEB.rolling().together_with(WEB.process_group("web")).deployment()
    with pytest.raises(InvalidInput, match=r"destroy all machines of the group worker.*retire_groups\('worker'\)"):
        SHOP.count_group("worker", iad=0, nrt=0).deployment()
    with pytest.raises(InvalidInput, match="call it before together_with"):
        SHOP.process_group("cron")
    with pytest.raises(InvalidInput, match="call it before together_with"):
        SHOP.with_config(evolve(SHOP.config, env={}))


def test_methods_called_on_a_deploy_of_groups_change_all_of_them() -> None:
    spec = SHOP.with_image("shop:2").with_env(A="1").count(3).to_regions("iad").deployment()
    for group in spec.groups:
        assert group.config.image == "shop:2"
        assert (group.config.env or {})["A"] == "1"
        assert group.counts == {"iad": 3}
    assert spec.asked == {"iad": 9}


@pytest.mark.parametrize("name", ["rolling", "bluegreen"])
async def test_an_undo_of_every_group_restores_all_that_the_release_changed(name: str) -> None:
    shop = STRATEGIES[name]
    async with world(seed=1) as (_, fly):
        assert (await shop.execute(fly)).ok
        assert (await shop.with_image("shop:2").execute(fly)).ok
        plan = await DeployBuilder("web").plan_undo(fly, every_group=True)
        assert plan.groups == ("cron_jobs", "web", "worker")
        report = await DeployBuilder("web").undo(fly, every_group=True)
        assert report.ok, str(report)
        assert {image for image, _, _ in (await fleet(fly)).values()} == {"shop:1"}
        assert sorted(role for _, role, _ in (await fleet(fly)).values()) == ["cron"] + ["web"] * 4 + ["worker"] * 2


async def test_an_undo_leaves_the_groups_alone_that_the_release_did_not_change() -> None:
    async with world(seed=1) as (_, fly):
        assert (await SHOP.execute(fly)).ok
        assert (await WORKER.with_image("shop:2").rolling().smoke_check(0).execute(fly)).ok
        plan = await DeployBuilder("web").plan_undo(fly, every_group=True)
        assert plan.groups == ("worker",)
        assert (await DeployBuilder("web").undo(fly, every_group=True)).ok
        assert await fleet(fly) == running("shop:1")
        with pytest.raises(InvalidInput, match="created all machines of the groups cron_jobs, web, worker"):
            await DeployBuilder("web").undo(fly, every_group=True)


async def test_an_undo_destroys_the_group_that_the_release_added() -> None:
    async with world(seed=1) as (_, fly):
        assert (await WEB.rolling().together_with(WORKER).execute(fly)).ok
        before = await fleet(fly)
        assert (await SHOP.with_image("shop:2").execute(fly)).ok
        report = await DeployBuilder("web").undo(fly, every_group=True)
        assert report.ok, str(report)
        assert await fleet(fly) == before


async def test_an_undo_of_one_group_leaves_the_others_as_they_are() -> None:
    shop = SHOP.bluegreen(drain=0).wait_for("started")
    async with world(seed=1) as (_, fly):
        assert (await shop.with_launch("v1").execute(fly)).ok
        assert (await shop.with_image("shop:2").with_launch("v2").execute(fly)).ok
        report = await DeployBuilder("web").process_group("web").with_launch("v2").undo(fly)
        assert report.ok, str(report)
        now = sorted((role, image) for image, role, _ in (await fleet(fly)).values())
        assert now == [("cron", "shop:2"), *[("web", "shop:1")] * 4, *[("worker", "shop:2")] * 2]


async def test_the_estimate_counts_groups_of_a_region_as_concurrent() -> None:
    async with world(seed=1, boot=(2, 2)) as (_, fly):
        shop = WEB.count(3).rolling(max_unavailable=1).together_with(WORKER.count(3)).smoke_check(10)
        assert (await shop.execute(fly)).ok
        plan = await shop.with_image("shop:2").plan(fly)
        report = await shop.with_image("shop:2").execute(fly)
        assert report.ok, str(report)
        assert plan.estimate is not None
        assert plan.estimate.least <= report.seconds


async def test_of_two_first_deploys_one_creates_the_machines_of_all_groups() -> None:
    delays = [
        Fault(does="delay", action="createMachine", name=name, image=f"shop:{number}", seconds=1)
        for name, number in (("worker-iad-1", 1), ("cron-jobs-iad-1", 2))
    ]
    async with (
        world(seed=1, faults=delays) as (emulator, fly),
        FlyClient(emulator.token, base_url=emulator.url) as other,
    ):
        ends = await asyncio.gather(SHOP.execute(fly), SHOP.with_image("shop:2").execute(other), return_exceptions=True)
        created = [
            sum(machine.id is not None and not machine.adopted for machine in end.machines)
            for end in ends
            if isinstance(end, DeployReport)
        ]
        assert sorted(created)[-1:] == [7], ends
        assert sum(created) == 7, ends
        assert len(await fleet(fly)) == 7


async def test_the_machine_of_a_release_command_is_not_called_unchanged() -> None:
    async with world(seed=1) as (_, fly):
        metadata = {"fly_process_group": "fly_app_release_command"}
        await fly.machines.create("web", MachineConfig(image="shop:1", metadata=metadata), name="left", region="iad")
        plan = await SHOP.plan(fly)
        assert not any("fly_app_release_command" in remark for remark in plan.remarks)
