"""The report: what it tells of a machine that came through after all, and of volumes that nobody holds."""

from typing import Any

from attrs import evolve

from flyasync import DeployBuilder, DeployReport, Event, Fault, Machine, Phase, Progress, Result
from flyasync.deploy.reporting.report import MachineReport
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.errors import WaitFailed
from flyasync.models.config import Mount
from tests.deploy.conftest import world

WANTED = DeployBuilder("web").to_regions("iad").with_image("shop:1").with_launch("v1").smoke_check(0).rolling()
VOLUME = WANTED.with_volume("data", "/data")
REFUSED = Fault(does="refuse", action="createMachine", status=403, body={"error": "forbidden"})
LATE = WaitFailed("web", "m1", wanted="healthy", state="started", reason="it was not within 5 s", hopeless=False)


def told(run: MachineRun, machine: Machine | None) -> DeployReport:
    seen = (machine,) if machine else ()
    return DeployReport.of(WANTED.deployment(), Observation(runs=(run,), seen=seen), seconds=1.0, strategy="rolling")


def ran(**known: Any) -> tuple[MachineRun, Machine]:
    spec = WANTED.deployment()
    (wanted,) = spec.machines("iad")
    machine = Machine(id="m1", name=wanted.name, state="started", region="iad", config=spec.tagged)
    return MachineRun(wanted=wanted, region="iad", config=spec.tagged, machine=machine, **known), machine


def test_a_machine_that_runs_after_all_shows_no_trouble_from_on_the_way() -> None:
    run, machine = ran(error=LATE, exit="exit code 1", logs=("oh no",))
    (up,) = told(run, machine).machines
    assert (up.result, up.exit, up.logs) == (Result.RUNNING, None, ())
    (down,) = told(run, evolve(machine, state="failed")).machines
    assert (down.result, down.exit, down.logs) == (Result.FAILED, "exit code 1", ("oh no",))


def test_a_volume_is_loose_while_the_machine_that_it_was_made_for_does_not_hold_it() -> None:
    run, machine = ran(made_volumes=["vol_1", "vol_2"])
    assert machine.config is not None
    holding = evolve(machine, config=evolve(machine.config, mounts=(Mount(volume="vol_1", path="/data"),)))
    unknown = evolve(machine, config=None, host_status="unreachable")
    assert told(run, holding).loose_volumes == ("vol_2",)
    assert told(run, unknown).loose_volumes == ()
    run.machine = None
    assert told(run, None).loose_volumes == ("vol_1", "vol_2")


async def test_a_volume_whose_machine_was_refused_is_told() -> None:
    async with world(seed=1, faults=[REFUSED]) as (_, fly):
        report = await VOLUME.execute(fly)
        (volume,) = await fly.volumes.list("web")
    assert report.machines[0].volumes == report.loose_volumes == (volume.id,)
    assert f"made and held by no machine, to use or to delete: volumes {volume.id}" in str(report)
    assert report.to_html().count(volume.id) == 2  # among the remarks, and in the report as text
    assert DeployReport.from_dict(report.to_dict()) == report


async def test_a_volume_that_is_held_is_not_told() -> None:
    async with world(seed=1) as (_, fly):
        report = await VOLUME.execute(fly)
    assert report.ok
    assert report.loose_volumes == ()
    assert "held by no machine" not in str(report)


async def test_a_volume_that_a_rollback_took_away_is_not_told() -> None:
    async with world(seed=1, faults=[REFUSED]) as (_, fly):
        report = await VOLUME.roll_back_on_failure().execute(fly)
        assert not await fly.volumes.list("web")
    assert report.rollback is not None
    assert report.loose_volumes == ()
    assert "held by no machine" not in str(report)


def test_what_an_app_printed_drives_no_terminal_and_passes_for_no_line_of_the_report() -> None:
    report = MachineReport(
        name="v1-iad-1\u202e", asked="iad", result=Result.FAILED, logs=("\x1b[2Jevil\x07", "two\n  v1-lhr-1  running\r")
    )
    assert str(report) == "v1-iad-1  failed\n  | evil\n  | two\n  |   v1-lhr-1  running"


async def test_a_volume_that_a_request_delivered_twice_has_made_is_named() -> None:
    async with world(seed=1, faults=[Fault(does="repeat", action="createVolume", times=1)]) as (_, fly):
        report = await VOLUME.execute(fly)
        (loose,) = [volume.id for volume in await fly.volumes.list("web") if volume.is_free]
    assert report.stray_volumes == report.loose_volumes == (loose,)
    assert f"held by no machine, to use or to delete: volumes {loose}" in str(report)
    assert DeployReport.from_dict(report.to_dict()) == report


async def test_what_ended_a_deploy_is_told_though_its_machine_runs() -> None:
    app = WANTED.count(2).smoke_check(5)
    async with world(seed=1) as (emulator, fly):
        assert (await app.execute(fly)).ok

        def refuse(event: Event) -> None:
            if isinstance(event, Progress) and event.phase is Phase.WATCHING:
                emulator.faults.add(Fault(does="refuse", action="getMachine", status=403, times=1))

        report = await app.with_image("shop:2").with_launch("v2").on_event(refuse).execute(fly)
    assert [each.result for each in report.machines] == [Result.RUNNING, Result.NOT_BEGUN]
    assert report.closed_by is not None
    assert (report.closed_by.name, report.closed_by.failure.status) == ("app-iad-1", 403)
    assert "no further machine was begun after app-iad-1 in iad: machines.get" in str(report)
    assert report.to_dict()["closed_by"]["failure"]["status"] == 403
    assert "No further machine was begun after app-iad-1" in report.to_html()
