"""Machines outside the groups of a deploy that it adopts: they join the group, and are changed like its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flyasync import DeployBuilder, DeployReport, Emulator, Fault, FlyClient, InvalidInput, Machine, MachineConfig
from flyasync.deploy.plan.config_merge import observed
from flyasync.deploy.plan.release_command import RELEASE_GROUP
from flyasync.deploy.reporting.status import Status
from tests.deploy.conftest import killed, tag, world

BASE = DeployBuilder("web").with_image("nginx:2").with_env(A="1").smoke_check(0).keep_counts()
STRATEGIES: Mapping[str, DeployBuilder] = {
    "rolling": BASE.rolling(max_unavailable=1),
    "canary": BASE.canary(soak=5),
    "bluegreen": BASE.bluegreen(drain=1).wait_for("started"),
    "immediate": BASE.immediate(),
    "recreate": BASE.recreate(),
}
IN_PLACE = [name for name in STRATEGIES if name != "bluegreen"]
OLD = MachineConfig(image="nginx:1", env={"OWN": "kept"}, metadata={"owner": "me"})


@asynccontextmanager
async def stray(*, own: bool = True, **options: Any) -> AsyncIterator[tuple[Emulator, FlyClient]]:
    """An app with two machines without a group, and two of the group `app`, unless these are left out."""
    async with world(seed=1, **options) as (emulator, fly):
        if own:
            assert (await BASE.rolling().to_regions("iad", "lhr").with_image("nginx:1").execute(fly)).ok
        for region in ("iad", "nrt"):
            machine = await fly.machines.create("web", OLD, name=f"stray-{region}", region=region)
            await fly.machines.wait("web", machine.id, state="started")
        yield emulator, fly


async def machines(fly: FlyClient) -> dict[str, Machine]:
    return {each.name: each for each in await fly.machines.list("web") if each.is_alive}


def group(machine: Machine) -> str | None:
    return machine.metadata.get("fly_process_group")


async def adopted(fly: FlyClient, builder: DeployBuilder, *names: str) -> DeployReport:
    report = await builder.adopt(*(names or ("all",))).execute(fly)
    await asyncio.sleep(5)
    return report


@pytest.mark.parametrize("name", IN_PLACE)
async def test_adopted_machines_are_updated_like_those_of_the_group_and_keep_what_is_theirs(name: str) -> None:
    async with stray() as (_, fly):
        before = await machines(fly)
        report = await adopted(fly, STRATEGIES[name])
        after = await machines(fly)
        assert report.ok, str(report)
        assert {each: machine.id for each, machine in after.items()} == {
            each: machine.id for each, machine in before.items()
        }
        assert {tag(machine) for machine in after.values()} == {"nginx:2"}
        assert {group(machine) for machine in after.values()} == {"app"}
        config = after["stray-nrt"].config
        assert config is not None
        assert config.env == {"A": "1", "OWN": "kept"}
        assert after["stray-nrt"].metadata["owner"] == "me"
        assert {each.region: each.asked for each in report.regions} == {"iad": 2, "lhr": 1, "nrt": 1}
        again = await STRATEGIES[name].adopt("stray-iad").plan(fly)
        assert not again.has_changes
        assert await _is_settled(fly, STRATEGIES[name])


async def _is_settled(fly: FlyClient, builder: DeployBuilder) -> bool:
    return not (await builder.plan(fly)).has_changes


async def test_bluegreen_replaces_adopted_machines() -> None:
    async with stray() as (_, fly):
        report = await adopted(fly, STRATEGIES["bluegreen"])
        after = await machines(fly)
        assert report.ok, str(report)
        assert sorted((each.region, tag(each), group(each)) for each in after.values()) == [
            ("iad", "nginx:2", "app"),
            ("iad", "nginx:2", "app"),
            ("lhr", "nginx:2", "app"),
            ("nrt", "nginx:2", "app"),
        ]
        assert not {"stray-iad", "stray-nrt"} & after.keys()
        again = await STRATEGIES["bluegreen"].adopt("stray-iad").plan(fly)
        assert not again.has_changes


async def test_a_group_that_is_empty_adopts_and_creates_none() -> None:
    async with stray(own=False) as (_, fly):
        report = await adopted(fly, STRATEGIES["rolling"])
        assert report.ok, str(report)
        assert {name: group(each) for name, each in (await machines(fly)).items()} == {
            "stray-iad": "app",
            "stray-nrt": "app",
        }


async def test_each_has_its_cause_in_the_plan_and_the_others_are_left_unchanged() -> None:
    async with stray() as (_, fly):
        plan = await STRATEGIES["rolling"].adopt("stray-nrt").plan(fly)
        text = str(plan)
        assert "update in place: adopted, had no process group; config differs" in text
        assert "metadata.fly_process_group" in text
        assert "1 without a process group left unchanged" in text
        assert "to take them into a group: adopt('all')" in text
        assert plan.resources is not None
        assert plan.resources.after.machines == 3


async def test_a_machine_of_a_group_that_is_not_deployed_is_adopted_if_it_is_stated() -> None:
    async with stray() as (_, fly):
        worker = BASE.rolling().process_group("worker").to_regions("iad").with_image("nginx:1")
        assert (await worker.execute(fly)).ok
        assert "worker" not in str([step.cause for step in (await STRATEGIES["rolling"].adopt("all").plan(fly)).steps])
        report = await adopted(fly, STRATEGIES["rolling"], "worker-iad-1")
        assert report.ok, str(report)
        assert group((await machines(fly))["worker-iad-1"]) == "app"


async def test_the_group_that_adopts_is_stated_if_there_are_several() -> None:
    both = STRATEGIES["rolling"].together_with(DeployBuilder("web").process_group("worker").to_regions("iad"))
    with pytest.raises(InvalidInput, match="state which of them adopts all"):
        both.adopt("all")
    with pytest.raises(InvalidInput, match="'web' is not a process group of this deploy: choose one of app, worker"):
        both.adopt("all", group="web")
    async with stray() as (_, fly):
        report = await both.adopt("stray-iad", group="worker").execute(fly)
        assert report.ok, str(report)
        after = await machines(fly)
        assert (group(after["stray-iad"]), group(after["stray-nrt"])) == ("worker", None)
        assert "worker-iad-1" not in after
        with pytest.raises(InvalidInput, match="it is in the group worker, which this deploy changes too"):
            await both.adopt("stray-iad", group="app").plan(fly)
        with pytest.raises(InvalidInput, match="the group app adopts it"):
            await both.adopt("stray-nrt", group="app").adopt("stray-nrt", group="worker").plan(fly)


async def test_a_count_includes_adopted_machines() -> None:
    async with stray() as (_, fly):
        report = await STRATEGIES["rolling"].to_regions("iad").count(3).adopt("stray-iad").execute(fly)
        assert report.ok, str(report)
        here = [each for each in (await machines(fly)).values() if each.region == "iad"]
        assert sorted(each.name for each in here) == ["app-iad-1", "app-iad-2", "stray-iad"]
        made = next(each for each in here if each.name == "app-iad-2")
        assert made.config is not None
        assert made.config.env == {"A": "1"}  # like the machines of the group, not like an adopted one


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (MachineConfig(image="x", metadata={"fly_process_group": RELEASE_GROUP}), "is temporary"),
        (MachineConfig(image="x", metadata={"fly_process_group": "fly_app_console"}), "is temporary"),
        (MachineConfig(image="x", standbys=("e784e666ce6687",)), "stands by for e784e666ce6687"),
        (MachineConfig(image="x", auto_destroy=True), "destroys itself"),
    ],
)
async def test_what_may_not_be_adopted_is_refused_if_it_is_stated(config: MachineConfig, text: str) -> None:
    async with stray() as (_, fly):
        await fly.machines.create("web", config, name="odd", region="iad", skip_launch=True)
        with pytest.raises(InvalidInput, match=rf"odd \(.+\) cannot be adopted by the group app: it {text}"):
            await STRATEGIES["rolling"].adopt("odd").plan(fly)
        plan = await STRATEGIES["rolling"].adopt("all").plan(fly)
        assert "odd" not in {track.machine.name for track in plan.tracks}


async def test_what_does_not_exist_or_is_elsewhere_is_refused() -> None:
    async with stray() as (_, fly):
        with pytest.raises(InvalidInput, match="web has no machine 'stray-ia' to adopt; did you mean 'stray-iad'"):
            await STRATEGIES["rolling"].adopt("stray-ia").plan(fly)
        with pytest.raises(InvalidInput, match="it is in nrt, which is not among the regions of the deploy"):
            await STRATEGIES["rolling"].to_regions("iad", "lhr").adopt("stray-nrt").plan(fly)
        with pytest.raises(InvalidInput, match="a deploy without a strategy only adds machines"):
            await DeployBuilder("web").to_regions("iad").with_image("x").adopt("all").plan(fly)
        with pytest.raises(InvalidInput, match="adopt cannot be combined"):
            await DeployBuilder("web").keep_config().adopt("all").plan(fly)


def _state(there: Mapping[str, Machine]) -> dict[str, Any]:
    return {name: (each.state, observed(each), each.cordoned) for name, each in there.items()}


@pytest.mark.parametrize("crashing", ["app-lhr-*", "stray-nrt"])
@pytest.mark.parametrize("name", STRATEGIES)
async def test_a_rollback_restores_their_config_and_metadata(name: str, crashing: str) -> None:
    async with stray() as (emulator, fly):
        before = await machines(fly)
        emulator.faults.add(Fault(does="crash", name="app-nrt-*" if name == "bluegreen" else crashing, times=1))
        bad = STRATEGIES[name].smoke_check(5).adopt("all").roll_back_on_failure()
        report = await bad.execute(fly)
        await asyncio.sleep(20)
        assert report.status is Status.ROLLED_BACK, str(report)
        assert _state(await machines(fly)) == _state(before)


@pytest.mark.parametrize("name", STRATEGIES)
async def test_a_plan_in_a_file_adopts_what_it_has_shown(name: str, tmp_path: Path) -> None:
    async with stray() as (_, fly):
        plan = await STRATEGIES[name].adopt("all").save_plan(fly, tmp_path / "plan.json")
        assert plan.has_changes
        late = await fly.machines.create("web", OLD, name="late", region="iad")
        await fly.machines.wait("web", late.id, state="started")
        saved = DeployBuilder.from_plan(tmp_path / "plan.json", env={"A": "1"})
        report = await saved.execute(fly)
        assert report.ok, str(report)
        assert group((await machines(fly))["late"]) is None
        assert not (await saved.plan(fly)).has_changes


@pytest.mark.parametrize("name", STRATEGIES)
async def test_an_undo_restores_their_config_and_their_former_group(name: str) -> None:
    async with stray() as (_, fly):
        before = await machines(fly)
        assert (await adopted(fly, STRATEGIES[name])).ok
        report = await STRATEGIES[name].undo(fly)
        await asyncio.sleep(20)
        after = await machines(fly)
        assert report.ok, str(report)
        assert {each: (tag(machine), group(machine)) for each, machine in after.items()} == {
            each: (tag(machine), group(machine)) for each, machine in before.items()
        }
        config = after["stray-nrt"].config
        assert config is not None
        assert config.env == OLD.env


async def test_a_deploy_that_keeps_configs_does_not_advise_to_adopt() -> None:
    async with stray() as (_, fly):
        remarks = (await DeployBuilder("web").rolling().keep_config().keep_counts().count(lhr=2).plan(fly)).remarks
        assert "2 without a process group left unchanged" in remarks


@pytest.mark.parametrize("requests", [8, 14, 20, 28, 36, 46, 60])
@pytest.mark.parametrize("name", STRATEGIES)
async def test_killed_and_run_again_they_are_adopted_once(name: str, requests: int, tmp_path: Path) -> None:
    async with stray() as (emulator, fly):
        asked = STRATEGIES[name].adopt("stray-iad", "stray-nrt")
        await killed(emulator, fly, asked.with_journal(tmp_path / "deploy.jsonl"), requests)
        is_begun = "planned" in (tmp_path / "deploy.jsonl").read_text()
        resumes = is_begun and requests % 4 == 0
        again = DeployBuilder.resumed(tmp_path / "deploy.jsonl", env={"A": "1"}) if resumes else asked
        report = await again.execute(fly)
        await asyncio.sleep(20)
        assert report.ok, str(report)
        after = (await machines(fly)).values()
        assert sorted((each.region, tag(each), group(each)) for each in after) == [
            ("iad", "nginx:2", "app"),
            ("iad", "nginx:2", "app"),
            ("lhr", "nginx:2", "app"),
            ("nrt", "nginx:2", "app"),
        ]


@pytest.mark.parametrize("requests", [20, 40, 52, 56, 60, 70])
@pytest.mark.parametrize("name", ["rolling", "bluegreen"])
async def test_killed_and_undone_they_are_outside_the_group_again(name: str, requests: int, tmp_path: Path) -> None:
    path = tmp_path / "deploy.jsonl"
    async with stray() as (emulator, fly):
        worker = BASE.rolling().process_group("worker").to_regions("iad", "lhr").with_image("nginx:1")
        assert (await worker.execute(fly)).ok
        before = await machines(fly)
        asked = STRATEGIES[name].adopt("stray-iad", "stray-nrt", "worker-iad-1").with_journal(path)
        await killed(emulator, fly, asked, requests)
        await asyncio.sleep(40)
        with suppress(InvalidInput):  # there is nothing to undo
            report = await DeployBuilder.resumed(path, env={"A": "1"}).undo(fly)
            assert report.ok, str(report)
            assert not any("no longer shows" in remark for remark in report.remarks)
        await asyncio.sleep(20)
        after = await machines(fly)
        assert {each: (tag(machine), group(machine), machine.cordoned or False) for each, machine in after.items()} == {
            each: (tag(machine), group(machine), False) for each, machine in before.items()
        }
