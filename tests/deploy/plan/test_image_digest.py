"""One digest everywhere: resolved with the first reads, else shown by the first machine; a moved tag is a change."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from flyasync import (
    DeployBuilder,
    DeployReport,
    Emulator,
    Fault,
    FlyClient,
    Machine,
    MachineConfig,
    deploy_many,
)
from flyasync.models.image import at_digest, digest_of
from tests.deploy.conftest import total, world
from tests.deploy.relay import relayed

IMAGE = "registry.fly.io/web:latest"
LAUNCH = DeployBuilder("web").to_regions("iad", "lhr").count(2).with_image(IMAGE).with_launch("v1")
ROLLING = DeployBuilder("web").to_regions("iad", "lhr").count(2).with_image(IMAGE).rolling().smoke_check(0)
WAYS: dict[str, Callable[[DeployBuilder], DeployBuilder]] = {
    "rolling": lambda base: base.rolling(),
    "canary": lambda base: base.canary(soak=0),
    "immediate": lambda base: base.immediate(),
    "bluegreen": lambda base: base.bluegreen(drain=0).wait_for("started"),
}
NO_GRAPHQL = Fault(does="refuse", action="graphql", status=403, body={"error": "not for this token"})


def at(emulator: Emulator, image: str = IMAGE) -> str:
    """The digest that a tag is at."""
    return emulator.world.images.digest(image)


def moves_on(emulator: Emulator) -> None:
    """Have the tag move again and again, with all that happens to machines."""

    def move(_: object) -> None:
        emulator.push(IMAGE)

    emulator.on_change(move)


async def machines(fly: FlyClient) -> list[Machine]:
    return [each for each in await fly.machines.list("web") if each.is_alive]


async def digests(fly: FlyClient) -> set[str | None]:
    return {each.image_ref.digest if each.image_ref else None for each in await machines(fly)}


async def stated(fly: FlyClient) -> set[str | None]:
    return {each.config.image for each in await machines(fly) if each.config}


def foreign(image: str = IMAGE) -> MachineConfig:
    return MachineConfig(image=image, metadata={"fly_process_group": "app", "owner": "me"})


# Where the API resolves tags.


@pytest.mark.parametrize("builder", [LAUNCH, ROLLING], ids=["launch", "rolling"])
async def test_all_machines_state_the_digest_that_the_tag_was_at(builder: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        pinned = at_digest(IMAGE, at(emulator))
        moves_on(emulator)
        report = await builder.execute(fly)
        assert report.ok, str(report)
        assert await stated(fly) == {pinned}
        assert total(emulator, "graphql") == 1
    assert report.image == pinned
    assert pinned in str(report)


@pytest.mark.parametrize("way", WAYS)
async def test_a_tag_that_has_moved_is_a_change_and_is_told(way: str) -> None:
    deploy = WAYS[way](ROLLING)
    async with world(seed=1) as (emulator, fly):
        assert (await deploy.execute(fly)).ok
        before, moved = at(emulator), emulator.push(IMAGE)
        plan = await deploy.plan(fly)
        report = await deploy.execute(fly)
        assert report.ok, str(report)
        assert await digests(fly) == {moved}
        assert (await deploy.plan(fly)).is_empty
    told = f"the tag {IMAGE} has moved: from {before} to {moved}"
    assert told in plan.remarks
    assert told in report.remarks


async def test_a_tag_that_has_not_moved_changes_nothing_and_is_told() -> None:
    async with world(seed=1) as (emulator, fly):
        await ROLLING.execute(fly)
        updates = total(emulator, "updateMachine")
        report = await ROLLING.execute(fly)
        assert total(emulator, "updateMachine") == updates
        told = str(await ROLLING.plan(fly))
    assert report.remarks == ()
    assert told.endswith(f"{at(emulator)}: nothing to do, all 4 up to date (image digests compared)")


async def test_a_digest_that_is_stated_needs_no_request() -> None:
    pinned = f"{IMAGE}@sha256:{'5' * 64}"
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.with_image(pinned).execute(fly)).ok
        assert await stated(fly) == {pinned}
        assert total(emulator, "graphql") == 0


async def test_machines_of_others_are_equal_by_the_digest_that_they_run() -> None:
    """Another tool writes references in full, or states the tag alone."""
    async with world(seed=1) as (emulator, fly):
        for name, image in {"one": "nginx", "two": "docker.io/library/nginx:latest"}.items():
            await fly.machines.create("web", foreign(image=image), name=name, region="iad")
        await asyncio.sleep(60)
        deploy = ROLLING.to_regions("iad").with_image("nginx")
        assert (await deploy.plan(fly)).is_empty
        emulator.push("nginx")
        assert (await deploy.plan(fly)).updates == 2


async def test_a_launch_goes_on_with_the_digest_that_it_began_with() -> None:
    async with world(seed=1) as (emulator, fly):
        await LAUNCH.count(1).execute(fly)
        before, moved = at(emulator), emulator.push(IMAGE)
        report = await LAUNCH.execute(fly)
        assert report.ok, str(report)
        assert await digests(fly) == {before}
        await LAUNCH.with_launch("v2").execute(fly)
        assert await digests(fly) == {before, moved}
    assert f"the tag {IMAGE} has moved to {moved} since launch v1 began" in report.remarks[-1]


async def test_a_release_command_runs_the_same_digest() -> None:
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        emulator.faults.add(Fault(does="crash", name="release-*", exit_code=0))
        moves_on(emulator)
        pinned = at_digest(IMAGE, at(emulator))
        assert (await ROLLING.with_release_command("bin/migrate").execute(fly)).ok
    created = [body["config"]["image"] for body in relay.bodies("POST /v1/apps/web/machines") if "config" in body]
    assert created == [pinned] * 5


async def test_many_apps_get_one_digest() -> None:
    names = [f"shop-{number}" for number in range(6)]
    async with world(seed=1) as (emulator, fly):
        for name in names:
            await fly.apps.create(name, org_slug="personal")
        pinned = at_digest(IMAGE, at(emulator))
        async with aclosing(deploy_many(fly, LAUNCH, names, at_once=2)) as reports:
            async for report in reports:
                assert report.ok, str(report)
                assert report.image == pinned
                emulator.push(IMAGE)
        assert total(emulator, "graphql") == 1


async def test_a_resumed_deploy_goes_on_with_its_digest(tmp_path: Any) -> None:
    path = tmp_path / "deploy.jsonl"
    async with world(seed=1) as (emulator, fly):
        before = at(emulator)
        emulator.faults.add(Fault(does="refuse", action="createMachine", status=500, body={"error": "no"}, after=1))
        assert not (await ROLLING.with_journal(path).execute(fly)).ok
        emulator.faults.clear()
        emulator.push(IMAGE)
        report = await DeployBuilder.resumed(path).execute(fly)
        assert report.ok, str(report)
        assert await digests(fly) == {before}


# Where it does not.


@pytest.mark.parametrize("builder", [LAUNCH, ROLLING, WAYS["bluegreen"](ROLLING)], ids=["launch", "rolling", "green"])
async def test_the_first_machine_shows_the_digest_and_the_others_get_it(builder: DeployBuilder) -> None:
    async with world(seed=1, faults=[NO_GRAPHQL]) as (emulator, fly):
        first = at(emulator)
        moves_on(emulator)
        report = await builder.execute(fly)
        assert report.ok, str(report)
        assert await digests(fly) == {first}
        assert await stated(fly) == {IMAGE, at_digest(IMAGE, first)}
        assert total(emulator, "graphql") == 1
    assert report.image == at_digest(IMAGE, first)
    assert "was not resolved (images.resolve web" in str(report)


async def test_the_others_wait_for_the_response_and_not_for_the_boot() -> None:
    async with world(seed=1, faults=[NO_GRAPHQL], boot=(60, 60)) as (_, fly):
        report = await LAUNCH.execute(fly)
    assert report.ok, str(report)
    assert report.seconds < 70


async def test_updates_wait_for_the_first_response_too() -> None:
    async with world(seed=1) as (emulator, fly):
        await ROLLING.with_image("web:1").execute(fly)
        emulator.faults.add(NO_GRAPHQL)
        moves_on(emulator)
        report = await ROLLING.immediate().execute(fly)
        assert report.ok, str(report)
        assert len(await digests(fly)) == 1
        assert len(await stated(fly)) == 2


async def test_the_next_one_shows_it_where_the_first_create_fails() -> None:
    refused = Fault(does="refuse", action="createMachine", status=422, body={"error": "no"}, times=1)
    async with world(seed=1, faults=[NO_GRAPHQL, refused]) as (emulator, fly):
        report = await LAUNCH.require(1).execute(fly)
        assert len(await machines(fly)) == 3
        assert await digests(fly) == {at(emulator)}
    assert report.ok, str(report)


async def test_what_is_not_known_to_have_moved_is_kept_and_told() -> None:
    async with world(seed=1) as (emulator, fly):
        await ROLLING.execute(fly)
        before = at(emulator)
        emulator.push(IMAGE)
        emulator.faults.add(NO_GRAPHQL)
        plan = await ROLLING.plan(fly)
        grown = await ROLLING.count(3).execute(fly)
        assert grown.ok, str(grown)
        assert await digests(fly) == {before}
    assert plan.is_empty
    (told,) = plan.remarks
    assert told.startswith(f"the tag {IMAGE} was not resolved (")
    assert f"so it may have moved: machines get the digest of the unchanged ones, {before}" in told


async def test_an_answer_that_does_not_come_holds_nothing_up() -> None:
    async with world(seed=1, faults=[Fault(does="delay", action="graphql", seconds=600)]) as (_, fly):
        report = await LAUNCH.execute(fly)
    assert report.ok, str(report)
    assert report.seconds < 30
    assert "there was no response within 5 s" in str(report)


async def test_where_no_machine_shows_a_digest_the_report_says_so() -> None:
    async with world(seed=1, faults=[NO_GRAPHQL]) as (emulator, _), relayed(emulator) as (relay, fly):
        relay.show = _without_image_ref
        report = await LAUNCH.execute(fly)
    assert report.ok, str(report)
    assert report.image == IMAGE
    assert f"no machine showed which digest of {IMAGE} it runs" in report.remarks[-1]


def _without_image_ref(body: Any) -> Any:
    if isinstance(body, list):
        return [_without_image_ref(each) for each in body]
    return {key: value for key, value in body.items() if key != "image_ref"} if isinstance(body, dict) else body


# The way back.


@pytest.mark.parametrize("way", WAYS)
async def test_a_rollback_brings_the_old_digest_back(way: str) -> None:
    async with world(seed=1) as (emulator, fly):
        for region in ("iad", "lhr"):
            for number in (1, 2):
                await fly.machines.create("web", foreign(), name=f"{region}-{number}", region=region)
        await asyncio.sleep(60)
        before, moved = at(emulator), emulator.push(IMAGE)
        emulator.faults.add(Fault(does="fail", image=f"*@{moved}", after=1))
        report = await WAYS[way](ROLLING).roll_back_on_failure().execute(fly)
        assert report.rollback, str(report)
        assert await digests(fly) == {before}
    assert report.rollback.ok, str(report)


@pytest.mark.parametrize("way", WAYS)
async def test_an_undo_brings_back_the_digest_that_others_did_not_state(way: str) -> None:
    async with world(seed=1) as (emulator, fly):
        for region in ("iad", "lhr"):
            for number in (1, 2):
                await fly.machines.create("web", foreign(), name=f"{region}-{number}", region=region)
        await asyncio.sleep(60)
        before, moved = at(emulator), emulator.push(IMAGE)
        assert (await WAYS[way](ROLLING).execute(fly)).ok
        assert await digests(fly) == {moved}
        report: DeployReport = await DeployBuilder("web").undo(fly)
        assert report.ok, str(report)
        assert await digests(fly) == {before}
        assert {each.metadata["owner"] for each in await machines(fly)} == {"me"}
    assert digest_of(report.image) == before
