"""What is wanted, and when it counts as reached."""

from typing import Any

import pytest

from flyasync import Check, CheckStatus, InvalidInput, Machine, MachineConfig, MachineEvent, Requirement, Service
from flyasync.deploy.deployment import Deployment, Goal, check_launch, check_region


def deployment(**options: Any) -> Deployment:
    return Deployment(**{"app": "web", "launch": "v1", "config": MachineConfig(), "counts": {"iad": 2}, **options})


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
    with pytest.raises(InvalidInput, match="cannot be a launch"):
        check_launch(launch)


def test_machines_are_named_by_launch_region_and_number() -> None:
    assert [wanted.name for wanted in deployment().machines("iad")] == ["v1-iad-1", "v1-iad-2"]


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
    wanted = deployment(goal=goal, config=config)
    assert wanted.keeps_promise(machine(state, config=wanted.tagged)) is kept


@pytest.mark.parametrize("goal", ["started", "healthy", None])
@pytest.mark.parametrize("said", [{"exit_code": 1}, {"exit_code": 1, "requested_stop": True}, {"exit_code": 0}])
def test_a_machine_whose_process_failed_does_not_rest(goal: Goal, said: dict[str, Any]) -> None:
    """A stop that was asked for, as the proxy asks for it, is another matter, whatever the exit code."""
    wanted = deployment(goal=goal, config=AUTOSTOP)
    events = [MachineEvent(type="exit", request={"exit_event": said})]
    stopped = machine("stopped", config=wanted.tagged, events=events)
    has_failed = said == {"exit_code": 1}
    assert wanted.rests(stopped) is not has_failed
    assert wanted.keeps_promise(stopped) is not has_failed


def test_a_machine_made_with_another_config_keeps_no_promise() -> None:
    one, other = deployment(config=MachineConfig(image="a")), deployment(config=MachineConfig(image="b"))
    assert one.keeps_promise(machine("started", config=one.tagged))
    assert not other.keeps_promise(machine("started", config=one.tagged))
    assert not one.keeps_promise(machine("started"))


def test_a_healthy_promise_looks_at_the_checks() -> None:
    config = MachineConfig(checks={"up": Check(type="tcp", port=80)})
    wanted = deployment(goal="healthy", config=config)
    passing = CheckStatus(name="up", status="passing")
    assert wanted.keeps_promise(machine("started", config=wanted.tagged, checks=[passing]))
    assert not wanted.keeps_promise(machine("started", config=wanted.tagged, checks=[]))
    assert not wanted.keeps_promise(machine("stopped", config=wanted.tagged, checks=[passing]))
