"""A plan in a file: applying it does exactly that, or is refused with what has changed, before any change."""

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from flyasync import DeployBuilder, Emulator, FleetChanged, FlyClient, InvalidInput, Machine, Service
from flyasync.models.service import Port
from tests.deploy.conftest import tag, total, world

ROLLING = DeployBuilder("web").to_regions("iad", "lhr").with_image("shop:1").smoke_check(0).rolling()
WORKER = DeployBuilder("web").process_group("worker").to_regions("iad").with_env(ROLE="worker")
CHANGES = ("createMachine", "updateMachine", "deleteMachine", "createMachineLease", "stopMachine", "cordonMachine")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def broken(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], str]:
    def changed(data: dict[str, Any]) -> str:
        change(data)
        return json.dumps(data)

    return changed


def document(path: Path) -> Any:
    return json.loads(path.read_text())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def rewrite(path: Path, content: Callable[[dict[str, Any]], str]) -> None:
    path.write_text(content(document(path)))


def changes(emulator: Emulator) -> dict[str, int]:
    return {action: total(emulator, action) for action in CHANGES}


async def machine(fly: FlyClient, name: str = "app-iad-1") -> Machine:
    return next(each for each in await fly.machines.list("web") if each.name == name and each.is_alive)


async def images(fly: FlyClient) -> dict[str, str]:
    return {each.name: tag(each) for each in await fly.machines.list("web") if each.is_alive}


async def test_a_plan_is_applied_exactly_and_once(path: Path) -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.execute(fly)).ok
        planned = await ROLLING.with_image("shop:2").with_launch("v2").save_plan(fly, path)
        assert mode(path) == 0o600
        assert str(planned).splitlines() == document(path)["plan"]

        applied = DeployBuilder.from_plan(path)
        assert str(await applied.plan(fly)) == str(planned)
        report = await applied.execute(fly)
        assert report.ok, str(report)
        assert report.launch == "v2"
        assert set((await images(fly)).values()) == {"shop:2"}

        before = changes(emulator)
        again = await DeployBuilder.from_plan(path).execute(fly)
        assert again.ok
        assert "nothing is left to do: the fleet is already as the plan in the file leaves it" in str(again)
        assert changes(emulator) == before


async def test_a_launch_that_only_adds_is_applied_and_nothing_is_left_to_do(path: Path) -> None:
    launch = DeployBuilder("web").to_regions("iad", "lhr").with_image("shop:1").with_launch("v1")
    async with world(seed=1) as (emulator, fly):
        await launch.save_plan(fly, path)
        assert (await DeployBuilder.from_plan(path).execute(fly)).ok
        before = changes(emulator)
        again = await DeployBuilder.from_plan(path).execute(fly)
        assert again.ok
        assert "nothing is left to do" in str(again)
        assert changes(emulator) == before


async def test_the_digest_of_the_plan_is_deployed_even_if_the_tag_has_moved(path: Path) -> None:
    async with world(seed=1) as (emulator, fly):
        planned = await ROLLING.save_plan(fly, path)
        moved = emulator.push("shop:1")
        report = await DeployBuilder.from_plan(path).execute(fly)
        assert report.ok
        assert report.image == planned.image
        digest = planned.image.partition("@")[2]
        remark = f"the tag shop:1 has moved to {moved} since; the digest of the plan is deployed: {digest}"
        assert remark in report.remarks


async def test_several_groups_are_applied_together(path: Path) -> None:
    shop = ROLLING.together_with(WORKER)
    async with world(seed=1) as (_, fly):
        await shop.save_plan(fly, path)
        assert (await DeployBuilder.from_plan(path, env={"ROLE": "worker"}).execute(fly)).ok
        assert (await images(fly)).keys() == {"app-iad-1", "app-lhr-1", "worker-iad-1"}


async def test_a_variable_of_one_group_is_stated_by_its_name(path: Path) -> None:
    shop = ROLLING.with_env(ROLE="web").together_with(WORKER)
    async with world(seed=1) as (_, fly):
        await shop.save_plan(fly, path)
        env = {"ROLE": "web", "worker:ROLE": "worker"}
        assert (await DeployBuilder.from_plan(path, env=env).execute(fly)).ok
        configs = {each.name: each.config for each in await fly.machines.list("web")}
        roles = {name: ((config and config.env) or {})["ROLE"] for name, config in configs.items()}
        assert roles == {"app-iad-1": "web", "app-lhr-1": "web", "worker-iad-1": "worker"}


async def destroyed(fly: FlyClient) -> None:
    await fly.machines.delete("web", (await machine(fly)).id, force=True)


async def added(fly: FlyClient) -> None:
    old = await machine(fly)
    assert old.config is not None
    await fly.machines.create("web", old.config, region="nrt", name="app-nrt-1")


async def resized(fly: FlyClient) -> None:
    old = await machine(fly)
    assert old.config is not None
    config = evolve(old.config, env={"LOG": "debug"}, metadata={**(old.config.metadata or {}), "team": "a"})
    await fly.machines.update("web", old.id, config)


async def updated_alike(fly: FlyClient) -> None:
    old = await machine(fly)
    assert old.config is not None
    await fly.machines.update("web", old.id, old.config)


async def cordoned(fly: FlyClient) -> None:
    await fly.machines.cordon("web", (await machine(fly)).id)


async def stopped(fly: FlyClient) -> None:
    old = await machine(fly)
    await fly.machines.stop("web", old.id)
    await fly.machines.wait("web", old.id, state="stopped")


async def new_secret(fly: FlyClient) -> None:
    await fly.secrets.update("web", {"TOKEN": "new"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (destroyed, r"app-iad-1 \(\w+\) is gone"),
        (added, r"app-nrt-1 \(\w+\) was added in nrt"),
        (resized, r'app-iad-1 \(\w+\): \+ metadata.team: "a", \+ env.LOG added'),
        (updated_alike, r"app-iad-1 \(\w+\): updated; if a value has changed, it is one that may be secret"),
        (cordoned, r"app-iad-1 \(\w+\): cordoned"),
        (stopped, r"app-iad-1 \(\w+\) was up, and is resting"),
        (new_secret, "the secrets of the app have changed"),
    ],
)
async def test_a_changed_fleet_is_refused_before_any_change(
    path: Path, change: Callable[[FlyClient], Awaitable[None]], says: str
) -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.secrets.update("web", {"TOKEN": "old"})
        assert (await ROLLING.execute(fly)).ok
        await ROLLING.with_image("shop:2").save_plan(fly, path)
        await change(fly)
        await asyncio.sleep(5)
        before = changes(emulator)
        with pytest.raises(FleetChanged, match=says) as refused:
            await DeployBuilder.from_plan(path).execute(fly)
        assert len(refused.value.changes) == 1
        assert refused.value.for_command.endswith(f"plan again with flyasync deploy … --dry-run --out {path}")
        with pytest.raises(FleetChanged, match=says):
            await DeployBuilder.from_plan(path).plan(fly)
        assert changes(emulator) == before


async def test_what_changes_nothing_in_the_plan_does_not_matter(path: Path) -> None:
    service = Service(internal_port=80, ports=(Port(port=80),), autostart=True, autostop="stop")
    web = ROLLING.with_service(service).verify_stopped("never")
    async with world(seed=1) as (_, fly):
        assert (await web.execute(fly)).ok
        # The machine of lhr is kept, so its state does not matter; nor do machines outside the group.
        await web.to_regions("iad").with_image("shop:2").save_plan(fly, path)
        lhr = await machine(fly, "app-lhr-1")
        await fly.machines.stop("web", lhr.id)
        await fly.machines.wait("web", lhr.id, state="stopped")
        assert (await WORKER.with_image("shop:1").rolling().execute(fly)).ok
        report = await DeployBuilder.from_plan(path).execute(fly)
        assert report.ok, str(report)
        assert (await images(fly)) == {"app-iad-1": "shop:2", "app-lhr-1": "shop:1", "worker-iad-1": "shop:1"}


async def test_a_volume_that_was_taken_since_is_named(path: Path) -> None:
    web = ROLLING.to_regions("iad").with_volume("data", "/data")
    async with world(seed=1) as (_, fly):
        volume = await fly.volumes.create("web", name="data", region="iad", size_gb=1)
        await web.save_plan(fly, path)
        await fly.volumes.delete("web", volume.id)
        await asyncio.sleep(5)
        with pytest.raises(FleetChanged, match=rf"volume data \({volume.id}\) in iad, unattached, was there"):
            await DeployBuilder.from_plan(path).execute(fly)


async def test_a_digest_that_was_not_known_is_named(path: Path) -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.execute(fly)).ok
        await ROLLING.with_image("shop:2").save_plan(fly, path)
        rewrite(path, broken(lambda data: data["deployment"].update(digest=None)))
        emulator.push("shop:2")
        with pytest.raises(FleetChanged, match="the image was shop:2, and is shop:2@sha256:"):
            await DeployBuilder.from_plan(path).execute(fly)


async def test_the_fleet_is_compared_under_the_lock_too(path: Path) -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.execute(fly)).ok
        plan = await ROLLING.with_image("shop:2").with_launch("v2").save_plan(fly, path)
        before = total(emulator, "createMachineLease")
        # Another client holds the lock while this one, which has made its first plan, waits for it.
        async with fly.leases.hold("web", plan.locks["app"], ttl=30):
            applying = asyncio.create_task(DeployBuilder.from_plan(path).execute(fly))
            async with asyncio.timeout(60):
                while total(emulator, "createMachineLease") < before + 2:  # noqa: ASYNC110 - the emulator has no event
                    await asyncio.sleep(0.1)
            await fly.machines.set_metadata("web", (await machine(fly, "app-lhr-1")).id, "team", "a")
        with pytest.raises(FleetChanged, match=r'app-lhr-1 \(\w+\): \+ metadata.team: "a"'):
            await applying
        assert set((await images(fly)).values()) == {"shop:1"}
        for each in await fly.machines.list("web", include_leases=True):
            assert each.lease is None


async def test_an_interrupted_apply_continues_from_its_journal(path: Path, tmp_path: Path) -> None:
    journal = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (_, fly):
        assert (await ROLLING.execute(fly)).ok
        await ROLLING.with_image("shop:2").with_launch("v2").save_plan(fly, path)
        applying = asyncio.create_task(DeployBuilder.from_plan(path).with_journal(journal).execute(fly))
        async with asyncio.timeout(60):
            while sorted((await images(fly)).values()) != ["shop:1", "shop:2"]:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.2)
        applying.cancel()
        await asyncio.gather(applying, return_exceptions=True)
        with pytest.raises(FleetChanged) as refused:
            await DeployBuilder.from_plan(path).execute(fly)
        assert "or continue launch v2 with flyasync deploy --resume JOURNAL" in refused.value.for_command
        assert (await DeployBuilder.resumed(journal).execute(fly)).ok
        assert set((await images(fly)).values()) == {"shop:2"}


async def test_the_file_has_no_secrets_and_they_are_stated_again(path: Path) -> None:
    secrets = {"DATABASE_URL": "postgres://u:hunter2@db/x", "API_TOKEN": "s3cr3t-t0k3n"}
    web = ROLLING.with_env(secrets, LOG="info").with_release_command("migrate --token s3cr3t-t0k3n").with_launch("v1")
    async with world(seed=1) as (_, fly):
        await web.save_plan(fly, path)
        assert not [value for value in ("hunter2", "s3cr3t-t0k3n", "info") if value in json.dumps(document(path))]
        with pytest.raises(InvalidInput, match=r"the plan, which does not contain env.DATABASE_URL, env.API_TOKEN"):
            DeployBuilder.from_plan(path).deployment()
        environ = {**secrets, "LOG": "info", "PATH": "/bin"}
        made = DeployBuilder.from_plan(path, env=environ)
        with pytest.raises(InvalidInput, match="does not contain it because it may hold a secret"):
            made.deployment()
        with pytest.raises(InvalidInput, match=r"with_config"):
            DeployBuilder.from_plan(path, env={**environ, "LOG": "debug"}).deployment()
        report = await made.with_release_command("migrate --token s3cr3t-t0k3n").execute(fly)
        assert report.ok, str(report)
        config = (await machine(fly)).config
        assert config is not None
        assert config.env == {**secrets, "LOG": "info"}


async def test_a_plan_is_for_its_app_its_deploy_and_its_api(path: Path) -> None:
    async with world(seed=1) as (_, fly), world(seed=1) as (_, elsewhere):
        await ROLLING.with_launch("v1").save_plan(fly, path)
        applied = DeployBuilder.from_plan(path)
        with pytest.raises(InvalidInput, match="is the plan of launch v1 of web, and no other"):
            await applied.for_app("other").execute(fly)
        with pytest.raises(InvalidInput, match="launch v1 has another config in the plan"):
            await applied.with_image("shop:2").execute(fly)
        with pytest.raises(FleetChanged, match="app-iad-2: planned was 'nothing', now it is 'create: "):
            await applied.count(iad=2).execute(fly)
        with pytest.raises(InvalidInput, match="the plan is of a deploy at http"):
            await applied.execute(elsewhere)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda _: "", "is not a plan: Expecting value"),
        (lambda _: "[]", "is not a plan: write one with save_plan"),
        (broken(lambda data: data.update(kind="other")), "is not a plan: write one with save_plan"),
        (broken(lambda data: data.update(format=2)), "has the format 2, but this version of flyasync reads only 1"),
        (broken(lambda data: data.pop("tracks")), "is not a plan: KeyError"),
        (broken(lambda data: data.update(machines=3)), "is not a plan: Mismatch"),
        (broken(lambda data: data["deployment"].update(strategy={"name": "slow"})), "is not a plan: KeyError"),
    ],
)
async def test_another_file_is_refused(path: Path, content: Callable[[dict[str, Any]], str], says: str) -> None:
    async with world(seed=1) as (_, fly):
        await ROLLING.save_plan(fly, path)
    rewrite(path, content)
    with pytest.raises(InvalidInput, match=says):
        DeployBuilder.from_plan(path)


async def test_a_file_that_cannot_be_read_or_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the plan .*/none.json cannot be read: No such file"):
        DeployBuilder.from_plan(tmp_path / "none.json")
    async with world(seed=1) as (_, fly):
        with pytest.raises(InvalidInput, match=r"the plan cannot be written to .*/none/plan.json: No such file"):
            await ROLLING.save_plan(fly, tmp_path / "none" / "plan.json")
