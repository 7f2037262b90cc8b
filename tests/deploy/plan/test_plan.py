"""What each strategy would do, compared as whole texts."""

from textwrap import dedent
from typing import Any

import pytest
from attrs import evolve

from flyasync import Check, InvalidInput, Machine, MachineConfig, Mount, Service
from flyasync.deploy.plan.desired_volume import DesiredVolume
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.image_digest import plan as plan_for
from flyasync.deploy.plan.plan import Create, Destroy, TakeVolume, Target, Update
from flyasync.deploy.plan.release_command import ReleaseCommand
from flyasync.deploy.plan.spec import GROUP, DeploySpec, DesiredMachine, GroupSpec
from flyasync.deploy.plan.step_sequences import replacement
from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.launch import Launch
from flyasync.deploy.plan.strategies.rolling import Rolling
from flyasync.deploy.plan.strategy import Share, Strategy
from flyasync.models.volume import Volume
from flyasync.testing import mock_machine

V1 = MachineConfig(image="app:v1", metadata={GROUP: "app"})
V2 = MachineConfig(image="app:v2")
CHECKED = MachineConfig(image="app:v2", checks={"up": Check(type="tcp", port=80)})
DATA = DesiredVolume(name="data", path="/data")
EVERY = [Rolling(), Canary(), BlueGreen(), Immediate()]


def wanted(strategy: Strategy, **options: Any) -> DeploySpec:
    given = {"app": "web", "launch": "v2", "config": V2, "counts": {"iad": 2}, "goal": "started", "strategy": strategy}
    return DeploySpec(**{**given, **options})


def fleet(*machines: Machine, volumes: tuple[Volume, ...] = ()) -> Fleet:
    return Fleet("web", machines, volumes=volumes)


def old(name: str, state: str = "started", **more: Any) -> Machine:
    """A machine with the config before, or with another one if given."""
    region = name.split("-")[1]
    return evolve(mock_machine(id=f"id-{name}", name=name, state=state, region=region), **{"config": V1, **more})


def new(spec: DeploySpec, name: str, state: str = "started", **more: Any) -> Machine:
    """A machine with the desired config."""
    return old(name, state, config=spec.tagged, **more)


def lost(name: str, **more: Any) -> Machine:
    config = more.pop("config", V1)
    return old(name, config=None, incomplete_config=config, host_status="unreachable", **more)


def mounted(config: MachineConfig, volume: str = "vol_1", path: str = "/data") -> MachineConfig:
    return evolve(config, mounts=(Mount(volume=volume, path=path),))


def volume(volume_id: str, holder: str | None = None, **more: Any) -> Volume:
    given = {"name": "data", "state": "created", "region": "iad", "attached_machine_id": holder, **more}
    return Volume(id=volume_id, **given)


def text(lines: str) -> str:
    return dedent(lines).strip()


# An empty app.


def test_rolling_makes_what_is_missing() -> None:
    assert str(plan_for(wanted(Rolling(), counts={"iad": 2, "lhr": 1}), fleet())) == text("""
        web converges, rolling to app:v2, launch v2: create 3
          1. all machines
            iad
              app-iad-1
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
              app-iad-2
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
            lhr
              app-lhr-1
                create: lhr has 0 of 1 desired
                wait until started: timeout 300 s
          if a region has no room: skip it
    """)


def test_canary_makes_some_first() -> None:
    assert str(plan_for(wanted(Canary(), counts={"iad": 2, "lhr": 1}), fleet())) == text("""
        web converges, canary to app:v2, launch v2: create 3
          1. 1 canary
            iad
              app-iad-1
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
                watch for 60 s: canary soak
          2. remaining machines
            iad
              app-iad-2
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
            lhr
              app-lhr-1
                create: lhr has 0 of 1 desired
                wait until started: timeout 300 s
          if a region has no room: skip it
    """)


def test_bluegreen_lets_them_in_at_once_where_nothing_serves() -> None:
    assert str(plan_for(wanted(BlueGreen(), config=CHECKED, goal="healthy"), fleet())) == text("""
        web converges, bluegreen to app:v2, launch v2: create 2
          1. create the new machines
            iad
              app-iad-1
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
                wait until healthy: the config has checks
              app-iad-2
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
                wait until healthy: the config has checks
          if a region has no room: skip it
    """)


def test_immediate_makes_all_at_once() -> None:
    assert str(plan_for(wanted(Immediate(), goal=None), fleet())) == text("""
        web converges, immediate to app:v2, launch v2: create 2
          1. all machines at once
            iad
              app-iad-1
                create: iad has 0 of 2 desired
              app-iad-2
                create: iad has 0 of 2 desired
          if a region has no room: skip it
    """)


# A new image.


def test_rolling_updates_one_first_then_a_few_at_a_time() -> None:
    spec = wanted(Rolling(), counts={"iad": 4, "lhr": 1}, smoke=10)
    assert str(plan_for(spec, fleet(*(old(f"app-iad-{n}") for n in (1, 2, 3, 4)), old("app-lhr-1")))) == text("""
        web converges, rolling to app:v2, launch v2: update 5
          1. one machine first
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                watch for 10 s: no checks, so it must stay up
          2. remaining machines
            iad, 1 at a time
              app-iad-2
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                watch for 10 s: no checks, so it must stay up
              app-iad-3
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                watch for 10 s: no checks, so it must stay up
              app-iad-4
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                watch for 10 s: no checks, so it must stay up
            lhr
              app-lhr-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                watch for 10 s: no checks, so it must stay up
    """)


def test_rolling_updates_as_many_at_once_as_it_is_told() -> None:
    spec = wanted(Rolling(max_unavailable=Share(2)), counts={"iad": 4})
    assert str(plan_for(spec, fleet(*(old(f"app-iad-{n}") for n in (1, 2, 3, 4))))) == text("""
        web converges, rolling to app:v2, launch v2: update 4
          1. one machine first
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. remaining machines
            iad, 2 at a time
              app-iad-2
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
              app-iad-3
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
              app-iad-4
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
    """)


def test_canary_watches_the_first_ones() -> None:
    spec = wanted(Canary(machines=Share(2), soak=30), counts={"iad": 2, "lhr": 2})
    machines = [old(f"app-{region}-{n}") for region in ("iad", "lhr") for n in (1, 2)]
    assert str(plan_for(spec, fleet(*machines))) == text("""
        web converges, canary to app:v2, launch v2: update 4
          1. 2 canaries
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                watch for 30 s: canary soak
            lhr
              app-lhr-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                watch for 30 s: canary soak
          2. remaining machines
            iad
              app-iad-2
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
            lhr
              app-lhr-2
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
    """)


def test_a_canary_may_be_a_share_and_need_not_soak() -> None:
    spec = wanted(Canary(machines=Share(0.5), soak=0), counts={"iad": 4})
    assert str(plan_for(spec, fleet(*(old(f"app-iad-{n}") for n in (1, 2, 3, 4))))) == text("""
        web converges, canary to app:v2, launch v2: update 4
          1. 2 canaries
            iad, 1 at a time
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
              app-iad-2
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. remaining machines
            iad, 1 at a time
              app-iad-3
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
              app-iad-4
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
    """)


def test_bluegreen_makes_all_anew() -> None:
    spec = wanted(BlueGreen(drain=5), config=CHECKED, goal="healthy", counts={"iad": 1, "lhr": 1})
    assert str(plan_for(spec, fleet(old("app-iad-1"), old("app-lhr-1")))) == text("""
        web converges, bluegreen to app:v2, launch v2: create 2, destroy 2
          1. create the new machines
            iad
              app-iad-2
                create, cordoned, like app-iad-1: replaces app-iad-1
                  + checks.up.port: 80
                  + checks.up.type: "tcp"
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                wait until healthy: the config has checks
            lhr
              app-lhr-2
                create, cordoned, like app-iad-1: replaces app-lhr-1
                  + checks.up.port: 80
                  + checks.up.type: "tcp"
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
                wait until healthy: the config has checks
          2. uncordon the new machines (point of no return)
            iad
              app-iad-2
                uncordon: all new machines are ready
            lhr
              app-lhr-2
                uncordon: all new machines are ready
          3. cordon and destroy the old machines
            iad
              app-iad-1
                cordon id-app-iad-1: replaced by a new machine; drain for 5 s
                stop id-app-iad-1: stop signal, then time to exit
                destroy id-app-iad-1: replaced by a new machine
            lhr
              app-lhr-1
                cordon id-app-lhr-1: replaced by a new machine; drain for 5 s
                stop id-app-lhr-1: stop signal, then time to exit
                destroy id-app-lhr-1: replaced by a new machine
          if a region has no room: skip it
    """)


def test_immediate_updates_all_at_once() -> None:
    assert str(plan_for(wanted(Immediate()), fleet(old("app-iad-1"), old("app-iad-2")))) == text("""
        web converges, immediate to app:v2, launch v2: update 2
          1. all machines at once
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
              app-iad-2
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
    """)


@pytest.mark.parametrize("strategy", EVERY)
def test_where_all_is_as_wanted_there_is_nothing_to_do(strategy: Strategy) -> None:
    spec = wanted(strategy)
    machines = (new(spec, "app-iad-1"), new(spec, "app-iad-2"))
    assert (
        str(plan_for(spec, fleet(*machines)))
        == f"web converges, {strategy.name} to app:v2: nothing to do, all 2 up to date"
    )


# More, fewer, none, elsewhere.


def test_more_are_made_beside_those_that_are_as_wanted() -> None:
    spec = wanted(Rolling(), counts={"iad": 3})
    assert str(plan_for(spec, fleet(new(spec, "app-iad-1")))) == text("""
        web converges, rolling to app:v2, launch v2: create 2, keep 1
          1. all machines
            iad
              app-iad-2
                create, like app-iad-1: iad has 1 of 3 desired
                wait until started: timeout 300 s
              app-iad-3
                create, like app-iad-1: iad has 1 of 3 desired
                wait until started: timeout 300 s
          if a region has no room: skip it
    """)


def test_too_many_are_let_go_and_those_that_need_no_change_stay() -> None:
    spec = wanted(Rolling(), counts={"iad": 1})
    assert str(plan_for(spec, fleet(old("app-iad-1"), new(spec, "app-iad-2")))) == text("""
        web converges, rolling to app:v2, launch v2: destroy 1, keep 1
          1. destroy surplus machines
            iad
              app-iad-1
                cordon id-app-iad-1: iad has 2 machines, 1 desired
                stop id-app-iad-1: stop signal, then time to exit
                destroy id-app-iad-1: iad has 2 machines, 1 desired
    """)


def test_one_that_serves_stays_before_one_at_rest() -> None:
    spec = wanted(Rolling(), counts={"iad": 1})
    assert str(plan_for(spec, fleet(old("app-iad-1"), new(spec, "app-iad-2", "stopped")))) == text("""
        web converges, rolling to app:v2, launch v2: update 1, destroy 1
          1. all machines
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. destroy surplus machines
            iad
              app-iad-2
                destroy id-app-iad-2: iad has 2 machines, 1 desired
    """)


def test_of_two_that_need_no_change_the_one_that_serves_stays() -> None:
    spec = wanted(Rolling(), counts={"iad": 1})
    plan = plan_for(spec, fleet(new(spec, "app-iad-1", cordoned=True), new(spec, "app-iad-2")))
    assert [step.machine_id for step in plan.steps if isinstance(step, Destroy)] == ["id-app-iad-1"]


def test_a_job_beyond_the_count_is_updated_and_stays() -> None:
    job = evolve(V1, schedule="daily")
    jobs = [old(f"app-iad-{number}", config=job) for number in (1, 2)]
    plan = plan_for(wanted(Rolling(), counts={"iad": 1}), fleet(*jobs))
    assert (plan.updates, plan.destroys, plan.creates) == (2, 0, 0)
    assert [track.target for track in plan.tracks] == [Target.SERVE, Target.APART]


def test_a_count_of_none_retires_a_region() -> None:
    spec = wanted(Rolling(), counts={"iad": 1, "lhr": 0})
    assert str(plan_for(spec, fleet(new(spec, "app-iad-1"), old("app-lhr-1")))) == text("""
        web converges, rolling to app:v2, launch v2: destroy 1, keep 1
          1. destroy surplus machines
            lhr
              app-lhr-1
                cordon id-app-lhr-1: lhr has 1 machines, 0 desired
                stop id-app-lhr-1: stop signal, then time to exit
                destroy id-app-lhr-1: lhr has 1 machines, 0 desired
    """)


def test_a_region_that_is_not_named_is_left_alone() -> None:
    spec = wanted(Immediate(), counts={"iad": 1})
    there = fleet(old("app-iad-1"), old("app-lhr-1"), old("app-nrt-1"), old("app-nrt-2"))
    assert str(plan_for(spec, there)) == text("""
        web converges, immediate to app:v2, launch v2: update 1
          1. all machines at once
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          lhr is not listed, so its 1 machine is left unchanged; a count of 0 retires it
          nrt is not listed, so its 2 machines are left unchanged; a count of 0 retires them
    """)


def test_a_machine_that_fell_back_belongs_to_the_region_it_was_wanted_in() -> None:
    spec = wanted(Rolling(), counts={"iad": 1})
    away = evolve(V1, metadata={**(V1.metadata or {}), "flyasync_region": "iad"})
    assert str(plan_for(spec, fleet(old("app-lhr-1", config=away)))) == text("""
        web converges, rolling to app:v2, launch v2: update 1
          1. all machines
            iad
              app-lhr-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
    """)


def test_other_groups_are_nobodys_business() -> None:
    other = old("job-iad-1", config=evolve(V1, metadata={GROUP: "job"}))
    bare = old("bare-iad-1", config=MachineConfig(image="x"))
    spec = wanted(Rolling(), counts={"iad": 1})
    assert str(plan_for(spec, fleet(other, bare, new(spec, "app-iad-1")))) == text("""
        web converges, rolling to app:v2: nothing to do, all 1 up to date
          1 without a process group left unchanged; to take them into a group: adopt('all')
          1 machine of the group job left unchanged
    """)


def test_retired_groups_go_last() -> None:
    spec = wanted(Rolling(), counts={"iad": 1}, retired_groups=("job", "cron"))
    jobs = [old(f"job-{r}-1", config=evolve(V1, metadata={GROUP: "job"})) for r in ("iad", "ams")]
    assert str(plan_for(spec, fleet(*jobs, old("app-iad-1")))) == text("""
        web converges, rolling to app:v2, launch v2: update 1, destroy 2
          1. all machines
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. retire group job
            ams
              job-ams-1
                cordon id-job-ams-1: group job is retired
                stop id-job-ams-1: stop signal, then time to exit
                destroy id-job-ams-1: group job is retired
            iad
              job-iad-1
                cordon id-job-iad-1: group job is retired
                stop id-job-iad-1: stop signal, then time to exit
                destroy id-job-iad-1: group job is retired
          the group cron has no machines, so there is nothing to retire
    """)


# Machines that are not well.


@pytest.mark.parametrize("state", ["stopped", "suspended"])
def test_those_at_rest_are_updated_and_stay_so(state: str) -> None:
    spec = wanted(Rolling(), counts={"iad": 1})
    assert str(plan_for(spec, fleet(old("app-iad-1", state)))) == text("""
        web converges, rolling to app:v2, launch v2: update 1
          1. all machines
            iad
              app-iad-1
                update in place, leave stopped: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until the update is complete: was STATE, stays stopped
    """).replace("STATE", state)


def test_one_that_crashed_is_started_after_its_update() -> None:
    crash = mock_machine(events=[{"type": "exit", "timestamp": 1, "request": {"exit_event": {"exit_code": 1}}}]).events
    spec = wanted(Rolling(), counts={"iad": 1})
    assert str(plan_for(spec, fleet(old("app-iad-1", "stopped", events=crash)))) == text("""
        web converges, rolling to app:v2, launch v2: update 1
          1. unhealthy machines first
            iad
              app-iad-1
                update in place, leave stopped: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until the update is complete: was stopped, is started next
                start: its process failed, and no stop was requested
                wait until started: timeout 300 s
    """)


def test_one_that_failed_is_replaced() -> None:
    spec = wanted(Rolling(), counts={"iad": 1})
    assert str(plan_for(spec, fleet(old("app-iad-1", "failed")))) == text("""
        web converges, rolling to app:v2, launch v2: create 1, destroy 1
          1. all machines
            iad
              app-iad-2
                create, like app-iad-1: replaces app-iad-1
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. destroy surplus machines
            iad
              app-iad-1
                destroy id-app-iad-1: state is failed
          if a region has no room: skip it
    """)


def test_one_whose_host_is_gone_is_replaced() -> None:
    spec = wanted(Rolling(), counts={"iad": 2})
    assert str(plan_for(spec, fleet(lost("app-iad-1"), new(spec, "app-iad-2")))) == text("""
        web converges, rolling to app:v2, launch v2: create 1, destroy 1, keep 1
          1. all machines
            iad
              app-iad-3
                create, like app-iad-2: replaces app-iad-1
                wait until started: timeout 300 s
          2. destroy surplus machines
            iad
              app-iad-1
                destroy id-app-iad-1: host is unreachable
          if a region has no room: skip it
    """)


def test_one_that_is_not_ready_yet_is_waited_for() -> None:
    spec = wanted(Rolling(), counts={"iad": 3}, config=CHECKED, goal="healthy")
    machines = [
        new(spec, "app-iad-1", "starting"),
        new(spec, "app-iad-2"),  # its check has not reported
        new(spec, "app-iad-3", "stopped"),
    ]
    assert str(plan_for(spec, fleet(*machines))) == text("""
        web converges, rolling to app:v2, launch v2: no machine changes, keep 3
          1. unhealthy machines first
            iad
              app-iad-1
                wait until started: timeout 300 s
                wait until healthy: the config has checks
              app-iad-2
                wait until started: timeout 300 s
                wait until healthy: the config has checks
    """)


def test_one_that_is_out_of_routing_is_let_in() -> None:
    spec = wanted(Rolling())
    machines = (new(spec, "app-iad-1", cordoned=True), old("app-iad-2", "stopped", cordoned=True))
    assert str(plan_for(spec, fleet(*machines))) == text("""
        web converges, rolling to app:v2, launch v2: update 1, keep 1
          1. unhealthy machines first
            iad
              app-iad-1
                uncordon: is cordoned
          2. all machines
            iad
              app-iad-2
                update in place, leave stopped: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until the update is complete: was stopped, stays stopped
                uncordon: was cordoned
    """)


def test_one_that_somebody_has_changed_is_changed_back() -> None:
    spec = wanted(Rolling(), counts={"iad": 1}, config=evolve(V2, env={"LEVEL": "info", "TOKEN": "hunter2"}))
    changed = evolve(spec.tagged, env={"LEVEL": "debug", "TOKEN": "hunter3"})
    assert str(plan_for(spec, fleet(old("app-iad-1", config=changed)))) == text("""
        web converges, rolling to app:v2, launch v2: update 1
          1. all machines
            iad
              app-iad-1
                update in place: config differs
                  ~ env.LEVEL changed
                  ~ env.TOKEN changed
                wait until started: timeout 300 s
    """)


# Volumes.


def test_a_free_volume_is_taken_and_another_made() -> None:
    spec = wanted(Rolling(), volume=DATA)
    volumes = (
        volume("vol_1"),
        volume("vol_2", "somebody"),
        volume("vol_3", name="other"),
        volume("vol_4", region="lhr"),
    )
    assert str(plan_for(spec, fleet(volumes=volumes))) == text("""
        web converges, rolling to app:v2, launch v2: create 2
          1. all machines
            iad
              app-iad-1
                attach volume vol_1: not attached to a machine
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
              app-iad-2
                create volume data (1 GB): no unattached volume data in the region
                create: iad has 0 of 2 desired
                wait until started: timeout 300 s
          if a region has no room: skip it
    """)


def test_a_launch_takes_free_volumes_too() -> None:
    spec = evolve(wanted(Rolling(), volume=DATA), strategy=Launch())
    assert str(plan_for(spec, fleet(volumes=(volume("vol_1"),)))) == text("""
        web, launch v2 adds: create 2 of app:v2
          iad
            v2-iad-1
              attach volume vol_1: not attached to a machine
              create: iad has 0 of 2 desired
              wait until started: timeout 300 s
            v2-iad-2
              create volume data (1 GB): no unattached volume data in the region
              create: iad has 0 of 2 desired
              wait until started: timeout 300 s
          if a region has no room: skip it
    """)


def test_machines_keep_their_volume_and_may_move_its_mount() -> None:
    spec = wanted(Rolling(), counts={"iad": 1}, volume=DesiredVolume(name="data", path="/var/lib"))
    machine = old("app-iad-1", config=mounted(spec.tagged))
    assert str(plan_for(spec, fleet(machine, volumes=(volume("vol_1", machine.id),)))) == text("""
        web converges, rolling to app:v2, launch v2: update 1
          1. all machines
            iad
              app-iad-1
                update in place: config differs
                  ~ mounts[0].path: "/data" → "/var/lib"
                wait until started: timeout 300 s
    """)


def test_a_machine_without_the_volume_is_replaced_by_one_that_has_it() -> None:
    spec = wanted(Rolling(), counts={"iad": 1}, volume=DATA)
    assert str(plan_for(spec, fleet(old("app-iad-1")))) == text("""
        web converges, rolling to app:v2, launch v2: create 1, destroy 1
          1. all machines
            iad
              app-iad-2
                create volume data (1 GB): no unattached volume data in the region
                create, like app-iad-1: replaces app-iad-1
                  ~ image: "app:v1" → "app:v2"
                  + mounts[0].name: "data"
                  + mounts[0].path: "/data"
                wait until started: timeout 300 s
          2. destroy surplus machines
            iad
              app-iad-1
                cordon id-app-iad-1: no volume data, and an update cannot add one
                stop id-app-iad-1: stop signal, then time to exit
                destroy id-app-iad-1: no volume data, and an update cannot add one
          if a region has no room: skip it
    """)


def test_a_full_host_is_left_only_with_a_volume_to_go_to() -> None:
    machine = old("app-iad-1", config=mounted(V1))
    desired = DesiredMachine(name="app-iad-1", region="iad", number=1, group="app")
    there = fleet(machine, volumes=(volume("vol_1", machine.id),))
    for lost_volume, source in ((evolve(DATA, if_lost="fork"), "vol_1"), (evolve(DATA, if_lost="new"), None)):
        spec = wanted(Rolling(), counts={"iad": 1}, volume=lost_volume)
        (update, *_) = plan_for(spec, there).steps
        assert isinstance(update, Update)
        assert update.if_full is not None
        assert [str(step) for step in replacement(spec, there, desired, update.if_full)] == [
            f"create volume data (fork {source}): keeps its data"
            if source
            else "create volume data (1 GB): no unattached volume data in the region",
            "create app-iad-2, like app-iad-1: the host of app-iad-1 is full",
            "wait until started: timeout 300 s",
            "cordon id-app-iad-1: replaced by another machine",
            "stop id-app-iad-1: stop signal, then time to exit",
            "destroy id-app-iad-1: replaced by another machine",
        ]
    (update, *_) = plan_for(wanted(Rolling(), counts={"iad": 1}, volume=DATA), there).steps
    assert isinstance(update, Update)
    assert update.if_full is None


def test_a_host_that_is_gone_with_a_volume_needs_a_word() -> None:
    spec = wanted(Rolling(), counts={"iad": 1}, volume=DATA)
    machine = lost("app-iad-1", config=mounted(V1))
    there = fleet(machine, volumes=(volume("vol_1", machine.id, host_status="unreachable"),))
    assert str(plan_for(spec, there)) == text("""
        web converges, rolling to app:v2, launch v2: no machine changes
          1. all machines
            iad
              app-iad-1
                cannot update: host is unreachable, and so is its volume; fork the volume or create a new one
    """)


def test_a_host_that_is_gone_with_a_volume_may_be_left_by_a_fork() -> None:
    spec = wanted(Rolling(), counts={"iad": 1}, volume=evolve(DATA, if_lost="fork"))
    machine = lost("app-iad-1", config=mounted(wanted(Rolling(), config=MachineConfig(image="app:v1")).tagged))
    there = fleet(machine, volumes=(volume("vol_1", machine.id, host_status="unreachable"), volume("vol_2")))
    assert str(plan_for(spec, there)) == text("""
        web converges, rolling to app:v2, launch v2: create 1, destroy 1
          1. all machines
            iad
              app-iad-2
                create volume data (fork vol_1): keeps its data
                create: replaces app-iad-1
                wait until started: timeout 300 s
          2. destroy surplus machines
            iad
              app-iad-1
                destroy id-app-iad-1: host is unreachable
          if a region has no room: skip it
    """)


@pytest.mark.parametrize("volumes", [True, False])
def test_bluegreen_refuses_machines_with_volumes(volumes: bool) -> None:  # noqa: FBT001 - either way
    machine = old("app-iad-1", config=mounted(V1))
    with pytest.raises(InvalidInput, match="app-iad-1 has a volume, which would be left behind: use rolling or canary"):
        plan_for(
            wanted(BlueGreen(), volume=DATA if volumes else None),
            fleet(machine, volumes=(volume("vol_1", machine.id),)),
        )


# Waves, release command, interrupted runs.


def test_waves_go_one_after_the_other() -> None:
    spec = wanted(Rolling(), counts={"iad": 1, "lhr": 1, "nrt": 1}, waves=(("iad",), ("lhr", "nrt")))
    machines = [old(f"app-{region}-1") for region in ("iad", "lhr", "nrt")]
    assert str(plan_for(spec, fleet(*machines))) == text("""
        web converges, rolling to app:v2, launch v2: update 3
          1. all machines, wave 1 of 2
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. all machines, wave 2 of 2
            lhr
              app-lhr-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
            nrt
              app-nrt-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
    """)


def test_bluegreen_goes_region_by_region() -> None:
    spec = wanted(BlueGreen(drain=0), counts={"iad": 1, "lhr": 1}, waves=(("iad",), ("lhr",)))
    assert str(plan_for(spec, fleet(old("app-iad-1"), old("app-lhr-1")))) == text("""
        web converges, bluegreen to app:v2, launch v2: create 2, destroy 2
          1. create the new machines, wave 1 of 2
            iad
              app-iad-2
                create, cordoned, like app-iad-1: replaces app-iad-1
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. uncordon the new machines, wave 1 of 2 (point of no return)
            iad
              app-iad-2
                uncordon: all new machines are ready
          3. cordon and destroy the old machines, wave 1 of 2
            iad
              app-iad-1
                cordon id-app-iad-1: replaced by a new machine
                stop id-app-iad-1: stop signal, then time to exit
                destroy id-app-iad-1: replaced by a new machine
          4. create the new machines, wave 2 of 2
            lhr
              app-lhr-2
                create, cordoned, like app-iad-1: replaces app-lhr-1
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          5. uncordon the new machines, wave 2 of 2 (point of no return)
            lhr
              app-lhr-2
                uncordon: all new machines are ready
          6. cordon and destroy the old machines, wave 2 of 2
            lhr
              app-lhr-1
                cordon id-app-lhr-1: replaced by a new machine
                stop id-app-lhr-1: stop signal, then time to exit
                destroy id-app-lhr-1: replaced by a new machine
          if a region has no room: skip it
    """)


def test_the_release_command_goes_before_everything() -> None:
    command = ReleaseCommand.of("bin/migrate --all", timeout=60.0)
    spec = wanted(Immediate(), counts={"iad": 1}, release=command)
    assert str(plan_for(spec, fleet(old("app-iad-1")))) == text("""
        web converges, immediate to app:v2, launch v2: run the release command, update 1
          1. release command
            iad
              release-app
                create: to run bin/migrate --all
                wait for it to exit, at most 60 s: nothing changes unless the exit code is 0
          2. all machines at once
            iad
              app-iad-1
                update in place: config differs
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
    """)


def test_the_machine_of_the_release_command_is_not_counted_with_those_that_are_created() -> None:
    release = ReleaseCommand.of("bin/migrate")
    converging = plan_for(wanted(Rolling(), counts={"iad": 2}, release=release), fleet())
    assert converging.creates == 2
    assert str(converging).startswith("web converges, rolling to app:v2, launch v2: run the release command, create 2")
    adding = plan_for(wanted(Launch(), counts={"iad": 2}, release=release), fleet())
    assert str(adding).startswith("web, launch v2 adds: run the release command, create 2 of app:v2")


def test_a_stage_of_groups_with_different_work_names_each_group() -> None:
    """One group has no machines that run, so one of its machines is verified first."""
    spec = wanted(Rolling(), counts={"iad": 1})
    spec = evolve(spec, also=(GroupSpec(group="cron", config=V2, counts={"iad": 2}),))
    tagged = evolve(V1, metadata={GROUP: "cron"})
    rest = [old(f"cron-iad-{n}", config=tagged) for n in (1, 2)]
    asleep = old("app-iad-1", "stopped", config=evolve(V1, services=(Service(internal_port=80, autostart=True),)))
    titles = [stage.title for stage in plan_for(spec, fleet(asleep, *rest)).stages]
    assert titles == [
        "app: verify one stopped machine per region; cron: one machine first",
        "remaining machines",
    ]


@pytest.mark.parametrize("strategy", EVERY)
def test_no_release_command_where_there_is_nothing_to_do(strategy: Strategy) -> None:
    spec = wanted(strategy, counts={"iad": 1}, release=ReleaseCommand.of("bin/migrate"))
    assert plan_for(spec, fleet(new(spec, "app-iad-1"))).is_empty


def test_bluegreen_goes_on_from_what_a_broken_off_run_has_left() -> None:
    """Two of three new ones are there and outside routing, and the old ones serve."""
    spec = wanted(BlueGreen(drain=0), counts={"iad": 3})
    machines = [old(f"app-iad-{n}") for n in (1, 2, 3)]
    machines += [
        new(spec, "app-iad-4", cordoned=True),
        new(spec, "app-iad-5", "starting", cordoned=True),
    ]
    assert str(plan_for(spec, fleet(*machines))) == text("""
        web converges, bluegreen to app:v2, launch v2: create 1, destroy 3, keep 2
          1. create the new machines
            iad
              app-iad-5
                wait until started: timeout 300 s
              app-iad-6
                create, cordoned, like app-iad-1: replaces app-iad-1
                  ~ image: "app:v1" → "app:v2"
                wait until started: timeout 300 s
          2. uncordon the new machines (point of no return)
            iad
              app-iad-4
                uncordon: all new machines are ready
              app-iad-5
                uncordon: all new machines are ready
              app-iad-6
                uncordon: all new machines are ready
          3. cordon and destroy the old machines
            iad
              app-iad-1
                cordon id-app-iad-1: replaced by a new machine
                stop id-app-iad-1: stop signal, then time to exit
                destroy id-app-iad-1: replaced by a new machine
              app-iad-2
                cordon id-app-iad-2: replaced by a new machine
                stop id-app-iad-2: stop signal, then time to exit
                destroy id-app-iad-2: replaced by a new machine
              app-iad-3
                cordon id-app-iad-3: replaced by a new machine
                stop id-app-iad-3: stop signal, then time to exit
                destroy id-app-iad-3: replaced by a new machine
          if a region has no room: skip it
    """)


def test_bluegreen_goes_on_past_the_point_of_no_return() -> None:
    spec = wanted(BlueGreen(drain=0), counts={"iad": 1})
    machines = (old("app-iad-1", cordoned=True), new(spec, "app-iad-2"))
    assert str(plan_for(spec, fleet(*machines))) == text("""
        web converges, bluegreen to app:v2, launch v2: destroy 1, keep 1
          1. cordon and destroy the old machines
            iad
              app-iad-1
                stop id-app-iad-1: stop signal, then time to exit
                destroy id-app-iad-1: replaced by a new machine
    """)


def test_bluegreen_takes_nothing_that_rests_for_what_serves() -> None:
    spec = wanted(BlueGreen(drain=0), counts={"iad": 1})
    machines = (old("app-iad-1"), new(spec, "app-iad-2", "stopped", cordoned=True))
    assert str(plan_for(spec, fleet(*machines))) == text("""
        web converges, bluegreen to app:v2, launch v2: destroy 1, keep 1
          1. create the new machines
            iad
              app-iad-2
                start: needed to serve: serving machines are destroyed
                wait until started: timeout 300 s
          2. uncordon the new machines (point of no return)
            iad
              app-iad-2
                uncordon: all new machines are ready
          3. cordon and destroy the old machines
            iad
              app-iad-1
                cordon id-app-iad-1: replaced by a new machine
                stop id-app-iad-1: stop signal, then time to exit
                destroy id-app-iad-1: replaced by a new machine
    """)


def test_what_changes_is_shown_and_secrets_are_not() -> None:
    before = MachineConfig(
        image="app:v1",
        env={"LEVEL": "debug", "API_TOKEN": "hunter1"},
        schedule="daily",
        metadata={GROUP: "app", "team": "blue"},
    )
    config = MachineConfig(image="app:v2", env={"LEVEL": "info", "API_TOKEN": "hunter2"}, metadata={"tier": "1"})
    spec = wanted(Immediate(), counts={"iad": 1}, config=config)
    earlier = evolve(spec, config=evolve(before, metadata={"team": "blue"})).tagged
    told = str(plan_for(spec, fleet(old("app-iad-1", config=earlier))))
    assert "hunter" not in told
    assert told == text("""
        web converges, immediate to app:v2, launch v2: update 1
          1. all machines at once
            iad
              app-iad-1
                update in place: config differs
                  ~ env.API_TOKEN changed
                  ~ env.LEVEL changed
                  ~ image: "app:v1" → "app:v2"
                  - metadata.team: "blue"
                  + metadata.tier: "1"
                  - schedule: "daily"
                wait until started: timeout 300 s
    """)


# What each machine of a group comes to, and why.


def test_the_first_of_the_stopped_machines_of_each_region_is_verified() -> None:
    config = evolve(V1, services=(Service(internal_port=80, autostart=True),))
    spec = wanted(Rolling(), counts={"iad": 2, "lhr": 1})
    names = ("app-iad-1", "app-iad-2", "app-lhr-1")
    plan = plan_for(spec, fleet(*(old(name, "stopped", config=config) for name in names)))
    assert [track.machine.name for track in plan.tracks if track.verifies] == ["app-iad-1", "app-lhr-1"]


def test_one_that_failed_with_its_volume_is_updated_where_it_is() -> None:
    spec = wanted(Rolling(), counts={"iad": 1}, volume=DATA)
    broken = old("app-iad-1", "failed", config=mounted(V1))
    plan = plan_for(spec, fleet(broken, volumes=(volume("vol_1", "id-app-iad-1"),)))
    assert (plan.updates, plan.creates, plan.destroys) == (1, 0, 0)


@pytest.mark.parametrize(("size_gb", "taken"), [(3, "vol_2"), (None, "vol_2"), (4, None)])
def test_a_free_volume_is_taken_only_if_it_is_like_the_siblings(size_gb: int | None, taken: str | None) -> None:
    held = volume("vol_1", "id-app-iad-1", size_gb=3)
    machines = fleet(old("app-iad-1", config=mounted(V1)), volumes=(held, volume("vol_2", size_gb=size_gb)))
    plan = plan_for(wanted(Rolling(), counts={"iad": 2}), machines)
    assert [step.volume_id for step in plan.steps if isinstance(step, TakeVolume)] == [taken]


@pytest.mark.parametrize(("name", "source"), [("data", "vol_1"), ("cache", None)])
def test_only_the_volume_that_is_stated_is_forked_from_a_lost_host(name: str, source: str | None) -> None:
    spec = wanted(Rolling(), counts={"iad": 1, "lhr": 1}, volume=evolve(DATA, if_lost="fork"))
    machines = (lost("app-iad-1", config=mounted(V1)), old("app-lhr-1", config=mounted(V1, "vol_9")))
    volumes = (volume("vol_1", "id-app-iad-1", name=name), volume("vol_9", "id-app-lhr-1", region="lhr"))
    plan = plan_for(spec, fleet(*machines, volumes=volumes))
    assert [step.source for step in plan.steps if isinstance(step, TakeVolume)] == [source]


def test_a_new_machine_is_not_like_a_canary_of_flyctl() -> None:
    canary = evolve(V1, env={"OLD": "1"}, metadata={GROUP: "app", "fly_canary": "true"})
    machines = fleet(old("app-iad-1", config=canary), old("app-iad-2"))
    plan = plan_for(wanted(Rolling(), counts={"iad": 3}), machines)
    assert [step.like for step in plan.steps if isinstance(step, Create)] == ["app-iad-2"]


def test_a_stopped_machine_is_no_canary() -> None:
    plan = plan_for(wanted(Canary(machines=Share(2))), fleet(old("app-iad-1"), old("app-iad-2", "stopped")))
    assert [[track.machine.name for track in stage.tracks] for stage in plan.stages] == [["app-iad-1"], ["app-iad-2"]]


def test_how_many_may_be_away_depends_on_the_machines_of_each_region() -> None:
    names = [*(f"app-iad-{number}" for number in range(1, 3)), *(f"app-lhr-{number}" for number in range(1, 7))]
    spec = wanted(Rolling(max_unavailable=Share(0.5)), counts={"iad": 2, "lhr": 6})
    plan = plan_for(spec, fleet(*map(old, names)))
    assert {lane.region: lane.width for lane in plan.stages[-1].lanes} == {"iad": 1, "lhr": 3}


def test_bluegreen_takes_no_old_machine_out_before_the_new_ones_are_up() -> None:
    plan = plan_for(wanted(BlueGreen(), config=CHECKED), fleet(old("app-iad-1"), old("app-iad-2")))
    assert [stage.relies_on_others for stage in plan.stages] == [False, True, True]


def test_a_notebook_shows_a_row_for_each_machine_with_its_causes() -> None:
    made = plan_for(wanted(Rolling()), fleet())
    shown = evolve(made, remarks=("<b>mind this</b>",))._repr_html_()
    assert shown.count("<tr>") == 1 + len(made.tracks)
    assert "&lt;b&gt;mind this&lt;/b&gt;" in shown
    for track in made.tracks:
        assert track.machine.name in shown
        assert track.steps[0].cause in shown


def test_a_notebook_shows_no_table_where_nothing_is_to_do() -> None:
    made = evolve(plan_for(wanted(Rolling()), fleet()), stages=())
    assert "<table>" not in made._repr_html_()
    assert "nothing to do" in made._repr_html_()
