"""A deploy that pauses after a wave releases its locks, and goes on from its journal only with the same fleet."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flyasync import Check, DeployBuilder, DeployReport, Fault, FleetChanged, FlyClient, InvalidInput, Service, Status
from flyasync.deploy.reporting.resume import read_journal
from tests.deploy.conftest import tag, total, world

WEB = DeployBuilder("web").to_regions("iad", "lhr", "nrt").with_image("shop:1").smoke_check(0).rolling()
WAVES = WEB.region_by_region()
WORKER = DeployBuilder("web").process_group("worker").to_regions("iad", "nrt")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "deploy.jsonl"


def written(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


async def images(fly: FlyClient) -> dict[str, str]:
    return {each.name: tag(each) for each in await fly.machines.list("web") if each.is_alive}


def updated(*names: str) -> dict[str, str]:
    return {name: "shop:2" if name in names else "shop:1" for name in ("app-iad-1", "app-lhr-1", "app-nrt-1")}


async def paused(fly: FlyClient, journal: Path, deploy: DeployBuilder = WAVES) -> DeployReport:
    assert (await deploy.execute(fly)).ok
    made = deploy.with_image("shop:2").with_launch("v2").with_journal(journal).pause_after(1)
    return await made.execute(fly)


async def test_it_pauses_after_the_wave_and_resumes_with_the_next(journal: Path) -> None:
    async with world(seed=1) as (_, fly):
        report = await paused(fly, journal)
        assert report.status is Status.PAUSED, str(report)
        assert (report.ok, report.exit_code, report.paused_after) == (False, 9, 1)
        assert report.raise_for_failure() is report
        assert DeployReport.from_dict(report.to_dict()) == report
        assert "\n  paused after wave 1; to continue, resume the deploy from its journal" in str(report)
        assert "paused" in report.to_html()
        assert await images(fly) == updated("app-iad-1")
        # No lease is left: others may change the machines.
        for machine in await fly.machines.list("web", include_leases=True):
            assert machine.lease is None

        resumed = DeployBuilder.resumed(journal)
        plan = await resumed.plan(fly)
        assert plan.updates == 2
        report = await resumed.execute(fly)
        assert report.status is Status.OK, str(report)
        assert await images(fly) == updated("app-iad-1", "app-lhr-1", "app-nrt-1")


async def test_the_journal_of_a_pause_has_no_secrets(journal: Path) -> None:
    secret = {"API_TOKEN": "s3cr3t-t0k3n"}
    async with world(seed=1) as (_, fly):
        report = await paused(fly, journal, WAVES.with_env(secret))
        assert report.status is Status.PAUSED
        replay = read_journal(journal)
        assert [each.name for each in replay.paused or ()] == ["app-iad-1", "app-lhr-1", "app-nrt-1"]
        assert not [line for line in written(journal) if "s3cr3t-t0k3n" in line]
        assert (await DeployBuilder.resumed(journal, env=secret).execute(fly)).ok


async def test_it_can_pause_again_after_a_later_wave(journal: Path) -> None:
    async with world(seed=1) as (_, fly):
        await paused(fly, journal)
        report = await DeployBuilder.resumed(journal).pause_after(2).execute(fly)
        assert (report.status, report.paused_after) == (Status.PAUSED, 2)
        assert await images(fly) == updated("app-iad-1", "app-lhr-1")
        assert (await DeployBuilder.resumed(journal).execute(fly)).ok
        assert await images(fly) == updated("app-iad-1", "app-lhr-1", "app-nrt-1")


@pytest.mark.parametrize("name", ["canary", "bluegreen", "immediate", "recreate"])
async def test_every_strategy_pauses_between_waves(journal: Path, name: str) -> None:
    deploys = {
        "canary": WEB.canary(soak=5),
        "bluegreen": WEB.bluegreen(drain=0).wait_for("started"),
        "immediate": WEB.immediate(),
        "recreate": WEB.recreate(),
    }
    async with world(seed=1) as (_, fly):
        report = await paused(fly, journal, deploys[name].waves(["iad"], ["lhr", "nrt"]))
        assert report.status is Status.PAUSED, str(report)
        assert sorted((await images(fly)).values()) == ["shop:1", "shop:1", "shop:2"]
        assert (await DeployBuilder.resumed(journal).execute(fly)).ok
        assert set((await images(fly)).values()) == {"shop:2"}


async def test_groups_pause_together_and_what_follows_the_waves_waits(journal: Path) -> None:
    shop = WAVES.together_with(WORKER)
    async with world(seed=1) as (_, fly):
        assert (await shop.execute(fly)).ok
        old = DeployBuilder("web").process_group("old").to_regions("iad").with_image("shop:1").rolling().smoke_check(0)
        assert (await old.execute(fly)).ok
        made = shop.with_image("shop:2").retire_groups("old").with_release_command("migrate").with_launch("v2")
        report = await made.with_journal(journal).pause_after(2).execute(fly)
        assert report.status is Status.PAUSED, str(report)
        now = await images(fly)
        assert {name for name, image in now.items() if image == "shop:1"} == {"app-nrt-1", "worker-nrt-1", "old-iad-1"}
        report = await DeployBuilder.resumed(journal).execute(fly)
        assert report.ok, str(report)
        assert report.release is None  # it has run before the first wave
        now = await images(fly)
        assert set(now.values()) == {"shop:2"}
        assert len(now) == 5


async def destroyed(fly: FlyClient, machine_id: str) -> None:
    await fly.machines.delete("web", machine_id, force=True)


async def metadata(fly: FlyClient, machine_id: str) -> None:
    await fly.machines.set_metadata("web", machine_id, "team", "a")


async def stopped(fly: FlyClient, machine_id: str) -> None:
    await fly.machines.stop("web", machine_id)
    await fly.machines.wait("web", machine_id, state="stopped")


async def copied(fly: FlyClient, machine_id: str) -> None:
    machine = await fly.machines.get("web", machine_id)
    assert machine.config is not None
    await fly.machines.create("web", machine.config, region="iad", name="extra")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (destroyed, r"app-lhr-1 \(\w+\) is gone"),
        (metadata, r'app-lhr-1 \(\w+\): \+ metadata.team: "a"'),
        (stopped, r"app-lhr-1 \(\w+\) was up, and is resting"),
        (copied, r"extra \(\w+\) was added in iad"),
    ],
)
async def test_a_changed_fleet_is_refused_until_the_deploy_is_planned_anew(
    journal: Path, change: Callable[[FlyClient, str], Awaitable[None]], says: str
) -> None:
    async with world(seed=1) as (emulator, fly):
        await paused(fly, journal)
        (machine,) = [each for each in await fly.machines.list("web") if each.name == "app-lhr-1"]
        await change(fly, machine.id)
        await asyncio.sleep(5)
        before = total(emulator, "updateMachine"), total(emulator, "createMachineLease")
        with pytest.raises(FleetChanged, match=says) as refused:
            await DeployBuilder.resumed(journal).execute(fly)
        assert len(refused.value.changes) == 1
        assert (total(emulator, "updateMachine"), total(emulator, "createMachineLease")) == before
        # The refusal is not a run of the deploy: a second try is refused as well.
        with pytest.raises(FleetChanged):
            await DeployBuilder.resumed(journal).execute(fly)


async def test_what_the_proxy_stops_does_not_matter(journal: Path) -> None:
    web = WAVES.with_service(Service(internal_port=80, autostop="stop", autostart=True)).verify_stopped("never")
    async with world(seed=1) as (_, fly):
        assert (await paused(fly, journal, web)).status is Status.PAUSED
        (machine,) = [each for each in await fly.machines.list("web") if each.name == "app-nrt-1"]
        await stopped(fly, machine.id)
        assert (await DeployBuilder.resumed(journal).execute(fly)).ok
        assert await images(fly) == updated("app-iad-1", "app-lhr-1", "app-nrt-1")


async def test_a_deploy_that_is_cut_short_before_the_pause_still_pauses(journal: Path) -> None:
    async with world(seed=1) as (_, fly):
        made = WAVES.with_launch("v1").with_journal(journal).pause_after(1).smoke_check(30)
        task = asyncio.create_task(made.execute(fly))
        await asyncio.sleep(10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        report = await DeployBuilder.resumed(journal).execute(fly)
        assert report.status is Status.PAUSED, str(report)
        assert (await images(fly)).keys() == {"app-iad-1"}
        assert (await DeployBuilder.resumed(journal).execute(fly)).ok
        assert (await images(fly)).keys() == {"app-iad-1", "app-lhr-1", "app-nrt-1"}


@pytest.mark.parametrize("rolls_back", [False, True])
async def test_a_failure_before_the_pause_is_a_failure(journal: Path, *, rolls_back: bool) -> None:
    check = Check(type="http", path="/", interval=2, timeout=1)
    web = WAVES.with_service(Service(internal_port=80, checks=(check,))).smoke_check(10)
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(Fault(does="crash", region="iad", image="*shop:2*", exit_code=3))
        report = await paused(fly, journal, web.roll_back_on_failure(rolls_back))
        assert report.status is (Status.ROLLED_BACK if rolls_back else Status.MISSED), str(report)
        assert read_journal(journal).paused is None


async def test_nothing_up_to_the_wave_pauses_at_once_and_nothing_after_it_does_not_pause(journal: Path) -> None:
    async with world(seed=1) as (_, fly):
        assert (await WAVES.execute(fly)).ok
        one = WEB.to_regions("iad").with_image("shop:2").with_launch("v2")
        assert (await one.execute(fly)).ok
        made = WAVES.with_image("shop:2").with_launch("v3").with_release_command("migrate").with_journal(journal)
        report = await made.pause_after(1).execute(fly)
        assert report.status is Status.PAUSED, str(report)
        assert await images(fly) == updated("app-iad-1")
        assert (await DeployBuilder.resumed(journal).execute(fly)).ok
        assert await images(fly) == updated("app-iad-1", "app-lhr-1", "app-nrt-1")
        again = await made.pause_after(1).execute(fly)
        assert again.status is Status.OK, str(again)


async def test_a_paused_deploy_is_undone_from_its_journal(journal: Path) -> None:
    async with world(seed=1) as (_, fly):
        await paused(fly, journal)
        report = await DeployBuilder.resumed(journal).undo(fly)
        assert report.ok, str(report)
        assert await images(fly) == updated()


async def test_the_plan_names_the_pause() -> None:
    async with world(seed=1) as (_, fly):
        assert "\n  the deploy pauses after wave 2 of 3\n" in str(await WAVES.pause_after(2).plan(fly))


async def test_a_pause_needs_waves_and_a_journal(journal: Path) -> None:
    async with world(seed=1) as (_, fly):
        with pytest.raises(InvalidInput, match=r"only if its regions are in several waves: use waves\(…\)"):
            await WEB.pause_after(1).plan(fly)
        with pytest.raises(InvalidInput, match="only if its regions are in several waves"):
            await DeployBuilder("web").only_secrets().pause_after(1).plan(fly)
        with pytest.raises(InvalidInput, match=r"pause after wave 3: the deploy has 3 waves.* a number from 1 to 2"):
            await WAVES.with_journal(journal).pause_after(3).execute(fly)
        with pytest.raises(InvalidInput, match=r"so it needs one: use with_journal\(…\)"):
            await WAVES.pause_after(1).execute(fly)
