"""A deploy from a fly.toml: all its process groups, their counts and regions, and what the file does not contain."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    DNS,
    DeployBuilder,
    Fault,
    FlyClient,
    FlyToml,
    InvalidInput,
    Machine,
    MachineConfig,
    Mount,
    load_config_file,
)
from flyasync.deploy.plan.config_merge import NEW
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.reporting.status import Status
from tests.deploy.conftest import tag, world

MOUNTS = """source = "data"
destination = "/data"
initial_size = "3gb"
processes = ["cron"]
"""
SHOP = f"""
app = "web"
primary_region = "iad"

[build]
image = "shop:1"

[deploy]
release_command = "bin/migrate --all"
release_command_timeout = "2m"
wait_timeout = "90s"
max_unavailable = 2

[env]
A = "1"

[processes]
web = "serve"
worker = "work --fast"
cron = "supercronic /crontab"

[http_service]
internal_port = 80
processes = ["web"]

[[http_service.checks]]
path = "/"
interval = "2s"
timeout = "1s"

[[mounts]]
{MOUNTS}

[[vm]]
size = "shared-cpu-2x"
processes = ["worker"]

[[statics]]
guest_path = "/app/static"
url_prefix = "/static"
"""


def test_a_file_that_was_read_already_makes_the_same_deploy(path: Path) -> None:
    read = load_config_file(path)
    assert isinstance(read, FlyToml)
    every: list[dict[str, Any]] = [{}, {"app": "other", "image": "shop:2", "groups": ("web",), "ha": False}]
    for options in every:
        assert DeployBuilder.from_fly_toml(read, **options).spec == DeployBuilder.from_fly_toml(path, **options).spec


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "fly.toml").write_text(SHOP)
    return tmp_path / "fly.toml"


def shop(path: Path) -> DeployBuilder:
    return DeployBuilder.from_fly_toml(path).smoke_check(0)


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


async def machines(fly: FlyClient) -> dict[str, Machine]:
    return {each.name: each for each in await fly.machines.list("web") if each.is_alive}


def config(machine: Machine) -> MachineConfig:
    assert machine.config is not None
    return machine.config


# What the file states.


def test_the_file_states_the_groups_and_how_to_deploy_them(path: Path) -> None:
    spec = shop(path).spec
    assert (spec.app, spec.group_names, spec.image) == ("web", ("web", "worker", "cron"), "shop:1")
    assert (
        spec.strategy == Rolling.of(max_unavailable=2) if hasattr(Rolling, "of") else isinstance(spec.strategy, Rolling)
    )
    assert spec.timeout == 90
    assert spec.release is not None
    assert (spec.release.command, spec.release.timeout) == (("bin/migrate", "--all"), 120)
    web, worker, cron = spec.groups
    assert (cron.volume and (cron.volume.name, cron.volume.path, cron.volume.size_gb)) == ("data", "/data", 3)
    assert worker.volume is None
    assert [config.init and config.init.cmd for config in (web.config, worker.config)] == [
        ("serve",),
        ("work", "--fast"),
    ]


def test_the_strategy_is_that_of_the_file(path: Path) -> None:
    text = SHOP.replace("max_unavailable = 2", 'strategy = "canary"\nmax_unavailable = 0.5')
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"deploy\.strategy is canary, which cannot be used with mounts"):
        shop(path)
    path.write_text(text.replace("[[mounts]]", "").replace(MOUNTS, ""))
    strategy = shop(path).spec.strategy
    assert isinstance(strategy, Canary)
    assert str(strategy.max_unavailable) == "50%"


def test_some_groups_can_be_chosen_and_the_app_named(path: Path) -> None:
    builder = DeployBuilder.from_fly_toml(path, app="other", groups=["worker"], image="shop:9")
    assert (builder.app, builder.spec.group_names, builder.config.image) == ("other", ("worker",), "shop:9")
    with pytest.raises(InvalidInput, match="has no process group 'wroker': choose one of web, worker, cron"):
        DeployBuilder.from_fly_toml(path, groups=["wroker"])
    path.write_text("[build]\nimage = 'nginx'")
    with pytest.raises(InvalidInput, match="names no app"):
        DeployBuilder.from_fly_toml(path)


def test_an_image_may_be_stated_later(path: Path) -> None:
    path.write_text(SHOP.replace('[build]\nimage = "shop:1"', ""))
    with pytest.raises(InvalidInput, match="is not an image"):
        shop(path).deployment()
    assert {group.config.image for group in shop(path).with_image("shop:2").deployment().groups} == {"shop:2"}


# How many machines, and where.


async def test_a_first_deploy_creates_each_group_as_flyctl_would(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        plan = await shop(path).plan(fly)
        assert (
            "web: a new group, in primary_region: iad 2 (two machines, as it has services; one if ha is false)"
            in str(plan)
        )
        assert "worker: a new group, in primary_region: iad 1 (and a standby; none if ha is false)" in str(plan)
        report = await shop(path).execute(fly)
        assert report.ok, str(report)
        assert "a new group" not in str(report)  # only the plan explains the counts
        there = await machines(fly)
        assert sorted(there) == ["cron-iad-1", "web-iad-1", "web-iad-2", "worker-iad-1", "worker-iad-standby"]
        standby = there["worker-iad-standby"]
        assert config(standby).standbys == (there["worker-iad-1"].id,)
        assert (config(standby).env or {})["FLY_STANDBY_FOR"] == there["worker-iad-1"].id
        assert standby.state in {"created", "stopped"}
        assert not any(NEW in machine.metadata for machine in there.values())
        assert config(there["worker-iad-1"]).metadata["fly_platform_version"] == "v2"  # type: ignore[index]

        # The same deploy changes nothing.
        again = await shop(path).plan(fly)
        assert again.is_empty, str(again)
        assert "as many machines as there are" in str(again)


async def test_without_ha_each_group_gets_one_machine(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        assert (await DeployBuilder.from_fly_toml(path, ha=False).smoke_check(0).execute(fly)).ok
        assert sorted(await machines(fly)) == ["cron-iad-1", "web-iad-1", "worker-iad-1"]


async def test_in_several_regions_each_group_gets_one_machine_in_each(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        report = await shop(path).to_regions("iad", "lhr", "nrt").execute(fly)
        assert report.ok, str(report)
        assert len(await machines(fly)) == 9


async def test_an_existing_group_keeps_its_counts_unless_others_are_stated(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        assert (await shop(path).to_regions("iad", "lhr").count(2).execute(fly)).ok
        assert (await shop(path).with_image("shop:2").execute(fly)).ok
        there = await machines(fly)
        assert len(there) == 12
        assert {tag(each) for each in there.values()} == {"shop:2"}
        assert (await shop(path).count(lhr=1).with_image("shop:2").execute(fly)).ok
        assert len(await machines(fly)) == 9


@pytest.mark.parametrize("seconds", [0.5, 1, 2, 3, 4, 5, 6, 7])
async def test_a_first_deploy_that_was_cut_short_is_completed_by_the_next(path: Path, seconds: float) -> None:
    async with world(seed=1) as (_, fly):
        task = asyncio.create_task(shop(path).execute(fly))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(40)
        report = await shop(path).execute(fly)
        assert report.ok, str(report)
        there = await machines(fly)
        assert sorted(there) == ["cron-iad-1", "web-iad-1", "web-iad-2", "worker-iad-1", "worker-iad-standby"]
        assert not any(NEW in machine.metadata for machine in there.values())


async def test_a_worker_that_fails_in_one_region_rolls_back_the_groups_of_all_regions(path: Path) -> None:
    everywhere = shop(path).to_regions("iad", "lhr", "nrt").smoke_check(5).roll_back_on_failure()
    async with world(seed=1) as (emulator, fly):
        assert (await everywhere.execute(fly)).ok
        before = {name: (each.id, tag(each)) for name, each in (await machines(fly)).items()}
        emulator.faults.add(Fault(does="crash", name="worker-lhr-*", image="shop:2"))
        report = await everywhere.with_image("shop:2").execute(fly)
        assert report.status is Status.ROLLED_BACK, str(report)
        assert {name: (each.id, tag(each)) for name, each in (await machines(fly)).items()} == before
        assert len(before) == 9


def test_the_seed_command_has_the_time_limit_of_the_release_command(path: Path) -> None:
    assert shop(path).spec.seed is None
    rewrite(path, "wait_timeout", 'seed_command = "bin/seed --demo"\nwait_timeout')
    seed = shop(path).spec.seed
    assert seed is not None
    assert (seed.command, seed.timeout) == (("bin/seed", "--demo"), 120)


async def killed(builder: DeployBuilder, fly: FlyClient, seconds: float = 1.5) -> None:
    task = asyncio.create_task(builder.execute(fly))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(40)


@pytest.mark.parametrize("keeps_config", [False, True])
async def test_a_count_that_is_stated_after_a_killed_first_deploy_lasts(path: Path, *, keeps_config: bool) -> None:
    rewrite(path, 'release_command = "bin/migrate --all"', "")
    async with world(seed=1) as (_, fly):
        only = DeployBuilder.from_fly_toml(path, groups=["web"]).smoke_check(0)
        await killed(only, fly)
        assert any(NEW in machine.metadata for machine in (await machines(fly)).values())
        if keeps_config:
            scaled = DeployBuilder("web").process_group("web").rolling().keep_config().keep_counts().count(1)
        else:
            scaled = only.count(1)
        assert (await scaled.execute(fly)).ok
        assert not any(NEW in machine.metadata for machine in (await machines(fly)).values())
        assert (await only.with_image("shop:2").execute(fly)).ok
        assert [tag(each) for each in (await machines(fly)).values()] == ["shop:2"]


async def test_a_first_deploy_that_was_killed_is_completed_in_the_region_where_it_was(path: Path) -> None:
    rewrite(path, 'release_command = "bin/migrate --all"', "")
    async with world(seed=1) as (_, fly):
        only = DeployBuilder.from_fly_toml(path, groups=["web"]).smoke_check(0)
        await killed(only.to_regions("lhr"), fly)
        assert (await only.execute(fly)).ok
        there = (await machines(fly)).values()
        assert [each.region for each in there] == ["lhr", "lhr"]
        assert not any(NEW in machine.metadata for machine in there)


@pytest.mark.parametrize("seconds", [1, 2, 5, 8])
async def test_a_bluegreen_that_was_cut_short_does_not_double_the_counts(seconds: float) -> None:
    asked = DeployBuilder("web").process_group("web").bluegreen(drain=5).wait_for("started").smoke_check(0)
    async with world(seed=1) as (_, fly):
        assert (await asked.to_regions("iad").count(2).with_image("shop:1").execute(fly)).ok
        second = asked.keep_counts().with_image("shop:2")
        task = asyncio.create_task(second.execute(fly))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(await machines(fly)) > 2
        report = await second.execute(fly)
        assert report.ok, str(report)
        assert [tag(each) for each in (await machines(fly)).values()] == ["shop:2", "shop:2"]


async def test_a_group_without_machines_needs_a_region(path: Path) -> None:
    rewrite(path, 'primary_region = "iad"', "")
    async with world(seed=1) as (_, fly):
        with pytest.raises(InvalidInput, match="the group web of web has no machines, and no region is stated for it"):
            await shop(path).plan(fly)


# What the file does not contain.


async def test_what_others_have_set_is_removed_if_the_file_can_express_it_and_kept_otherwise(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        assert (await shop(path).execute(fly)).ok
        worker = (await machines(fly))["worker-iad-1"]

        def by_hand(old: MachineConfig) -> MachineConfig:
            metadata = {**(old.metadata or {}), "mine": "1"}
            return evolve(old, env={**(old.env or {}), "B": "2"}, metadata=metadata, dns=DNS(skip_registration=True))

        await fly.machines.modify("web", worker.id, by_hand)
        plan = await shop(path).plan(fly)
        assert (plan.creates, plan.updates, plan.destroys) == (0, 1, 0)
        assert f"- env.B removed: not in {path}" in str(plan)
        assert (await shop(path).execute(fly)).ok
        kept = config((await machines(fly))["worker-iad-1"])
        assert "B" not in (kept.env or {})
        assert (kept.metadata or {})["mine"] == "1"
        assert kept.dns == DNS(skip_registration=True)


async def test_a_section_that_is_deleted_from_the_file_is_removed(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        assert (await shop(path).execute(fly)).ok
        rewrite(path, SHOP[SHOP.index("[[statics]]") :], "")
        rewrite(path, 'A = "1"', "")
        plan = await shop(path).plan(fly)
        assert f"- env.A removed: not in {path}" in str(plan)
        assert f'- statics[0].guest_path: "/app/static" (removed: not in {path})' in str(plan)
        assert (await shop(path).execute(fly)).ok
        for machine in (await machines(fly)).values():
            assert config(machine).statics is None
            assert "A" not in (config(machine).env or {})


async def test_what_the_file_states_of_a_volume_is_what_it_and_its_mount_get(path: Path) -> None:
    grows = (
        'initial_size = "3gb"\nsnapshot_retention = 14\nscheduled_snapshots = false\nauto_extend_size_threshold = 80\n'
        'auto_extend_size_increment = "2GB"\nauto_extend_size_limit = "20GB"\n'
    )
    async with world(seed=1) as (_, fly):
        rewrite(path, 'initial_size = "3gb"\n', grows)
        assert (await shop(path).execute(fly)).ok
        (volume,) = await fly.volumes.list("web")
        assert (volume.size_gb, volume.snapshot_retention, volume.auto_backup_enabled) == (3, 14, False)

        async def mount() -> Mount:
            (found,) = config((await machines(fly))["cron-iad-1"]).mounts or ()
            return found

        found = await mount()
        assert (found.extend_threshold_percent, found.add_size_gb, found.size_gb_limit) == (80, 2, 20)
        assert (found.name, found.volume) == ("data", volume.id)
        assert not (await shop(path).plan(fly)).stages
        # The file states the extension completely, as in flyctl; the settings of a volume that exists stay.
        rewrite(path, grows, 'initial_size = "3gb"\nsnapshot_retention = 30\n')
        plan = await shop(path).plan(fly)
        shown = str(plan)
        assert f"- mounts[0].add_size_gb: 2 (removed: not in {path})" in shown
        assert f"volume {volume.id} keeps its settings: snapshots are kept for 14 days, not 30; " in shown
        assert (await shop(path).execute(fly)).ok
        assert await mount() == Mount(volume=volume.id, path="/data", name="data")


# Its addresses.


async def test_a_first_deploy_allocates_addresses_after_the_release_command_and_later_ones_none(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        plan = await shop(path).plan(fly)
        assert plan.addresses == ("shared_v4", "v6")
        assert "\n  allocate a shared IPv4 and an IPv6\n" in str(plan)
        report = await shop(path).execute(fly)
        assert len(report.addresses) == 2
        assert f"allocated {' and '.join(report.addresses)}" in str(report)
        assert len(await fly.ip_assignments.list("web")) == 2
        again = await shop(path).with_image("shop:2").execute(fly)
        assert again.ok
        assert again.addresses == ()
        assert len(await fly.ip_assignments.list("web")) == 2


async def test_a_release_command_that_fails_leaves_no_address(path: Path) -> None:
    async with world(seed=1, faults=[Fault(does="crash", name="release-*")]) as (_, fly):
        assert not (await shop(path).execute(fly)).ok
        assert await fly.ip_assignments.list("web") == ()


async def test_a_rollback_releases_only_what_the_deploy_allocated(path: Path) -> None:
    async with world(seed=1, faults=[Fault(does="crash", name="worker-*")]) as (_, fly):
        report = await shop(path).smoke_check(10).roll_back_on_failure().execute(fly)
        assert report.status is Status.ROLLED_BACK, str(report)
        assert report.addresses == ()
        assert await fly.ip_assignments.list("web") == ()


async def test_a_later_deploy_that_is_rolled_back_keeps_the_addresses(path: Path) -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await shop(path).execute(fly)).ok
        emulator.faults.add(Fault(does="crash", name="worker-*", image="shop:2"))
        report = await shop(path).with_image("shop:2").smoke_check(10).roll_back_on_failure().execute(fly)
        assert report.status is Status.ROLLED_BACK, str(report)
        assert len(await fly.ip_assignments.list("web")) == 2


async def test_without_public_ips_a_remark_says_that_an_address_is_lacking(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        report = await shop(path).allocate_public_ips(False).execute(fly)
        assert await fly.ip_assignments.list("web") == ()
        assert any("web has no IP address" in remark for remark in report.remarks)


async def test_an_app_with_an_address_of_any_kind_gets_no_other(path: Path) -> None:
    async with world(seed=1) as (_, fly):
        await fly.ip_assignments.create("web", type="private_v6")
        assert (await shop(path).execute(fly)).addresses == ()
        assert len(await fly.ip_assignments.list("web")) == 1


async def test_addresses_that_cannot_be_allocated_degrade_the_deploy(path: Path) -> None:
    async with world(seed=1, faults=[Fault(does="refuse", action="createAppIPAssignment", status=403)]) as (_, fly):
        report = await shop(path).execute(fly)
        assert report.status is Status.DEGRADED, str(report)
        assert "its IP addresses could not be allocated, so it is not reachable from outside" in str(report)
        assert len(await machines(fly)) == 5
