"""How long a plan takes, and what is left: exact where boots are fixed, a range where not, at least where unknown."""

import asyncio
import math
import re
from typing import Any

import pytest
from attrs import evolve

from flyasync import (
    Check,
    CheckStatus,
    DeployBuilder,
    Estimate,
    Event,
    FlyClient,
    Limits,
    Machine,
    MachineConfig,
    MachineEvent,
    Planned,
    Progress,
    Rate,
    StopConfig,
)
from flyasync.deploy.estimate import CreateRate, estimate, estimate_many, left
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import plan as plan_for
from flyasync.deploy.plan.plan import Plan
from flyasync.deploy.plan.release_command import ReleaseCommand
from flyasync.deploy.plan.spec import GROUP, DeploySpec
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share
from flyasync.deploy.plan.verification import Verification
from flyasync.deploy.reporting.phase import Moment, Phase
from flyasync.deploy.reporting.run_state import MachineRun
from flyasync.deploy.run.observers import Observers
from flyasync.deploy.timings import TimingKind, Timings, reach
from tests.deploy.conftest import world

PACE = CreateRate(usable=2, per_second=1)
REGIONS = ("iad", "lhr", "nrt")


PROBED = MachineConfig(image="nginx", checks={"up": Check(type="tcp", port=80)})


def always(**seconds: float) -> Timings:
    """Times that were observed three times, and always the same."""
    usual = {"boot": 2.0, "start": 1.0, "settle": 1.0, "checks": 1.5, "stop": 0.5, "release": 3.0, **seconds}
    return Timings({TimingKind[kind.upper()]: (each,) * 3 for kind, each in usual.items()})


FIXED = always()


def wanted(count: int = 1, *, regions: tuple[str, ...] = REGIONS, **options: Any) -> DeploySpec:
    config = MachineConfig(image="nginx")
    counts = dict.fromkeys(regions, count)
    given = {"app": "web", "launch": "v1", "config": config, "counts": counts, "strategy": Launch()}
    return DeploySpec(**{**given, **options})


def there(count: int = 1, *, state: str = "started", image: str = "old") -> tuple[Machine, ...]:
    config = MachineConfig(image=image, metadata={GROUP: "app"})
    return tuple(
        Machine(id=f"{region}{number}", name=f"app-{region}-{number}", state=state, region=region, config=config)
        for region in REGIONS
        for number in range(1, count + 1)
    )


def plan(spec: DeploySpec, machines: tuple[Machine, ...] = (), **options: Any) -> Plan:
    return plan_for(spec, Fleet("web", machines, **options))


def seconds(spec: DeploySpec, machines: tuple[Machine, ...] = (), usual: Timings = FIXED) -> float:
    return expected(estimate(plan(spec, machines), PACE, usual))


def expected(told: Estimate) -> float:
    """The expected time, which the bounds then are as well: nothing varies."""
    assert told.likely is not None
    assert told.least == told.likely == told.most
    return told.likely


def test_creates_of_an_app_share_one_bucket() -> None:
    assert seconds(wanted(1, regions=("iad",))) == 2
    assert seconds(wanted(1)) == 1 + 2
    assert seconds(wanted(20)) == 58 + 2
    assert expected(estimate(plan(wanted(20)), CreateRate(usable=3, per_second=2), FIXED)) == 28.5 + 2


def test_what_is_waited_for_counts() -> None:
    assert seconds(wanted(goal=None)) == 1
    assert seconds(wanted(goal="healthy", config=PROBED)) == 1 + 2 + 1.5
    assert seconds(wanted(smoke=10)) == 1 + 2 + 10


def test_only_a_lower_bound_is_known_of_a_pause_and_of_a_verification() -> None:
    waves = wanted(1, strategy=Immediate(), waves=(("iad",), ("lhr",), ("nrt",)))
    pausing = plan(evolve(waves, pause_after=2), there())
    found = estimate(pausing, PACE, FIXED)
    assert (found.least, found.likely, found.most) == (6.0, None, None)
    assert (
        "estimated time: at least 6 s (from the published limits and the times observed in this app; without the "
        in (text := str(evolve(pausing, estimate=found)))
    )
    assert "the pause after wave 2)" in text
    assert left(pausing, runs(pausing), 0, PACE, FIXED).likely is None
    # What is left after the last pause is known again.
    assert expected(estimate(plan(evolve(waves, pause_after=None), there()), PACE, FIXED)) == 6
    verified = estimate(plan(wanted(verification=Verification.of("true"))), PACE, FIXED)
    assert (str(verified), verified.unobserved) == ("at least 3 s", ("verifications",))


def test_an_empty_plan_takes_no_time_and_the_adopted_take_little() -> None:
    spec = wanted(strategy=Rolling())
    fitting = tuple(evolve(each, config=spec.tagged) for each in there())
    assert plan(spec, fitting).is_empty
    assert seconds(spec, fitting) == 0
    launch = wanted()
    present = Machine(id="1", name="v1-iad-1", state="started", region="iad", config=launch.tagged)
    assert seconds(launch, (present, evolve(present, id="2", name="v1-lhr-1", region="lhr"))) == 2  # one create
    stopped = evolve(present, state="stopped")
    assert seconds(wanted(regions=("iad",)), (stopped,)) == 1


def test_only_so_many_of_a_region_are_away_at_once() -> None:
    rolling = wanted(9, strategy=Rolling(max_unavailable=Share(3)))
    assert seconds(rolling, there(9)) == 2 + 2 * 3  # one goes first, then nine, and eight by three
    assert seconds(evolve(rolling, strategy=Rolling(max_unavailable=Share(1))), there(9)) == 2 + 2 * 9
    assert seconds(evolve(rolling, strategy=Immediate()), there(9)) == 2


def test_stages_follow_each_other() -> None:
    assert seconds(wanted(2, strategy=Canary(soak=30)), there(2)) == 2 + 30 + 2 * 2
    waves = wanted(1, strategy=Immediate(), waves=(("iad",), ("lhr",), ("nrt",)))
    assert seconds(waves, there()) == 3 * 2
    bluegreen = wanted(strategy=BlueGreen(drain=10), goal="healthy", config=PROBED)
    assert seconds(bluegreen, there()) == (1 + 2 + 1.5) + 0 + (10 + 0.5)
    release = wanted(strategy=Immediate(), release=ReleaseCommand(command=("true",)))
    assert seconds(release, there()) == 3 + 2


def test_a_stopped_machine_settles() -> None:
    assert seconds(wanted(strategy=Immediate()), there(state="stopped")) == 1


def test_requests_count_as_observed() -> None:
    rolling = wanted(6, strategy=Rolling(max_unavailable=Share(1)), regions=("iad",))
    assert seconds(rolling, there(6)[:6], always(requests=0.5)) == 6 * (2 + 0.5)


def test_a_start_counts_as_a_boot_until_one_was_observed() -> None:
    boots = Timings({TimingKind.BOOT: (2.0,) * 3})
    stopped = evolve(Machine(id="1", name="v1-iad-1", state="stopped", region="iad"), config=wanted().tagged)
    assert seconds(wanted(regions=("iad",)), (stopped,), boots) == 2
    assert seconds(wanted(strategy=Immediate()), there(state="stopped"), boots) == 2


TWO = Share(2)


@pytest.mark.parametrize(
    "strategy", [Launch(), Rolling(max_unavailable=TWO), Canary(max_unavailable=TWO), Immediate(), BlueGreen()]
)
@pytest.mark.parametrize("updates", [False, True])
def test_more_machines_never_take_less_time(strategy: Any, *, updates: bool) -> None:
    def at(count: int) -> float:
        spec = wanted(count, strategy=strategy, smoke=5, goal="started")
        return seconds(spec, there(count) if updates and not strategy.only_adds else ())

    times = [at(count) for count in range(1, 25)]
    assert times == sorted(times)


# What varies, and what is not known.


def test_without_observations_it_takes_at_least_what_is_decided() -> None:
    told = estimate(plan(wanted(20, smoke=10)), PACE, Timings())
    assert told == Estimate(least=58 + 10, unobserved=("boots",))
    assert str(told) == "at least 1 min 5 s"
    checked = estimate(plan(wanted(goal="healthy", config=PROBED)), PACE, Timings({TimingKind.BOOT: (2.0,) * 3}))
    assert checked == Estimate(least=1 + 2, unobserved=("checks",))


def test_once_is_too_little_to_go_by() -> None:
    assert estimate(plan(wanted()), PACE, Timings({TimingKind.BOOT: (2.0,)})).likely is None
    assert estimate(plan(wanted()), PACE, Timings({TimingKind.BOOT: (2.0, 2.0)})).likely == 1 + 2


def test_a_stop_takes_at_most_as_long_as_the_machine_says() -> None:
    retired = wanted(1, strategy=Rolling(), regions=("iad",), retired_groups=("old",))
    old = evolve(there()[0], name="old-1", config=MachineConfig(image="old", metadata={GROUP: "old"}))
    slow = evolve(old, config=MachineConfig(metadata={GROUP: "old"}, stop_config=StopConfig(timeout=30)))
    fitting = evolve(there()[0], id="2", config=retired.tagged)
    bounds = [estimate(plan(retired, (fitting, each)), PACE, Timings()) for each in (old, slow)]
    assert bounds == [Estimate(least=0, likely=2.5, most=5), Estimate(least=0, likely=15, most=30)]


def test_a_range_is_wider_the_fewer_were_observed_and_the_more_they_vary() -> None:
    rolling = plan(wanted(9, strategy=Rolling(max_unavailable=Share(1)), regions=("iad",)), there(9)[:9])

    def width(*boots: float) -> float:
        told = estimate(rolling, PACE, Timings({TimingKind.BOOT: boots}))
        assert told.likely == pytest.approx(9 * 20, rel=0.05)
        assert told.most is not None
        return told.most - told.least

    assert 0 == width(20, 20, 20) < width(19, 20, 21) < width(10, 20, 30)
    assert width(*[10, 20, 30] * 10) < width(10, 20, 30) / 2


@pytest.mark.parametrize(("count", "quantile"), [(2, 6.314), (3, 2.920), (4, 2.353), (6, 2.015), (31, 1.697)])
def test_few_observations_reach_as_far_as_student_s_t(count: int, quantile: float) -> None:
    assert reach(count) == pytest.approx(quantile, rel=0.02)
    assert reach(math.inf) == pytest.approx(1.645)


def test_the_quick_are_over_first_and_that_is_allowed_for() -> None:
    made = plan(wanted(10, strategy=Immediate()), there(10))
    every = runs(made, adopted=True)
    for number, run in enumerate(every.values()):
        run.taken, run.moments = 1, moment(0.0, Phase.UPDATING) + moment(0.0)
        if number < 3:
            run.taken, run.moments = 2, run.moments + moment(2.0 + number, Phase.STARTED)
    told = left(made, every, 4.0, PACE, Timings().and_of(every.values()))
    assert told.most is not None
    assert told.least < 5
    assert told.most > 60


def test_what_this_deploy_shows_replaces_what_was_known_where_they_differ() -> None:
    timings = Timings({TimingKind.BOOT: (2.0,) * 10})
    for count in range(4):
        done = [MachineRun(desired=track.machine, region="iad") for track in plan(wanted(4)).tracks[:count]]
        for run in done:
            run.moments = moment(1.0, Phase.CREATED) + moment(21.0, Phase.STARTED)
        seen = timings.and_of(done).seen(TimingKind.BOOT)
        assert set(seen) == ({20.0} if count >= 3 else {2.0, 20.0} if count else {2.0})


def test_what_this_deploy_shows_adds_to_what_was_known_where_they_agree() -> None:
    assert Timings({TimingKind.BOOT: (1, 60)}, {TimingKind.BOOT: (20, 70, 25)}).seen(TimingKind.BOOT) == (
        1,
        60,
        20,
        70,
        25,
    )


# What machines remember.


def remembering(*told: tuple[str, str, float], **options: Any) -> Machine:
    events = [MachineEvent(type=what, status=status, timestamp=int(at * 1000)) for what, status, at in reversed(told)]
    return evolve(there()[0], events=events, **options)


def test_boots_starts_and_stops_are_read_from_the_events_of_machines() -> None:
    machine = remembering(
        ("launch", "created", 100), ("start", "started", 107),
        ("update", "replacing", 200), ("exit", "stopped", 201), ("launch", "created", 202), ("start", "started", 211),
        ("stop", "stopping", 300), ("exit", "stopped", 304),
        ("start", "starting", 400), ("start", "started", 403),
        ("exit", "stopped", 500), ("start", "started", 502),  # it crashed, and came again
        ("restart", "restarting", 600), ("start", "started", 609),
    )  # fmt: skip
    timings = Timings.of(Fleet("web", (machine,)), "app")
    assert timings.past == {TimingKind.BOOT: [7.0, 11.0], TimingKind.STOP: [4.0], TimingKind.START: [3.0]}


def test_the_machines_of_the_group_count_where_they_have_shown_enough() -> None:
    own = [remembering(("launch", "created", 0), ("start", "started", 2), id=str(number)) for number in range(2)]
    config = MachineConfig(image="old", metadata={GROUP: "worker"})
    other = remembering(("launch", "created", 0), ("start", "started", 60), id="9", config=config)
    assert Timings.of(Fleet("web", (*own, other)), "app").past == {TimingKind.BOOT: [2.0] * 2}
    assert Timings.of(Fleet("web", (own[0], other)), "app").past == {TimingKind.BOOT: [2.0, 60.0]}


def test_checks_are_timed_from_the_start_to_the_last_that_turned() -> None:
    checks = [CheckStatus(name=name, status="passing", updated_at=f"1970-01-01T00:00:{at}Z") for name, at in CHECKED_AT]
    machine = remembering(("launch", "created", 1), ("start", "started", 3), checks=checks)
    assert Timings.of(Fleet("web", (machine,)), "app").past == {TimingKind.BOOT: [2.0], TimingKind.CHECKS: [4.5]}
    late = evolve(machine, checks=[evolve(checks[0], updated_at="1970-01-01T01:00:00Z")])
    assert TimingKind.CHECKS not in Timings.of(Fleet("web", (late,)), "app").past


CHECKED_AT = (("a", "05"), ("b", "07.5"))


def test_many_apps_go_as_places_come_free() -> None:
    assert estimate_many([], 3) == 0
    assert estimate_many([5], 3) == 5
    assert estimate_many([4, 1, 1, 1, 1], 2) == 4
    assert estimate_many((10 for _ in range(25)), 10) == 30


# What is left.


def runs(made: Plan, **changes: Any) -> dict[str, MachineRun]:
    return {
        track.machine.name: MachineRun(desired=track.machine, region=track.machine.region, **changes)
        for track in made.tracks
    }


def moment(at: float, phase: Phase = Phase.STARTING) -> tuple[Moment, ...]:
    return (Moment(at=at, phase=phase, region="iad"),)


def test_before_anything_has_happened_all_is_left() -> None:
    made = plan(wanted(5))
    assert left(made, runs(made), 0, PACE, FIXED) == estimate(made, PACE, FIXED)


def test_when_all_is_done_nothing_is_left() -> None:
    made = plan(wanted(2, strategy=BlueGreen(), goal="healthy", config=PROBED), there(2))
    every = runs(made)
    for track in made.tracks:
        every[track.machine.name].taken += len(track.steps)
    assert expected(left(made, every, 60, PACE, FIXED)) == 0


def test_what_has_passed_of_a_step_is_not_waited_for_again() -> None:
    made = plan(wanted(1, regions=("iad",), smoke=10))
    (run,) = every = list(runs(made).values())
    by_name = {each.desired.name: each for each in every}
    run.taken, run.created_after, run.moments = 1, 0.0, moment(0.0)
    assert expected(left(made, by_name, 1.5, PACE, FIXED)) == 0.5 + 10
    run.taken, run.moments = 2, moment(2.0, Phase.WATCHING)
    assert expected(left(made, by_name, 8.0, PACE, FIXED)) == 4
    assert expected(left(made, by_name, 99.0, PACE, FIXED)) == 0


def test_the_bucket_remembers_what_was_made() -> None:
    made = plan(wanted(1, regions=("iad", "lhr", "nrt", "syd"), goal=None))
    every = runs(made)
    for name in list(every)[:2]:
        every[name].taken, every[name].created_after, every[name].moments = 1, 0.0, moment(0.0)
    assert expected(left(made, every, 0.25, PACE, FIXED)) == 1.75
    assert expected(left(made, every, 30.0, PACE, FIXED)) == 0


def test_what_has_failed_is_over_and_a_deploy_that_drains_begins_nothing() -> None:
    made = plan(wanted(1, regions=("iad", "lhr")))
    every = runs(made)
    every["v1-iad-1"].phase, every["v1-iad-1"].moments = Phase.FAILED, moment(0.0)
    assert expected(left(made, every, 0, PACE, FIXED)) == 2
    assert expected(left(made, every, 0, PACE, FIXED, drains=True)) == 0


# Beside what the emulator takes.

BASE = DeployBuilder("web").to_regions("iad", "lhr", "nrt").count(4).with_image("v1").require("all")
CHECKS_PASS = 2.0
CHECKED = BASE.with_check("up", Check(type="http", port=8080, path="/up"))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (None, BASE),
        (None, BASE.rolling()),
        (None, CHECKED.bluegreen()),
        (BASE.rolling(), BASE.rolling(max_unavailable=2).with_image("v2")),
        (BASE.rolling(), BASE.canary(2, soak=20).with_image("v2")),
        (BASE.rolling(), BASE.immediate().with_image("v2")),
        (BASE.rolling(), CHECKED.bluegreen(drain=5).with_image("v2")),
        (BASE.rolling(), BASE.rolling().with_image("v2").with_release_command("true").region_by_region()),
        (BASE.rolling(), BASE.rolling().count(2)),
        (None, BASE.rolling().count(2).with_volume("data", "/data")),
    ],
)
async def test_a_deploy_takes_what_was_estimated(first: DeployBuilder | None, then: DeployBuilder) -> None:
    async with world(seed=1, boot=(2.0, 2.0)) as (emulator, fly):
        if first:
            await first.execute(fly)
            await asyncio.sleep(20)
        guess = expected(estimate(await then.plan(fly), PACE, always(stop=0.8, checks=CHECKS_PASS)))
        await asyncio.sleep(20)
        report = await then.execute(fly)
    assert report.ok
    assert report.seconds == pytest.approx(guess, rel=0.05, abs=0.3)
    assert not emulator.refused_by_limit()


async def test_a_plan_says_how_long_it_takes_at_least_by_the_limits_of_its_client() -> None:
    creates = Limits(operations={"machines.create": Rate(per_second=10, burst=20)})
    async with world(seed=1) as (emulator, fly), FlyClient("x", base_url=emulator.url, limits=creates) as fast:
        base = BASE.count(20).with_launch("v1")
        usual, quick = await base.plan(fly), await base.plan(fast)
    assert usual.seconds is None
    assert usual.estimate is not None
    assert quick.estimate is not None
    assert usual.estimate.unobserved == ("boots",)
    assert usual.estimate.least == pytest.approx(57.5, abs=0.5)
    assert "estimated time: at least 55 s (not observed in this app yet: boots)" in str(usual)
    assert quick.estimate.least == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("boot", [2.0, 20.0])
async def test_a_plan_goes_by_the_boots_of_the_machines_there(boot: float) -> None:
    rolling = BASE.count(2).rolling(max_unavailable=1).smoke_check(1)
    async with world(seed=1, boot=(boot, boot)) as (_, fly):
        await rolling.execute(fly)
        await asyncio.sleep(20)
        made = await rolling.with_image("v2").plan(fly)
        report = await rolling.with_image("v2").execute(fly)
    assert made.seconds == pytest.approx(3 * (boot + 1), abs=0.3)
    assert report.seconds == pytest.approx(made.seconds, rel=0.25, abs=3)
    assert re.search(
        r"estimated time: about .* s \(from the published limits and the times observed in this app\)", str(made)
    )


async def test_an_empty_plan_has_no_estimate() -> None:
    async with world(seed=1) as (_, fly):
        await BASE.rolling().execute(fly)
        made = await BASE.rolling().plan(fly)
    assert made.is_empty
    assert made.seconds is None
    assert "estimated time" not in str(made)


async def seen(then: DeployBuilder, first: DeployBuilder | None = None, **options: Any) -> list[tuple[Progress, float]]:
    """Deploy, and return each event with the seconds that were really left then, from the third machine up on."""
    events: list[Progress] = []
    watched = then.on_event(lambda event: events.append(event) if isinstance(event, Progress) else None)
    async with world(**options) as (_, fly):
        if first:
            await first.execute(fly)
            await asyncio.sleep(20)
        report = await watched.execute(fly)
    assert report.ok
    goal = Phase.HEALTHY if then.config.checks else Phase.STARTED
    up = [number for number, event in enumerate(events) if event.phase is goal]
    return [(event, report.seconds - event.at) for event in events[up[2] :]]


ONE_BY_ONE = BASE.to_regions("iad").count(6).rolling(max_unavailable=1).smoke_check(1)


@pytest.mark.parametrize("boot", [2.0, 20.0])
@pytest.mark.parametrize(
    ("then", "first"),
    [
        (BASE, None),
        (BASE.rolling(), None),
        (ONE_BY_ONE.with_image("v2"), ONE_BY_ONE),
        (CHECKED.bluegreen(drain=5).with_image("v2"), CHECKED.rolling()),
        (BASE.canary(2, soak=20).with_image("v2"), BASE.rolling()),
    ],
)
async def test_on_fixed_boots_events_tell_what_is_left(
    then: DeployBuilder, first: DeployBuilder | None, boot: float
) -> None:
    for event, really in await seen(then, first, seed=1, boot=(boot, boot)):
        assert event.left == pytest.approx(really, rel=0.25, abs=3)


@pytest.mark.no_cover  # measured by the other tests, and twice as fast without
@pytest.mark.parametrize(("then", "first"), [(ONE_BY_ONE.with_image("v2"), ONE_BY_ONE), (BASE.rolling(), None)])
async def test_on_boots_that_vary_a_range_holds_what_is_left(then: DeployBuilder, first: DeployBuilder | None) -> None:
    held = 0
    for seed in range(12):
        event, really = (await seen(then, first, seed=seed, boot=(1.0, 60.0)))[0]
        assert event.remaining is not None
        held += event.remaining.least <= really <= (event.remaining.most or math.inf)
    assert held >= 10


async def test_in_the_end_only_the_last_watch_is_left() -> None:
    *_, (event, _) = await seen(BASE.rolling(), seed=1)
    assert event.remaining == Estimate(least=10, likely=10, most=10)


async def test_what_is_left_is_estimated_now_and_then_and_only_for_those_who_watch() -> None:
    told: list[float | None] = []
    estimates = iter(Estimate(least=0, likely=likely, most=20.0) for likely in (10.0, 7.0, 0.25))
    run = next(iter(runs(plan(wanted(1))).values()))
    watched = Observers((lambda event: told.append(event.left) if isinstance(event, Progress) else None,))
    for onlookers in (Observers(()), watched):
        onlookers.expect(lambda: next(estimates), every=1.0)
    Observers(()).notify(run, Phase.CREATING, None)
    for _ in range(7):
        watched.notify(run, Phase.CREATING, None)
        await asyncio.sleep(0.4)
    assert told == pytest.approx([10, 9.6, 9.2, 7, 6.6, 6.2, 0.25], abs=0.01)


async def test_what_is_not_known_yet_is_asked_with_each_event_of_a_small_deploy() -> None:
    told: list[float | None] = []
    estimates = iter([Estimate(least=1), Estimate(least=1, likely=5, most=9)])
    watched = Observers((lambda event: told.append(event.left) if isinstance(event, Progress) else None,))
    watched.expect(lambda: next(estimates), every=0.2)
    run = next(iter(runs(plan(wanted(1))).values()))
    for _ in range(3):
        watched.notify(run, Phase.STARTED, None)
    assert told == [None, 5, 5]


async def test_a_rollback_is_estimated_too() -> None:
    events: list[Event] = []
    then = BASE.rolling().with_image("v2").roll_back_on_failure().on_event(events.append)
    async with world(seed=1) as (emulator, fly):
        await BASE.rolling().execute(fly)
        await asyncio.sleep(20)
        emulator.set_capacity("iad", 0)
        report = await then.count(5).execute(fly)
    assert report.rollback
    assert report.rollback.ok
    back = [event for event in events if isinstance(event, Planned)][-1]
    assert back.plan.seconds
    after = next(event for event in events[events.index(back) :] if isinstance(event, Progress))
    assert after.left == pytest.approx(back.plan.seconds, abs=1)
