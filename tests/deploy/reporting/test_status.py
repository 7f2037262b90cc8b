"""The table of results: one deploy for each status, and which of several statuses takes precedence."""

from typing import Any

import pytest

from flyasync import (
    DeployBuilder,
    DeployFailed,
    DeployReport,
    Fault,
    LeaseHeld,
    MachineReport,
    Phase,
    RegionReport,
    Result,
    Status,
    deploy_many,
)
from flyasync.deploy.reporting.phase import Moment
from flyasync.deploy.reporting.result import Failure
from flyasync.deploy.reporting.styles import Look, Tone
from tests.deploy.conftest import world

LAUNCH = DeployBuilder("web").to_regions("iad", "lhr").with_image("shop:1").with_launch("v1")
ROLLING = LAUNCH.smoke_check(5).rolling()
CRASH = Fault(does="crash", region="lhr", exit_code=3)
CRASHES = Fault(does="crash", image="*shop:2*", seconds=0.1, exit_code=3)


def test_the_table() -> None:
    assert {status: (status.exit_code, status.tone, status.look) for status in Status} == {
        "ok": (0, Tone.GOOD, Look.GOOD),
        "degraded": (7, Tone.CAUTION, Look.WARNING),
        "not verified": (8, Tone.BAD, Look.OTHER),
        "paused": (9, Tone.CAUTION, Look.WARNING),
        "failed": (1, Tone.BAD, Look.BAD),
        "requirement missed": (3, Tone.BAD, Look.BAD),
        "rolled back": (4, Tone.BAD, Look.BAD),
        "no capacity": (5, Tone.BAD, Look.BAD),
        "locked": (6, Tone.BAD, Look.BAD),
        "cancelled": (130, Tone.BAD, Look.GONE),
    }
    assert all(status.meaning for status in Status)


def summary(report: DeployReport) -> tuple[Status, bool, int]:
    assert DeployReport.from_dict(report.to_dict()) == report
    assert (report.to_dict()["ok"], report.to_dict()["status"]) == (report.ok, report.status)
    if report.ok:
        assert report.raise_for_failure() is report
    else:
        with pytest.raises(DeployFailed):
            report.raise_for_failure()
    return report.status, report.ok, report.exit_code


# One deploy for each row.


async def test_a_deploy_whose_machines_all_run_is_ok() -> None:
    async with world(seed=1) as (_, fly):
        assert summary(await LAUNCH.execute(fly)) == (Status.OK, True, 0)
        assert summary(await ROLLING.execute(fly)) == (Status.OK, True, 0)


async def test_a_region_that_crashes_under_the_default_requirement_degrades_a_deploy_and_comes_first() -> None:
    async with world(seed=1, faults=[CRASH]) as (_, fly):
        report = await LAUNCH.smoke_check(5).execute(fly)
    assert summary(report) == (Status.DEGRADED, False, 7)
    assert [region["region"] for region in report.to_dict()["regions"]] == ["lhr", "iad"]
    (headline, tone), *_ = report.parts()
    assert headline.startswith("web: degraded: 1 of 2 machines run, 1 of 2 regions complete, ")
    assert tone is Tone.CAUTION
    assert str(report).index("v1-lhr-1") < str(report).index("v1-iad-1")
    assert "\n  the requirement (at least one region) is met, but not all machines run in lhr\n" in str(report)
    page = report.to_html()
    assert '<span class="badge warning">! degraded</span>' in page
    assert "The requirement (at least one region) is met, but not all machines run in lhr" in page
    assert page.index("v1-lhr-1") < page.index("v1-iad-1")
    assert report.left_behind == tuple(each.id for each in report.machines if each.asked == "lhr" and each.id)


async def test_a_deploy_that_skipped_a_region_is_ok_if_its_requirement_was_stated() -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
        assert summary(await LAUNCH.execute(fly)) == (Status.DEGRADED, False, 7)
    async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
        report = await LAUNCH.require(1).execute(fly)
        assert summary(report) == (Status.DEGRADED, True, 0)
        assert report.to_html().count('class="badge warning"') == 1


@pytest.mark.parametrize("is_stated", [False, True])
async def test_an_old_machine_that_cannot_be_destroyed_degrades_a_deploy_and_causes_no_rollback(
    is_stated: bool,  # noqa: FBT001 - a parameter
) -> None:
    fewer = ROLLING.count(1).with_image("shop:2").with_launch("v2").roll_back_on_failure()
    fewer = fewer.require("all") if is_stated else fewer
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.count(1, iad=2).execute(fly)).ok
        emulator.faults.add(Fault(does="refuse", action="deleteMachine", status=400, body={"error": "no"}))
        report = await fewer.execute(fly)
        images = {each.image for each in await fly.machines.list("web") if each.id in {m.id for m in report.machines}}
    assert summary(report) == (Status.DEGRADED, is_stated, 0 if is_stated else 7)
    assert (report.rollback, report.running_regions, report.complete_regions) == (None, 2, 1)
    assert len(images) == 1
    (old,) = [each.id for region in report.regions for each in region.retired]
    assert "2 of 2 machines up to date, " in str(report)
    assert "1 of 2 regions complete, " in str(report)
    why = f"surplus machines remain, run the deploy again, or destroy them: {old}"
    assert report.why_degraded == f"the requirement (all regions) is met, but {why}"
    assert f"\n  {report.why_degraded}" in str(report)
    assert why in report.to_html()


async def test_a_requirement_that_is_stated_stays_so_in_a_journal(tmp_path: Any) -> None:
    for number, builder in enumerate((LAUNCH.require(1), LAUNCH)):
        path = tmp_path / f"{number}.jsonl"
        async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
            assert (await builder.with_journal(path).execute(fly)).ok is (number == 0)
            resumed = await DeployBuilder.resumed(path).execute(fly)
        assert summary(resumed) == (Status.DEGRADED, number == 0, 7 * number)


async def test_a_deploy_that_leaves_nothing_serving_has_failed() -> None:
    async with world(seed=1, faults=[Fault(does="crash", seconds=0.1, exit_code=3)]) as (_, fly):
        assert summary(await LAUNCH.smoke_check(5).execute(fly)) == (Status.FAILED, False, 1)


async def test_old_machines_that_serve_after_a_failure_are_the_fleet() -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.count(2).execute(fly)).ok
        emulator.faults.add(CRASHES)
        report = await ROLLING.count(2).with_image("shop:2").with_launch("v2").execute(fly)
        assert summary(report) == (Status.MISSED, False, 3)
        assert report.serving == 3
        assert "machines up to date, 3 serve, " in str(report).splitlines()[0]


async def test_machines_of_an_earlier_launch_are_the_fleet() -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await LAUNCH.execute(fly)).ok
        emulator.set_capacity("iad", 1)
        emulator.set_capacity("lhr", 1)
        report = await LAUNCH.with_launch("v2").execute(fly)
        assert (summary(report), report.serving) == ((Status.MISSED, False, 3), 2)


async def test_a_requirement_that_is_missed_while_new_machines_serve() -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
        assert summary(await LAUNCH.require("all").execute(fly)) == (Status.MISSED, False, 3)


@pytest.mark.parametrize("builder", [LAUNCH, ROLLING])
async def test_a_rollback_comes_before_a_fleet_that_serves(builder: DeployBuilder) -> None:
    undoing = builder.require("all").smoke_check(5).roll_back_on_failure()
    async with world(seed=1, faults=[CRASHES]) as (_, fly):
        assert (await builder.execute(fly)).ok
        report = await undoing.with_image("shop:2").with_launch("v2").execute(fly)
        assert (summary(report), report.serving) == ((Status.ROLLED_BACK, False, 4), 2)


async def test_no_capacity_is_the_cause_where_nothing_was_changed_and_nothing_serves() -> None:
    for builder in (LAUNCH, ROLLING, LAUNCH.require("all").roll_back_on_failure()):
        async with world(seed=1, capacity={"iad": 0, "lhr": 0}) as (emulator, fly):
            assert summary(await builder.execute(fly)) == (Status.NO_CAPACITY, False, 5)
            assert not emulator.world.machines


async def test_a_release_command_that_ran_is_a_change() -> None:
    builder = ROLLING.with_release_command("bin/migrate").with_image("shop:1")
    async with world(seed=1, capacity={"iad": 1, "lhr": 0}) as (_, fly):
        report = await builder.to_regions("lhr", "iad").count(lhr=1, iad=2).execute(fly)
    assert report.release is not None
    assert report.status is not Status.NO_CAPACITY


async def test_a_lock_of_another_deploy_is_raised_and_reported_in_a_bulk_deploy() -> None:
    async with world(seed=1) as (_, fly):
        assert (await ROLLING.execute(fly)).ok
        second = ROLLING.with_image("shop:2").with_launch("v2")
        for machine in await fly.machines.list("web"):
            await fly.leases.acquire("web", machine.id, ttl=600, description="another client")
        with pytest.raises(LeaseHeld):
            await second.execute(fly)
        (report,) = [report async for report in deploy_many(fly, lambda _: second, ["web"])]
        assert summary(report) == (Status.LOCKED, False, 6)


# Precedence, in reports that are made up.


def known(result: Result, *phases: Phase, number: int = 1, **facts: Any) -> MachineReport:
    moments = tuple(Moment(at=0.0, phase=phase, region="iad") for phase in phases)
    return MachineReport(name=f"web-{number}", asked="iad", result=result, moments=moments, **facts)


def reported(*machines: MachineReport, **facts: Any) -> DeployReport:
    region = RegionReport(region="iad", asked=1, machines=machines)
    stated = {"app": "web", "launch": "v1", "image": "shop:1", "require": "all", "needed": 1, "seconds": 1.0}
    return DeployReport(**{**stated, "regions": (region,), **facts})


def retiring(result: Result, *, asked: int = 1, **facts: Any) -> DeployReport:
    staying = tuple(known(Result.RUNNING, number=number) for number in range(asked))
    region = RegionReport(region="iad", asked=asked, machines=staying, retired=(known(result, number=9, id="m9"),))
    return reported(regions=(region,), **facts)


SKIPPED = known(Result.SKIPPED, Phase.CREATING, Phase.MOVING, Phase.SKIPPED)
DESTROYED = known(Result.DESTROYED, Phase.CREATED, Phase.DESTROYED, id="m1")
NO_ROOM = Failure(kind="NoCapacity", message="its host is full")
LOCK = Failure(kind="LeaseHeld", message="another deploy holds it")
REMAIN = "surplus machines remain"
BACK = reported(known(Result.RUNNING))
NOT_BACK = reported(known(Result.FAILED))


@pytest.mark.parametrize(
    ("report", "status"),
    [
        # The state of the fleet comes before the cause.
        (reported(SKIPPED, rollback=BACK, serving=1), Status.ROLLED_BACK),
        (reported(SKIPPED, rollback=NOT_BACK, serving=1), Status.MISSED),
        (reported(SKIPPED, rollback=NOT_BACK), Status.FAILED),
        (reported(SKIPPED, serving=1), Status.MISSED),
        (reported(SKIPPED), Status.NO_CAPACITY),
        (reported(SKIPPED, serving=1, cancelled=True), Status.CANCELLED),
        (reported(known(Result.NOT_BEGUN, failure=LOCK), serving=1), Status.MISSED),
        (reported(known(Result.NOT_BEGUN, failure=LOCK)), Status.LOCKED),
        (reported(known(Result.NOT_BEGUN)), Status.FAILED),
        # What was changed, or may have been, is no mere lack of room.
        (reported(SKIPPED, known(Result.FAILED, Phase.CREATED, Phase.FAILED, id="m1")), Status.FAILED),
        (reported(SKIPPED, known(Result.UNKNOWN, Phase.CREATING)), Status.FAILED),
        (reported(SKIPPED, surplus=("m9",)), Status.FAILED),
        (reported(SKIPPED, stray_volumes=("vol_1",)), Status.FAILED),
        (reported(SKIPPED, release=known(Result.ENDED, Phase.CREATED, Phase.ENDED)), Status.FAILED),
        (reported(known(Result.FAILED, Phase.UPDATING, Phase.FAILED, failure=NO_ROOM)), Status.NO_CAPACITY),
        (reported(known(Result.FAILED, Phase.UPDATING, Phase.FAILED)), Status.FAILED),
        (reported(), Status.FAILED),
        # A launch is rolled back once all that it made is destroyed.
        (reported(DESTROYED, SKIPPED), Status.ROLLED_BACK),
        (reported(DESTROYED, known(Result.RUNNING, id="m2", adopted=True), needed=2), Status.ROLLED_BACK),
        (reported(DESTROYED, known(Result.FAILED, Phase.CREATED, id="m2")), Status.FAILED),
        (reported(DESTROYED, known(Result.UNKNOWN)), Status.FAILED),
        (reported(DESTROYED, surplus=("m9",)), Status.FAILED),
        (reported(DESTROYED, stray_volumes=("vol_1",)), Status.FAILED),
        # What lacks proof is not verified, whether it is complete or not.
        (reported(known(Result.RESTING), unverified=("iad",)), Status.NOT_VERIFIED),
        (reported(SKIPPED, needed=0, unverified=("iad",), require_stated=True), Status.NOT_VERIFIED),
        (reported(SKIPPED, needed=0), Status.DEGRADED),
        (reported(known(Result.OUTSIDE), needed=0), Status.DEGRADED),
        # What should be gone, and machines that stand by, do not count against the requirement.
        (reported(known(Result.RUNNING), surplus=("m9",), serving=2), Status.DEGRADED),
        (reported(known(Result.RUNNING), surplus=("m9",), serving=2, needed=2), Status.MISSED),
        (reported(known(Result.RUNNING), others=(known(Result.FAILED, number=2),), serving=1), Status.DEGRADED),
        (reported(known(Result.RUNNING), others=(known(Result.RESTING, number=2),), serving=1), Status.OK),
        (retiring(Result.FAILED), Status.DEGRADED),
        (retiring(Result.RETIRED), Status.OK),
        (retiring(Result.FAILED, asked=0, needed=0), Status.DEGRADED),
        (retiring(Result.FAILED, asked=0, needed=0, require_stated=True), Status.DEGRADED),
        (retiring(Result.RETIRED, asked=0, needed=0), Status.OK),
    ],
)
def test_the_state_of_the_fleet_takes_precedence_over_the_cause(report: DeployReport, status: Status) -> None:
    assert report.status is status


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (reported(SKIPPED, needed=0), "not all machines run in iad"),
        (
            reported(known(Result.RUNNING), others=(known(Result.FAILED, number=2),)),
            "these standby or scheduled machines are not as desired: web-2",
        ),
        (retiring(Result.FAILED, strategy="rolling"), f"{REMAIN}, run the deploy again, or destroy them: m9"),
        (reported(known(Result.RUNNING), surplus=("m8", "m9")), f"{REMAIN}, destroy them: m8, m9"),
        (
            reported(SKIPPED, needed=0, surplus=("m9",)),
            f"not all machines run in iad, and {REMAIN}, destroy them: m9",
        ),
    ],
)
def test_a_degraded_report_names_what_is_not_as_desired(report: DeployReport, why: str) -> None:
    assert report.why_degraded == f"the requirement (all) is met, but {why}"
    assert report.why_degraded in str(report)
