"""A deploy on the emulator, over real sockets and virtual time."""

import asyncio
import json
import re
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    Check,
    ConnectFailed,
    DeployBuilder,
    DeployFailed,
    DeployReport,
    Event,
    Fault,
    Finished,
    FlyClient,
    InvalidInput,
    MachineConfig,
    NotFound,
    Phase,
    Planned,
    Progress,
    Result,
    Scope,
    Unauthorized,
)
from flyasync.models.image import without_digest
from tests.deploy.conftest import tag, total, world
from tests.deploy.relay import relayed

QUOTA = Fault(
    does="refuse",
    action="createMachine",
    region="lhr",
    status=403,
    body={"error": 'organization "X" is using 9 MB of memory in lhr which is over the allowed quota.'},
)
HOST_FULL = Fault(
    does="refuse",
    action="createMachine",
    region="lhr",
    status=409,
    body={"error": "aborted: insufficient memory available to fulfill request"},
)


async def test_one_image_runs_in_every_region(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        report = await base.execute(fly)
        machines = await fly.machines.list("web")
    assert report.ok
    assert {(machine.name, machine.region, machine.state) for machine in machines} == {
        (f"v1-{region}-1", region, "started") for region in ("iad", "lhr", "nrt")
    }
    assert {machine.id for machine in report.running} == {machine.id for machine in machines}
    for machine in report.running:
        assert machine.host == f"{machine.id}.vm.web.internal"
        assert machine.created_after is not None
        assert machine.ready_after is not None
        assert machine.created_after < machine.ready_after <= report.seconds
    assert not emulator.refused_by_limit()


async def test_three_machines_cost_three_creates_three_waits_and_two_lists(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        await base.execute(fly)
        counts = {action: total(emulator, action) for action, _ in emulator.counts()}
    assert counts == {
        "createApp": 1, "getRegions": 1, "createMachine": 3, "waitMachine": 3, "listMachines": 2,
        "graphql": 1, "listSecrets": 1,
    }  # fmt: skip


async def test_the_report_survives_json(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0}, faults=[Fault(does="crash", region="nrt")]) as (_, fly):
        report = await base.execute(fly)
    written = json.loads(json.dumps(report.to_dict()))
    assert written["ok"] is report.ok
    assert DeployReport.from_dict(written) == report


async def test_other_machines_of_the_app_are_not_touched(base: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        other = await fly.machines.create("web", MachineConfig(image="old"), name="other", region="iad")
        await fly.machines.wait("web", other.id)
        before = await fly.machines.get("web", other.id)
        await base.require("all").roll_back_on_failure().execute(fly)
        assert await fly.machines.get("web", other.id) == before


async def test_the_same_launch_again_changes_nothing(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        first = await base.execute(fly)
        creates = total(emulator, "createMachine")
        plan = await base.plan(fly)
        second = await base.execute(fly)
    assert plan.creates == 0
    assert total(emulator, "createMachine") == creates
    assert second.ok
    assert {machine.id for machine in second.running} == {machine.id for machine in first.running}
    assert all(machine.adopted for machine in second.running)


async def test_another_launch_makes_machines_of_its_own(base: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        first, second = await base.execute(fly), await base.with_launch("v2").execute(fly)
        assert len(await fly.machines.list("web")) == 6
    assert not {machine.id for machine in first.running} & {machine.id for machine in second.running}


async def test_a_launch_is_completed_where_machines_are_missing(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        first = await base.execute(fly)
        await fly.machines.delete("web", first.machines[0].id or "", force=True)
        await fly.machines.wait("web", first.machines[0].id or "", state="destroyed")
        await fly.machines.stop("web", first.machines[1].id or "")
        await fly.machines.wait("web", first.machines[1].id or "", state="stopped")
        await asyncio.sleep(10)
        second = await base.execute(fly)
    assert second.ok
    assert len(second.running) == 3
    assert total(emulator, "createMachine") == 4
    assert total(emulator, "startMachine") == 1


FIVE = ("iad", "lhr", "nrt", "syd", "fra")
WORDS = "could not find a candidate host"


@pytest.mark.parametrize(
    ("fallback", "places"),
    [
        (("skip",), {}),
        (("lhr", "ewr", "ord"), {"lhr": "ewr", "fra": "ewr"}),
        (("nearest",), {"lhr": "cdg", "fra": "ams"}),
    ],
)
async def test_two_full_regions_of_five_are_skipped_or_replaced_as_asked(
    base: DeployBuilder, fallback: tuple[str, ...], places: dict[str, str]
) -> None:
    async with world(seed=1, capacity={"lhr": 0, "fra": 0}) as (_, fly):
        report = await base.to_regions(*FIVE).fallback(*fallback).execute(fly)
    assert report.status == ("ok" if places else "degraded")
    assert report.running_regions == 3 + len(places)
    for machine in report.machines:
        if machine.asked not in {"lhr", "fra"}:
            assert machine.result is Result.RUNNING
            assert not machine.refusals
            continue
        assert machine.region == places.get(machine.asked)
        assert machine.result is (Result.RUNNING if places else Result.SKIPPED)
        refusal = machine.refusals[0]
        assert (refusal.region, refusal.scope, refusal.code) == (machine.asked, Scope.REGION, "insufficient_capacity")
        assert refusal.message == WORDS
        assert refusal.request_id
    assert str(report).count(WORDS) >= 2


async def test_a_region_that_turned_one_machine_away_is_not_asked_for_its_siblings(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (emulator, fly):
        report = await base.to_regions("lhr").count(4).fallback("lhr", "cdg").execute(fly)
    assert len(report.running) == 4
    assert total(emulator, "createMachine") == 1 + 4
    assert all(machine.refusals[0].message == WORDS for machine in report.machines)


async def test_a_region_with_room_for_some_takes_these_and_sends_the_others_on(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 2}) as (_, fly):
        report = await base.to_regions("lhr").count(3).fallback("nearest").execute(fly)
    assert report.ok
    assert sorted(machine.region or "" for machine in report.running) == ["cdg", "lhr", "lhr"]


async def test_a_full_host_is_tried_again_in_the_same_region(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(evolve(HOST_FULL, times=2))
        report = await base.fallback("ewr").execute(fly)
    (lhr,) = (machine for machine in report.machines if machine.asked == "lhr")
    assert (lhr.result, lhr.region) == (Result.RUNNING, "lhr")
    assert [refusal.scope for refusal in lhr.refusals] == [Scope.HOST, Scope.HOST]


@pytest.mark.parametrize(("fault", "scope"), [(QUOTA, Scope.QUOTA), (HOST_FULL, Scope.HOST)])
async def test_every_scope_of_no_room_in_a_region_moves_the_machine(
    base: DeployBuilder, fault: Fault, scope: Scope
) -> None:
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(fault)
        report = await base.fallback("ewr").execute(fly)
    (lhr,) = (machine for machine in report.machines if machine.asked == "lhr")
    assert (lhr.result, lhr.region, lhr.refusals[-1].scope) == (Result.RUNNING, "ewr", scope)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, {"error": "To create more than 1 machine per app please add a payment method."}),
        (400, {"error": "image not found"}),
        (403, {"error": "unauthorized"}),
        (412, {"error": "insufficient resources", "status": "volume_placement_capacity"}),
    ],
)
async def test_no_other_refusal_moves_a_machine(base: DeployBuilder, status: int, body: dict[str, str]) -> None:
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(Fault(does="refuse", action="createMachine", region="lhr", status=status, body=body))
        report = await base.fallback("ewr").require("all").execute(fly)
    (lhr,) = (machine for machine in report.machines if machine.asked == "lhr")
    assert lhr.region is None
    assert lhr.result in {Result.FAILED, Result.SKIPPED}
    assert body["error"] in str(report)
    assert not report.ok


async def test_a_machine_is_waited_for_beyond_a_minute(base: DeployBuilder) -> None:
    async with world(seed=1, boot=(170, 170)) as (emulator, fly):
        report = await base.execute(fly)
    assert report.ok
    assert 170 <= report.seconds < 175
    assert 3 * 5 <= total(emulator, "waitMachine") <= 3 * 7


async def test_a_machine_that_never_starts_fails_after_its_time(base: DeployBuilder) -> None:
    async with world(seed=1, faults=[Fault(does="stay_starting", region="lhr")]) as (_, fly):
        report = await base.wait_for("started", timeout=90).require("all").execute(fly)
    (lhr,) = (machine for machine in report.machines if machine.asked == "lhr")
    assert not report.ok
    assert (lhr.result, lhr.state) == (Result.FAILED, "starting")
    assert "not within" in str(lhr.failure)
    assert 90 <= report.seconds < 95


@pytest.mark.parametrize(
    ("does", "words"), [("crash", "exit code 1"), ("fail", "it has failed"), ("launch_fail", "it no longer exists")]
)
async def test_a_machine_that_cannot_start_any_more_is_noticed_within_seconds(
    base: DeployBuilder, does: str, words: str
) -> None:
    builder = base.with_config(MachineConfig(image="nginx", restart=None)).require("all")
    async with world(seed=1, faults=[Fault(does=does, region="lhr")]) as (_, fly):
        report = await builder.execute(fly)
    (lhr,) = (machine for machine in report.machines if machine.asked == "lhr")
    assert lhr.result is Result.FAILED
    assert words in str(lhr.failure) or lhr.state in {"stopped", "starting"}
    assert report.seconds < 30


CHECKED = Check(type="http", port=8080, path="/up", interval=10, timeout=2)


async def test_checks_are_waited_for_where_the_config_has_some(base: DeployBuilder) -> None:
    events: list[Event] = []
    async with world(seed=1) as (_, fly):
        report = await base.with_check("up", CHECKED).on_event(events.append).execute(fly)
        machines = await fly.machines.list("web")
    assert report.ok
    assert all(machine.is_healthy for machine in machines)
    phases = [event.phase for event in events if isinstance(event, Progress) and event.asked == "iad"]
    assert phases == [
        Phase.CREATING, Phase.CREATED, Phase.STARTING, Phase.STARTED, Phase.CHECKING, Phase.HEALTHY,
    ]  # fmt: skip


async def test_a_create_that_waits_for_the_limit_is_queued_for_as_long_as_expected_and_then_creating(
    base: DeployBuilder,
) -> None:
    events: list[Event] = []
    async with world(seed=1) as (_, fly):
        report = await base.count(6).on_event(events.append).execute(fly)
    assert report.ok
    by_name: dict[str, list[Progress]] = {}
    for event in events:
        if isinstance(event, Progress):
            by_name.setdefault(event.name, []).append(event)
    ways = [[event.phase for event in way[: [e.phase for e in way].index(Phase.CREATED)]] for way in by_name.values()]
    assert [Phase.CREATING] in ways
    queued = [way for way in by_name.values() if way[0].phase is Phase.QUEUED]
    assert len(queued) == len([way for way in ways if way == [Phase.QUEUED, Phase.CREATING]]) > 10
    for first, then, *_ in queued:
        told = re.fullmatch(r"behind the create limit \((\d+) s\)", first.detail or "")
        if told is None:
            assert first.detail == f"behind another create in {first.region}"
        else:
            assert then.at - first.at == pytest.approx(int(told[1]), abs=1.5)
    assert max(then.at - first.at for first, then, *_ in queued) > 10


async def test_checks_that_never_pass_fail_the_machine(base: DeployBuilder) -> None:
    async with world(seed=1, faults=[Fault(does="checks_never_pass", region="lhr")]) as (_, fly):
        report = await base.with_check("up", CHECKED).wait_for("healthy", timeout=60).require("all").execute(fly)
    (lhr,) = (machine for machine in report.machines if machine.asked == "lhr")
    assert (lhr.result, lhr.state) == (Result.FAILED, "started")
    assert report.running_regions == 2


async def test_machines_of_an_earlier_run_are_told_as_adopted(base: DeployBuilder) -> None:
    events: list[Event] = []
    async with world(seed=1) as (_, fly):
        await base.execute(fly)
        await base.to_regions("iad").on_event(events.append).execute(fly)
    phases = [event.phase for event in events if isinstance(event, Progress)]
    assert phases == [Phase.ADOPTED, Phase.STARTING, Phase.STARTED]


async def test_nothing_is_waited_for_when_so_asked(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        report = await base.wait_for(None).execute(fly)
    assert report.ok
    assert total(emulator, "waitMachine") == 0


async def test_a_missed_requirement_leaves_machines_up_and_says_which(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
        report = await base.require("all").execute(fly)
        assert len(await fly.machines.list("web")) == 2
    assert not report.ok
    with pytest.raises(DeployFailed) as caught:
        report.raise_for_failure()
    assert caught.value.report is report
    for machine in report.running:
        assert f"left behind, keep or destroy them: {', '.join(report.left_behind)}" in str(caught.value)
        assert machine.id in report.left_behind


async def test_a_rollback_destroys_exactly_what_the_deploy_made(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
        earlier = await base.to_regions("iad").execute(fly)
        other = await fly.machines.create("web", MachineConfig(image="old"), name="other", region="iad")
        report = await base.count(2).require("all").roll_back_on_failure().execute(fly)
        left = {machine.id for machine in await fly.machines.list("web") if machine.state != "destroying"}
    assert not report.ok
    assert left == {other.id, earlier.machines[0].id}
    assert [machine.result for machine in report.machines].count(Result.DESTROYED) == 3
    assert report.left_behind == (earlier.machines[0].id,)


async def test_a_rollback_that_meets_its_requirement_destroys_nothing(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (emulator, fly):
        report = await base.roll_back_on_failure().execute(fly)
    assert (report.status, report.rollback) == ("degraded", None)
    assert total(emulator, "deleteMachine") == 0


async def test_a_deploy_with_nothing_running_is_never_ok(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0, "iad": 0, "nrt": 0}) as (_, fly):
        report = await base.execute(fly)
    assert not report.ok
    assert not report.running


async def test_an_app_that_is_not_there_is_said_before_anything_happens(base: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        with pytest.raises(NotFound, match="app not found"):
            await base.for_app("nobody").execute(fly)


async def test_a_bad_token_is_said_before_anything_happens(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, _), FlyClient("invalid", base_url=emulator.url) as fly:
        with pytest.raises(Unauthorized):
            await base.execute(fly)


async def test_what_is_seen_last_counts(base: DeployBuilder) -> None:
    """Another client destroys a machine after it was started: the report does not call it running."""

    async def sabotage(event: Progress) -> None:
        await fly.machines.delete("web", event.machine_id or "", force=True)

    deeds: list[asyncio.Task[None]] = []

    def onlooker(event: Event) -> None:
        if isinstance(event, Progress) and event.phase is Phase.STARTED and event.asked == "iad":
            deeds.append(asyncio.ensure_future(sabotage(event)))

    async with world(seed=1, boot=(2, 2)) as (_, fly):
        report = await base.require("all").on_event(onlooker).execute(fly)
        await asyncio.gather(*deeds)
    (iad,) = (machine for machine in report.machines if machine.asked == "iad")
    assert iad.result is Result.FAILED
    assert not report.ok


async def test_what_could_not_be_looked_at_is_not_called_running(base: DeployBuilder) -> None:
    blind = Fault(does="refuse", action="listMachines", after=1, status=401, body={"error": "no"})
    async with world(seed=1, faults=[blind]) as (_, fly):
        report = await base.execute(fly)
    assert not report.ok
    assert {machine.result for machine in report.machines} == {Result.UNKNOWN}
    assert all(machine.id for machine in report.machines)
    assert "the final check is incomplete" in str(report)


async def test_trouble_on_the_way_to_a_running_machine_is_forgiven(base: DeployBuilder) -> None:
    faults = [
        Fault(does="refuse", action="waitMachine", probability=0.5, status=502),
        Fault(does="cut", action="waitMachine", probability=0.3),
        Fault(does="refuse", action="createMachine", probability=0.3, status=503),
        Fault(does="refuse", action="listMachines", probability=0.3, status=500),
    ]
    for seed in range(10):
        async with world(seed=seed, faults=faults) as (_, fly):
            report = await base.require("all").execute(fly)
            assert report.ok, str(report)
            assert len(await fly.machines.list("web")) == 3


async def test_an_onlooker_that_fails_changes_nothing(base: DeployBuilder) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(str(event))

    async with world(seed=1) as (_, fly):
        assert (await base.on_event(broken).execute(fly)).ok


async def test_a_stream_gives_every_event_and_ends_with_the_report(base: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        events = [event async for event in base.stream(fly)]
    assert isinstance(events[0], Planned)
    assert isinstance(events[-1], Finished)
    assert events[-1].report.ok
    assert [event.at for event in events] == sorted(event.at for event in events)


async def test_a_stream_raises_what_the_deploy_raises(base: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        with pytest.raises(NotFound):
            _ = [event async for event in base.for_app("nobody").stream(fly)]


async def test_a_silent_network_is_said_before_anything_happens(base: DeployBuilder) -> None:
    async with FlyClient("fm2_x", base_url="http://127.0.0.1:9") as fly:
        with pytest.raises(ConnectFailed):
            await base.execute(fly)


async def test_a_region_that_fly_does_not_have_is_refused_before_anything_happens(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        with pytest.raises(InvalidInput, match=r"'lrh' is not a region of Fly\.io: did you mean 'lhr'"):
            await base.to_regions("iad", "lrh").execute(fly)
        with pytest.raises(InvalidInput, match="'zzz' is not a region"):
            await base.fallback("zzz").plan(fly)
        assert total(emulator, "createMachine") == 0
        assert total(emulator, "getRegions") == 1  # the map is read once for all deploys of a client


async def test_a_token_that_may_not_see_the_map_deploys_all_the_same(base: DeployBuilder) -> None:
    async with world(seed=1, faults=[Fault(does="refuse", action="getRegions", status=403)]) as (_, fly):
        assert (await base.require("all").execute(fly)).ok


async def test_a_launch_with_another_config_is_refused(base: DeployBuilder) -> None:
    async with world(seed=1) as (emulator, fly):
        await base.execute(fly)
        with pytest.raises(InvalidInput, match=r"was created with another config: v1-iad-1 runs nginx@sha256:\w+;"):
            await base.with_image("nginx:2").execute(fly)
        assert total(emulator, "createMachine") == 3


async def test_a_machine_on_its_way_out_is_not_adopted_but_made_again(base: DeployBuilder) -> None:
    async with world(seed=1) as (_, fly):
        first = await base.execute(fly)
        await fly.machines.delete("web", first.machines[0].id or "", force=True)
        second = await base.require("all").execute(fly)
    assert second.ok
    assert second.machines[0].id != first.machines[0].id
    assert first.machines[0].id not in second.left_behind


@pytest.mark.parametrize("seed", range(10))
async def test_a_rollback_spares_what_another_deployer_of_the_launch_made(base: DeployBuilder, seed: int) -> None:
    """Who makes which machine is a matter of luck; what the one destroys is what it made itself."""
    async with world(seed=seed, latency=(0.02, 0.25), capacity={"nrt": 0}) as (emulator, fly):
        one = base.to_regions("iad", "lhr")
        other = base.require("all").roll_back_on_failure()
        async with FlyClient(emulator.token, base_url=emulator.url) as elsewhere:
            kept, missed = await asyncio.gather(one.execute(fly), other.execute(elsewhere))
        there = {machine.id for machine in await fly.machines.list("web") if machine.state != "destroying"}
    assert not missed.ok
    assert there == {machine.id for machine in kept.machines if machine.id and not machine.adopted}
    assert all(machine.result is not Result.DESTROYED for machine in missed.machines if machine.adopted)


async def test_nothing_is_rolled_back_by_a_deployer_that_cannot_see(base: DeployBuilder) -> None:
    blind = Fault(does="refuse", action="listMachines", after=1, status=503)
    async with world(seed=1) as (emulator, fly):
        emulator.faults.add(blind)
        report = await base.roll_back_on_failure().execute(fly)
        emulator.faults.clear()
        assert not report.ok
        assert len(await fly.machines.list("web")) == 3
        assert total(emulator, "deleteMachine") == 0


async def test_a_region_that_fills_up_turns_few_away(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 1}) as (emulator, fly):
        report = await base.to_regions("lhr").count(20).execute(fly)
    assert len(report.running) == 1
    assert total(emulator, "createMachine") <= 4
    assert report.seconds < 8
    assert [machine.result for machine in report.machines].count(Result.SKIPPED) == 19


async def test_a_region_whose_creates_are_slow_is_not_slowed_further(base: DeployBuilder) -> None:
    slow = Fault(does="delay", action="createMachine", seconds=3)
    async with world(seed=1, boot=(1, 1), faults=[slow]) as (_, fly):
        report = await base.to_regions("lhr").count(20).require("all").execute(fly)
    assert report.ok
    assert report.seconds <= 3 + 19 + 3 + 1 + 1  # the first is heard out, then one leaves each second


async def test_two_thirds_of_three_are_two(base: DeployBuilder) -> None:
    async with world(seed=1, capacity={"lhr": 0}) as (_, fly):
        report = await base.require(2 / 3).execute(fly)
    assert report.ok
    assert report.needed == 2
    assert DeployReport.from_dict(json.loads(json.dumps(report.to_dict()))).ok


async def test_a_crash_is_reported_with_its_exit_code(base: DeployBuilder) -> None:
    async with world(seed=1, faults=[Fault(does="crash", region="nrt", exit_code=137)]) as (_, fly):
        report = await base.require("all").execute(fly)
    assert "exit code 137" in str(report)


async def test_checks_that_fail_are_named_in_the_report(base: DeployBuilder) -> None:
    async with world(seed=1, faults=[Fault(does="checks_never_pass", region="lhr")]) as (_, fly):
        report = await base.with_check("up", CHECKED).wait_for(timeout=60).execute(fly)
    assert "not within" in str(report) or "up critical" in str(report)


async def test_only_the_first_create_of_an_empty_group_is_waited_for(base: DeployBuilder) -> None:
    slow = Fault(does="delay", action="createMachine", seconds=3.0)
    seconds = []
    for builder in (base, base.smoke_check(0).rolling()):
        async with world(seed=1, boot=(2.0, 2.0), faults=[slow]) as (_, fly):
            report = await builder.to_regions("iad", "lhr", "nrt", "syd", "fra").count(4).execute(fly)
            assert len(report.running) == 20
            seconds.append(report.seconds)
    launch, group = seconds
    assert launch + 1 <= group <= launch + 3


@pytest.mark.parametrize(
    "action",
    [
        "createMachine",
        "updateMachine",
        "getMachine",
        "waitMachine",
        "createMachineLease",
        "machinesReleaseLease",
        "cordonMachine",
        "uncordonMachine",
        "stopMachine",
        "deleteMachine",
    ],
)
@pytest.mark.parametrize("strategy", ["rolling", "bluegreen"])
async def test_one_429_that_asks_for_an_hour_fails_no_deploy(base: DeployBuilder, strategy: str, action: str) -> None:
    async with world(seed=1) as (emulator, fly):
        first = base.with_guest(cpus=1, memory_mb=256).rolling()
        await first.execute(fly)
        await asyncio.sleep(300)
        emulator.faults.add(Fault(does="refuse", action=action, status=429, headers={"Retry-After": "3600"}, times=1))
        second = first.with_image("nginx:2").with_launch("v2")
        report = await getattr(second, strategy)().wait_for("started").execute(fly)
        await asyncio.sleep(60)  # until what was destroyed is not listed any more
        assert [tag(machine) for machine in await fly.machines.list("web")] == ["nginx:2"] * 3
    assert report.ok
    assert report.seconds < 300


@pytest.mark.parametrize("strategy", ["rolling", "bluegreen"])
async def test_a_429_that_asks_for_an_hour_hides_nothing_at_the_end(base: DeployBuilder, strategy: str) -> None:
    async with world(seed=1) as (emulator, fly):
        first = base.with_guest(cpus=1, memory_mb=256).rolling()
        await first.execute(fly)
        await asyncio.sleep(300)
        pause = Fault(does="refuse", action="listMachines", status=429, headers={"Retry-After": "3600"}, times=1)
        deploy = getattr(first.with_image("nginx:2"), strategy)().wait_for("started")
        strike = {Phase.WATCHING, Phase.UNCORDONED}
        struck: list[Event] = []

        def late(event: Event) -> None:
            if getattr(event, "phase", None) in strike and not struck:
                struck.append(event)
                emulator.faults.add(pause)

        report = await deploy.on_event(late).execute(fly)
    assert struck
    assert report.ok
    assert report.unseen is None
    assert report.seconds < 300


async def test_429s_without_end_fail_a_deploy_in_the_end(base: DeployBuilder) -> None:
    faults = [Fault(does="refuse", action="createMachine", status=429, headers={"Retry-After": "3600"})]
    async with world(seed=1, faults=faults) as (_, fly):
        report = await base.execute(fly)
    assert not report.ok
    assert report.seconds < 600


# What passes by itself.

MANIFEST = "failed to get manifest registry.fly.io/web:v2: MANIFEST_UNKNOWN: manifest unknown; unknown tag=v2"
RETIRED = "Region lhr is deprecated and cannot have new resources provisioned. Please consider using ams"
ROLLING = DeployBuilder("web").to_regions("iad").count(2).with_image("nginx:1").rolling().smoke_check(3)


def refusal(action: str, status: int, text: str, **more: Any) -> Fault:
    return Fault(does="refuse", action=action, status=status, body={"error": text}, **more)


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_an_image_that_was_just_pushed_is_waited_for_and_the_wait_is_reported(
    base: DeployBuilder, status: int
) -> None:
    events: list[Event] = []
    faults = [refusal("createMachine", status, MANIFEST, times=9)]
    async with world(seed=1, faults=faults) as (_, fly):
        report = await base.require("all").on_event(events.append).execute(fly)
    assert report.ok, str(report)
    progress = [event for event in events if isinstance(event, Progress) and event.detail]
    waited = [event for event in progress if event.phase is not Phase.QUEUED]
    assert {event.phase for event in waited} == {Phase.CREATING}
    assert {event.detail for event in waited} == {f"{MANIFEST}; retried for up to 60 s"}
    assert len({event.name for event in waited}) == len(waited) == 3


async def test_an_image_that_never_comes_ends_the_deploy_after_a_minute(base: DeployBuilder) -> None:
    async with world(seed=1, faults=[refusal("createMachine", 400, MANIFEST)]) as (_, fly):
        report = await base.execute(fly)
    assert not report.ok
    assert 45 < report.seconds < 75
    assert "MANIFEST_UNKNOWN" in str(report)


async def test_an_update_waits_for_an_image_that_was_just_pushed() -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.execute(fly)).ok
        emulator.faults.add(refusal("updateMachine", 400, MANIFEST, times=4))
        report = await ROLLING.with_image("nginx:2").execute(fly)
        images = {without_digest(machine.config["image"]) for machine in emulator.world.machines.values()}
    assert report.ok, str(report)
    assert images == {"nginx:2"}
    assert any("MANIFEST_UNKNOWN" in (moment.detail or "") for moment in report.machines[0].moments)


@pytest.mark.parametrize("status", [400, 403, 422, 503])
@pytest.mark.parametrize("fallback", ["nearest", "ams"])
async def test_a_retired_region_is_a_full_one(base: DeployBuilder, status: int, fallback: str) -> None:
    retired = Fault(does="refuse", action="createMachine", region="lhr", status=status, body={"error": RETIRED})
    async with world(seed=1, faults=[retired]) as (emulator, fly):
        report = await base.count(2).fallback(fallback).require("all").execute(fly)
        assert emulator.faults.hits(retired) == 1
    assert report.ok, str(report)
    moved = [machine for machine in report.machines if machine.asked == "lhr"]
    assert {machine.refusals[0].scope for machine in moved} == {Scope.REGION}
    assert "lhr" not in {machine.region for machine in report.machines}


@pytest.mark.parametrize("action", ["getMachine", "updateMachine", "waitMachine"])
@pytest.mark.parametrize("number", range(6))
async def test_one_404_for_a_machine_that_is_there_fails_no_update(action: str, number: int) -> None:
    async with world(seed=1) as (emulator, fly):
        assert (await ROLLING.execute(fly)).ok
        emulator.faults.add(refusal(action, 404, "invalid machine ID, '148e'", times=1, after=number))
        report = await ROLLING.with_image("nginx:2").execute(fly)
        images = {without_digest(machine.config["image"]) for machine in emulator.world.machines.values()}
    assert report.ok, str(report)
    assert images == {"nginx:2"}


async def test_a_stop_is_awaited_by_version_and_a_poll_that_is_refused_is_no_failure() -> None:
    green = ROLLING.bluegreen(drain=0).wait_for("started")
    async with world(seed=1) as (emulator, _), relayed(emulator) as (relay, fly):
        assert (await green.execute(fly)).ok
        emulator.faults.add(refusal("waitMachine", 400, "invalid_argument: machine is not transitioning", times=5))
        report = await green.with_image("nginx:2").execute(fly)
        there = [machine for machine in await fly.machines.list("web") if machine.is_alive]
    assert report.ok, str(report)
    assert {tag(machine) for machine in there} == {"nginx:2"}
    waits = [each.query for each in relay.asked if each.line.endswith("/wait")]
    stops = [query for query in waits if query["state"] == "stopped"]
    assert stops
    assert all(query.get("version") for query in stops)


@pytest.mark.parametrize(
    "text", ["machine still active, refusing to start", "machine getting replaced, refusing to start"]
)
async def test_a_machine_that_has_only_just_stopped_is_started_all_the_same(base: DeployBuilder, text: str) -> None:
    async with world(seed=1) as (emulator, fly):
        first = await base.execute(fly)
        for machine in first.machines:
            await fly.machines.stop("web", machine.id or "")
            await fly.machines.wait("web", machine.id or "", state="stopped")
        emulator.faults.add(refusal("startMachine", 412, f"failed_precondition: {text}", times=9))
        second = await base.require("all").execute(fly)
    assert second.ok, str(second)
    assert total(emulator, "createMachine") == 3
