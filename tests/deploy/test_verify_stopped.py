"""A group whose machines are all stopped is not ok unless one of each region was seen to run what it would run."""

import asyncio
from collections import Counter
from typing import Literal

import pytest

from flyasync import (
    Check,
    DeployBuilder,
    DeployReport,
    Emulator,
    Fault,
    FlyClient,
    InvalidInput,
    MachineConfig,
    Port,
    Result,
    Service,
)
from tests.deploy.conftest import total, world

WEB = Service(
    protocol="tcp",
    internal_port=80,
    autostart=True,
    autostop="suspend",
    ports=[Port(port=80)],
    checks=[Check(type="http", path="/", interval=5, timeout=2)],
)
APP = DeployBuilder("web").to_regions("iad", "lhr").count(2).smoke_check(2).rolling()
PROXIED = APP.with_service(WEB)


async def stopped(fly: FlyClient, builder: DeployBuilder, *, by: Literal["stop", "suspend"] = "stop") -> None:
    """Deploy, and stop all that runs."""
    assert (await builder.with_image("shop:1").execute(fly)).ok
    for machine in await fly.machines.list("web"):
        await getattr(fly.machines, by)("web", machine.id)
        await fly.machines.wait("web", machine.id, state={"stop": "stopped", "suspend": "suspended"}[by])


def shown(emulator: Emulator) -> Counter[tuple[str, str]]:
    """Count the machines by what they run and their states."""
    machines = emulator.world.machines.values()
    return Counter((each.config["image"].partition("@")[0], each.state) for each in machines)


def starts(emulator: Emulator) -> int:
    return total(emulator, "startMachine")


@pytest.mark.parametrize("by", ["stop", "suspend"])
@pytest.mark.parametrize("strategy", ["rolling", "canary", "immediate"])
async def test_one_machine_of_each_region_is_verified_and_returned(
    strategy: str, by: Literal["stop", "suspend"]
) -> None:
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, PROXIED, by=by)
        report = await getattr(PROXIED, strategy)().with_image("shop:2").execute(fly)
        assert starts(emulator) == 2
        states = {state for _, state in shown(emulator)}
        assert {image for image, _ in shown(emulator)} == {"shop:2"}
    assert report.ok, str(report)
    assert report.status == "ok"
    assert states <= {"stopped", "suspended"}
    if by == "suspend":
        assert shown(emulator)["shop:2", "suspended"] == 2
    assert {each.result for each in report.machines} == {Result.RESTING}


@pytest.mark.parametrize("does", ["crash", "checks_never_pass", "fail"])
async def test_a_version_that_does_not_run_reaches_no_other_machine_and_is_left_stopped(does: str) -> None:
    app = PROXIED.wait_for(timeout=30)
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, app.to_regions("iad").count(4))
        emulator.faults.add(Fault(does=does, image="shop:2*", seconds=0.5))
        report = await app.to_regions("iad").count(4).with_image("shop:2").execute(fly)
        await asyncio.sleep(30)
        assert Counter(image for image, _ in shown(emulator).elements()) == {"shop:1": 3, "shop:2": 1}
        assert {state for _, state in shown(emulator)} <= {"stopped", "failed"}
    assert report.status == "failed"
    assert report.closed_by is not None


async def verified(builder: DeployBuilder, fly: FlyClient) -> DeployReport:
    report = await builder.with_image("shop:2").execute(fly)
    assert {each.result for each in report.machines} == {Result.RESTING}
    assert DeployReport.from_dict(report.to_dict()) == report
    assert report.to_dict()["status"] == report.status
    return report


async def test_workers_are_not_started_and_not_called_ok() -> None:
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, APP)
        report = await verified(APP.roll_back_on_failure(), fly)
        assert starts(emulator) == 0
        assert shown(emulator) == {("shop:2", "stopped"): 4}
    assert (report.status, report.ok, report.is_missed) == ("not verified", False, False)
    assert report.rollback is None
    assert report.unverified == ("iad", "lhr")
    assert "web: not verified: 4 of 4 machines up to date" in str(report)
    unverified = "not verified: all machines of the group are stopped, and none in iad, lhr was started to verify it"
    assert unverified in str(report)
    assert unverified in report.to_html()


async def test_never_starts_none_and_always_starts_workers_too() -> None:
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, PROXIED)
        assert (await verified(PROXIED.verify_stopped("never"), fly)).status == "not verified"
        assert starts(emulator) == 0
        again = await PROXIED.verify_stopped("always").with_image("shop:2").execute(fly)  # nothing else is to be done
        assert again.ok, str(again)
        assert starts(emulator) == 2
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, APP)
        assert (await verified(APP.verify_stopped("always"), fly)).status == "ok"
        assert starts(emulator) == 2


async def test_where_another_machine_of_the_group_runs_none_is_started() -> None:
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, PROXIED)
        first = (await fly.machines.list("web"))[0]
        await fly.machines.start("web", first.id)
        await fly.machines.wait("web", first.id)
        report = await PROXIED.with_image("shop:2").execute(fly)
        assert starts(emulator) == 1
    assert report.ok, str(report)


@pytest.mark.parametrize("after", [1, 2, 4, 8, 12])
async def test_a_deploy_that_is_cancelled_leaves_nothing_running_that_it_only_verified(after: float) -> None:
    async with world(seed=1, latency=(0.1, 0.3)) as (emulator, fly):
        await stopped(fly, PROXIED)
        deploy = asyncio.ensure_future(PROXIED.with_image("shop:2").execute(fly))
        await asyncio.sleep(after)
        deploy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploy
        await asyncio.sleep(10)
        assert {state for _, state in shown(emulator)} == {"stopped"}


async def test_nothing_to_do_needs_nothing_verified() -> None:
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, PROXIED)
        assert (await PROXIED.with_image("shop:1").execute(fly)).ok
        assert starts(emulator) == 0


async def test_scheduled_machines_and_standbys_are_not_started() -> None:
    group = {"fly_process_group": "app"}
    async with world(seed=1) as (emulator, fly):
        await stopped(fly, PROXIED.to_regions("iad").count(1))
        (first,) = await fly.machines.list("web")
        standby = MachineConfig(image="shop:1", standbys=[first.id], metadata=group)
        nightly = MachineConfig(image="shop:1", schedule="daily", metadata=group)
        for number, config in enumerate((standby, nightly)):
            await fly.machines.create("web", config, region="iad", name=f"other-{number}", skip_launch=True)
        await asyncio.sleep(5)
        report = await PROXIED.to_regions("iad").count(1).with_image("shop:2").execute(fly)
        assert starts(emulator) == 1
    assert report.ok, str(report)


@pytest.mark.parametrize(("exit_code", "status"), [(0, "ok"), (1, "failed")])
async def test_a_job_that_is_verified_may_come_to_its_end(exit_code: int, status: str) -> None:
    nightly = MachineConfig(image="shop:1", schedule="daily", metadata={"fly_process_group": "app"})
    async with world(seed=1) as (emulator, fly):
        for number in range(2):
            await fly.machines.create("web", nightly, region="iad", name=f"job-{number}", skip_launch=True)
        await asyncio.sleep(5)
        emulator.faults.add(Fault(does="crash", exit_code=exit_code, seconds=0.5))
        app = APP.to_regions("iad").wait_for(timeout=20).verify_stopped("always")
        report = await app.with_image("shop:2").execute(fly)
        assert starts(emulator) == 1
        assert {state for _, state in shown(emulator)} == {"stopped"}
    assert report.status == status, str(report)


def test_what_cannot_be_chosen() -> None:
    with pytest.raises(InvalidInput, match="'auto', 'always' or 'never', not 'sometimes'"):
        APP.verify_stopped("sometimes")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="verify_stopped needs a strategy"):
        DeployBuilder("web").to_regions("iad").with_image("x").verify_stopped("never").deployment()
