"""Before each further machine, those changed so far are observed again: a version that fails late reaches few."""

from collections import Counter

import pytest

from flyasync import Check, DeployBuilder, Emulator, Fault, MachineConfig, Port, Result, Service
from tests.deploy.conftest import total, world
from tests.deploy.relay import relayed

CHECK = Check(type="http", path="/", port=80, interval=5, timeout=2)
APP = DeployBuilder("web").to_regions("iad").count(6).with_check("up", CHECK).smoke_check(10)
ONE_BY_ONE = APP.rolling(max_unavailable=1)


def images(emulator: Emulator) -> Counter[str]:
    gone = {"destroying", "destroyed"}
    there = (machine for machine in emulator.world.machines.values() if machine.state not in gone)
    return Counter(machine.config["image"].partition("@")[0] for machine in there)


@pytest.mark.parametrize("seconds", [2.5, 9.0, 20.0, 80.0])
async def test_a_check_that_turns_critical_late_stops_the_rollout(seconds: float) -> None:
    """During the watch, before the next machine, and after a minute, when only a list shows it."""
    async with world(seed=1) as (emulator, fly):
        assert (await ONE_BY_ONE.with_image("shop:1").execute(fly)).ok
        emulator.faults.add(Fault(does="checks_turn_critical", image="shop:2*", seconds=seconds))
        report = await ONE_BY_ONE.with_image("shop:2").execute(fly)
        changed = images(emulator)["shop:2"]
    assert not report.ok
    assert changed <= 2 + seconds // 15  # a machine takes more than 15 s: a boot, a check, and the watch
    assert report.closed_by is not None
    assert "checks fail: up critical" in str(report.closed_by.failure)
    assert [each.result for each in report.machines].count(Result.NOT_BEGUN) == 6 - changed


async def test_a_process_that_crashes_late_stops_the_rollout() -> None:
    app = DeployBuilder("web").to_regions("iad").count(6).smoke_check(2).rolling(max_unavailable=1)
    async with world(seed=1) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        emulator.faults.add(Fault(does="crash", image="shop:2*", seconds=5, exit_code=3))
        report = await app.with_image("shop:2").execute(fly)
        assert images(emulator)["shop:2"] <= 3
    assert not report.ok
    assert "exit code 3" in str(report.closed_by)


async def test_recent_machines_are_fetched_and_older_ones_listed() -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await ONE_BY_ONE.with_image("shop:1").execute(fly)).ok
        before = total(emulator, "listMachines")
        report = await ONE_BY_ONE.with_image("shop:2").execute(fly)
        lists = total(emulator, "listMachines") - before
    assert report.ok, str(report)
    assert 3 < lists <= 3 + 6  # before and under the lease, at the end, and once before each machine at most


async def test_one_round_serves_all_that_are_about_to_begin() -> None:
    app = APP.count(12).rolling(max_unavailable=4)
    async with world(seed=1, boot=(2, 2)) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        before = total(emulator, "getMachine")
        assert (await app.with_image("shop:2").execute(fly)).ok
        gets = total(emulator, "getMachine") - before
    assert gets < 12 * 30


# Checks that are not of this deploy.

FOREIGN = Service(
    protocol="tcp",
    internal_port=8080,
    ports=[Port(port=443, handlers=["tls", "http"])],
    checks=[Check(type="http", path="/", interval="15s", timeout="2s", grace_period="20s")],
)


async def test_checks_that_the_deploy_does_not_state_are_awaited_for_as_long_as_they_need() -> None:
    app = DeployBuilder("web").to_regions("iad").count(2).rolling(max_unavailable=2).wait_for(timeout=10)
    theirs = MachineConfig(image="shop:1", services=[FOREIGN], metadata={"fly_process_group": "app"})
    async with world(seed=1) as (_, fly):
        made = [await fly.machines.create("web", theirs, region="iad") for _ in range(2)]
        for machine in made:
            await fly.machines.wait_healthy("web", machine.id)
        report = await app.with_image("shop:2").execute(fly)
    assert report.ok, str(report)
    assert report.seconds > 20 + 15


async def test_checks_that_the_api_did_not_keep_are_missed() -> None:
    app = APP.count(2).wait_for("healthy", timeout=20).bluegreen(drain=0)

    def bare(path: str, body: dict[str, object]) -> None:
        if path.endswith("/machines"):
            config = body["config"]
            assert isinstance(config, dict)
            config.pop("checks", None)

    async with world(seed=1) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        async with relayed(emulator) as (relay, through):
            relay.edit = bare
            report = await app.with_image("shop:2").execute(through)
        assert emulator.serving("web") == Counter(iad=2)
    assert not report.ok
    assert "0 of 1 checks have reported" in str(report)


@pytest.mark.parametrize("strategy", ["rolling", "immediate"])
async def test_a_config_that_the_api_did_not_keep_is_no_success_and_goes_no_further(strategy: str) -> None:
    app = getattr(DeployBuilder("web").to_regions("iad").count(4).smoke_check(2), strategy)()

    def revert(_: str, body: dict[str, object]) -> None:
        config = body.get("config")
        if isinstance(config, dict):
            config["image"] = "shop:1"

    async with world(seed=1) as (emulator, fly):
        assert (await app.with_image("shop:1").execute(fly)).ok
        async with relayed(emulator) as (relay, through):
            relay.edit = revert
            report = await app.with_image("shop:2").execute(through)
        updates = total(emulator, "updateMachine")
    assert not report.ok
    assert updates == (1 if strategy == "rolling" else 4)
    assert not [machine for machine in report.machines if machine.is_running]
