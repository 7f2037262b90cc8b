"""From a spec and an observed fleet to a plan, compared as text."""

from textwrap import dedent
from typing import Any

import pytest
from attrs import evolve

from flyasync import Check, InvalidInput, Machine, MachineConfig, Service
from flyasync.deploy.plan.fleet import Fleet
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.plan.strategies.launch import Launch

CHECKED = MachineConfig(image="nginx", checks={"up": Check(type="tcp", port=80)})


def plan(fleet: list[Machine], **options: Any) -> str:
    config = options.pop("config", MachineConfig(image="nginx"))
    given = {"app": "web", "launch": "v1", "config": config, "counts": {"iad": 1, "lhr": 1}, "strategy": Launch()}
    wanted = DeploySpec(**{**given, **options})
    return str(Launch().plan(wanted, Fleet("web", tuple(evolve(machine, config=wanted.tagged) for machine in fleet))))


def test_a_launch_is_one_config() -> None:
    first, second = (
        DeploySpec(app="web", launch="v1", config=MachineConfig(image=image), counts={"iad": 1}, strategy=Launch())
        for image in ("a", "b")
    )
    present = evolve(machine("v1-iad-1"), config=first.tagged)
    with pytest.raises(
        InvalidInput, match=r"'v1' was created with another config: v1-iad-1 runs a; use another launch name"
    ):
        Launch().plan(second, Fleet("web", (present,)))


def machine(name: str, state: str = "started") -> Machine:
    return Machine(id=f"id-{name}", name=name, state=state, region="iad", config=MachineConfig(image="nginx"))


def text(lines: str) -> str:
    return dedent(lines).strip()


def test_an_empty_app_gets_every_machine() -> None:
    assert plan([]) == text("""
        web, launch v1 adds: create 2 of nginx
          iad
            v1-iad-1
              create: iad has 0 of 1 desired
              wait until started: timeout 300 s
          lhr
            v1-lhr-1
              create: lhr has 0 of 1 desired
              wait until started: timeout 300 s
          if a region has no room: skip it
    """)


def test_machines_of_the_same_launch_are_adopted() -> None:
    assert plan([machine("v1-iad-1")], goal="healthy", config=CHECKED, timeout=60, fallback=("ewr", "ord")) == text("""
        web, launch v1 adds: create 1 of nginx
          iad
            v1-iad-1
              adopt id-v1-iad-1: created by an earlier run of this launch
              wait until started: timeout 60 s
              wait until healthy: the config has checks
          lhr
            v1-lhr-1
              create: lhr has 0 of 1 desired
              wait until started: timeout 60 s
              wait until healthy: the config has checks
          if a region has no room: try ewr, ord, in this order
    """)


def test_an_adopted_machine_that_is_stopped_is_started() -> None:
    assert plan([machine("v1-iad-1", "stopped")], counts={"iad": 2}, fallback="nearest") == text("""
        web, launch v1 adds: create 1 of nginx
          iad
            v1-iad-1
              adopt id-v1-iad-1: created by an earlier run of this launch
              start: is stopped
              wait until started: timeout 300 s
            v1-iad-2
              create: iad has 1 of 2 desired
              wait until started: timeout 300 s
          if a region has no room: go to the nearest region with room
    """)


def test_a_machine_that_autostop_put_to_rest_is_left_at_rest() -> None:
    resting = MachineConfig(image="nginx", services=[Service(internal_port=80, autostop="suspend", autostart=True)])
    assert plan([machine("v1-iad-1", "suspended")], counts={"iad": 1}, config=resting) == text("""
        web, launch v1 adds: create 0 of nginx
          iad
            v1-iad-1
              adopt id-v1-iad-1: created by an earlier run of this launch
          if a region has no room: skip it
    """)


def test_without_a_goal_nothing_is_waited_for() -> None:
    assert "wait" not in plan([machine("v1-iad-1", "stopped")], goal=None)


def test_the_first_machine_of_every_region_goes_before_the_second_of_any() -> None:
    config = MachineConfig(image="nginx")
    wanted = DeploySpec(app="web", launch="v1", config=config, counts={"iad": 2, "lhr": 2}, strategy=Launch())
    stage = Launch().plan(wanted, Fleet("web", ())).stages[0]
    assert [track.machine.name for track in stage.tracks] == ["v1-iad-1", "v1-lhr-1", "v1-iad-2", "v1-lhr-2"]
