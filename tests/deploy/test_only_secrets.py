"""Secrets that have changed are rolled out; whether they have is found out by reads alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from flyasync import DeployBuilder, Emulator, Fault, FlyClient, InvalidInput, Machine, MachineConfig
from flyasync.deploy.plan.config_merge import SECRETS, SECRETS_VERSION
from tests.deploy.conftest import total, world
from tests.deploy.relay import relayed

APP = DeployBuilder("web").to_regions("iad", "lhr").count(2).with_image("nginx").rolling().smoke_check(0)
WAYS: dict[str, Callable[[DeployBuilder], DeployBuilder]] = {
    "rolling": lambda base: base.rolling(),
    "canary": lambda base: base.canary(soak=0),
    "immediate": lambda base: base.immediate(),
    "bluegreen": lambda base: base.bluegreen(drain=0).wait_for("started"),
}
ONLY = DeployBuilder("web").only_secrets().smoke_check(0)
FOREIGN = MachineConfig(image="nginx", env={"A": "1"}, metadata={"fly_process_group": "app"})
WRITES = ("updateSecrets", "createSecret", "updateMachine", "createMachine", "deleteMachine")


async def machines(fly: FlyClient) -> dict[str, Machine]:
    return {each.name: each for each in await fly.machines.list("web") if each.is_alive}


async def versions(fly: FlyClient) -> dict[str, str | None]:
    return {name: each.instance_id for name, each in (await machines(fly)).items()}


def written(emulator: Emulator) -> int:
    return sum(total(emulator, action) for action in WRITES)


async def foreign(fly: FlyClient, *names: str, config: MachineConfig = FOREIGN) -> None:
    for name in names:
        await fly.machines.create("web", config, name=name, region="iad")
    await asyncio.sleep(60)


# A change like any other.


@pytest.mark.parametrize("way", WAYS)
async def test_the_same_deploy_rolls_a_changed_secret_out_and_then_does_nothing(way: str) -> None:
    deploy = WAYS[way](APP)
    async with world(seed=1) as (emulator, fly):
        await fly.secrets.set("web", "PASSWORD", "1")
        assert (await deploy.execute(fly)).ok
        before = await versions(fly)
        assert (await deploy.execute(fly)).ok
        assert await versions(fly) == before
        await fly.secrets.set("web", "PASSWORD", "2")
        report = await deploy.execute(fly)
        assert report.ok, str(report)
        assert not before.items() & (await versions(fly)).items()
        assert (await deploy.plan(fly)).is_empty
        assert not emulator.refused_by_limit()


@pytest.mark.parametrize("change", ["added", "removed"])
async def test_a_secret_more_or_less_is_a_change(change: str) -> None:
    async with world(seed=1) as (_, fly):
        await fly.secrets.set("web", "A", "1")
        await APP.execute(fly)
        await (fly.secrets.delete("web", "A") if change == "removed" else fly.secrets.set("web", "B", "1"))
        plan = await APP.plan(fly)
    assert plan.updates == 4
    assert "update in place: secrets changed" in str(plan)
    assert "~ secrets: " in str(plan)


async def test_a_plan_writes_nothing_and_neither_does_a_deploy_with_nothing_to_do() -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.secrets.set("web", "A", "1")
        await APP.execute(fly)
        await fly.secrets.set("web", "A", "2")
        before = written(emulator)
        await APP.plan(fly)
        await ONLY.plan(fly)
        assert written(emulator) == before
        await APP.execute(fly)
        before = written(emulator)
        await APP.execute(fly)
        assert written(emulator) == before


async def test_what_the_empty_change_answers_is_reported() -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.secrets.set("web", "A", "1")
        report = await APP.execute(fly)
        version = emulator.world.app("web").secrets.version
        emulator.faults.add(Fault(does="refuse", action="updateSecrets", status=403, body={"error": "not yours"}))
        refused = await APP.with_env(B="1").execute(fly)
        assert refused.ok, str(refused)
    assert any(remark.startswith(f"secrets: machines started with version {version} ") for remark in report.remarks)
    assert any("may start with older ones" in remark and "not yours" in remark for remark in refused.remarks)


async def test_a_deploy_that_only_starts_or_destroys_sends_no_empty_change() -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.secrets.set("web", "A", "1")
        await APP.execute(fly)
        before = total(emulator, "updateSecrets")
        assert (await APP.count(1).execute(fly)).ok
        assert total(emulator, "updateSecrets") == before
        assert len(await machines(fly)) == 2


async def test_a_version_that_is_named_counts_too() -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        await foreign(fly, "one", "two")
        version = (await fly.secrets.set("web", "A", "1")).version
        assert version is not None
        deploy = DeployBuilder("web").to_regions("iad").count(2).with_image("nginx").rolling().smoke_check(0)
        assert (await deploy.plan(fly)).is_empty
        report = await deploy.with_secrets_version(version).execute(fly)
        assert report.ok, str(report)
        assert {each.metadata[SECRETS_VERSION] for each in (await machines(fly)).values()} == {str(version)}
        assert (await deploy.with_secrets_version(version).plan(fly)).is_empty
        assert (await deploy.with_secrets_version(version + 1).plan(fly)).updates == 2
        assert total(emulator, "updateSecrets") == 0
    sent = [body for body in relay.bodies("POST /v1/apps/web/machines/") if body and "config" in body]
    assert [body["min_secrets_version"] for body in sent] == [version] * 2


# Machines of others.


async def test_of_machines_of_others_it_is_not_known_and_nothing_is_changed_for_that() -> None:
    deploy = DeployBuilder("web").to_regions("iad").count(2).with_image("nginx").rolling().smoke_check(0)
    async with world(seed=1) as (emulator, fly):
        await foreign(fly, "one", "two")
        await fly.secrets.set("web", "A", "1")
        before = await versions(fly)
        plan, report = await deploy.plan(fly), await deploy.execute(fly)
        assert await versions(fly) == before
        assert total(emulator, "updateMachine") == 0
        assert (await deploy.with_env(Z="1").execute(fly)).ok
        assert all(SECRETS in each.metadata for each in (await machines(fly)).values())
        await fly.secrets.set("web", "A", "2")
        assert (await deploy.with_env(Z="1").plan(fly)).updates == 2
    assert plan.is_empty
    assert "secrets: unknown for one" in str(plan)
    assert "to update them: flyasync secrets deploy web" in str(report)


async def test_secrets_that_may_not_be_listed_are_unknown() -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.secrets.set("web", "A", "1")
        await APP.execute(fly)
        emulator.faults.add(Fault(does="refuse", action="listSecrets", status=403, body={"error": "not yours"}))
        plan = await APP.plan(fly)
        assert plan.is_empty
        assert "secrets: unknown, since they cannot be listed" in str(plan)
        with pytest.raises(InvalidInput, match="the secrets of web cannot be listed"):
            await ONLY.plan(fly)


async def test_an_app_without_secrets_says_nothing_of_them() -> None:
    async with world(seed=1) as (_, fly):
        await foreign(fly, "one")
        plan = await DeployBuilder("web").to_regions("iad").with_image("nginx").rolling().plan(fly)
    assert "secrets" not in str(plan)


async def test_a_launch_says_which_of_its_machines_have_older_ones_and_changes_none() -> None:
    launch = DeployBuilder("web").to_regions("iad").count(2).with_image("nginx").with_launch("v1")
    async with world(seed=1) as (_, fly):
        await fly.secrets.set("web", "A", "1")
        await launch.execute(fly)
        before = await versions(fly)
        await fly.secrets.set("web", "A", "2")
        report = await launch.execute(fly)
        assert report.ok, str(report)
        assert await versions(fly) == before
    assert any(remark.startswith("secrets: changed since the start of v1-iad-1 ") for remark in report.remarks)


# Nothing but the secrets.


async def test_only_secrets_updates_all_that_may_have_older_ones_and_changes_nothing_else() -> None:
    async with world(seed=1) as (emulator, fly):
        await fly.secrets.set("web", "A", "1")
        await foreign(fly, "one", "two")
        before = await machines(fly)
        emulator.push("nginx")
        report = await ONLY.execute(fly)
        assert report.ok, str(report)
        after = await machines(fly)
        assert {name: bare(each) for name, each in after.items()} == {name: bare(each) for name, each in before.items()}
        assert {each.image for each in after.values()} == {each.image for each in before.values()}
        assert all(after[name].instance_id != each.instance_id for name, each in before.items())
        assert (await ONLY.plan(fly)).is_empty
        assert (await DeployBuilder("web").to_regions("iad").count(2).with_image("nginx").rolling().plan(fly)).updates


def bare(machine: Machine) -> Any:
    metadata = {key: value for key, value in machine.metadata.items() if not key.startswith("flyasync_")}
    return machine.state, machine.cordoned, machine.config and evolve(machine.config, metadata=metadata)


async def test_the_machines_of_launches_are_a_group_of_their_own() -> None:
    launch = DeployBuilder("web").to_regions("iad").count(2).with_image("nginx").with_launch("v1")
    async with world(seed=1) as (_, fly):
        await launch.execute(fly)
        await foreign(fly, "one")
        await fly.secrets.set("web", "A", "1")
        before = await versions(fly)
        report = await ONLY.process_group(None).execute(fly)
        assert report.ok, str(report)
        after = await versions(fly)
        assert {name for name in before if before[name] != after[name]} == {"v1-iad-1", "v1-iad-2"}
        assert (await launch.plan(fly)).creates == 0


async def test_one_that_does_not_run_stays_so_and_none_is_made_or_destroyed() -> None:
    async with world(seed=1) as (emulator, fly):
        await foreign(fly, "one", "two")
        two = (await machines(fly))["two"]
        await fly.machines.stop("web", two.id)
        await asyncio.sleep(60)
        await fly.secrets.set("web", "A", "1")
        report = await ONLY.execute(fly)
        assert report.ok, str(report)
        assert {name: each.state for name, each in (await machines(fly)).items()} == {
            "one": "started",
            "two": "stopped",
        }
        assert (total(emulator, "createMachine"), total(emulator, "deleteMachine")) == (2, 0)


async def test_the_first_one_that_fails_ends_it() -> None:
    async with world(seed=1) as (emulator, fly):
        await foreign(fly, "one", "two", "three")
        await fly.secrets.set("web", "A", "wrong")
        emulator.faults.add(Fault(does="crash", action="*"))
        before = await versions(fly)
        report = await ONLY.smoke_check(10).execute(fly)
        assert not report.ok
        assert len(before.items() - (await versions(fly)).items()) == 1


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("does", ["refuse", "cut"])
async def test_a_machine_that_was_not_updated_is_not_reported_to_have_them(does: str, *, marked: bool) -> None:
    async with world(seed=1) as (emulator, fly):
        if marked:
            await fly.secrets.set("web", "A", "1")
            assert (await APP.execute(fly)).ok
        else:
            await foreign(fly, "one", "two", "three", "four")
        await fly.secrets.set("web", "A", "2")
        before = await versions(fly)
        emulator.faults.add(Fault(does=does, action="updateMachine", status=500, after=1))
        report = await ONLY.execute(fly)
        assert len(before.items() - (await versions(fly)).items()) == 1
    assert not report.ok, str(report)
    assert len(report.running) == 1


@pytest.mark.parametrize("version", [None, 7])
async def test_an_update_that_is_refused_is_not_taken_for_done(version: int | None) -> None:
    """All else of the config is as it shall be already."""
    deploy = ONLY if version is None else APP.count(1).to_regions("iad").with_secrets_version(version)
    async with world(seed=1) as (emulator, fly):
        await APP.count(1).to_regions("iad").execute(fly)
        await fly.secrets.set("web", "A", "1")
        emulator.faults.add(Fault(does="refuse", action="updateMachine", status=400, body={"error": "no"}))
        report = await deploy.execute(fly)
    assert not report.ok, str(report)


async def test_it_is_not_a_release_to_be_undone() -> None:
    async with world(seed=1) as (_, fly):
        await fly.secrets.set("web", "A", "1")
        await APP.with_launch("v1").execute(fly)
        await APP.with_env(B="1").with_launch("v2").execute(fly)
        await fly.secrets.set("web", "A", "2")
        await ONLY.execute(fly)
        report = await APP.undo(fly)
        assert report.ok, str(report)
        assert report.launch == "v2"
        assert (await APP.plan(fly)).is_empty, "the restored machines started with the secrets as they are"
    assert any("older values cannot be restored" in remark for remark in report.remarks)


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (APP.only_secrets(), "a config and regions"),
        (DeployBuilder("web").bluegreen().only_secrets(), "bluegreen"),
        (DeployBuilder("web").only_secrets().retire_groups("old"), "retire_groups"),
    ],
)
def test_what_cannot_go_with_it_is_refused(builder: DeployBuilder, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"so {told} cannot be combined with it"):
        builder.deployment()


def test_machines_of_no_group_cannot_be_deployed_to() -> None:
    with pytest.raises(InvalidInput, match="can only get new secrets: use only_secrets"):
        APP.process_group(None).deployment()


async def test_a_group_without_machines_is_refused() -> None:
    async with world(seed=1) as (_, fly):
        with pytest.raises(InvalidInput, match="no machine of the group app"):
            await ONLY.plan(fly)
