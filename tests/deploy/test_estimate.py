"""How long a plan takes, and what is left: exact where boots are fixed, and close to what the emulator takes."""

import asyncio
import re
from typing import Any

import pytest
from attrs import evolve

from flyasync import Check, DeployBuilder, Event, FlyClient, Limits, Machine, MachineConfig, Planned, Progress, Rate
from flyasync.deploy.deployment import GROUP, Deployment
from flyasync.deploy.estimate import estimate, estimate_many, left
from flyasync.deploy.fleet import Fleet
from flyasync.deploy.onlookers import Onlookers
from flyasync.deploy.outcome import Moment, Phase, Run
from flyasync.deploy.plan import Plan
from flyasync.deploy.rehearsal import Usual
from flyasync.deploy.rehearsal_clock import Pace
from flyasync.deploy.release import ReleaseCommand
from flyasync.deploy.strategies import plan as plan_for
from flyasync.deploy.strategy import BlueGreen, Canary, Immediate, Rolling, Share
from tests.deploy.conftest import world

PACE = Pace(usable=2, per_second=1)
FIXED = Usual(boot=(2, 2), start=(1, 1), settle=(1, 1), checks=(1.5, 1.5), stop=(0.5, 0.5), command=(1, 1))
REGIONS = ("iad", "lhr", "nrt")


PROBED = MachineConfig(image="nginx", checks={"up": Check(type="tcp", port=80)})


def wanted(count: int = 1, *, regions: tuple[str, ...] = REGIONS, **options: Any) -> Deployment:
    config = MachineConfig(image="nginx")
    counts = dict.fromkeys(regions, count)
    return Deployment(**{"app": "web", "launch": "v1", "config": config, "counts": counts, **options})


def there(count: int = 1, *, state: str = "started", image: str = "old") -> tuple[Machine, ...]:
    config = MachineConfig(image=image, metadata={GROUP: "app"})
    return tuple(
        Machine(id=f"{region}{number}", name=f"app-{region}-{number}", state=state, region=region, config=config)
        for region in REGIONS
        for number in range(1, count + 1)
    )


def plan(deployment: Deployment, machines: tuple[Machine, ...] = (), **options: Any) -> Plan:
    return plan_for(deployment, Fleet("web", machines, **options))


def seconds(deployment: Deployment, machines: tuple[Machine, ...] = (), usual: Usual = FIXED) -> float:
    return estimate(plan(deployment, machines), PACE, usual)


def test_creates_of_an_app_share_one_bucket() -> None:
    assert seconds(wanted(1, regions=("iad",))) == 2
    assert seconds(wanted(1)) == 1 + 2
    assert seconds(wanted(20)) == 58 + 2
    assert estimate(plan(wanted(20)), Pace(usable=3, per_second=2), FIXED) == 28.5 + 2


def test_what_is_waited_for_counts() -> None:
    assert seconds(wanted(goal=None)) == 1
    assert (
        seconds(wanted(goal="healthy", config=PROBED)) == 1 + 2 + 2
    )  # checks pass after 1.5 s, and are looked at once a second
    assert seconds(wanted(smoke=10)) == 1 + 2 + 10


def test_an_empty_plan_takes_no_time_and_the_adopted_take_little() -> None:
    deployment = wanted(strategy=Rolling())
    fitting = tuple(evolve(each, config=deployment.tagged) for each in there())
    assert plan(deployment, fitting).is_empty
    assert seconds(deployment, fitting) == 0
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
    assert seconds(bluegreen, there()) == (1 + 2 + 2) + 0 + (10 + 0.5)
    release = wanted(strategy=Immediate(), release=ReleaseCommand(command=("true",)))
    assert seconds(release, there()) == 2 + 1 + 2


def test_a_stopped_machine_settles() -> None:
    assert seconds(wanted(strategy=Immediate()), there(state="stopped")) == 1


def test_many_waits_of_one_app_are_served_by_one_list_a_second() -> None:
    odd = evolve(FIXED, boot=(2.25, 2.25))
    assert seconds(wanted(5, strategy=Immediate()), there(5), odd) == 2.25
    assert seconds(wanted(20, strategy=Immediate()), there(20), odd) == 3


def test_requests_cost_their_latency() -> None:
    slow = evolve(FIXED, request=0.1)
    assert seconds(wanted(regions=("iad",)), usual=slow) == pytest.approx(0.1 + 2 + 0.1)
    # The locking lease, another on the machine, three for the update, the lease given back, the last look.
    assert seconds(wanted(strategy=Immediate(), regions=("iad",)), there()[:1], slow) == pytest.approx(2 + 7 * 0.1)
    # The first creation of a group that is not there goes alone, until there is a lease on it.
    assert seconds(wanted(strategy=Immediate(), regions=("iad", "lhr")), usual=slow) == pytest.approx(2 + 4 * 0.1)


def test_a_region_that_has_not_answered_is_waited_for() -> None:
    slow = evolve(FIXED, request=0.4)
    assert seconds(wanted(2, regions=("iad",)), usual=slow) == pytest.approx(0.4 + 2 + 2 * 0.4)
    assert seconds(wanted(1, regions=("iad", "lhr")), usual=slow) == pytest.approx(2 + 2 * 0.4)


TWO = Share(2)


@pytest.mark.parametrize(
    "strategy", [None, Rolling(max_unavailable=TWO), Canary(max_unavailable=TWO), Immediate(), BlueGreen()]
)
@pytest.mark.parametrize("updates", [False, True])
def test_more_machines_never_take_less_time(strategy: Any, *, updates: bool) -> None:
    def at(count: int) -> float:
        deployment = wanted(count, strategy=strategy, smoke=5)
        return seconds(deployment, there(count) if updates and strategy else ())

    times = [at(count) for count in range(1, 25)]
    assert times == sorted(times)


def test_the_same_plan_gets_the_same_estimate_and_apps_differ_by_luck() -> None:
    plans = [plan(evolve(wanted(), app=f"web-{number}")) for number in range(20)]
    guesses = [estimate(each, PACE, rehearsals=1) for each in plans]
    assert guesses == [estimate(each, PACE, rehearsals=1) for each in plans]
    assert all(2 <= guess <= 4 for guess in guesses)
    assert max(guesses) - min(guesses) > 1
    assert all(abs(estimate(each, PACE) - 3.08) < 0.5 for each in plans)


def test_many_apps_go_as_places_come_free() -> None:
    assert estimate_many([], 3) == 0
    assert estimate_many([5], 3) == 5
    assert estimate_many([4, 1, 1, 1, 1], 2) == 4
    assert estimate_many((10 for _ in range(25)), 10) == 30


# What is left.


def runs(made: Plan, **changes: Any) -> dict[str, Run]:
    return {
        track.machine.name: Run(wanted=track.machine, region=track.machine.region, **changes) for track in made.tracks
    }


def moment(at: float, phase: Phase = Phase.STARTING) -> list[Moment]:
    return [Moment(at=at, phase=phase, region="iad")]


def test_before_anything_has_happened_all_is_left() -> None:
    made = plan(wanted(5))
    assert left(made, runs(made), 0, PACE, FIXED) == estimate(made, PACE, FIXED)


def test_when_all_is_done_nothing_is_left() -> None:
    made = plan(wanted(2, strategy=BlueGreen(), goal="healthy", config=PROBED), there(2))
    every = runs(made)
    for track in made.tracks:
        every[track.machine.name].taken += len(track.steps)
    assert left(made, every, 60, PACE, FIXED) == 0


def test_what_has_passed_of_a_step_is_not_waited_for_again() -> None:
    made = plan(wanted(1, regions=("iad",), smoke=10))
    (run,) = every = list(runs(made).values())
    by_name = {each.wanted.name: each for each in every}
    run.taken, run.created_after, run.moments = 1, 0.0, moment(0.0)
    assert left(made, by_name, 1.5, PACE, FIXED) == 0.5 + 10
    run.taken, run.moments = 2, moment(2.0, Phase.WATCHING)
    assert left(made, by_name, 8.0, PACE, FIXED) == 4
    assert left(made, by_name, 99.0, PACE, FIXED) == 0


def test_the_bucket_remembers_what_was_made() -> None:
    made = plan(wanted(1, regions=("iad", "lhr", "nrt", "syd"), goal=None))
    every = runs(made)
    for name in list(every)[:2]:
        every[name].taken, every[name].created_after, every[name].moments = 1, 0.0, moment(0.0)
    assert left(made, every, 0.25, PACE, FIXED) == 1.75
    assert left(made, every, 30.0, PACE, FIXED) == 0


def test_what_has_failed_is_over_and_a_deploy_that_drains_begins_nothing() -> None:
    made = plan(wanted(1, regions=("iad", "lhr")))
    every = runs(made)
    every["v1-iad-1"].phase, every["v1-iad-1"].moments = Phase.FAILED, moment(0.0)
    assert left(made, every, 0, PACE, FIXED) == 2
    assert left(made, every, 0, PACE, FIXED, drains=True) == 0


# Beside what the emulator takes.

BASE = DeployBuilder("web").to_regions("iad", "lhr", "nrt").count(4).with_image("v1").require("all")
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
        guess = estimate(await then.plan(fly), PACE, Usual(boot=(2.0, 2.0)))
        await asyncio.sleep(20)
        report = await then.execute(fly)
    assert report.ok
    assert report.seconds == pytest.approx(guess, rel=0.05, abs=0.3)
    assert not emulator.refused_by_limit()


async def test_a_plan_says_how_long_it_takes_by_the_limits_of_its_client() -> None:
    creates = Limits(operations={"machines.create": Rate(per_second=10, burst=20)})
    async with world(seed=1) as (emulator, fly), FlyClient("x", base_url=emulator.url, limits=creates) as fast:
        base = BASE.count(20).with_launch("v1")
        usual, quick = await base.plan(fly), await base.plan(fast)
    assert usual.seconds == pytest.approx(59.5, abs=0.5)
    assert re.search("takes about (59 s|1 min 0 s), as the published limits", str(usual))
    assert quick.seconds is not None
    assert 6 < quick.seconds < 8


async def test_an_empty_plan_has_no_estimate() -> None:
    async with world(seed=1) as (_, fly):
        await BASE.rolling().execute(fly)
        made = await BASE.rolling().plan(fly)
    assert made.is_empty
    assert made.seconds is None
    assert "takes about" not in str(made)


async def test_events_tell_what_is_left_down_to_nothing() -> None:
    events: list[Event] = []
    async with world(seed=1) as (_, fly):
        report = await BASE.rolling().on_event(events.append).execute(fly)
    (planned,) = (event for event in events if isinstance(event, Planned))
    told = [(event.at, event.left) for event in events if isinstance(event, Progress)]
    assert all(seconds is not None and seconds >= 0 for _, seconds in told)
    assert told[0][1] == pytest.approx(planned.plan.seconds, abs=0.5)
    assert [left for _, left in told] == pytest.approx([report.seconds - at for at, _ in told], abs=2)


async def test_what_is_left_is_estimated_now_and_then_and_only_for_those_who_watch() -> None:
    told: list[float | None] = []
    estimates = iter([10.0, 7.0, 0.25])
    run = next(iter(runs(plan(wanted(1))).values()))
    watched = Onlookers((lambda event: told.append(event.left) if isinstance(event, Progress) else None,))
    for onlookers in (Onlookers(()), watched):
        onlookers.expect(lambda: next(estimates), every=1.0)
    Onlookers(()).note(run, Phase.CREATING, None)
    for _ in range(7):
        watched.note(run, Phase.CREATING, None)
        await asyncio.sleep(0.4)
    assert told == pytest.approx([10, 9.6, 9.2, 7, 6.6, 6.2, 0.25], abs=0.01)


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
