"""A volume for each machine: taken, made, forked, and none too many, whatever is lost on the way."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from flyasync import DeployBuilder, Fault, FlyClient, Guest, InvalidInput, Machine, MachineConfig, Mount, Result, Volume
from flyasync.deploy.plan.desired_volume import DesiredVolume
from tests.deploy.conftest import total, world
from tests.deploy.relay import relayed

BASE = DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx:1").smoke_check(0).require("all")
LAUNCH = BASE.with_launch("v1").with_volume("data", "/data", size_gb=2)
APP = BASE.rolling().with_volume("data", "/data", size_gb=2)
BOTH = pytest.mark.parametrize("builder", [LAUNCH, APP], ids=["launch", "rolling"])
FULL = Fault(
    does="refuse",
    action="createMachine",
    region="iad",
    status=412,
    body={
        "error": "insufficient resources to create new machine with existing volume id",
        "status": "volume_placement_capacity",
    },
)
HOST_FULL = Fault(
    does="refuse",
    action="updateMachine",
    status=409,
    body={
        "error": "aborted: could not reserve resource for machine: insufficient memory available to fulfill request "
        "on the current host"
    },
)


async def volumes(fly: FlyClient) -> tuple[Volume, ...]:
    return await fly.volumes.list("web")


async def held(fly: FlyClient) -> dict[str, str]:
    """Each machine's volume, by the machines' names; a machine without one, or two with the same, raise."""
    machines = await up(fly)
    found = {machine.name: mount(machine).volume or "" for machine in machines}
    assert len(set(found.values())) == len(machines)
    there = {volume.id: volume.attached_machine_id for volume in await volumes(fly)}
    assert {there[mount(machine).volume or ""] for machine in machines} == {machine.id for machine in machines}
    return found


async def up(fly: FlyClient) -> list[Machine]:
    return [machine for machine in await fly.machines.list("web") if machine.is_alive]


def mount(machine: Machine) -> Any:
    assert machine.config is not None
    assert machine.config.mounts is not None
    (found,) = machine.config.mounts
    return found


def free(found: tuple[Volume, ...]) -> list[Volume]:
    return [volume for volume in found if not volume.is_attached]


@BOTH
async def test_each_machine_gets_a_volume_on_a_host_with_room_for_it(builder: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        report = await builder.with_guest(cpus=2, memory_mb=1024).count(2).execute(fly)
        assert report.ok, str(report)
        assert len(await held(fly)) == 4
        assert {mount(machine).path for machine in await up(fly)} == {"/data"}
        assert not free(await volumes(fly))
        asked = relay.bodies("POST /v1/apps/web/volumes")
    assert len(asked) == 4
    assert {body["region"] for body in asked} == {"iad", "lhr"}
    for body in asked:
        assert (body["name"], body["size_gb"]) == ("data", 2)
        assert body["compute"] == {"cpus": 2, "memory_mb": 1024}


@BOTH
async def test_a_volume_that_nobody_holds_is_taken(builder: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        spare = await fly.volumes.create("web", name="data", region="lhr", size_gb=1)
        other = await fly.volumes.create("web", name="other", region="iad", size_gb=1)
        report = await builder.execute(fly)
        assert report.ok, str(report)
        found = await held(fly)
        assert spare.id in found.values()
        assert other.id not in found.values()
        assert total(emulator, "createVolume") == 3


@BOTH
@pytest.mark.parametrize("does", ["lose_answer", "cut_after"])
async def test_a_lost_answer_makes_no_volume_too_many(builder: DeployBuilder, does: str) -> None:
    lost = Fault(does=does, action="createVolume", times=3)
    async with world(seed=1, faults=[lost], client={"timeout": 5.0}) as (emulator, fly):
        report = await builder.count(2).execute(fly)
        assert report.ok, str(report)
        assert emulator.faults.hits(lost) == 3
        await held(fly)
        assert len(await volumes(fly)) == 4


@BOTH
@pytest.mark.parametrize("lag", [3.0, 8.0])
async def test_a_lost_answer_makes_no_volume_too_many_while_lists_lag(builder: DeployBuilder, lag: float) -> None:
    faults = [
        Fault(does="stale", action="listVolumes", seconds=lag),
        Fault(does="cut_after", action="createVolume", times=2),
    ]
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(*faults)
        report = await builder.count(2).execute(fly)
        assert report.ok, str(report)
        assert total(emulator, "createVolume") == 4
        assert len(emulator.world.volumes) == 4


@BOTH
@pytest.mark.parametrize("lag", [0.0, 3.0, 8.0])
async def test_a_volume_too_many_is_named_however_late_the_list(builder: DeployBuilder, lag: float) -> None:
    faults = [
        Fault(does="stale", action="listVolumes", seconds=lag),
        Fault(does="repeat", action="createVolume", times=1),
    ]
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(*faults)
        report = await builder.execute(fly)
        assert len(emulator.world.volumes) == 3
        (extra,) = [each for each in emulator.world.volumes if (await fly.volumes.get("web", each)).is_free]
        assert report.loose_volumes == (extra,)
        assert extra in str(report)


RETIRED = "Region lhr is deprecated and cannot have new resources provisioned. Please consider using ams"


@BOTH
@pytest.mark.parametrize("status", [400, 403, 422, 503])
async def test_a_retired_region_has_no_room_for_volumes(builder: DeployBuilder, status: int) -> None:
    retired = Fault(does="refuse", action="createVolume", region="lhr", status=status, body={"error": RETIRED})
    async with world(seed=1, faults=[retired]) as (emulator, fly):
        report = await builder.fallback("ams").execute(fly)
        assert report.ok, str(report)
        assert {volume.region for volume in emulator.world.volumes.values()} == {"iad", "ams"}
        assert emulator.faults.hits(retired) == 1
    assert RETIRED in str(report)


@BOTH
async def test_a_claim_that_lingers_is_waited_for_and_the_volume_is_used(builder: DeployBuilder) -> None:
    text = "failed_precondition: volume already claimed by machine " + 14 * "\0"
    lingers = Fault(does="refuse", action="createMachine", status=412, body={"error": text}, times=6)
    async with world(seed=1) as (emulator, fly):
        spare = [await fly.volumes.create("web", name="data", region=region, size_gb=2) for region in ("iad", "lhr")]
        emulator.faults.add(lingers)
        report = await builder.execute(fly)
        assert report.ok, str(report)
        assert set((await held(fly)).values()) == {volume.id for volume in spare}
    waited = [moment.detail for machine in report.machines for moment in machine.moments if moment.detail]
    assert "\0" not in "".join(waited)
    assert waited
    assert all(detail.endswith("retried for up to 120 s") for detail in waited)


async def test_a_volume_that_was_there_is_not_taken_for_the_one_just_made() -> None:
    """Two spare ones: the first lies on a full host, the answer for its substitute is lost; neither is deleted."""
    faults = [evolve(FULL, times=1), Fault(does="cut", action="createVolume", times=2)]
    async with world(seed=1) as (emulator, fly):
        spare = [await fly.volumes.create("web", name="data", region="iad", size_gb=1) for _ in range(2)]
        emulator.faults.add(*faults, Fault(does="fail", name="v1-iad-1"))
        report = await LAUNCH.to_regions("iad").roll_back_on_failure().execute(fly)
        assert not report.ok
        assert {volume.id for volume in await volumes(fly)} == {volume.id for volume in spare}


@BOTH
async def test_a_volume_on_a_full_host_is_replaced_by_another(builder: DeployBuilder) -> None:
    async with world(seed=1, faults=[evolve(FULL, times=2)]) as (emulator, fly):
        report = await builder.execute(fly)
        assert report.ok, str(report)
        await held(fly)
        assert total(emulator, "createVolume") == 4
        assert len(await volumes(fly)) == 2


@BOTH
async def test_a_spare_volume_on_a_full_host_stays_as_it_was(builder: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        spare = await fly.volumes.create("web", name="data", region="iad", size_gb=1)
        emulator.faults.add(evolve(FULL, times=1))
        report = await builder.execute(fly)
        assert report.ok, str(report)
        assert spare.id not in (await held(fly)).values()
        assert [volume.id for volume in free(await volumes(fly))] == [spare.id]


@BOTH
async def test_full_hosts_without_end_leave_no_volume_behind(builder: DeployBuilder) -> None:
    async with world(seed=1, faults=[FULL]) as (emulator, fly):
        report = await builder.execute(fly)
        assert not report.ok
        assert next(machine for machine in report.machines if machine.asked == "iad").result is Result.SKIPPED
        assert 3 <= total(emulator, "createVolume") <= 4
        assert {volume.region for volume in await volumes(fly)} <= {"lhr"}
        assert not free(await volumes(fly))


@BOTH
async def test_a_full_region_falls_back_with_a_volume_there_and_none_left_behind(builder: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
        report = await builder.fallback("ams").execute(fly)
        assert report.ok, str(report)
        assert {machine.region for machine in await up(fly)} == {"iad", "ams"}
        await held(fly)
        assert {volume.region for volume in await volumes(fly)} == {"iad", "ams"}


@BOTH
async def test_a_region_that_is_full_once_the_volume_is_there_leaves_none_behind(builder: DeployBuilder) -> None:
    """Another client gets the last slot between the two creates."""
    full = Fault(
        does="refuse",
        action="createMachine",
        region="lhr",
        status=422,
        body={"error": "no", "status": "insufficient_capacity"},
    )
    async with world(seed=1, faults=[full]) as (emulator, fly):
        report = await builder.fallback("ams").execute(fly)
        assert report.ok, str(report)
        assert total(emulator, "createVolume") == 3
        assert sorted(volume.region for volume in await volumes(fly)) == ["ams", "iad"]


async def test_a_machine_keeps_its_volume_through_an_update() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        before = await held(fly)
        report = await APP.with_image("nginx:2").with_volume("data", "/var/lib").execute(fly)
        assert report.ok, str(report)
        assert await held(fly) == before
        assert {mount(machine).path for machine in await up(fly)} == {"/var/lib"}
        assert total(emulator, "createVolume") == 2
        assert (await APP.with_image("nginx:2").with_volume("data", "/var/lib").plan(fly)).is_empty


async def test_a_deploy_that_says_nothing_of_volumes_leaves_them_mounted() -> None:
    async with world(seed=1) as (_, fly):
        await APP.execute(fly)
        before = await held(fly)
        report = await BASE.rolling().with_image("nginx:2").execute(fly)
        assert report.ok, str(report)
        assert await held(fly) == before


async def test_machines_that_have_none_are_replaced_to_get_one() -> None:
    async with world(seed=1) as (emulator, fly):
        await BASE.rolling().execute(fly)
        old = {machine.id for machine in await up(fly)}
        served: list[int] = []
        emulator.on_change(lambda _: served.append(min(emulator.serving("web")[region] for region in ("iad", "lhr"))))
        report = await APP.execute(fly)
        assert report.ok, str(report)
        assert len(await held(fly)) == 2
        assert not old & {machine.id for machine in await up(fly)}
        assert min(served) == 1


@pytest.mark.parametrize("if_lost", ["fork", "new"])
async def test_a_machine_leaves_a_full_host_with_its_data_or_without_as_asked(if_lost: Any) -> None:
    app = APP.with_volume("data", "/data", size_gb=2, if_lost=if_lost)
    async with world(seed=1) as (emulator, plain), relayed(emulator) as (relay, fly):
        await app.execute(plain)
        before = await held(plain)
        emulator.faults.add(HOST_FULL)
        report = await app.with_image("nginx:2").with_launch("v2").execute(fly)
        emulator.faults.clear()
        assert report.ok, str(report)
        after = await held(plain)
        asked = relay.bodies("POST /v1/apps/web/volumes")
        again = await app.with_image("nginx:2").plan(plain)
    assert len(after) == 2
    assert not set(before.values()) & set(after.values())
    sources = [before[f"app-{body['region']}-1"] if if_lost == "fork" else None for body in asked]
    assert [body.get("source_volume_id") for body in asked] == sources
    assert len(sources) == 2
    assert again.is_empty, str(again)


async def test_without_a_word_about_it_a_machine_with_a_volume_stays_on_a_full_host_and_the_deploy_fails() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        before = await held(fly)
        emulator.faults.add(HOST_FULL)
        report = await APP.with_image("nginx:2").execute(fly)
        emulator.faults.clear()
        assert not report.ok
        assert "insufficient memory available" in str(report)
        assert await held(fly) == before
        assert {machine.state for machine in await up(fly)} == {"started"}


@pytest.mark.parametrize("if_lost", ["fork", "new"])
async def test_a_machine_whose_host_is_gone_is_replaced_with_a_volume(if_lost: Any) -> None:
    app = APP.with_volume("data", "/data", size_gb=2, if_lost=if_lost)
    async with world(seed=1) as (emulator, fly):
        await app.execute(fly)
        before = await held(fly)
        lost = next(machine for machine in await up(fly) if machine.name == "app-iad-1")
        emulator.set_host_status(lost.id, "unreachable")
        report = await app.execute(fly)
        assert report.ok, str(report)
        assert report.seconds < 60
        after = await held(fly)
        assert set(after) == {"app-iad-2", "app-lhr-1"}
        assert after["app-iad-2"] != before["app-iad-1"]
        assert total(emulator, "createVolume") == 3


async def test_a_fork_is_of_the_lost_volume_even_where_another_one_is_free() -> None:
    app = APP.with_volume("data", "/data", size_gb=2, if_lost="fork")
    async with world(seed=1) as (emulator, plain), relayed(emulator) as (relay, fly):
        await app.execute(plain)
        lost = next(machine for machine in await up(plain) if machine.name == "app-iad-1")
        await plain.volumes.create("web", name="data", region="iad", size_gb=1)
        emulator.set_host_status(lost.id, "unreachable")
        report = await app.execute(fly)
        assert report.ok, str(report)
        asked = relay.bodies("POST /v1/apps/web/volumes")
    assert [body["source_volume_id"] for body in asked] == [mount(lost).volume]
    assert "size_gb" not in asked[0]


async def test_where_a_host_with_a_volume_is_gone_and_nothing_is_said_the_machine_is_left_alone() -> None:
    async with world(seed=1) as (emulator, fly):
        await APP.execute(fly)
        lost = next(machine for machine in await up(fly) if machine.name == "app-iad-1")
        emulator.set_host_status(lost.id, "unreachable")
        report = await APP.with_image("nginx:2").execute(fly)
        assert not report.ok
        assert "host is unreachable, and so is its volume" in str(report)
        assert lost.id in {machine.id for machine in await fly.machines.list("web")}
        assert total(emulator, "createVolume") == 2


async def test_a_guest_of_a_named_size_is_the_hint_as_well() -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        await APP.with_size("performance-1x").to_regions("iad").execute(fly)
        (asked,) = relay.bodies("POST /v1/apps/web/volumes")
    guest = Guest.of_size("performance-1x")
    assert asked["compute"] == {"cpu_kind": guest.cpu_kind, "cpus": guest.cpus, "memory_mb": guest.memory_mb}


async def test_a_failed_machine_is_started_again_on_its_volume() -> None:
    app = APP.to_regions("iad")
    async with world(seed=1, faults=[Fault(does="fail")]) as (emulator, fly):
        assert not (await app.execute(fly)).ok
        emulator.faults.clear()
        (failed,) = await fly.machines.list("web")
        assert failed.state == "failed"
        report = await app.execute(fly)
        assert report.ok, str(report)
        assert await held(fly) == {"app-iad-1": mount(failed).volume}
        assert total(emulator, "createVolume") == 1


# By name, and with all that a fly.toml states

NAMED = MachineConfig(image="nginx:1", mounts=[Mount(volume="data", path="/data")])
BY_NAME = [NAMED, evolve(NAMED, mounts=[Mount(name="data", path="/data", size_gb=7)])]


@pytest.mark.parametrize("config", BY_NAME, ids=["in place of the id", "by name"])
@pytest.mark.parametrize("builder", [BASE.with_launch("v1"), BASE.rolling()], ids=["launch", "rolling"])
async def test_a_mount_by_name_takes_a_free_volume_or_a_new_one(builder: DeployBuilder, config: MachineConfig) -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        there = await fly.volumes.create("web", name="data", region="iad", size_gb=3)
        await fly.volumes.create("web", name="other", region="lhr")
        report = await builder.with_config(config).execute(fly)
        assert report.ok, str(report)
        assert len(await held(fly)) == 2
        assert {mount(machine).volume for machine in await up(fly) if machine.region == "iad"} == {there.id}
        assert {(mount(machine).name, mount(machine).path) for machine in await up(fly)} == {("data", "/data")}
        (_, _, made) = relay.bodies("POST /v1/apps/web/volumes")
        assert (made["name"], made["region"]) == ("data", "lhr")
        assert made["size_gb"] == (config.mounts[0].size_gb or 1 if config.mounts else None)
        again = await builder.with_config(config).plan(fly)
        assert not again.stages or builder.spec.strategy.only_adds


async def test_a_mount_by_name_and_another_volume_contradict_each_other() -> None:
    assert BASE.rolling().with_config(NAMED).with_volume("data", "/data", size_gb=9).deployment().volume == (
        DesiredVolume(name="data", path="/data", size_gb=9)
    )
    with pytest.raises(InvalidInput, match="mounts the volume data at /data, but the volume logs at /logs is stated"):
        BASE.rolling().with_config(NAMED).with_volume("logs", "/logs").deployment()
    bad = evolve(NAMED, mounts=[Mount(volume="my-data", path="/data")])
    with pytest.raises(InvalidInput, match="'my-data' cannot be a volume's name"):
        BASE.rolling().with_config(bad).deployment()


@pytest.mark.parametrize("builder", [BASE.with_launch("v1"), BASE.rolling()], ids=["launch", "rolling"])
async def test_a_new_volume_has_the_snapshot_settings_and_its_mount_the_extension(builder: DeployBuilder) -> None:
    desired = builder.with_volume(
        "data",
        "/data",
        extend_threshold_percent=80,
        add_size_gb=2,
        size_gb_limit=20,
        snapshot_retention=14,
        scheduled_snapshots=False,
    )
    async with world(seed=1) as (_, fly):
        there = await fly.volumes.create("web", name="data", region="iad")
        plan = await desired.plan(fly)
        (remark,) = [each for each in plan.remarks if there.id in each]
        assert remark == (
            f"volume {there.id} keeps its settings: snapshots are kept for 5 days, not 14, scheduled snapshots are on; "
            f"a deploy does not change an existing volume, but this does: flyasync volumes update web {there.id} "
            "--snapshot-retention 14 --no-scheduled-snapshots"
        )
        assert (await desired.execute(fly)).ok
        for machine in await up(fly):
            found = mount(machine)
            assert (found.extend_threshold_percent, found.add_size_gb, found.size_gb_limit) == (80, 2, 20)
            volume = await fly.volumes.get("web", found.volume or "")
            settings = (volume.snapshot_retention, volume.auto_backup_enabled)
            assert settings == ((5, True) if volume.id == there.id else (14, False))


async def test_an_update_brings_the_extension_of_existing_machines_to_the_stated_one() -> None:
    async with world(seed=1) as (_, fly):
        grows = APP.with_volume("data", "/data", extend_threshold_percent=80, add_size_gb=2, size_gb_limit=20)
        assert (await APP.execute(fly)).ok
        before = await held(fly)
        assert (await grows.execute(fly)).ok
        assert {mount(machine).extend_threshold_percent for machine in await up(fly)} == {80}
        # What is not stated is kept, and a zero removes it.
        assert not (await APP.plan(fly)).stages
        less = APP.with_volume("data", "/data", extend_threshold_percent=0, add_size_gb=0, size_gb_limit=0)
        assert (await less.execute(fly)).ok
        assert {mount(machine).add_size_gb for machine in await up(fly)} == {None}
        assert await held(fly) == before
        assert not (await less.plan(fly)).stages


async def test_a_new_machine_like_its_siblings_has_a_volume_with_their_settings() -> None:
    async with world(seed=1) as (_, fly):
        kept = APP.with_volume("data", "/data", add_size_gb=2, snapshot_retention=14, scheduled_snapshots=False)
        assert (await kept.execute(fly)).ok
        assert (await BASE.rolling().count(2).execute(fly)).ok
        machines = await up(fly)
        assert len(machines) == 4
        assert {mount(machine).add_size_gb for machine in machines} == {2}
        found = await volumes(fly)
        assert {(each.snapshot_retention, each.auto_backup_enabled) for each in found} == {(14, False)}


async def test_two_launches_at_once_never_get_the_same_volume() -> None:
    async with world(seed=1) as (_, fly):
        there = await fly.volumes.create("web", name="data", region="iad")
        one, two = (BASE.to_regions("iad").with_config(NAMED).with_launch(launch) for launch in ("v1", "v2"))
        reports = await asyncio.gather(one.execute(fly), two.execute(fly))
        assert [report.ok for report in reports] == [True, True], "\n".join(map(str, reports))
        found = await held(fly)
        assert len(found) == 2
        assert there.id in found.values()
        assert not free(await volumes(fly))


@BOTH
async def test_a_volume_that_stays_claimed_is_in_the_report(builder: DeployBuilder) -> None:
    faults = [Fault(does="volume_lingers", seconds=600)]
    async with world(seed=1, faults=faults) as (_, fly):
        volume = await fly.volumes.create("web", name="data", region="iad", size_gb=2)
        config = MachineConfig(image="nginx:1", mounts=[Mount(volume=volume.id, path="/data")])
        machine = await fly.machines.create("web", config, region="iad")
        await fly.machines.wait("web", machine.id, state="started")
        await fly.machines.delete("web", machine.id, force=True)
        await asyncio.sleep(2)
        report = await builder.execute(fly)
        assert report.ok, str(report)
        assert volume.id not in (await held(fly)).values()
        named = [each for each in report.machines if each.claimed_volumes]
        assert [each.claimed_volumes for each in named] == [(volume.id,)]
        assert f"a new volume: {volume.id} is still claimed by a machine that no longer exists" in str(report)
