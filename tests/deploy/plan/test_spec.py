"""The desired state, and when it counts as reached."""

from typing import Any

import pytest
from attrs import evolve

from flyasync import Check, CheckStatus, InvalidInput, Machine, MachineConfig, MachineEvent, Requirement, Service
from flyasync.deploy.plan.spec import DeploySpec, Goal, check_launch, check_region
from flyasync.deploy.plan.strategies.launch import Launch


def spec(**options: Any) -> DeploySpec:
    given = {"app": "web", "launch": "v1", "config": MachineConfig(), "counts": {"iad": 2}, "strategy": Launch()}
    return DeploySpec(**{**given, **options})


def machine(state: str, **options: Any) -> Machine:
    return Machine(id="1", name="v1-iad-1", state=state, region="iad", **options)


@pytest.mark.parametrize(
    ("text", "wanted", "needed"),
    [
        ("all", 5, 5),
        ("1", 5, 1),
        ("3", 5, 3),
        ("60%", 5, 3),
        ("61%", 5, 4),
        ("33.3%", 3, 1),
        ("1%", 5, 1),
        ("100%", 5, 5),
        (2, 5, 2),
        (0.5, 5, 3),
        (1.0, 5, 5),
        (1 / 3, 3, 1),
    ],
)
def test_a_requirement_says_how_many_regions_must_run(text: Any, wanted: int, needed: int) -> None:
    assert Requirement.of(text).needed(wanted) == needed


@pytest.mark.parametrize("text", ["", "some", "-1", "0", "0%", "101%", 0, -1, 1.5, 0.0, True, "1.5"])
def test_a_requirement_that_means_nothing_is_refused(text: Any) -> None:
    with pytest.raises(InvalidInput, match="is not a requirement"):
        Requirement.of(text)


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (1, "at least one region"),
        (3, "at least 3 regions"),
        (0.6, "60% of the regions"),
        ("all", "all regions"),
    ],
)
def test_a_requirement_reads_as_words(requirement: Any, words: str) -> None:
    assert str(Requirement.of(requirement)) == words


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("IAD", "did you mean 'iad'"),
        (" iad ", "did you mean 'iad'"),
        ("eu", "stands for many"),
        ("any", "stands for many"),
        ("virginia", "three lowercase letters"),
        ("", "three lowercase letters"),
        ("i/d", "three lowercase letters"),
    ],
)
def test_what_is_no_region_is_refused_with_a_way_out(code: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        check_region(code)


@pytest.mark.parametrize("launch", ["", "-x", "x-", "X", "a b", "a/b", "x" * 41])
def test_a_launch_that_cannot_name_machines_is_refused(launch: str) -> None:
    with pytest.raises(InvalidInput, match="is not a valid launch name"):
        check_launch(launch)


def test_machines_are_named_by_launch_region_and_number() -> None:
    assert [wanted.name for wanted in spec().machines("iad")] == ["v1-iad-1", "v1-iad-2"]


AUTOSTOP = MachineConfig(services=[Service(internal_port=80, autostop="stop")])


@pytest.mark.parametrize(
    ("goal", "config", "state", "kept"),
    [
        ("started", MachineConfig(), "started", True),
        ("started", MachineConfig(), "stopped", False),
        ("started", MachineConfig(), "starting", False),
        ("started", AUTOSTOP, "stopped", True),
        ("started", AUTOSTOP, "suspended", True),
        ("started", AUTOSTOP, "stopping", True),
        ("started", MachineConfig(), "stopping", False),
        ("started", AUTOSTOP, "failed", False),
        (None, MachineConfig(), "created", True),
        (None, MachineConfig(), "failed", False),
        (None, MachineConfig(), "destroyed", False),
        (None, MachineConfig(), "a-new-word", True),
    ],
)
def test_a_promise_is_kept_or_not(goal: Goal, config: MachineConfig, state: str, *, kept: bool) -> None:
    wanted = spec(goal=goal, config=config)
    assert wanted.is_up(machine(state, config=wanted.tagged), wanted.tagged) is kept


@pytest.mark.parametrize("goal", ["started", "healthy", None])
@pytest.mark.parametrize("said", [{"exit_code": 1}, {"exit_code": 1, "requested_stop": True}, {"exit_code": 0}])
def test_a_machine_whose_process_failed_does_not_rest(goal: Goal, said: dict[str, Any]) -> None:
    """A stop that was asked for, as the proxy asks for it, is another matter, whatever the exit code."""
    wanted = spec(goal=goal, config=AUTOSTOP)
    events = [MachineEvent(type="exit", request={"exit_event": said})]
    stopped = machine("stopped", config=wanted.tagged, events=events)
    has_failed = said == {"exit_code": 1}
    assert wanted.rests(stopped, wanted.tagged) is not has_failed
    assert wanted.is_up(stopped, wanted.tagged) is not has_failed


def test_a_machine_made_with_another_config_is_told_from_one_made_with_this() -> None:
    one, other = spec(config=MachineConfig(image="a")), spec(config=MachineConfig(image="b"))
    assert one.made(machine("started", config=one.tagged))
    assert not other.made(machine("started", config=one.tagged))
    assert not one.made(machine("started"))


def test_what_a_machine_is_demanded_to_do_depends_on_the_config_that_it_will_have() -> None:
    checked = MachineConfig(checks={"up": Check(type="tcp", port=80)})
    for goal in ("checked", "healthy"):
        assert spec(goal=goal).goal_of(checked) == "healthy"
        assert spec(goal=goal, config=checked).goal_of(MachineConfig()) == "started"
    assert spec(goal="started").goal_of(checked) == "started"
    assert spec(goal=None).goal_of(checked) is None


@pytest.mark.parametrize("config", [MachineConfig(schedule="hourly"), MachineConfig(standbys=["m1"])])
def test_what_is_scheduled_or_stands_by_need_not_run(config: MachineConfig) -> None:
    wanted = spec(goal="healthy")
    assert wanted.goal_of(config) is None
    for state in ("created", "stopped", "started"):
        assert wanted.is_up(machine(state, config=config), config)
    assert not wanted.is_up(machine("failed", config=config), config)


def test_a_healthy_promise_looks_at_the_checks() -> None:
    config = MachineConfig(checks={"up": Check(type="tcp", port=80)})
    wanted = spec(goal="healthy", config=config)
    passing = CheckStatus(name="up", status="passing")
    assert wanted.is_up(machine("started", config=wanted.tagged, checks=[passing]), wanted.tagged)
    assert not wanted.is_up(machine("started", config=wanted.tagged, checks=[]), wanted.tagged)
    assert not wanted.is_up(machine("started", config=evolve(wanted.tagged, checks=None)), wanted.tagged)
    assert not wanted.is_up(machine("stopped", config=wanted.tagged, checks=[passing]), wanted.tagged)
