"""The report: machines that recover, volumes that no machine holds, and the text in parts."""

from typing import Any

import pytest
from attrs import evolve

from flyasync import DeployBuilder, DeployReport, Event, Fault, Machine, Phase, Progress, RegionReport, Result, Status
from flyasync.deploy.plan.plan import Target
from flyasync.deploy.reporting.report import MachineReport
from flyasync.deploy.reporting.result import Failure
from flyasync.deploy.reporting.run_state import MachineRun, Observation
from flyasync.deploy.reporting.styles import Tone
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
    return MachineRun(desired=wanted, region="iad", config=spec.tagged, machine=machine, **known), machine


def test_a_machine_that_runs_after_all_shows_no_trouble_from_on_the_way() -> None:
    run, machine = ran(error=LATE, exit="exit code 1", logs=("oh no",))
    (up,) = told(run, machine).machines
    assert (up.result, up.exit, up.logs) == (Result.RUNNING, None, ())
    (down,) = told(run, evolve(machine, state="failed")).machines
    assert (down.result, down.exit, down.logs) == (Result.FAILED, "exit code 1", ("oh no",))


def test_a_volume_is_loose_while_the_machine_that_it_was_made_for_does_not_hold_it() -> None:
    run, machine = ran(made_volumes=("vol_1", "vol_2"))
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
    assert f"created, but not attached to a machine; use or delete them: volumes {volume.id}" in str(report)
    assert report.to_html().count(volume.id) == 2  # among the remarks, and in the report as text
    assert DeployReport.from_dict(report.to_dict()) == report


async def test_a_volume_that_is_held_is_not_told() -> None:
    async with world(seed=1) as (_, fly):
        report = await VOLUME.execute(fly)
    assert report.ok
    assert report.loose_volumes == ()
    assert "not attached to a machine" not in str(report)


async def test_a_volume_that_a_rollback_took_away_is_not_told() -> None:
    async with world(seed=1, faults=[REFUSED]) as (_, fly):
        report = await VOLUME.roll_back_on_failure().execute(fly)
        assert not await fly.volumes.list("web")
    assert report.rollback is not None
    assert report.loose_volumes == ()
    assert "not attached to a machine" not in str(report)


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
    assert f"not attached to a machine; use or delete them: volumes {loose}" in str(report)
    assert DeployReport.from_dict(report.to_dict()) == report


async def test_what_ended_a_deploy_is_told_though_its_machine_runs() -> None:
    app = WANTED.count(2).smoke_check(5)
    async with world(seed=1) as (emulator, fly):
        assert (await app.execute(fly)).ok

        def refuse(event: Event) -> None:
            if isinstance(event, Progress) and event.phase is Phase.WATCHING:
                emulator.faults.add(Fault(does="refuse", action="getMachine", status=403, times=1))

        report = await app.with_image("shop:2").with_launch("v2").on_event(refuse).execute(fly)
    assert [each.result for each in report.machines] == [Result.NOT_BEGUN, Result.RUNNING]
    assert report.closed_by is not None
    assert (report.closed_by.name, report.closed_by.failure.status) == ("app-iad-1", 403)
    assert "stopped after the failure of app-iad-1 in iad: machines.get" in str(report)
    assert report.to_dict()["closed_by"]["failure"]["status"] == 403
    assert "Stopped after the failure of app-iad-1" in report.to_html()


# Its text, in parts.

TONES = {
    Result.RUNNING: Tone.GOOD,
    Result.RESTING: Tone.GOOD,
    Result.OUTSIDE: Tone.CAUTION,
    Result.RETIRED: Tone.GOOD,
    Result.ENDED: Tone.PLAIN,
    Result.SKIPPED: Tone.CAUTION,
    Result.FAILED: Tone.BAD,
    Result.UNKNOWN: Tone.BAD,
    Result.NOT_BEGUN: Tone.CAUTION,
    Result.NOT_AWAITED: Tone.PLAIN,
    Result.DESTROYED: Tone.CAUTION,
    Result.RESTORED: Tone.CAUTION,
}


def reported(*machines: MachineReport, **known: Any) -> DeployReport:
    region = RegionReport(region="iad", asked=len(machines), machines=machines)
    told = {"app": "web", "launch": "v1", "image": "shop:1", "require": "all", "needed": 1, "seconds": 1.0}
    return DeployReport(**{**told, "regions": (region,), **known})


def toned(report: DeployReport) -> list[tuple[str, Tone]]:
    return [(text, tone) for text, tone in report.parts() if tone is not Tone.PLAIN]


@pytest.mark.parametrize("result", Result)
def test_the_parts_of_a_report_are_its_text_and_a_result_has_its_tone(result: Result) -> None:
    report = reported(MachineReport(name="web-1", asked="iad", result=result))
    assert "".join(text for text, _ in report.parts()) == str(report)
    assert [tone for text, tone in report.parts() if text == result] == [TONES[result]]


def test_what_a_machine_logs_has_no_tone_whatever_it_says() -> None:
    loud = MachineReport(name="web-1", asked="iad", result=Result.RUNNING, logs=("db  failed", "  left behind"))
    headline, *rest = toned(reported(loud))
    assert headline == (str(reported(loud)).splitlines()[0], Tone.GOOD)
    assert rest == [("running", Tone.GOOD)]


def test_what_needs_a_hand_has_a_tone_and_a_rollback_has_that_of_its_end() -> None:
    lost = MachineReport(name="web-1", asked="iad", result=Result.FAILED, id="m1")
    report = reported(lost, surplus=("m2",), rollback=reported())
    assert [tone for _, tone in toned(report)[:1]] == [Tone.BAD]
    words = dict(toned(report)[1:-1])
    assert words == {
        "failed": Tone.BAD,
        "surplus machines": Tone.BAD,
        "left behind": Tone.CAUTION,
        "rolled back incompletely": Tone.BAD,
    }
    whole = reported(lost, rollback=reported(needed=0))
    assert ("rolled back", Tone.GOOD) in toned(whole)


@pytest.mark.parametrize(
    ("known", "status", "tone"),
    [
        ({"regions": (), "needed": 0}, Status.OK, Tone.GOOD),
        ({"needed": 0}, Status.DEGRADED, Tone.CAUTION),
        ({"needed": 0, "unverified": ("iad",)}, Status.NOT_VERIFIED, Tone.BAD),
        ({"cancelled": True}, Status.CANCELLED, Tone.BAD),
        ({}, Status.NO_CAPACITY, Tone.BAD),
        ({"surplus": ("m9",)}, Status.FAILED, Tone.BAD),
    ],
)
def test_the_headline_has_the_tone_of_the_status(known: dict[str, Any], status: Status, tone: Tone) -> None:
    report = reported(MachineReport(name="web-1", asked="iad", result=Result.SKIPPED), **known)
    (headline, found), *_ = report.parts()
    assert (report.status, found) == (status, tone)
    assert headline.startswith(f"web: {status}: 0 of {len(report.machines)} machines run")


# What counts.


def known(number: int, result: Result = Result.RUNNING, **facts: Any) -> MachineReport:
    return MachineReport(**{"name": f"web-{number}", "asked": "iad", "result": result, "id": f"m{number}", **facts})


def test_a_report_is_ok_only_if_nothing_is_there_that_should_not_be_and_all_is_that_should() -> None:
    up = known(1)
    leaving = RegionReport(region="lhr", asked=0, machines=(), retired=(known(2, Result.FAILED),))
    staying = RegionReport(region="iad", asked=1, machines=(up,))
    assert reported(up).ok
    assert not reported(up, surplus=("m9",)).ok
    assert not reported(up, others=(known(3, Result.FAILED),)).ok
    assert reported(up, others=(known(3, Result.RESTING),)).ok
    assert not reported(up, regions=(staying, leaving)).ok
    gone = evolve(leaving, retired=(known(2, Result.RETIRED),))
    assert reported(up, regions=(staying, gone)).ok


def test_what_could_not_be_seen_is_not_known_to_be_missed() -> None:
    down = reported(known(1, Result.FAILED))
    assert down.is_missed
    assert not evolve(down, unseen=Failure(kind="ServerFault", message="the list is down")).is_missed
    assert not reported(known(1)).is_missed


def test_what_is_left_behind_is_what_a_deploy_made_in_vain() -> None:
    made = (
        known(1),
        known(2, Result.FAILED),
        known(3, Result.FAILED, adopted=True),
        known(4, Result.FAILED, gone=True),
        known(5, Result.DESTROYED),
        known(6, Result.NOT_BEGUN, id=None),
    )
    assert reported(*made, surplus=("m9",), strategy="rolling").left_behind == ("m2", "m9")
    assert reported(*made, surplus=("m9",)).left_behind == ("m1", "m2", "m3", "m9")


def test_volumes_are_loose_unless_a_rollback_has_taken_them_all_away() -> None:
    lost = known(1, Result.FAILED, volumes=("vol_1",))
    assert reported(lost, rollback=reported(needed=2)).loose_volumes == ("vol_1",)
    assert reported(lost, rollback=reported(needed=0), stray_volumes=("vol_2",)).loose_volumes == ("vol_2",)


def test_how_to_go_on_is_told_unless_a_rollback_has_gone_back() -> None:
    unbegun = known(1, Result.NOT_BEGUN, id=None)
    assert "to continue, run the same deploy again" in str(reported(unbegun, strategy="rolling"))
    assert "to continue, run the same launch again (v1)" in str(reported(unbegun))
    assert "again" not in str(reported(unbegun, rollback=reported(needed=0)))
    assert "again" not in str(reported(known(1, Result.FAILED)))


def test_a_machine_beside_another_is_told_there_or_as_surplus() -> None:
    run, first = ran(beside=("m2",))
    second = evolve(first, id="m2")
    seen = Observation(runs=(run,), seen=(first, second))
    for observation, beside, surplus in (
        (evolve(seen, left_alone=frozenset({"m2"})), ("m2",), ()),
        (seen, (), ("m2",)),
    ):
        report = DeployReport.of(WANTED.deployment(), observation, seconds=1.0, strategy="rolling")
        assert (report.machines[0].beside, report.surplus) == (beside, surplus)


def test_a_machine_is_gone_only_if_there_was_one() -> None:
    run, _ = ran(error=LATE)
    assert told(run, None).machines[0].gone
    run.machine = None
    assert not told(run, None).machines[0].gone


def test_a_region_is_unverified_if_what_was_changed_there_was_not_seen_up_and_none_of_the_group_runs() -> None:
    spec = WANTED.to_regions("iad", "lhr", "nrt").deployment()
    runs, machines = [], []
    for number, region in enumerate(spec.regions):
        (desired,) = spec.machines(region)
        machine = Machine(id=f"m{number}", name=desired.name, state="stopped", region=region, config=spec.tagged)
        run = MachineRun(desired=desired, region=region, config=spec.tagged, machine=machine, target=Target.REST)
        runs.append(run)
        machines.append(machine)
    runs[0].taken = 1  # changed
    runs[1].taken, runs[1].checked_from = 1, 5.0  # changed, and seen up

    def unverified(**options: Any) -> tuple[str, ...]:
        observation = Observation(runs=tuple(runs), seen=tuple(machines))
        return DeployReport.of(spec, observation, seconds=1.0, **{"strategy": "rolling", **options}).unverified

    assert unverified() == ("iad",)
    assert unverified(strategy="undo") == unverified(strategy=None) == ()
    machines[2] = evolve(machines[2], state="started")
    assert unverified() == ()
